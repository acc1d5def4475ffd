"""One command in several processes: configurations, ranks, exit codes, signals, a real training."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from tiny import save_tiny_model

from cai.errors import TrainingError, UsageError
from cai.training.environment import (
    LAUNCH,
    hand_over,
    handed_over,
    is_launched,
    is_main_process,
    rank,
)
from cai.training.launch import check_launch, launch, shipped_launches

HERE = Path(__file__).parent
HAS_GPU = torch.accelerator.device_count() > 0


@pytest.fixture(autouse=True)
def _modules_of_the_tests_can_be_run(monkeypatch: pytest.MonkeyPatch):
    paths = [str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))


@pytest.fixture
def as_rank(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[int], None]:
    """Makes this process the one of that rank in a launch."""
    monkeypatch.setenv(LAUNCH, str(tmp_path))
    return lambda number: monkeypatch.setenv("RANK", str(number))


def test_alone_a_process_is_the_main_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.delenv(LAUNCH, raising=False)
    assert is_main_process()
    assert not is_launched()
    assert not hand_over("an error")


def test_of_several_processes_the_first_is_the_main_one(as_rank: Callable[[int], None]):
    as_rank(3)
    assert is_launched()
    assert rank() == 3
    assert not is_main_process()
    as_rank(0)
    assert is_main_process()


def test_the_error_of_the_first_process_is_the_one_that_is_told(
    as_rank: Callable[[int], None], tmp_path: Path
):
    assert handed_over(tmp_path) is None
    for number in (11, 2):
        as_rank(number)
        assert hand_over(f"error of {number}")
    assert handed_over(tmp_path) == "error of 2"


def test_the_shipped_configurations_are_of_accelerates_own_form():
    """Its own reader takes them, every field known."""
    from accelerate.commands.config.config_args import load_config_from_file

    assert shipped_launches() == ["cpu", "ddp", "fsdp", "zero2", "zero3"]
    for name in shipped_launches():
        path = HERE.parents[1] / "src" / "cai" / "training" / "accelerate" / f"{name}.yaml"
        found = load_config_from_file(str(path))
        assert found.mixed_precision == "no", name
        assert found.num_machines == 1
        assert found.use_cpu is (name == "cpu")


def test_the_number_of_processes_is_as_given_or_as_in_the_file():
    assert check_launch("cpu", 3).processes == 3
    assert check_launch("cpu", None).processes == 2
    assert check_launch("cpu", None).is_cpu


def test_a_configuration_of_cpus_without_a_number_starts_one(tmp_path: Path):
    (tmp_path / "one.yaml").write_text("distributed_type: MULTI_CPU\nuse_cpu: true\n")
    assert check_launch(str(tmp_path / "one.yaml"), None).processes == 1


@pytest.mark.skipif(HAS_GPU, reason="there is a GPU here")
@pytest.mark.parametrize("name", ["ddp", "fsdp"])
@pytest.mark.parametrize("processes", [None, 4])
def test_without_gpus_what_needs_them_is_refused(name: str, processes: int | None):
    with pytest.raises(UsageError, match=r"there is none here\. Leave it out; or try `--launch cp"):
        check_launch(name, processes)


@pytest.mark.skipif(not HAS_GPU, reason="there is no GPU here")
def test_more_gpus_than_there_are_is_refused():
    with pytest.raises(UsageError, match=r"--launch ddp: 999 GPUs are wanted, and there are"):
        check_launch("ddp", 999)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("ddq", "Did you mean 'ddp'?"),
        ("no/such.yaml", "there is no such file and no such name."),
    ],
)
def test_a_configuration_that_is_not_there_is_said(config: str, said: str):
    with pytest.raises(UsageError) as caught:
        check_launch(config, None)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1\n", "own.yaml:2: this is not YAML"),
        (
            "num_processes: 2\n",
            "not a configuration of accelerate, as it has no `distributed_type`",
        ),
        ("- a\n", "not a configuration of accelerate"),
    ],
)
def test_a_file_that_is_no_configuration_is_said(tmp_path: Path, text: str, said: str):
    (tmp_path / "own.yaml").write_text(text)
    with pytest.raises(UsageError) as caught:
        check_launch(str(tmp_path / "own.yaml"), None)
    assert said in str(caught.value)


def test_no_process_at_all_is_refused():
    with pytest.raises(UsageError, match="at least 1 is wanted"):
        check_launch("cpu", 0)


def test_deepspeed_that_is_not_installed_is_said_with_its_command():
    try:
        import deepspeed  # noqa: F401
    except ImportError:
        with pytest.raises(TrainingError, match=r"needs deepspeed, not installed here\. Run"):
            check_launch("zero3", 2)
    else:
        pytest.skip("deepspeed is installed")


@pytest.mark.slow
def test_two_processes_train_one_model(tmp_path: Path):
    """Both see the mean of their gradients, so both end with the same weights and losses."""
    model = save_tiny_model(tmp_path / "model")
    code = launch(["train", str(tmp_path), str(model)], "cpu", 2, module="launched_sft")
    assert code == 0
    told = [json.loads((tmp_path / f"rank{number}.json").read_text()) for number in (0, 1)]
    for one in told:
        assert one["world"] == 2
        assert (one["distributed"], one["device"]) == ("MULTI_CPU", "cpu")
        assert one["steps"] == 2
        assert one["is_launched"]
    assert told[0]["weights"] == pytest.approx(told[1]["weights"], rel=1e-6)
    assert [one["is_main"] for one in told] == [True, False]
    assert len(told[0]["losses"]) == 2


@pytest.mark.slow
def test_an_error_of_all_processes_is_told_once(capfd: pytest.CaptureFixture[str], tmp_path: Path):
    with pytest.raises(TrainingError, match=r"^rows.jsonl:3: no prompt\.$"):
        launch(["fail", str(tmp_path)], "cpu", 2, module="launched_sft")
    printed = capfd.readouterr()
    assert printed.out == ""
    assert "Traceback" not in printed.err


@pytest.mark.slow
def test_cai_itself_is_launched_and_says_its_error_once(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
):
    with pytest.raises(TrainingError, match=r"no-such-run"):
        launch(["status", str(tmp_path / "no-such-run")], "cpu", 2)
    assert capfd.readouterr().err == ""


@pytest.mark.slow
def test_a_crash_is_handed_on_with_its_own_traceback_alone(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
):
    assert launch(["crash", str(tmp_path)], "cpu", 2, module="launched_sft") == 1
    printed = capfd.readouterr()
    assert "RuntimeError: a crash" in printed.err
    assert "ChildFailedError" not in printed.err


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_every_process_once(tmp_path: Path, sent: signal.Signals):
    script = (
        "import sys; from cai.training.launch import launch\n"
        f"sys.exit(launch(['wait', {str(tmp_path)!r}], 'cpu', 2, module='launched_sft'))"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script], stderr=subprocess.PIPE, start_new_session=True
    )
    try:
        deadline = time.monotonic() + 60
        while not all((tmp_path / f"waits{number}").exists() for number in (0, 1)):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.killpg(parent.pid, sent)  # as a terminal does with Ctrl-C
        _, said = parent.communicate(timeout=50)
    finally:
        parent.kill()
    assert parent.returncode == 128 + sent
    assert b"Traceback" not in said
    is_interrupt = sent == signal.SIGINT
    for number in (0, 1):
        assert (tmp_path / f"interrupted{number}").exists() is is_interrupt


def test_every_shipped_configuration_says_what_it_is_for():
    for name in shipped_launches():
        path = HERE.parents[1] / "src" / "cai" / "training" / "accelerate" / f"{name}.yaml"
        assert path.read_text().startswith("# ")
        assert yaml.safe_load(path.read_text())["main_process_port"] == 0
