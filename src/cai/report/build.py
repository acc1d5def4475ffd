"""`cai report`: what one or several folders hold as one HTML file that stands alone.

The page as one HTML text: no script but its own, no reference to anything outside.

Whatever a model or a file said is escaped by the template, and a policy in the head of the page
forbids every script but the one of the page, by its hash, and every request.
"""

import base64
import hashlib
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from cai.atomic_write import atomic_write
from cai.engine.budget import PriceList, load_prices
from cai.engine.progress import duration
from cai.engine.run_folder import RunFolder
from cai.errors import UsageError
from cai.evaluation import format
from cai.report.discover import Place, find_places
from cai.report.examples import N_EXAMPLES
from cai.report.judging import judged_part
from cai.report.model import Plot, Section
from cai.report.page import Page, page_of
from cai.report.policies import evaluated_part
from cai.report.revision import revised_part
from cai.report.rounds import series_part
from cai.report.runs import head_of, shown_path
from cai.report.sampling import sampled_part
from cai.report.scoring import scored_part
from cai.report.suites import tested_part
from cai.report.text import clean
from cai.report.training import trained_part
from cai.report.truth import Truth
from cai.runs.config import JudgeRunConfig, ReviseRunConfig, SampleRunConfig

_FOLDER = Path(__file__).parent
_TEMPLATE, _STYLE, _SCRIPT = "page.html.j2", "page.css", "page.js"


def render(page: Page) -> str:
    """The whole page."""
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_clean,
    )
    environment.filters.update(
        counted=format.counted, money=format.money, duration=duration, picture=_picture
    )
    script = (_FOLDER / _SCRIPT).read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template(_TEMPLATE).render(
        page=page,
        style=Markup((_FOLDER / _STYLE).read_text("utf-8")),
        script=Markup(script),
        version=version("cai-toolkit"),
        policy=f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'",
    )


def _clean(value: object) -> object:
    """Texts without the characters that HTML cannot hold."""
    return clean(value) if isinstance(value, str) and type(value) is str else value


def _picture(plot: Plot) -> Markup:
    """The picture as it was drawn: matplotlib escapes the names in it."""
    return Markup(plot.svg)


FILE = "report.html"
MANY_PARTS = 8
"""Of more parts than these, each shows fewer examples."""

_FEW_EXAMPLES = 4


def write_report(
    paths: "str | Path | Sequence[str | Path]",
    out: str | Path | None = None,
    *,
    prices: str | Path | None = None,
    truth: Truth | None = None,
) -> Path:
    """The HTML file that was written: a report of all that is found in these folders.

    A path is the folder of a run, a training, an evaluation or rounds, or one that holds several
    of them. `out` is `report.html` in the one folder unless it is named; `prices` is a file of
    prices, as for runs. `truth` is what is known of a world, of which reports tell it beside what
    judges said; that of the testbed is `cai.testbed.truth.OracleTruth()`.

    Raises:
        UsageError: A path holds nothing to report, or the file cannot be written.
        CaiError: A run, a training, an evaluation or rounds are damaged or of another version.
    """
    folders = [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
    target = _target(folders, None if out is None else Path(out))
    table = load_prices(None if prices is None else Path(prices))
    places = find_places(folders, None if truth is None else truth.file)
    n_examples = N_EXAMPLES if len(places) <= MANY_PARTS else _FEW_EXAMPLES
    parts = [_part(place, table, n_examples, truth) for place in places]
    title = " and ".join(dict.fromkeys(folder.resolve().name for folder in folders))
    atomic_write(target, render(page_of(title, parts)), UsageError, "Name another file with --out.")
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


def _part(place: Place, prices: PriceList, n_examples: int, truth: Truth | None) -> Section:
    shown = shown_path(place.path, place.root)
    if place.kind == "series":
        return series_part(place.path, shown)
    if place.kind == "evaluation":
        return evaluated_part(place.path, shown)
    if place.kind == "suites":
        return tested_part(place.path, shown)
    if place.kind == "truth" and truth is not None:
        return truth.part(place.path, shown)
    if place.kind == "training":
        return trained_part(place.path, shown, prices)
    with RunFolder.existing(place.path) as run:
        head = head_of(run, prices)
        recipe = head.config
        if isinstance(recipe, ReviseRunConfig):
            return revised_part(run, recipe, head, shown, n_examples=n_examples, truth=truth)
        if isinstance(recipe, SampleRunConfig):
            return sampled_part(run, recipe, head, shown, n_examples=n_examples, truth=truth)
        if isinstance(recipe, JudgeRunConfig):
            return judged_part(run, recipe, head, shown, n_examples=n_examples, truth=truth)
        return scored_part(run, recipe, head, shown, n_examples)
