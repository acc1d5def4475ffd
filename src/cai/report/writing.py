"""`cai report`: what one or several folders hold as one HTML file that stands alone."""

from collections.abc import Sequence
from pathlib import Path

from cai.engine.spending.prices import PriceList, load_prices
from cai.engine.storage.run_folder import RunFolder
from cai.errors import UsageError
from cai.records.recipes import JudgeRecipe, RevisionRecipe, SampleRecipe
from cai.report.choosing import N_EXAMPLES
from cai.report.evaluated import evaluated_part
from cai.report.judged import judged_part
from cai.report.measured import measured_part
from cai.report.page import page_of
from cai.report.pieces import Part
from cai.report.places import Place, find_places
from cai.report.rendering import render
from cai.report.revised import revised_part
from cai.report.runs import head_of, shown_path
from cai.report.sampled import sampled_part
from cai.report.scored import scored_part
from cai.report.series import series_part
from cai.report.tested import tested_part
from cai.report.trained import trained_part

FILE = "report.html"
MANY_PARTS = 8
"""Of more parts than these, each shows fewer examples."""

_FEW_EXAMPLES = 4


def write_report(
    paths: "str | Path | Sequence[str | Path]",
    out: str | Path | None = None,
    *,
    prices: str | Path | None = None,
) -> Path:
    """The HTML file that was written: a report of all that is found in these folders.

    A path is the folder of a run, a training, an evaluation or rounds, or one that holds several
    of them. `out` is `report.html` in the one folder unless it is named; `prices` is a file of
    prices, as for runs.

    Raises:
        UsageError: A path holds nothing to report, or the file cannot be written.
        CaiError: A run, a training, an evaluation or rounds are damaged or of another version.
    """
    folders = [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
    target = _target(folders, None if out is None else Path(out))
    table = load_prices(None if prices is None else Path(prices))
    places = find_places(folders)
    n_examples = N_EXAMPLES if len(places) <= MANY_PARTS else _FEW_EXAMPLES
    parts = [_part(place, table, n_examples) for place in places]
    title = " and ".join(dict.fromkeys(folder.resolve().name for folder in folders))
    _write(target, render(page_of(title, parts)))
    return target


def _target(folders: Sequence[Path], out: Path | None) -> Path:
    """Where the file goes; said before anything is read."""
    if not folders:
        raise UsageError("Nothing to report: name the folder of a run, or several.")
    if out is None:
        if len(folders) > 1:
            raise UsageError("Several folders have no one place for a report: name it with --out.")
        return folders[0] / FILE
    if out.is_dir():
        raise UsageError(f"{out}: is a folder. Name a file, such as {out / FILE}.")
    if not out.parent.is_dir():
        raise UsageError(f"{out}: there is no folder {out.parent}. Make it, or name another.")
    return out


def _part(place: Place, prices: PriceList, n_examples: int) -> Part:
    shown = shown_path(place.path, place.root)
    if place.kind == "series":
        return series_part(place.path, shown)
    if place.kind == "evaluation":
        return evaluated_part(place.path, shown)
    if place.kind == "suites":
        return tested_part(place.path, shown)
    if place.kind == "truth":
        return measured_part(place.path, shown)
    if place.kind == "training":
        return trained_part(place.path, shown, prices)
    with RunFolder.existing(place.path) as run:
        head = head_of(run, prices)
        recipe = head.recipe
        if isinstance(recipe, RevisionRecipe):
            return revised_part(run, recipe, head, shown, n_examples)
        if isinstance(recipe, SampleRecipe):
            return sampled_part(run, recipe, head, shown, n_examples)
        if isinstance(recipe, JudgeRecipe):
            return judged_part(run, recipe, head, shown, n_examples)
        return scored_part(run, recipe, head, shown, n_examples)


def _write(path: Path, text: str) -> None:
    """The file whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(text, "utf-8")
        part.replace(path)
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be written ({error.strerror}). Name another file with --out."
        ) from error
