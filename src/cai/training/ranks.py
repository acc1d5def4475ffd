"""Which of several processes this one is, from the environment that the launcher gives it.

Light: read by the command line before anything heavy is imported.
"""

import os
from pathlib import Path

LAUNCH = "CAI_LAUNCH"
"""Set in every process of a launch: the folder where they leave their errors."""


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
    """Leaves an error to the process that launched this one; false where none did.

    All processes of a launch find the same error in the same data, and it is said once.
    """
    folder = os.environ.get(LAUNCH)
    if not folder:
        return False
    path = Path(folder, f"{rank():06d}")
    unfinished = path.with_suffix(".part")
    unfinished.write_text(message, encoding="utf-8")
    unfinished.replace(path)
    return True


def handed_over(folder: Path) -> str | None:
    """The error that the first of the processes left; None where there is none."""
    found = sorted(path for path in folder.iterdir() if not path.suffix)
    return found[0].read_text("utf-8") if found else None
