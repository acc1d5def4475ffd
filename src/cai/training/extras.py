"""Whether the libraries that train are here, found out before any of them is imported."""

from collections.abc import Sequence
from importlib.util import find_spec

from cai.errors import TrainingError

TRAINING = ("trl", "peft", "accelerate")


def require(libraries: Sequence[str] = TRAINING) -> None:
    """Finds out whether they can be imported.

    Raises:
        TrainingError: One is not installed; the message says how to install it.
    """
    missing = [library for library in libraries if find_spec(library) is None]
    if not missing:
        return
    advice = "cai-toolkit[train]" if set(missing) <= set(TRAINING) else " ".join(missing)
    raise TrainingError(
        f"Training needs {' and '.join(missing)}, not installed here. Run `pip install '{advice}'`."
    )
