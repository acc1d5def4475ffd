"""`cai train`: what stands in the folder, the same command again, and going on with --resume."""

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from reward_server import CallCai, assert_refused, start_cai
from safetensors.torch import load_file
from tiny import save_tiny_model
from tiny_rewards import save_reward_model
from train_files import N_ROWS, rl_settings, settings, write_data

from cai.engine.engine import run_async
from cai.models.base import Sampling
from cai.models.registry import open_model
from cai.training.reward_model.model import RewardModel
from cai.training.trainers import TRAINERS
from cai.types import Message, user_prompt

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def reward_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_reward_model(tmp_path_factory.mktemp("reward"))


def answer(spec: str) -> str:
    async def asked() -> str:
        model = open_model(spec)
        await model.check()
        try:
            messages = user_prompt("How do I mend lamp 1?").messages
            return (await model.complete(messages, Sampling(0.0, max_tokens=8))).text
        finally:
            await model.close()

    return run_async(asked())


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def figures(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "training.json").read_text("utf-8"))


ALWAYS = {"training.yaml", "training.json", "README.md", "logs", "checkpoints", "config.json"}


def test_sft_leaves_a_model_with_its_card_figures_and_logs(
    call_cai: CallCai, tiny: Path, tmp_path: Path
):
    out = tmp_path / "sl"
    data = write_data(tmp_path, "sft")
    ended = call_cai(
        "train", "sft", data, "-m", f"hf:{tiny}", "-o", out, "--eval-share", 0.2, *settings()
    )
    assert ended.code == 0, ended.err
    assert names(out) >= ALWAYS | {"model.safetensors", "tokenizer.json"}
    assert f"{out}: 2 steps" in ended.out
    assert "held-out rows: loss" in ended.out
    assert f"Next: cai sample PROMPTS -m hf:{out}" in ended.out
    assert "step 2/2" in ended.err
    assert f"{data}: {N_ROWS} rows" in ended.err
    found = figures(out)
    assert found["steps"] == 2
    assert found["train"]["loss"] > 0
    assert found["evaluation"]["loss"] > 0
    assert list((out / "logs").rglob("events.out.tfevents.*"))
    card = (out / "README.md").read_text("utf-8")
    assert tiny.name in card
    assert "sft.jsonl" in card
    assert isinstance(answer(f"hf:{out}"), str)
    before = load_file(tiny / "model.safetensors")
    after = load_file(out / "model.safetensors")
    assert any(not torch.equal(value, after[name]) for name, value in before.items())


def test_json_is_one_object_and_the_same_command_again_trains_nothing(
    call_cai: CallCai, tiny: Path, tmp_path: Path
):
    command = (
        *("train", "sft", write_data(tmp_path, "sft"), "-m", f"hf:{tiny}"),
        *("-o", tmp_path / "out", *settings()),
    )
    ended = json.loads(call_cai(*command, "--json").out)
    assert (ended["event"], ended["trainer"], ended["steps"]) == ("end", "sft", 2)
    assert ended["out"] == str(tmp_path / "out")
    assert ended["train"] == figures(tmp_path / "out")["train"]
    weights = tmp_path / "out" / "model.safetensors"
    before = weights.stat().st_mtime_ns
    again = call_cai(*command)
    assert again.code == 0
    assert "done before" in again.out
    assert "step 1/2" not in again.err
    assert weights.stat().st_mtime_ns == before
    for more in (
        ["--seed", 7],
        ["--set", "learning_rate=1e-4"],
        ["--eval-share", 0.5],
        ["--limit", 6],
    ):
        assert_refused(call_cai(*command, *more), "is of a training with other settings", "--out")
    assert weights.stat().st_mtime_ns == before


def test_a_start_that_was_trained_anew_is_another_training(call_cai: CallCai, tmp_path: Path):
    start, data = save_tiny_model(tmp_path / "start"), write_data(tmp_path, "sft")
    command = ("train", "sft", data, "-m", f"hf:{start}", "-o", tmp_path / "out", *settings())
    assert call_cai(*command).code == 0
    save_tiny_model(start, seed=1)
    assert_refused(call_cai(*command), "weights was")


def test_a_folder_in_which_nothing_was_trained_is_as_new(
    call_cai: CallCai, tiny: Path, tmp_path: Path
):
    """A first try with a setting that cannot be does not spoil the folder for the next one."""
    out, data = tmp_path / "out", write_data(tmp_path, "preference")
    command = ("train", "dpo", data, "-m", f"hf:{tiny}", "-o", out)
    first = call_cai(*command, *settings(loss_type="ipo"))
    assert_refused(first, "Soft labels are for the sigmoid loss of DPO")
    assert call_cai(*command, *settings()).code == 0
    assert figures(out)["steps"] == 2


