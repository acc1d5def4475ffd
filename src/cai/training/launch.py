"""The same command in several processes, one a GPU, by `accelerate launch`.

A configuration is the name of one that ships, or a file in accelerate's own format. The processes
run the command as it was given; an environment variable stops them from launching again.
"""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from cai.constitution.yaml import read_yaml
from cai.errors import ConstitutionError, TrainingError, UsageError
from cai.suggest import did_you_mean
from cai.training.environment import LAUNCH, TRAINING, handed_over, require

_SHIPPED = Path(__file__).parent / "accelerate"
_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Launch:
    """A configuration that fits this machine."""

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

    To be called in the main thread: Ctrl-C, SIGTERM and SIGHUP are forwarded to the processes.

    Raises:
        UsageError: There is no such configuration, or not as many GPUs.
        TrainingError: A library is missing; or the error that the processes ended with.
    """
    checked = check_launch(config, processes)
    with tempfile.TemporaryDirectory(prefix="cai-launch-") as folder:
        off_gpus = {"ACCELERATE_USE_CPU": "true", "CUDA_VISIBLE_DEVICES": ""}
        # a session of its own: Ctrl-C in a terminal would reach the launcher twice otherwise, once
        # from the terminal and once from here
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "cai.training.elastic"),
                *("--config_file", str(checked.path), "--num_processes", str(checked.processes)),
                *("--module", module, *arguments),
            ],
            env={**os.environ, LAUNCH: folder, **(off_gpus if checked.is_cpu else {})},
            start_new_session=True,
        )
        # not left to the terminal: SIGTERM comes from a scheduler, and to this process alone
        before = {
            number: signal.signal(number, lambda sent, _: process.send_signal(sent))
            for number in _FORWARDED
        }
        try:
            code = process.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        code = code if code >= 0 else 128 - code
        error = handed_over(Path(folder))  # before the folder is deleted
    if error is not None:
        raise TrainingError(error)
    if code == 128 + signal.SIGKILL:
        raise TrainingError(
            f"--launch {config}: one of the {checked.processes} processes was killed, mostly as "
            "memory ran out. Try a smaller per_device_train_batch_size, or fewer processes."
        )
    return code


def check_launch(config: str, processes: int | None) -> Launch:
    """The configuration, with the number of processes: as given, as in its file, or one a GPU.

    Raises:
        UsageError: There is no such configuration, or not as many GPUs.
        TrainingError: A library is missing.
    """
    names = shipped_launches()
    path = _SHIPPED / f"{config}.yaml" if config in names else Path(config)
    if not path.is_file():
        raise UsageError(
            f"--launch {config}: there is no such file and no such name. "
            + did_you_mean(config, names, f"The names are {', '.join(names)}.")
        )
    try:
        fields = read_yaml(path.read_bytes(), str(path)).root.plain()
    except (ConstitutionError, OSError) as error:  # the reader is that of constitutions
        raise UsageError(f"{error}") from None
    if not isinstance(fields, dict) or "distributed_type" not in fields:
        raise UsageError(
            f"{path}: this is not a configuration of accelerate, as it has no `distributed_type`. "
            f"Write one with `accelerate config`, or use one of {', '.join(names)}."
        )
    is_cpu = fields.get("use_cpu") is True
    kind = str(fields.get("distributed_type", ""))
    require(("deepspeed",) if kind == "DEEPSPEED" else TRAINING)
    if processes is not None and processes < 1:
        raise UsageError(f"--processes {processes}: at least 1 is wanted.")
    in_file = fields.get("num_processes")
    n_gpus = 0 if is_cpu else torch.accelerator.device_count()
    if not is_cpu and n_gpus == 0:
        raise UsageError(
            f"--launch {config}: GPUs are wanted, and there is none here. Leave it out; or try "
            "`--launch cpu`, several processes of one CPU."
        )
    # a file for CPUs may leave the number out: one process is what accelerate starts then
    wanted = processes or (in_file if isinstance(in_file, int) else n_gpus or 1)
    is_one_machine = fields.get("num_machines", 1) == 1
    if not is_cpu and is_one_machine and wanted > n_gpus:
        raise UsageError(
            f"--launch {config}: {wanted} GPUs are wanted, and there are {n_gpus} here. Set "
            "--processes to as many."
        )
    return Launch(path, wanted, is_cpu)
