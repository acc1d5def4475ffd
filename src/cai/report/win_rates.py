"""Win rates and ratings as tables and plots: those of an evaluation, and those of rounds."""

from collections.abc import Iterator, Sequence

from cai.evaluation import format
from cai.evaluation.policies.matchups import OUTCOMES, MatchOutcome
from cai.evaluation.policies.ratings import Rating
from cai.evaluation.policies.win_rates import WinRate
from cai.report import charts
from cai.report.model import Headline, Plot, SectionTable
from cai.report.text import model_name, share_headline

_OUTCOMES: dict[MatchOutcome, str] = {
    "a": "won",
    "b": "lost",
    "tie": "tie",
    "inconsistent": "orders disagree",
    "equal": "same text",
    "unparsed": "unparsed",
    "refused": "refused",
    "failed": "failed",
    "empty": "empty",
}
_MOST_ROWS = 24


def compared_tables(rates: Sequence[WinRate], ratings: Sequence[Rating]) -> Iterator[SectionTable]:
    """Win rates, how matches ended, and ratings; none where there are no matches."""
    if rates:
        yield _rate_table(rates)
        yield _outcome_table(rates)
    if ratings:
        rows = tuple((model_name(each.policy), f"{each.n:,}", _rating(each)) for each in ratings)
        note = (
            "400 points are odds of ten to one. The first policy is the anchor at 0. A dash: no "
            "chain of matches connects the policy with it."
        )
        headings = ("policy", "matches", "rating (95 %)")
        yield SectionTable("Ratings, in points of Elo above the anchor", headings, rows, note)


def compared_plots(rates: Sequence[WinRate], ratings: Sequence[Rating]) -> Iterator[Plot]:
    """Win rates raw and at equal length, length against win, and ratings."""
    known = [each for each in rates if each.rate is not None][:_MOST_ROWS]
    if known:
        yield _rate_plot(known)
    longer = [each for each in known if each.longer is not None]
    if len(longer) > 1:
        yield _length_plot(longer)
    rated = [each for each in ratings if each.value is not None]
    if len(rated) > 1:
        yield _rating_plot(rated)


def win_headline(rate: WinRate) -> Headline | None:
    """One win rate; None where nothing could be read."""
    if rate.rate is None:
        return None
    policy, opponent = model_name(rate.policy), model_name(rate.opponent)
    even = _verdict(rate)
    what = f"matches that {policy} wins against {opponent}{even}"
    return share_headline(rate.rate, what)


def _verdict(rate: WinRate) -> str:
    found = rate.rate
    if found is None or found.low is None or found.high is None:
        return ""
    if found.low > 0.5:
        return " (better beyond chance)"
    return " (worse beyond chance)" if found.high < 0.5 else " (no difference beyond chance)"


def _names(rate: WinRate) -> str:
    return f"{model_name(rate.policy)} against {model_name(rate.opponent)}"


def _rate_table(rates: Sequence[WinRate]) -> SectionTable:
    rows = tuple(
        (
            _names(each),
            f"{each.n:,}",
            f"{each.n_prompts:,}",
            format.share(each.rate),
            format.share(each.length_controlled),
            format.share(each.probability),
            format.percent(each.longer),
        )
        for each in rates
    )
    headings = (
        *("policies", "matches", "prompts", "won (95 %)", "at equal length (95 %)"),
        *("probability (95 %)", "longer"),
    )
    note = (
        "A tie, orders that disagree and equal texts count one half; what could not be read counts "
        "for nobody. Longer: share of matches in which the first policy's response is the longer."
    )
    return SectionTable("Win rates", headings, rows, note)


def _outcome_table(rates: Sequence[WinRate]) -> SectionTable:
    kinds: list[MatchOutcome] = [
        kind for kind in OUTCOMES if any(each.outcomes.get(kind) for each in rates)
    ]
    rows = tuple(
        (_names(each), *(f"{each.outcomes.get(kind, 0):,}" for kind in kinds)) for each in rates
    )
    headings = ("policies", *(_OUTCOMES[kind] for kind in kinds))
    return SectionTable("How the matches ended", headings, rows)


def _rating(each: Rating) -> str:
    if each.value is None:
        return format.NONE
    value = f"{each.value:+.0f}" if each.value else "0"
    if each.low is None or each.high is None:
        return value
    return f"{value} ({each.low:+.0f} to {each.high:+.0f})"


def _rate_plot(rates: Sequence[WinRate]) -> Plot:
    rows: list[tuple[str, list[charts.Point]]] = []
    for each in rates:
        found = (each.rate, each.length_controlled)
        rows.append((_names(each), [charts.Point.of(one) for one in found if one is not None]))
    words = "Won: " + "; ".join(f"{_names(each)} {format.share(each.rate)}" for each in rates)
    axis = charts.Axis("share won (line: even)", (-0.02, 1.02), [("", 0.5)])
    return charts.forest("Win rates", words, axis, rows, "as judged", "at equal length")


def _length_plot(rates: Sequence[WinRate]) -> Plot:
    points = [
        charts.Point.of(each.rate, each.longer)
        for each in rates
        if each.longer is not None and each.rate is not None
    ]
    words = "Share of matches in which a policy is longer, and share won: " + "; ".join(
        f"{_names(each)} longer {format.percent(each.longer)}, won {format.share(each.rate)}"
        for each in rates
    )
    axis = charts.Axis("share won", (-0.04, 1.04), [("even", 0.5)])
    along = charts.Axis("share of matches where it is longer", (-0.04, 1.04))
    return charts.scatter("Length against win", words, axis, along, points)


def _rating_plot(ratings: Sequence[Rating]) -> Plot:
    points = [
        (model_name(each.policy), [charts.Point(each.value or 0.0, each.low, each.high)])
        for each in ratings
    ]
    words = "Points above the anchor: " + "; ".join(
        f"{model_name(each.policy)} {_rating(each)}" for each in ratings
    )
    axis = charts.Axis("points of Elo above the anchor", None, [("", 0.0)])
    return charts.forest("Ratings", words, axis, points)
