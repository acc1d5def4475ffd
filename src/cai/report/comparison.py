"""Policies beside each other: win rates, ratings and shares, as tables and plots.

The section of an evaluation and that of a series of rounds share these.
"""

from collections.abc import Iterator, Mapping, Sequence

from cai.evaluation import format
from cai.evaluation.policies.matchups import MatchOutcome
from cai.evaluation.policies.ratings import Rating
from cai.evaluation.policies.win_rates import WinRate
from cai.evaluation.stats.bootstrap import Estimate
from cai.report import charts
from cai.report.model import Headline, Plot, SectionTable
from cai.report.text import model_name, share_headline

Shares = Mapping[str, Mapping[str, Estimate]]
"""By policy and what is measured of it, such as a principle."""

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
_MAX_ROWS = 24


def win_headline(win: WinRate) -> Iterator[Headline]:
    """One win rate, and whether it is beyond chance; nothing where no verdict could be read."""
    if win.rate is None:
        return
    # A rate alone invites the reader to call 52 % a win. Without an interval nothing is said.
    beyond = ""
    if win.rate.low is not None and win.rate.high is not None:
        beyond = " (no difference beyond chance)"
        if win.rate.low > 0.5 or win.rate.high < 0.5:
            beyond = f" ({'better' if win.rate.low > 0.5 else 'worse'} beyond chance)"
    policy, opponent = model_name(win.policy), model_name(win.opponent)
    yield from share_headline(win.rate, f"matches that {policy} wins against {opponent}{beyond}")


def match_tables(wins: Sequence[WinRate], ratings: Sequence[Rating]) -> Iterator[SectionTable]:
    """Win rates, how matches ended, and ratings."""
    yield SectionTable(
        "Win rates",
        (
            *("policies", "matches", "prompts", "won (95 %)", "at equal length (95 %)"),
            *("probability (95 %)", "longer"),
        ),
        tuple(
            (
                pair_name(each),
                f"{each.n:,}",
                f"{each.n_prompts:,}",
                format.share(each.rate),
                format.share(each.length_controlled),
                format.share(each.probability),
                format.percent(each.longer),
            )
            for each in wins
        ),
        "A tie, orders that disagree and equal texts count one half; what could not be read counts "
        "for neither. Longer: share of matches in which the first policy's response is the longer.",
    )
    seen = {kind for each in wins for kind, n in each.outcomes.items() if n}
    kinds: list[MatchOutcome] = [kind for kind in _OUTCOMES if kind in seen]
    yield SectionTable(
        "How the matches ended",
        ("policies", *(_OUTCOMES[kind] for kind in kinds)),
        tuple(
            (pair_name(each), *(f"{each.outcomes.get(kind, 0):,}" for kind in kinds))
            for each in wins
        ),
    )
    yield SectionTable(
        "Ratings, in points of Elo above the anchor",
        ("policy", "matches", "rating (95 %)"),
        tuple((model_name(each.policy), f"{each.n:,}", _rating(each)) for each in ratings),
        "400 points are odds of ten to one. The first policy is the anchor at 0. A dash: no "
        "chain of matches connects the policy with it.",
    )


def match_plots(wins: Sequence[WinRate], ratings: Sequence[Rating]) -> Iterator[Plot]:
    """Win rates raw and at equal length, length against win, and ratings."""
    known = [(each, each.rate) for each in wins if each.rate is not None][:_MAX_ROWS]
    if known:
        rows = [
            (pair_name(win), [charts.Point.of(one) for one in (rate, win.length_controlled) if one])
            for win, rate in known
        ]
        words = "Won: " + "; ".join(f"{pair_name(win)} {format.share(rate)}" for win, rate in known)
        # A little more than [0, 1], here and below, so that a point at an end is drawn whole.
        axis = charts.Axis("share won (line: even)", (-0.02, 1.02), [("", 0.5)])
        yield charts.forest("Win rates", words, axis, rows, "as judged", "at equal length")
    longer = [(win, rate, win.longer) for win, rate in known if win.longer is not None]
    if len(longer) > 1:
        words = "Share of matches in which a policy is longer, and share won: " + "; ".join(
            f"{pair_name(win)} longer {format.percent(share)}, won {format.share(rate)}"
            for win, rate, share in longer
        )
        axis = charts.Axis("share won", (-0.04, 1.04), [("even", 0.5)])
        along = charts.Axis("share of matches where it is longer", (-0.04, 1.04))
        points = [charts.Point.of(rate, share) for _, rate, share in longer]
        yield charts.scatter("Length against win", words, axis, along, points)
    # The anchor is 0 by definition: beside it alone there is nothing to compare.
    rated = [each for each in ratings if each.value is not None]
    if len(rated) > 1:
        rows = [
            (model_name(each.policy), [charts.Point(each.value or 0.0, each.low, each.high)])
            for each in rated
        ]
        words = "; ".join(f"{model_name(each.policy)} {_rating(each)}" for each in rated)
        axis = charts.Axis("points of Elo above the anchor", None, [("", 0.0)])
        yield charts.forest("Ratings", f"Points above the anchor: {words}", axis, rows)


def pair_name(win: WinRate) -> str:
    return f"{model_name(win.policy)} against {model_name(win.opponent)}"


def _rating(rating: Rating) -> str:
    if rating.value is None:
        return format.NONE
    value = f"{rating.value:+.0f}" if rating.value else "0"
    interval = format.rating_interval(rating.low, rating.high)
    return f"{value} ({interval})" if interval else value


def share_table(
    caption: str, first_heading: str, shares: Shares, note: str = "", ending: str = " (95 %)"
) -> SectionTable:
    """A column for each policy, its name followed by `ending`; a row for what is measured."""
    names = dict.fromkeys(name for by_name in shares.values() for name in by_name)
    rows = tuple(
        (name, *(format.share(by_name.get(name)) for by_name in shares.values())) for name in names
    )
    headings = (first_heading, *(f"{policy}{ending}" for policy in shares))
    return SectionTable(caption, headings, rows, note)


def share_plot(title: str, label: str, shares: Shares) -> Plot:
    """A row for what is measured, with a point for each of the first few policies.

    One picture for all policies: one for each would hide the comparison.
    """
    few = dict(list(shares.items())[: len(charts.COLOURS)])
    names = dict.fromkeys(name for by_name in few.values() for name in by_name)
    rows = [
        (name, [charts.Point.of(by_name[name]) for by_name in few.values() if name in by_name])
        for name in names
    ]
    words = "; ".join(
        f"{policy}: "
        + ", ".join(f"{name} {format.share(share)}" for name, share in by_name.items())
        for policy, by_name in few.items()
    )
    return charts.forest(title, words, charts.Axis(label, (-0.02, 1.02)), rows, *few)
