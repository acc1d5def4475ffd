"""Ratings of several policies from their matches: Bradley-Terry strengths on the scale of Elo.

Example:
    for each in ratings(matches, ("before", "after"), anchor="before", seed=0):
        print(each.policy, each.value, each.low, each.high)  # "before" has 0
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cai.errors import EvaluationError
from cai.evaluation.policies.matchups import Matches, MatchTable
from cai.evaluation.policies.win_rates import points, readable
from cai.evaluation.stats.bootstrap import Floats, Interval, bootstrap_intervals
from cai.evaluation.stats.bradley_terry import (
    ComparisonGraph,
    component_of,
    fit_strengths,
    fit_strengths_batch,
)

# Points of Elo in one unit of log-odds.
POINTS = 400 / math.log(10)


@dataclass(frozen=True, slots=True)
class Rating:
    """A policy's rating in points of Elo above the anchor, with its 95 % interval.

    400 points are odds of ten to one. The anchor has 0 and no interval. `value` is None where no
    chain of matches connects the policy with the anchor, or the fit does not converge. A policy
    that wins or loses everything (no chain of wins leads to it from the anchor, or from it to the
    anchor) has a value that the prior bounds, and no interval.
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
    rated: list[tuple[float | None, Interval | None]] = []
    if near:
        pairs = [(connected.index(a), connected.index(b)) for a, b in near]
        graph = ComparisonGraph(len(connected), pairs)
        rated = _fit(graph, _wins_by_prompt(list(near.values())), seed)
    values = {anchor: (0.0, None), **dict(zip(connected[1:], rated, strict=True))}
    found: list[Rating] = []
    for name in policies:
        value, interval = values.get(name, (None, None))
        n = sum(len(table) for pair, table in tables.items() if name in pair)
        found.append(Rating(name, n, value, *(interval or (None, None))))
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
) -> list[tuple[float | None, Interval | None]]:
    """The rating and interval of each item but the first."""

    # A resample may lack the wins that make the strengths finite, so all have the prior.
    def resampled_ratings(sums: Floats) -> Floats:
        return POINTS * fit_strengths_batch(graph, sums + graph.prior)

    wins = rows.sum(axis=0)
    is_bounded = component_of(0, graph.win_matrix(wins) > 0)
    prior = 0 if is_bounded.all() else graph.prior
    try:
        values = POINTS * fit_strengths(graph.win_matrix(wins + prior))[1:]
    except (RuntimeError, ValueError):  # choix did not converge
        return [(None, None)] * (graph.n - 1)
    intervals = bootstrap_intervals(rows, resampled_ratings, seed)
    return [
        (float(value), interval if bounded else None)
        for value, interval, bounded in zip(values, intervals, is_bounded[1:], strict=True)
    ]
