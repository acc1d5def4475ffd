"""A series of rounds as a part: whether it goes well, and whether it drifts.

The limits that the rules of a series set to its metrics, as lines in their pictures.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias, cast

import yaml

from cai.errors import UsageError
from cai.evaluation import format
from cai.evaluation.results_file import load_results
from cai.report import charts, win_rates
from cai.report.model import Doubt, Fact, Headline, Plot, Section, SectionTable, Took
from cai.report.text import model_name, model_names
from cai.rounds.measure import rules_of
from cai.rounds.state import ASKED, FILE, RoundFound, Series

Limits: TypeAlias = Sequence[tuple[str, float]]
"""The text of a rule and the number that it compares with."""


def limits_of(path: Path, found: Series) -> dict[str, Limits]:
    """By metric, those that hold for the whole series: rules against round 0 or a number.

    None where the folder does not say by which rules, or says them in another version's words.
    """
    try:
        asked: object = yaml.safe_load((path / ASKED).read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}
    content = cast("dict[str, object]", asked) if isinstance(asked, dict) else {}
    listed = content.get("rules")
    texts = cast("list[object]", listed) if isinstance(listed, list) else None
    try:
        rules = rules_of(None if texts is None else map(str, texts), found.metrics)
    except UsageError:
        return {}
    limits: dict[str, list[tuple[str, float]]] = {}
    for rule in rules:
        values = [
            each.figures[rule.metric].value for each in found.rounds if rule.metric in each.figures
        ]
        if values and rule.reference != "last":
            limits.setdefault(rule.metric, []).append((rule.text, rule.limit(values)))
    return dict(limits)


_MOST_MISSING = 12


def series_part(path: Path, shown: str) -> Section:
    """The part of the series in that folder.

    Raises:
        EvaluationError: Its file is damaged, or of another version of cai.
    """
    found = load_results(path / FILE, Series)
    began = datetime.fromtimestamp((path / FILE).stat().st_mtime, UTC)
    seconds = sum(each.seconds for each in found.rounds)
    judges = dict.fromkeys(judge for each in found.rounds for judge in each.judges)
    return Section(
        title=f"Rounds: {found.name}",
        path=shown,
        done=_done(found),
        began=began.isoformat(timespec="seconds"),
        weight=6,
        facts=tuple(_facts(found)),
        headlines=tuple(_headlines(found)),
        doubts=tuple(_doubts(found)),
        took=Took(cost_usd=found.cost_usd, seconds=seconds),
        tables=tuple(_tables(found)),
        plots=tuple(_plots(found, limits_of(path, found))),
        judges=(*found.frozen_judges, *judges),
    )


def _done(found: Series) -> str:
    n = len([each for each in found.rounds if each.number > 0])
    judges = model_names(found.frozen_judges)
    ended = f" {found.ended}" if found.ended else " The series goes on."
    return (
        f"{n} of {format.plural(found.n_rounds, 'round')} of training on the judge's labels, each "
        f"measured by the frozen judge {judges}.{ended}"
    )


def _facts(found: Series) -> Iterator[Fact]:
    for judge in found.frozen_judges:
        yield Fact("frozen judge", judge)
    for each in found.rounds:
        by = f", labels by {model_names(each.judges)}" if each.judges else ""
        yield Fact(f"round {each.number}", f"{model_name(each.policy)}{by}")


def _headlines(found: Series) -> Iterator[Headline]:
    best, rounds = found.best, found.rounds
    if rounds:
        yield Headline(f"round {best}", f"is the best of {len(rounds)} by the frozen judge")
    last = f"round {rounds[-1].number}" if rounds else ""
    against_start = [
        rate
        for rate in found.win_rates
        if rate.opponent == "round 0" and rate.policy in (f"round {best}", last)
    ]
    for rate in against_start:
        line = win_rates.win_headline(rate)
        if line is not None:
            yield line


def _doubts(found: Series) -> Iterator[Doubt]:
    for each in found.rounds:
        for sentence in each.broken:
            yield Doubt(f"Round {each.number}: {sentence}", True)
    yield from (Doubt(caveat, number == 0) for number, caveat in enumerate(found.caveats))
    if found.rounds and found.best != found.rounds[-1].number:
        yield Doubt(f"The last round is not the best: round {found.best} is.", True)
    reasons = dict.fromkeys(
        f"{metric}: {reason}" for each in found.rounds for metric, reason in each.missing.items()
    )
    if reasons:
        listed = "; ".join(list(reasons)[:_MOST_MISSING])
        yield Doubt(f"Not measured in every round: {listed}")
    last = found.rounds[-1] if found.rounds else None
    if last is not None and last.undecided:
        yield Doubt(
            f"In round {last.number} no verdict would be another without "
            f"{format.listed(last.undecided)}."
        )


def _tables(found: Series) -> Iterator[SectionTable]:
    if found.rounds:
        yield _round_table(found.rounds)
        yield _metric_table(found)
    ids = dict.fromkeys(id for each in found.rounds for id in each.adherence)
    if ids:
        rows = tuple(
            (id, *(format.share(each.adherence.get(id)) for each in found.rounds)) for id in ids
        )
        note = "The frozen judge's mean probability that a response keeps the principle."
        yield SectionTable("Adherence by round", ("principle", *_names(found.rounds)), rows, note)
    yield from win_rates.compared_tables(found.win_rates, found.ratings)


def _round_table(rounds: Sequence[RoundFound]) -> SectionTable:
    rows = tuple(
        (
            f"round {each.number}",
            f"round {each.from_round}",
            each.decision,
            f"{len(each.broken)}",
            format.listed(each.undecided) or "none",
            f"{each.seconds:,.0f}",
        )
        for each in rounds
    )
    headings = (
        *("round", "next starts from", "then", "rules broken", "principles that decide nothing"),
        "seconds",
    )
    return SectionTable("The rounds", headings, rows)


def _metric_table(found: Series) -> SectionTable:
    rows = tuple(
        (_said(found, metric), *(_figure(each, metric) for each in found.rounds))
        for metric in _metrics(found)
    )
    note = f"{format.NONE}: not measured in that round."
    return SectionTable("Drift, by round (95 %)", ("figure", *_names(found.rounds)), rows, note)


def _metrics(found: Series) -> list[str]:
    """Those that any round has, in the order in which the series lists them."""
    seen = dict.fromkeys(metric for each in found.rounds for metric in each.figures)
    return [*(m for m in found.metrics if m in seen), *(m for m in seen if m not in found.metrics)]


def _figure(each: RoundFound, metric: str) -> str:
    return format.value(each.figures.get(metric))


def _names(rounds: Sequence[RoundFound]) -> list[str]:
    return [f"round {each.number}" for each in rounds]


def _plots(found: Series, limits: dict[str, Limits]) -> Iterator[Plot]:
    """Ratings, then each metric: broken ones first, then others that have a limit."""
    yield from _rating_line(found)
    sentences = [sentence for each in found.rounds for sentence in each.broken]
    order = sorted(
        _metrics(found),
        key=lambda metric: (
            not any(_is_of(sentence, metric) for sentence in sentences),
            metric not in limits,
        ),
    )
    for metric in order:
        points = [
            charts.Point.of(each.figures[metric], each.number)
            for each in found.rounds
            if metric in each.figures
        ]
        if len(points) > 1:
            yield _drift(found, metric, points, limits.get(metric, ()))
    yield from win_rates.compared_plots(found.win_rates, ())
    yield from _adherence(found)


def _rating_line(found: Series) -> Iterator[Plot]:
    """The ratings over rounds."""
    rated = {each.policy: each for each in found.ratings if each.value is not None}
    points = [
        charts.Point(one.value or 0.0, one.low, one.high, each.number)
        for each in found.rounds
        if (one := rated.get(f"round {each.number}")) is not None
    ]
    if len(points) > 1:
        words = "Points of Elo above round 0: " + ", ".join(
            f"round {point.place:.0f} {point.value:+.0f}" for point in points
        )
        axis = charts.Axis("points above round 0", None, [("", 0.0)])
        lines = [charts.Line("rating", points)]
        yield charts.lines("Ratings over rounds", words, axis, "round", lines)


def _drift(found: Series, metric: str, points: Sequence[charts.Point], limits: Limits) -> Plot:
    """A metric over rounds with its limits; around rounds that break a rule about it is a ring."""
    what = _said(found, metric)
    listed = ", ".join(f"round {point.place:.0f} {format.number(point.value)}" for point in points)
    words = f"{what}: {listed}"
    for text, limit in limits:
        words += f"; limit {format.number(limit)} by the rule {text}"
    broken = {
        each.number: one for each in found.rounds for one in each.broken if _is_of(one, metric)
    }
    for number, sentence in broken.items():
        words += f"; broken in round {number}: {sentence}"
    marked = [point for point in points if point.place in broken]
    axis = charts.Axis("", levels=[("limit", limit) for _, limit in limits])
    return charts.lines(
        what, words, axis=axis, along="round", shown=[charts.Line(metric, points)], marked=marked
    )


def _said(found: Series, metric: str) -> str:
    """The metric as rules name it, and what it is."""
    return f"{metric}: {found.metrics[metric]}" if metric in found.metrics else metric


def _is_of(sentence: str, metric: str) -> bool:
    return sentence.startswith(f"{metric} is ")


def _adherence(found: Series) -> Iterator[Plot]:
    """The first round beside the last, by principle."""
    measured = [each for each in found.rounds if each.adherence]
    if not measured:
        return
    ends = measured if len(measured) == 1 else [measured[0], measured[-1]]
    ids = list(dict.fromkeys(id for each in ends for id in each.adherence))
    rows = [
        (id, [charts.Point.of(each.adherence[id]) for each in ends if id in each.adherence])
        for id in ids
    ]
    names = [f"round {each.number}" for each in ends]
    words = "; ".join(
        f"{name}: " + ", ".join(f"{id} {format.share(one)}" for id, one in each.adherence.items())
        for name, each in zip(names, ends, strict=True)
    )
    axis = charts.Axis("mean P(kept)", (-0.02, 1.02))
    yield charts.forest("Adherence, first and last round", words, axis, rows, *names)
