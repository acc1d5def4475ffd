"""`cai report`: one HTML file about the runs, trainings and evaluations of one or more folders.

The file has no script but its own and no reference to anything outside. The template escapes all
text of models and files, and a content security policy in the head of the page forbids every
request, and every script but the page's own, which it names by its hash.

Example:
    from cai.report.build import write_report

    write_report("runs/judged")  # runs/judged/report.html
    write_report(["runs/first", "models/rl"], "chain.html")
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import replace
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
from cai.report.discover import ReportFolder, find_folders
from cai.report.examples import N_EXAMPLES
from cai.report.judging import judging_section
from cai.report.model import Section
from cai.report.page import Page, build_page
from cai.report.policies import evaluation_section, suites_section
from cai.report.revision import revision_section
from cai.report.rounds import rounds_section
from cai.report.runs import with_run_facts
from cai.report.sampling import sampling_section
from cai.report.scoring import scoring_section
from cai.report.text import clean
from cai.report.training import training_section
from cai.report.truth import Truth
from cai.runs.config import JudgeRunConfig, ReviseRunConfig, SampleRunConfig, read_run_config

FILE = "report.html"
MANY_SECTIONS = 8
"""Of more sections than these, each shows fewer examples."""

_FEW_EXAMPLES = 4
_FOLDER = Path(__file__).parent


def write_report(
    paths: "str | Path | Sequence[str | Path]",
    out: str | Path | None = None,
    *,
    prices: str | Path | None = None,
    truth: Truth | None = None,
) -> Path:
    """The path of the HTML file, a report of everything in these folders.

    Args:
        paths: Folders of runs, trainings, evaluations or rounds, or folders that hold several.
        out: The file; by default `report.html` in the one folder.
        prices: A file of prices, as for runs.
        truth: A known truth, shown beside what judges say; that of the testbed is
            `cai.testbed.truth.OracleTruth()`.

    Raises:
        UsageError: A path holds nothing to report, or the file cannot be written.
        CaiError: A run, a training, an evaluation or rounds are damaged or of another version.
    """
    folders = [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
    if not folders:
        raise UsageError("Nothing to report: name the folder of a run, or several.")
    # The target is checked first: reading a large run takes minutes.
    if out is None and len(folders) > 1:
        raise UsageError("A report of several folders needs a name: give it with --out.")
    target = folders[0] / FILE if out is None else Path(out)
    if target.is_dir():
        raise UsageError(f"{target}: is a folder. Name a file, such as {target / FILE}.")
    if out is not None and not target.parent.is_dir():
        raise UsageError(f"{target}: there is no folder {target.parent}. Make it, or name another.")
    table = load_prices(None if prices is None else Path(prices))
    found = find_folders(folders, None if truth is None else truth.file)
    n_examples = N_EXAMPLES if len(found) <= MANY_SECTIONS else _FEW_EXAMPLES
    sections = [
        # A path is shown from the name of the given folder on: nothing of what is above it.
        replace(
            _section(folder, table, n_examples, truth),
            path=str(Path(folder.root.resolve().name) / folder.path.relative_to(folder.root)),
        )
        for folder in found
    ]
    title = " and ".join(dict.fromkeys(folder.resolve().name for folder in folders))
    html = render(build_page(title, sections))
    atomic_write(target, html, UsageError, "Name another file with --out.")
    return target


def _section(
    folder: ReportFolder, prices: PriceList, n_examples: int, truth: Truth | None
) -> Section:
    path = folder.path
    if folder.kind == "series":
        return rounds_section(path)
    if folder.kind == "evaluation":
        return evaluation_section(path)
    if folder.kind == "suites":
        return suites_section(path)
    if folder.kind == "truth" and truth is not None:  # only found where there is a truth
        return truth.part(path)
    if folder.kind == "training":
        return training_section(path, prices)
    with RunFolder.existing(path) as run:
        config = read_run_config(run)
        if isinstance(config, ReviseRunConfig):
            section = revision_section(run, config, n_examples=n_examples, truth=truth)
        elif isinstance(config, SampleRunConfig):
            section = sampling_section(run, config, n_examples=n_examples, truth=truth)
        elif isinstance(config, JudgeRunConfig):
            section = judging_section(run, config, n_examples=n_examples, truth=truth)
        else:
            section = scoring_section(run, config, n_examples=n_examples)
        return with_run_facts(section, run, prices)


def render(page: Page) -> str:
    """The HTML of the page."""

    def finalize(value: object) -> object:
        # Only plain text is cleaned: a Markup, a subclass of str, must stay one, or Jinja would
        # escape the style and the pictures.
        return clean(value) if isinstance(value, str) and type(value) is str else value

    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=finalize,
    )
    environment.filters.update(counted=format.counted, money=format.money, duration=duration)
    # The page's script is allowed by its hash: should a text of a model ever reach the page without
    # being escaped, it still cannot run.
    script = (_FOLDER / "page.js").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("page.html.j2").render(
        page=page,
        style=Markup((_FOLDER / "page.css").read_text("utf-8")),
        script=Markup(script),
        version=version("cai-toolkit"),
        policy=f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'",
    )
