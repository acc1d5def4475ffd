"""Where a training runs: which of several processes this one is, and which libraries are installed.

The command line reads this file before it imports anything heavy, so it must stay light itself.
"""

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from cai.atomic_write import atomic_write
from cai.errors import TrainingError

LAUNCH = "CAI_LAUNCH"  # set in every process of a launch: the folder where each writes its error


def is_launched() -> bool:
    """Whether this process is one of a launch, and so does not launch again."""
    return bool(os.environ.get(LAUNCH))


def rank() -> int:
    """The number of this process among all, from 0; 0 for one that is alone."""
    return int(os.environ.get("RANK") or 0)


def is_main_process() -> bool:
    """Whether this process is the one that writes to the console and to files."""
    return rank() == 0


def hand_over(message: str) -> bool:
    """Passes an error to the process that launched this one; False if none did.

    All processes of a launch meet the same error in the same data, and it is printed once.
    """
    folder = os.environ.get(LAUNCH)
    if not folder:
        return False
    # padded, so that names sort as numbers: the error of the lowest rank is the one that is shown
    atomic_write(Path(folder, f"{rank():06d}"), message, TrainingError, "Free space.")
    return True


def handed_over(folder: Path) -> str | None:
    """The error of the first of the processes that wrote one; None if none did."""
    # files with a suffix are of an `atomic_write` that did not finish
    errors = sorted(path for path in folder.iterdir() if not path.suffix)
    return errors[0].read_text("utf-8") if errors else None


TRAINING = ("trl", "peft", "accelerate")


def require(libraries: Sequence[str] = TRAINING) -> None:
    """Checks that they can be imported. Raises TrainingError where one is not installed."""
    missing = [library for library in libraries if find_spec(library) is None]
    if not missing:
        return
    advice = "cai-toolkit[train]" if set(missing) <= set(TRAINING) else " ".join(missing)
    raise TrainingError(
        f"Training needs {' and '.join(missing)}, not installed here. Run `pip install '{advice}'`."
    )
