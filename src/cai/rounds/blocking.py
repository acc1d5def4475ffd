"""A series of rounds from Python: waiting for the result, in a notebook too."""

from pathlib import Path

from rich.console import Console

from cai.engine.loop import wait_for
from cai.jobs.pace import Pace
from cai.rounds.found import Decision, Series
from cai.rounds.running import run_rounds_async
from cai.rounds.schema import RoundsRecipe, load_rounds


def run_rounds(
    recipe: str | Path | RoundsRecipe,
    out: str | Path,
    *,
    answer: Decision | None = None,
    pace: Pace = Pace(),
    is_quiet: bool = False,
) -> Series:
    """The rounds of a YAML file, or of a recipe, that are not done yet; all figures so far.

    Raises:
        CaiError: As `cai.rounds.running.run_rounds_async`.
    """
    loaded = recipe if isinstance(recipe, RoundsRecipe) else load_rounds(Path(recipe))
    console = Console(stderr=True, quiet=is_quiet)
    return wait_for(run_rounds_async(loaded, Path(out), pace, answer=answer, console=console))
