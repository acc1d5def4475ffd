"""Ratings of several policies from their matches: Bradley-Terry strengths on the scale of Elo.

Example:
    for each in ratings(matches, ("before", "after"), anchor="before", seed=0):
        print(each.policy, each.value, each.low, each.high)  # "before" has 0
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from scipy.optimize import root_scalar

from cai.errors import EvaluationError
from cai.evaluation.policies.matchups import Matches, MatchTable
from cai.evaluation.policies.win_rates import points, readable
from cai.evaluation.stats.bootstrap import (
    LEVEL,
    Floats,
    bootstrap_intervals,
    resampled_shares,
)
from cai.evaluation.stats.bradley_terry import (
    ComparisonGraph,
    component_of,
    fit_strengths,
    fit_strengths_batch,
    unbounded,
)

OpenInterval: TypeAlias = tuple[float | None, float | None]
# Points of Elo in one unit of log-odds.
POINTS = 400 / math.log(10)


@dataclass(frozen=True, slots=True)
class Rating:
    """A policy's rating in points of Elo above the anchor, with its 95 % interval.

    400 points are odds of ten to one. The anchor has 0 and no interval. `value` is None where no
    chain of matches connects the policy with the anchor, or the fit does not converge. A policy
    that wins or loses everything (no chain of wins leads to it from the anchor, or from it to the
    anchor) has a value that the prior bounds. An interval with one end alone is open on the other
    side: `high` is None where the policy could be infinitely strong, `low` where infinitely weak.
    """

    policy: str
    n: int
    value: float | None
    low: float | None = None
    high: float | None = None


def ratings(
    matches: Matches, policies: Sequence[str], anchor: str, seed: int
) -> tuple[Rating, ...]:
    """One of each policy, in their order. A tie is half a win for each.

    The strengths are those of maximum likelihood. Where a policy would be infinitely strong or
    weak, `ComparisonGraph.prior` is added to all pairs, as it always is to the resamples of the
    intervals.

    Raises:
        EvaluationError: The anchor is not one of the policies.
    """
    if anchor not in policies:
        raise EvaluationError(
            f"Ratings have no anchor: {anchor!r} is none of {', '.join(policies) or 'no policies'}."
            " Name one of them."
        )
    tables = {
        pair: readable(matches.of(*pair)) for pair in matches.pairs if {*policies}.issuperset(pair)
    }
    tables = {pair: table for pair, table in tables.items() if len(table)}
    # Only policies that a chain of matches connects with the anchor can be rated against it.
    links = np.zeros((len(policies), len(policies)), np.bool_)
    for a, b in tables:
        i, j = policies.index(a), policies.index(b)
        links[i, j] = links[j, i] = True
    is_near = component_of(policies.index(anchor), links)
    reached = [name for name, is_in in zip(policies, is_near, strict=True) if is_in]
    connected = [anchor, *(name for name in reached if name != anchor)]
    near = {pair: table for pair, table in tables.items() if pair[0] in connected}
    rated: list[tuple[float | None, OpenInterval]] = []
    if near:
        pairs = [(connected.index(a), connected.index(b)) for a, b in near]
        graph = ComparisonGraph(len(connected), pairs)
        rated = _fit(graph, _wins_by_prompt(list(near.values())), seed)
    nothing: OpenInterval = (None, None)
    values = {anchor: (0.0, nothing), **dict(zip(connected[1:], rated, strict=True))}
    found: list[Rating] = []
    for name in policies:
        value, (low, high) = values.get(name, (None, nothing))
        n = sum(len(table) for pair, table in tables.items() if name in pair)
        found.append(Rating(name, n, value, low, high))
    return tuple(found)


def _wins_by_prompt(tables: Sequence[MatchTable]) -> Floats:
    """Wins of first and second of each pair, a row a prompt; of one prompt alone, a row a match."""
    # A prompt is resampled with its matches of all pairs, since they share its responses.
    units = np.concatenate([table.units for table in tables])
    distinct, places = np.unique(units, return_inverse=True)
    if len(distinct) == 1:
        places = np.arange(len(units))
    n, start = int(places.max()) + 1, 0
    columns: list[Floats] = []
    for table in tables:
        where, won = places[start : start + len(table)], points(table)
        columns.append(np.bincount(where, won, n).astype(np.float64))
        columns.append(np.bincount(where, 1 - won, n).astype(np.float64))
        start += len(table)
    return np.column_stack(columns)


def _fit(
    graph: ComparisonGraph, rows: Floats, seed: int
) -> list[tuple[float | None, OpenInterval]]:
    """The rating and interval of each item but the first."""

    # A resample may lack the wins that make the strengths finite, so all have the prior.
    def resampled_ratings(sums: Floats) -> Floats:
        return POINTS * fit_strengths_batch(graph, sums + graph.prior)

    wins = rows.sum(axis=0)
    is_above, is_below = (each[0] for each in unbounded(graph, wins[None, :]))
    prior = graph.prior if (is_above | is_below).any() else 0
    try:
        values = POINTS * fit_strengths(graph.win_matrix(wins + prior))
    except (RuntimeError, ValueError):  # choix did not converge
        return [(None, (None, None))] * (graph.n - 1)
    intervals = bootstrap_intervals(rows, resampled_ratings, seed)
    # A resample in which a policy loses nothing says that it may be of any strength. The prior
    # makes a number of it; where that number would be the end of the interval, there is no end.

    def is_unbounded(sums: Floats) -> Floats:
        return np.hstack(unbounded(graph, sums)).astype(np.float64)

    shares = resampled_shares(rows, is_unbounded, seed)
    has_high, has_low = np.split(shares <= (1 - LEVEL) / 2, 2)
    found: list[tuple[float | None, OpenInterval]] = []
    for at, value in enumerate(values[1:]):
        low, high = intervals[at] or (None, None)
        if is_above[at] or is_below[at]:
            low, high = _open_interval(graph, wins, values, at + 1, len(rows))
        ends = (low if has_low[at] else None, high if has_high[at] else None)
        found.append((float(value), ends))
    return found


def _open_interval(
    graph: ComparisonGraph, wins: Floats, values: Floats, item: int, n_prompts: int
) -> OpenInterval:
    """The one end of the interval of an item that won or lost every match, the others as rated.

    At that end `n_prompts` prompts would all be won, or lost, in 2.5 % of evaluations. Nothing
    where the item is unbounded although it did not win or lose everything.
    """
    matrix = graph.win_matrix(wins)
    won, lost = matrix[item], matrix[:, item]
    n_won, n_lost = float(won.sum()), float(lost.sum())
    if n_won and n_lost:
        return None, None
    # Clopper and Pearson 1934: all matches of a prompt count as one draw, as in `share_estimate`.
    rate = ((1 - LEVEL) / 2) ** (1 / n_prompts)
    if n_lost:
        rate = 1 - rate

    def excess(value: float) -> float:
        expected = 1 / (1 + np.exp((values - value) / POINTS))
        return float(np.average(expected, weights=won + lost)) - rate

    # far enough that every match is all but won, or lost
    far = 100 * POINTS
    bracket = (float(values.min()) - far, float(values.max()) + far)
    end = float(root_scalar(excess, bracket=bracket).root)
    return (end, None) if n_won else (None, end)
