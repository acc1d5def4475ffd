"""Strengths of items from who beat whom: Bradley and Terry 1952, Biometrika 39.

P(i beats j) = σ(sᵢ − sⱼ). One table of wins is fitted by `choix`, many at once by Newton's method.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from collections.abc import Sequence
from dataclasses import dataclass

import choix
import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from cai.evaluation.stats.bootstrap import Floats

_MAX_STEPS = 100
# Iteration ends with a step below the first; a row whose last step is below the second is used.
_TOLERANCE, _ACCEPTED = 1e-9, 1e-4
_MAX_STEP = 2.0  # of log-odds: from even to seven to one
_BLOCK_CELLS = 2_000_000


@dataclass(frozen=True, slots=True)
class ComparisonGraph:
    """Which of `n` items were compared: one pair of their indices each.

    A table of wins is a row of two columns a pair: wins of its first and of its second item. Wins
    need not be whole numbers, since a tie is half a win for each.
    """

    n: int
    pairs: Sequence[tuple[int, int]]

    @property
    def prior(self) -> float:
        """Half a win each way for every item but one, shared evenly among the pairs."""
        # For two items it is what Firth 1993, Biometrika 80, adds against the bias of log-odds. It
        # makes the strength of an item that wins everything finite.
        return (self.n - 1) / (2 * len(self.pairs))

    def win_matrix(self, row: Floats) -> Floats:
        """Wins of the item of each row over that of each column, of shape (n, n)."""
        wins = np.zeros((self.n, self.n))
        for place, (first, second) in enumerate(self.pairs):
            wins[first, second] += row[2 * place]
            wins[second, first] += row[2 * place + 1]
        return wins


def fit_strengths(wins: Floats) -> Floats:
    """The maximum-likelihood log-odds of each item against item 0, of shape (n,).

    `wins` has shape (n, n) and a path of wins from each item to each other; else there is no
    maximum.

    Raises:
        RuntimeError: The fit did not converge (from `choix`).
        ValueError: There is no maximum (from `choix`).

    Example:
        fit_strengths(np.array([[0.0, 10.0], [30.0, 0.0]]))  # [0, ln 3]
    """
    # choix centres the strengths on 0; differences are all that a win tells
    fitted = choix.ilsr_pairwise_dense(wins, max_iter=10_000, tol=1e-10)
    return fitted - fitted[0]


def fit_strengths_batch(graph: ComparisonGraph, rows: Floats) -> Floats:
    """As `fit_strengths` for each table of wins, without item 0: of shape (rows, n − 1).

    Each pair of a table needs a win either way, which `ComparisonGraph.prior` gives it. A row whose
    fit does not converge is nan.
    """
    # `choix` takes one table a call, and the bootstrap needs thousands: these are fitted here, all
    # at once, by Newton's method on the same likelihood. A test compares the two.
    block = max(1, _BLOCK_CELLS // graph.n**2)  # bounds the memory of the Hessians
    parts = [_newton(graph, rows[start : start + block]) for start in range(0, len(rows), block)]
    return np.concatenate(parts)


def unbounded(graph: ComparisonGraph, rows: Floats) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Of each table of wins, which items but item 0 are infinitely above it, and which below.

    Both have shape (rows, n − 1). An item is bounded above by a chain of wins that leads from item
    0 to it, and bounded below by one from it to item 0.
    """
    beats = np.zeros((len(rows), graph.n, graph.n), np.bool_)
    for place, (first, second) in enumerate(graph.pairs):
        beats[:, first, second] = rows[:, 2 * place] > 0
        beats[:, second, first] = rows[:, 2 * place + 1] > 0
    return ~_reached(beats)[:, 1:], ~_reached(beats.transpose(0, 2, 1))[:, 1:]


def _reached(links: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The items that a path leads to from item 0: links (rows, n, n) give (rows, n)."""
    reached = np.zeros(links.shape[:2], np.bool_)
    reached[:, 0] = True
    while True:
        further = reached | (links & reached[:, :, None]).any(axis=1)
        if (further == reached).all():
            return reached
        reached = further


def _newton(graph: ComparisonGraph, rows: Floats) -> Floats:
    """Newton's method on all rows at once; far from the maximum a step overshoots, so it is cut."""
    first, second = np.array(graph.pairs).T
    # a row a pair: 1 for its first item, −1 for its second; item 0 is held at 0 and has no column
    design = (np.eye(graph.n)[first] - np.eye(graph.n)[second])[:, 1:]
    wins, n = rows[:, ::2], rows[:, ::2] + rows[:, 1::2]
    strengths = np.zeros((len(rows), graph.n - 1))
    longest = np.full((len(rows), 1), np.inf)
    for _ in range(_MAX_STEPS):
        p = 0.5 * (1 + np.tanh(strengths @ design.T / 2))
        gradient = (wins - n * p) @ design
        information = _fisher_information(graph, n * p * (1 - p))
        step = np.linalg.solve(information, gradient[:, :, None])[:, :, 0]
        longest = np.abs(step).max(axis=1, keepdims=True)
        strengths = strengths + step * np.minimum(1, _MAX_STEP / np.maximum(longest, _TOLERANCE))
        if float(longest.max()) < _TOLERANCE:
            break
    # a row that did not settle is undefined, and the bootstrap leaves that resample out
    return np.where(longest < _ACCEPTED, strengths, np.nan)


def _fisher_information(graph: ComparisonGraph, variances: Floats) -> Floats:
    """The negative Hessians, of shape (rows, n − 1, n − 1), from each pair's n p (1 − p)."""
    # They are the weighted Laplacians of the graph without the row and column of item 0. Pairs are
    # distinct, so plain assignment does not lose a sum.
    first, second = np.array(graph.pairs).T
    laplacian = np.zeros((len(variances), graph.n, graph.n))
    laplacian[:, first, second] = laplacian[:, second, first] = -variances
    diagonal = np.arange(graph.n)
    laplacian[:, diagonal, diagonal] = -laplacian.sum(axis=2)
    return laplacian[:, 1:, 1:]


def component_of(item: int, links: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which items a path of links leads to from `item` and back again, itself among them.

    `links` has shape (n, n), from the item of a row to that of a column: the strongly connected
    component, and for symmetric links simply the connected one. All strengths are finite where wins
    make a single component (Ford 1957, American Mathematical Monthly 64).
    """
    _, labels = connected_components(links, directed=True, connection="strong")
    return labels == labels[item]
