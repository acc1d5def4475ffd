"""What cai sets of every trainer, what it sets where nobody says anything, and its surroundings."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

import os
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from importlib.util import find_spec

import torch
from datasets.utils.logging import disable_progress_bar, enable_progress_bar
from huggingface_hub import constants
from transformers.utils import logging as transformers_logging

from cai.errors import TrainingError
from cai.training.folder import TrainFolder

_LIBRARIES = r"(transformers|trl|peft|accelerate)\."
"""They tell one another by warnings of names that will change; a user can do nothing about it."""


def fixed_fields(folder: TrainFolder, seed: int, reports: tuple[str, ...]) -> dict[str, object]:
    """The fields of any trainer's config that cai sets.

    Raises:
        TrainingError: A tracker is not installed.
    """
    for report in reports:
        if find_spec(report) is None:
            raise TrainingError(f"--report-to {report}: it is not installed. pip install {report}")
    return {
        "disable_tqdm": True,
        "output_dir": str(folder.checkpoints),
        "seed": seed,
        "report_to": ["tensorboard", *reports],
    }


def default_fields() -> dict[str, object]:
    """Ours where nothing is said: on a CPU nothing is recomputed to save memory that is there."""
    return {
        "save_total_limit": 2,
        "activation_checkpointing": torch.accelerator.is_available(),
        "use_cpu": not torch.accelerator.is_available(),
    }


@contextmanager
def quiet_libraries(folder: TrainFolder) -> Generator[None]:
    """TensorBoard's folder; no bars and advice on the console, and no word to anybody outside.

    TRL tells the hub which trainer is made, on which device. The constant that forbids it is read
    from the environment once, long before.
    """
    level = transformers_logging.get_verbosity()
    wanted = {"TENSORBOARD_LOGGING_DIR": str(folder.logs), "TQDM_DISABLE": "1"}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    disable_progress_bar()
    had_telemetry = not constants.HF_HUB_DISABLE_TELEMETRY
    constants.HF_HUB_DISABLE_TELEMETRY = True
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning, module=_LIBRARIES)
            yield
    finally:
        constants.HF_HUB_DISABLE_TELEMETRY = not had_telemetry
        enable_progress_bar()
        transformers_logging.enable_progress_bar()
        transformers_logging.set_verbosity(level)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
