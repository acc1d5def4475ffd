"""The same command in several processes, one a GPU, by `accelerate launch`.

A configuration is the name of one that ships, or a file of accelerate's own form. The processes run
the command as it was given; that they are launched already they know from the environment.
"""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from cai.constitution.yaml import read_yaml
from cai.errors import ConstitutionError, TrainingError, UsageError
from cai.training.environment import LAUNCH, TRAINING, handed_over, require
from cai.training.trainers import did_you_mean

_SHIPPED = Path(__file__).parent / "accelerate"
_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Launch:
    """A configuration that was found, read and fits this machine."""

    path: Path
    processes: int
    is_cpu: bool


def shipped_launches() -> list[str]:
    """The names of the configurations that ship, sorted."""
    return sorted(path.stem for path in _SHIPPED.glob("*.yaml"))


def launch(
    arguments: Sequence[str], config: str, processes: int | None, module: str = "cai.cli.main"
) -> int:
    """Runs `python -m module arguments` in several processes, and returns their exit code.

    To be called in the main thread: Ctrl-C and SIGTERM go on to the processes.

    Raises:
        UsageError: There is no such configuration, or not as many GPUs.
        TrainingError: A library is missing; or the error that the processes ended with.
    """
    found = check_launch(config, processes)
    with tempfile.TemporaryDirectory(prefix="cai-launch-") as folder:
        environment = {**os.environ, LAUNCH: folder, **(_OFF_GPUS if found.is_cpu else {})}
        code = _run(_command(found, module, arguments), environment)
        error = handed_over(Path(folder))
    if error is not None:
        raise TrainingError(error)
    if code == 128 + signal.SIGKILL:
        raise TrainingError(
            f"--launch {config}: one of the {found.processes} processes was killed, most often for "
            "want of memory. Try a smaller per_device_train_batch_size, or fewer processes."
        )
    return code


def check_launch(config: str, processes: int | None) -> Launch:
    """The configuration, with the number of processes: as given, as in its file, or one a GPU.

    Raises:
        UsageError: There is no such configuration, or not as many GPUs.
        TrainingError: A library is missing.
    """
    path = _path(config)
    fields = _fields(path)
    is_cpu = fields.get("use_cpu") is True
    kind = str(fields.get("distributed_type", ""))
    require(("deepspeed",) if kind == "DEEPSPEED" else TRAINING)
    if processes is not None and processes < 1:
        raise UsageError(f"--processes {processes}: at least 1 is wanted.")
    in_file = fields.get("num_processes")
    n_gpus = 0 if is_cpu else torch.accelerator.device_count()
    wanted = processes or (in_file if isinstance(in_file, int) else n_gpus)
    is_one_machine = fields.get("num_machines", 1) == 1
    if not is_cpu and is_one_machine and wanted > n_gpus:
        raise UsageError(
            f"--launch {config}: {wanted} GPUs are wanted, and there are {n_gpus} here. Set "
            "--processes to as many."
        )
    if not is_cpu and n_gpus == 0:
        raise UsageError(
            f"--launch {config}: GPUs are wanted, and there is none here. Leave it out; or try "
            "`--launch cpu`, several processes of one CPU."
        )
    return Launch(path, wanted, is_cpu)


_OFF_GPUS = {"ACCELERATE_USE_CPU": "true", "CUDA_VISIBLE_DEVICES": ""}


def _path(config: str) -> Path:
    names = shipped_launches()
    if config in names:
        return _SHIPPED / f"{config}.yaml"
    if Path(config).is_file():
        return Path(config)
    raise UsageError(
        f"--launch {config}: there is no such file and no such name.{did_you_mean(config, names)} "
        f"The names are {', '.join(names)}."
    )


def _fields(path: Path) -> Mapping[str, object]:
    try:
        plain = read_yaml(path.read_bytes(), str(path)).root.plain()
    except (ConstitutionError, OSError) as error:  # the reader is the constitutions' own
        raise UsageError(f"{error}") from None
    if not isinstance(plain, dict) or "distributed_type" not in plain:
        raise UsageError(
            f"{path}: this is no configuration of accelerate, as it has no `distributed_type`. "
            f"Write one with `accelerate config`, or take one of {', '.join(shipped_launches())}."
        )
    return plain


def _command(found: Launch, module: str, arguments: Sequence[str]) -> list[str]:
    start = [sys.executable, "-m", "cai.training.elastic"]
    options = ["--config_file", str(found.path), "--num_processes", str(found.processes)]
    return [*start, *options, "--module", module, *arguments]


def _run(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """The exit code. The launcher has a session of its own, so that it gets a signal once."""
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    with _forwarding(process):
        code = process.wait()
    return code if code >= 0 else 128 - code


@contextmanager
def _forwarding(process: subprocess.Popen[bytes]) -> Generator[None]:
    """Sends the signals on that this process gets, and does not end of them."""
    before = {
        number: signal.signal(number, lambda sent, _: process.send_signal(sent))
        for number in _FORWARDED
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
