"""Ratings of several policies from their matches, on the scale of Elo."""

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

POINTS = 400 / math.log(10)
"""Points of Elo in one unit of log-odds."""


@dataclass(frozen=True, slots=True)
class Rating:
    """A policy's rating in points of Elo above the anchor, with its 95 % interval.

    400 points are odds of ten to one. The anchor has 0 and no interval. `value` is None where no
    chain of matches connects the policy with the anchor, or so thin a one that the fit does not
    come to an end. A policy that no chain of wins leads to
    from the anchor, or from it to the anchor, as one that wins everything, has a value that the
    prior holds finite and no interval.
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

    The strengths are those of greatest likelihood. Where a policy would be infinitely strong or
    weak there are none, and `ComparisonGraph.prior` is added to all, as it always is to the
    resamples of the intervals.

    Raises:
        EvaluationError: The anchor is not one of the policies.
    """
    if anchor not in policies:
        raise EvaluationError(
            f"Ratings have no anchor: {anchor!r} is none of {', '.join(policies) or 'no policies'}."
            " Name one of them."
        )
    tables = _tables(matches, set(policies))
    connected = _connected(anchor, policies, tables)
    graph = ComparisonGraph(
        len(connected),
        [(connected.index(a), connected.index(b)) for a, b in tables if a in connected],
    )
    met = {pair: table for pair, table in tables.items() if pair[0] in connected}
    found = _rated(graph, _rows(list(met.values())), seed) if met else []
    by_name = {anchor: (0.0, None), **dict(zip(connected[1:], found, strict=True))}
    counted = {name: sum(len(t) for pair, t in tables.items() if name in pair) for name in policies}
    return tuple(
        _rating(name, counted[name], *by_name.get(name, (None, None))) for name in policies
    )


def _rating(policy: str, n: int, value: float | None, interval: Interval | None) -> Rating:
    return Rating(policy, n, value, *(interval or (None, None)))


def _tables(matches: Matches, policies: set[str]) -> dict[tuple[str, str], MatchTable]:
    """The readable matches of each pair that has any."""
    found = {
        pair: readable(matches.of(*pair)) for pair in matches.pairs if policies.issuperset(pair)
    }
    return {pair: table for pair, table in found.items() if len(table)}


def _connected(
    anchor: str, policies: Sequence[str], tables: dict[tuple[str, str], MatchTable]
) -> list[str]:
    """The anchor and, in their order, the policies that a chain of matches connects with it."""
    links = np.zeros((len(policies), len(policies)), np.bool_)
    for a, b in tables:
        i, j = policies.index(a), policies.index(b)
        links[i, j] = links[j, i] = True
    near = component_of(policies.index(anchor), links)
    reached = [name for name, is_near in zip(policies, near, strict=True) if is_near]
    return [anchor, *(name for name in reached if name != anchor)]


def _rows(tables: Sequence[MatchTable]) -> Floats:
    """Wins of first and second of each pair, a row a prompt; of one prompt alone, a row a match."""
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


def _rated(
    graph: ComparisonGraph, rows: Floats, seed: int
) -> list[tuple[float | None, Interval | None]]:
    """The rating and the interval of each player but the first."""

    def figures(sums: Floats) -> Floats:
        return POINTS * fit_strengths_batch(graph, sums + graph.prior)

    wins = rows.sum(axis=0)
    is_bounded = component_of(0, graph.win_matrix(wins) > 0)
    prior = 0 if is_bounded.all() else graph.prior
    try:
        values = POINTS * fit_strengths(graph.win_matrix(wins + prior))[1:]
    except (RuntimeError, ValueError):  # how the library says that it found none
        return [(None, None)] * (graph.n - 1)
    intervals = bootstrap_intervals(rows, figures, seed)
    return [
        (float(value), interval if bounded else None)
        for value, interval, bounded in zip(values, intervals, is_bounded[1:], strict=True)
    ]
