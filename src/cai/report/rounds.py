"""The section of a series of rounds: whether policies improve over the rounds, or drift."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias, cast

from cai.constitution.yaml import read_plain
from cai.errors import ConstitutionError, UsageError
from cai.evaluation import format
from cai.evaluation.results_file import load_results
from cai.report import charts
from cai.report.comparison import match_plots, match_tables, share_plot, share_table, win_headline
from cai.report.model import Caveat, Fact, Headline, Plot, Section, SectionCost, SectionTable
from cai.report.text import model_name, model_names, modified_at
from cai.rounds.measure import rules_of
from cai.rounds.state import FILE, RECIPE_FILE, RoundResult, Series

Limits: TypeAlias = Sequence[tuple[str, float]]
"""The text of a rule and the number that it compares with."""

_MAX_MISSING = 12


def rounds_section(path: Path) -> Section:
    """The section of the series in that folder.

    Raises:
        EvaluationError: Its file is damaged, or of another version of cai.
    """
    series = load_results(path / FILE, Series)
    rounds = series.rounds
    n = len([each for each in rounds if each.number > 0])
    ended = series.ended or "The series goes on."
    judges = dict.fromkeys(judge for each in rounds for judge in each.judges)
    headlines: list[Headline] = []
    if rounds:
        what = f"is the best of {len(rounds)} by the frozen judge"
        headlines.append(Headline(f"round {series.best}", what))
        # The last round too, which may have become worse than the best one.
        shown = (f"round {series.best}", f"round {rounds[-1].number}")
        for win in series.win_rates:
            if win.opponent == "round 0" and win.policy in shown:
                headlines += win_headline(win)
    return Section(
        title=f"Rounds: {series.name}",
        done=(
            f"{n} of {format.plural(series.n_rounds, 'round')} of training on the judge's labels, "
            f"each measured by the frozen judge {model_names(series.frozen_judges)}. {ended}"
        ),
        started=modified_at(path / FILE),
        weight=6,
        facts=(
            *(Fact("frozen judge", judge) for judge in series.frozen_judges),
            *(
                Fact(
                    f"round {each.number}",
                    model_name(each.policy)
                    + (f", labels by {model_names(each.judges)}" if each.judges else ""),
                )
                for each in rounds
            ),
        ),
        headlines=tuple(headlines),
        caveats=tuple(_caveats(series)),
        cost=SectionCost(cost_usd=series.cost_usd, seconds=sum(each.seconds for each in rounds)),
        tables=tuple(_tables(series)),
        plots=tuple(_plots(series, rule_limits(path, series))),
        judges=(*series.frozen_judges, *judges),
    )


def rule_limits(path: Path, series: Series) -> dict[str, Limits]:
    """By metric, the limits that hold for the whole series: rules against round 0 or a number.

    Empty where the folder has no readable rules, or those of another version.
    """
    try:
        content: object = read_plain((path / RECIPE_FILE).read_bytes(), RECIPE_FILE)
    except (OSError, ConstitutionError):
        return {}
    recipe = cast("dict[str, object]", content) if isinstance(content, dict) else {}
    listed = recipe.get("rules")
    # Without rules of its own (None) a series has the default ones; an empty list is no rule.
    texts = cast("list[object]", listed) if isinstance(listed, list) else None
    try:
        rules = rules_of(None if texts is None else map(str, texts), series.metrics)
    except UsageError:
        return {}
    limits: dict[str, list[tuple[str, float]]] = {}
    for rule in rules:
        values = [
            each.figures[rule.metric].value for each in series.rounds if rule.metric in each.figures
        ]
        # A rule against the round before has another limit in each round: no line can show it.
        if values and rule.reference != "last":
            limits.setdefault(rule.metric, []).append((rule.text, rule.limit(values)))
    return dict(limits)


def _caveats(series: Series) -> Iterator[Caveat]:
    for each in series.rounds:
        for sentence in each.broken:
            yield Caveat(f"Round {each.number}: {sentence}", True)
    # The caveats of a series are ordered: only the first is serious enough to stand out.
    yield from (Caveat(caveat, number == 0) for number, caveat in enumerate(series.caveats))
    if series.rounds and series.best != series.rounds[-1].number:
        yield Caveat(f"The last round is not the best: round {series.best} is.", True)
    missing = dict.fromkeys(
        f"{metric}: {reason}" for each in series.rounds for metric, reason in each.missing.items()
    )
    if missing:
        listed = "; ".join(list(missing)[:_MAX_MISSING])
        yield Caveat(f"Not measured in every round: {listed}")
    last = series.rounds[-1] if series.rounds else None
    if last is not None and last.undecided:
        names = format.listed(last.undecided)
        yield Caveat(f"In round {last.number} no verdict would change without {names}.")


def _tables(series: Series) -> Iterator[SectionTable]:
    yield SectionTable(
        "The rounds",
        (
            *("round", "next starts from", "then", "rules broken"),
            *("principles that decide nothing", "seconds"),
        ),
        tuple(
            (
                f"round {each.number}",
                f"round {each.from_round}",
                each.decision,
                f"{len(each.broken)}",
                format.listed(each.undecided) or "none",
                f"{each.seconds:,.0f}",
            )
            for each in series.rounds
        ),
    )
    yield SectionTable(
        "Drift, by round (95 %)",
        ("figure", *(f"round {each.number}" for each in series.rounds)),
        tuple(
            (
                _metric_title(series, metric),
                *(format.value(each.figures.get(metric)) for each in series.rounds),
            )
            for metric in _metrics(series)
        ),
        f"{format.NONE}: not measured in that round.",
    )
    adherence = {f"round {each.number}": each.adherence for each in series.rounds}
    note = "The frozen judge's mean probability that a response follows the principle."
    yield share_table("Adherence by round", "principle", adherence, note, ending="")
    yield from match_tables(series.win_rates, series.ratings)


def _plots(series: Series, limits: dict[str, Limits]) -> Iterator[Plot]:
    """Ratings, then each metric: those with a broken rule first, then others with a limit."""
    rated = {each.policy: each for each in series.ratings if each.value is not None}
    points = [
        charts.Point(one.value or 0.0, one.low, one.high, each.number)
        for each in series.rounds
        if (one := rated.get(f"round {each.number}")) is not None
    ]
    if len(points) > 1:
        listed = ", ".join(f"round {point.place:.0f} {point.value:+.0f}" for point in points)
        words = f"Points of Elo above round 0: {listed}"
        axis = charts.Axis("points above round 0", None, [("", 0.0)])
        line = charts.Line("rating", points)
        yield charts.lines("Ratings over rounds", words, axis, "round", [line])

    def order(metric: str) -> tuple[bool, bool]:
        return not any(_broken(each, metric) for each in series.rounds), metric not in limits

    for metric in sorted(_metrics(series), key=order):
        yield from _drift_plot(series, metric, limits.get(metric, ()))
    yield from match_plots(series.win_rates, ())
    measured = [each for each in series.rounds if each.adherence]
    if measured:
        ends = dict.fromkeys((0, len(measured) - 1))  # one round alone is both first and last
        shares = {f"round {measured[i].number}": measured[i].adherence for i in ends}
        title = "Adherence, first and last round"
        yield share_plot(title, "mean P(principle followed)", shares)


def _drift_plot(series: Series, metric: str, limits: Limits) -> Iterator[Plot]:
    """A metric over the rounds with its limits; rounds that break a rule about it are ringed."""
    measured = [each for each in series.rounds if metric in each.figures]
    if len(measured) < 2:
        return
    points = [charts.Point.of(each.figures[metric], each.number) for each in measured]
    title = _metric_title(series, metric)
    listed = ", ".join(f"round {point.place:.0f} {format.number(point.value)}" for point in points)
    words = f"{title}: {listed}"
    for text, limit in limits:
        words += f"; limit {format.number(limit)} by the rule {text}"
    # Several broken rules may be about one metric, such as a warning and a stop: one sentence a
    # round keeps the text short, and the caveats have all of them.
    broken = {
        each.number: sentences[-1] for each in series.rounds if (sentences := _broken(each, metric))
    }
    for number, sentence in broken.items():
        words += f"; broken in round {number}: {sentence}"
    yield charts.lines(
        title,
        words,
        axis=charts.Axis("", levels=[("limit", limit) for _, limit in limits]),
        along="round",
        shown=[charts.Line(metric, points)],
        marked=[point for point in points if point.place in broken],
    )


def _metrics(series: Series) -> list[str]:
    """The metrics that any round has, in the order in which the series lists them."""
    measured = dict.fromkeys(metric for each in series.rounds for metric in each.figures)
    return list(dict.fromkeys([*(m for m in series.metrics if m in measured), *measured]))


def _metric_title(series: Series, metric: str) -> str:
    """The metric as rules name it, and its description."""
    return f"{metric}: {series.metrics[metric]}" if metric in series.metrics else metric


def _broken(each: RoundResult, metric: str) -> list[str]:
    """The sentences of the rules about the metric that the round breaks."""
    # Results store sentences alone; `controller.broken_rules` begins each with its metric. The word
    # after it keeps `refusals` from matching a rule about `refusals/benign`.
    return [sentence for sentence in each.broken if sentence.startswith(f"{metric} is ")]