@pytest.mark.parametrize(
    ("trainer", "options"),
    [
        ("dpo", []),
        ("dpo", ["--labels", "hard"]),
        ("dpo", ["--labels", "drawn", "--label-smoothing", "0.1"]),
        ("kto", []),
    ],
)
def test_a_policy_on_preferences_is_sampled(
    call_cai: CallCai, tiny: Path, tmp_path: Path, trainer: str, options: list[str]
):
    out, data = tmp_path / "out", write_data(tmp_path, TRAINERS[trainer].rows)
    ended = call_cai("train", trainer, data, "-m", f"hf:{tiny}", "-o", out, *options, *settings())
    assert ended.code == 0, ended.err
    assert names(out) >= ALWAYS | {"watch.jsonl", "model.safetensors"}
    steps = [json.loads(line)["step"] for line in (out / "watch.jsonl").read_text().splitlines()]
    assert (steps[0], steps[-1]) == (0, 2)
    assert "held-out rows: loss" in ended.out


@pytest.mark.parametrize("lora", [[], ["--lora"]])
def test_a_reward_model_rewards_and_shows_its_calibration(
    call_cai: CallCai, tiny: Path, tmp_path: Path, lora: list[str]
):
    out, data = tmp_path / "out", write_data(tmp_path, "preference")
    ended = call_cai(
        *("train", "reward", data, "-m", f"hf:{tiny}", "-o", out),
        *("--eval-share", 0.3, *lora, *settings()),
    )
    assert ended.code == 0, ended.err
    assert names(out) >= {"calibration.png", "training.json", "README.md"}
    assert ("adapter_config.json" if lora else "config.json") in names(out)
    assert "calibration error" in ended.out
    held_out = figures(out)["held_out"]["all"]
    assert 1 <= held_out["n"] < N_ROWS
    assert held_out["cross_entropy"] >= held_out["least"]
    dialogue = (*user_prompt("How do I mend it?").messages, Message("assistant", "With wool."))
    (reward,) = RewardModel.load(str(out)).rewards([dialogue])
    assert isinstance(reward, float)


@pytest.mark.parametrize("algorithm", ["grpo", "rloo"])
def test_reinforcement_learning_from_a_reward_model(
    call_cai: CallCai, algorithm: str, tiny: Path, reward_folder: Path, tmp_path: Path
):
    out, data = tmp_path / "out", write_data(tmp_path, "prompts")
    ended = call_cai(
        *("train", algorithm, data, "-m", f"hf:{tiny}", "-o", out),
        *("--reward-model", f"{reward_folder}*0.5", "--length-penalty", 0.1, *rl_settings()),
    )
    assert ended.code == 0, ended.err
    assert names(out) >= ALWAYS | {"watch.jsonl", "model.safetensors"}
    train = figures(out)["train"]
    whole = 0.5 * train["rewards/reward_model/mean"] + 0.1 * train["rewards/length_penalty/mean"]
    assert train["reward"] == pytest.approx(whole, rel=1e-4)
    assert train["rewards/evasiveness_penalty/mean"] <= 0


def test_a_reward_model_that_was_trained_anew_is_another_reward(
    call_cai: CallCai, tiny: Path, tmp_path: Path
):
    reward, data = save_reward_model(tmp_path / "reward"), write_data(tmp_path, "prompts")
    command = (
        *("train", "grpo", data, "-m", f"hf:{tiny}", "-o", tmp_path / "out"),
        *("--reward-model", reward, *rl_settings(1)),
    )
    assert call_cai(*command).code == 0
    assert "done before" in call_cai(*command).out
    save_reward_model(reward, seed=1)
    assert_refused(call_cai(*command), "rewards was")


