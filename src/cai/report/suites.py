"""Standard suites put to policies as a part: every suite a table, and each policy a column."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from cai.evaluation import format
from cai.evaluation.results_file import load_results
from cai.evaluation.suites.run import FILE, SuiteResults
from cai.report.model import Doubt, Fact, Headline, Section, Took
from cai.report.policies import suite_table
from cai.report.text import model_name, model_names

_MOST_HEADLINES = 4


def tested_part(path: Path, shown: str) -> Section:
    """The part of the suites in that folder.

    Raises:
        EvaluationError: Its file is damaged, or of another version of cai.
    """
    found = load_results(path / FILE, SuiteResults)
    began = datetime.fromtimestamp((path / FILE).stat().st_mtime, UTC)
    judged = f", judged by {model_names(found.judges)}" if found.judges else ""
    suites = format.listed(each.name for each in found.suites)
    return Section(
        title="Standard suites",
        path=shown,
        done=f"{format.listed(found.policies)} were put through {suites}{judged}.",
        began=began.isoformat(timespec="seconds"),
        weight=4,
        facts=tuple(_facts(found)),
        headlines=tuple(_headlines(found))[:_MOST_HEADLINES],
        doubts=tuple(_doubts(found)),
        took=Took(n_calls=found.n_calls, cost_usd=found.cost_usd),
        tables=tuple(suite_table(suite) for suite in found.suites),
        judges=found.judges,
    )


def _facts(found: SuiteResults) -> Iterator[Fact]:
    for name, model in found.policies.items():
        yield Fact("policy", f"{name}: {model_name(model)}")
    for judge in found.judges:
        yield Fact("judge", judge)
    if found.constitution:
        yield Fact("constitution", found.constitution)


def _headlines(found: SuiteResults) -> Iterator[Headline]:
    """The first measure of every suite: of the last policy less the first, or of the one."""
    for suite in found.suites:
        for measure, words in list(suite.measures.items())[:1]:
            figures = [each.get(measure) for each in suite.found.values()]
            difference = suite.differences.get(measure)
            if difference is not None:
                what = f"{suite.name}: {words}, last policy less first, n = {difference.n:,}"
                bounds = format.plain_bounds(difference)
                yield Headline(f"{difference.value:+.3f}", what, bounds)
            elif figures and figures[0] is not None:
                what = f"{suite.name}: {words}, n = {figures[0].n:,}"
                bounds = format.plain_bounds(figures[0])
                yield Headline(format.number(figures[0].value), what, bounds)


def _doubts(found: SuiteResults) -> Iterator[Doubt]:
    if found.n_failed:
        yield Doubt(
            f"{format.plural(found.n_failed, 'example')} failed and are in no figure.", True
        )
    yield Doubt("A model may have seen a published suite in its training.")