def test_an_adapter_opens_by_its_folder_and_can_be_trained_on(
    call_cai: CallCai, in_tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """An adapter on an adapter is saved whole: no folder holds what the second one stands on."""
    tmp_path = in_tmp_path
    save_tiny_model(tmp_path / "start")
    data, pairs = write_data(tmp_path, "sft"), write_data(tmp_path, "preference")
    fast = settings(3, learning_rate=5e-2)
    first = call_cai("train", "sft", data, "-m", "hf:start", "-o", "sl", "--lora", *fast)
    assert first.code == 0, first.err
    assert names(tmp_path / "sl") >= {"adapter_config.json", "adapter_model.safetensors"}
    assert "model.safetensors" not in names(tmp_path / "sl")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    adapted = answer(f"hf:{tmp_path / 'sl'}")
    assert adapted == answer(f"hf:{tmp_path / 'start'}?adapter={tmp_path / 'sl'}")
    assert adapted != answer(f"hf:{tmp_path / 'start'}")
    still = settings(1, learning_rate=0.0)
    second = call_cai(
        *("train", "dpo", pairs, "-m", f"hf:{tmp_path / 'sl'}", "-o", tmp_path / "dpo"),
        *("--lora", *still),
    )
    assert second.code == 0, second.err
    assert "model.safetensors" in names(tmp_path / "dpo")
    assert answer(f"hf:{tmp_path / 'dpo'}") == adapted
    whole = call_cai("train", "sft", data, "-m", f"hf:{tmp_path / 'sl'}", "-o", "whole", *fast)
    assert whole.code == 0, whole.err
    assert answer("hf:whole") != adapted


def test_an_unfinished_training_goes_on_with_resume_alone(
    call_cai: CallCai, tiny: Path, reward_folder: Path, tmp_path: Path
):
    """The cap ends it in the middle; what was judged before is not asked again."""
    data = write_data(tmp_path, "prompts")
    command = (
        *("train", "grpo", data, "-m", f"hf:{tiny}", "-o", tmp_path / "out"),
        *("--judge", "embedded", "-c", "testbed", "--tag", "tone", "--opponents", 2),
        *rl_settings(),
    )
    assert_refused(call_cai(*command, "--max-total-tokens", 3000), "3,000", "--resume")
    again = call_cai(*command)
    assert_refused(again, "holds a training that was not finished. Continue with --resume")
    resumed = call_cai(*command, "--resume", "--json")
    assert resumed.code == 0, resumed.err
    assert "going on from the beginning" in resumed.err
    judging = json.loads(resumed.out)["judging"]
    assert judging["from_journal"] > 0
    assert judging["calls"] > 0


def wait_for(path: Path, limit_s: float = 120) -> None:
    end = time.monotonic() + limit_s
    while not path.exists():
        assert time.monotonic() < end, f"{path} never came"
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("lora", [[], ["--lora"]])
def test_killed_and_resumed_the_weights_are_those_of_an_uninterrupted_run(
    tiny: Path, tmp_path: Path, lora: list[str], call_cai: CallCai
):
    data = write_data(tmp_path, "sft")
    command = ("train", "sft", data, "-m", f"hf:{tiny}", *lora, *settings(40, save_steps=5))
    whole = call_cai(*command, "-o", tmp_path / "whole")
    assert whole.code == 0, whole.err
    out = tmp_path / "killed"
    process = start_cai(*command, "-o", out, folder=tmp_path)
    wait_for(out / "checkpoints" / "checkpoint-5" / "trainer_state.json")
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (out / "training.json").exists()
    resumed = call_cai(*command, "-o", out, "--resume")
    assert resumed.code == 0, resumed.err
    assert "going on from step" in resumed.err
    name = "adapter_model.safetensors" if lora else "model.safetensors"
    one, other = load_file(tmp_path / "whole" / name), load_file(out / name)
    assert one.keys() == other.keys()
    assert all(torch.equal(value, other[key]) for key, value in one.items())


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on(tiny: Path, tmp_path: Path):
    data, out = write_data(tmp_path, "sft"), tmp_path / "out"
    command = (
        "train",
        "sft",
        data,
        "-m",
        f"hf:{tiny}",
        "-o",
        out,
        *settings(100_000, save_steps=5),
    )
    process = start_cai(*command, folder=tmp_path)
    wait_for(out / "checkpoints" / "checkpoint-5" / "trainer_state.json")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in err
    assert "--resume" in err
    assert "Traceback" not in err


@pytest.mark.slow
def test_ctrl_c_while_judges_are_asked_leaves_no_traceback(tiny: Path, tmp_path: Path):
    data, out = write_data(tmp_path, "prompts"), tmp_path / "out"
    command = (
        *("train", "grpo", data, "-m", f"hf:{tiny}", "-o", out),
        *("--judge", "embedded", "-c", "testbed", *rl_settings(100_000, save_steps=2)),
    )
    process = start_cai(*command, folder=tmp_path)
    wait_for(out / "checkpoints" / "checkpoint-2" / "trainer_state.json")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "Warning" not in err
    assert "the same command with --resume goes on" in err


@pytest.mark.slow
def test_two_processes_share_one_folder(tiny: Path, tmp_path: Path):
    """Both come to it at about the same time, and one of them makes it."""
    data, out = write_data(tmp_path, "sft"), tmp_path / "out"
    command = (
        *("train", "sft", data, "-m", f"hf:{tiny}", "-o", out),
        *("--launch", "cpu", "--processes", 2, *settings()),
    )
    for said in ("2 steps in", "done before"):
        process = start_cai(*command, folder=tmp_path)
        told, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert told.count(f"{out}: {said}") == 1
