"""Strengths of items: closed forms, the batch against the library, and which strengths exist."""

import math

import numpy as np
import pytest

from cai.evaluation.stats.bradley_terry import (
    ComparisonGraph,
    component_of,
    fit_strengths,
    fit_strengths_batch,
)

RING = ComparisonGraph(4, [(0, 1), (1, 2), (2, 3), (0, 3)])


def test_of_two_the_strength_is_the_logarithm_of_wins_over_losses():
    wins = np.array([[0.0, 10.0], [30.0, 0.0]])
    assert fit_strengths(wins) == pytest.approx([0, math.log(3)])
    pair = ComparisonGraph(2, [(0, 1)])
    found = fit_strengths_batch(pair, np.array([[10.0, 30.0], [5.0, 5.0]]))
    assert found == pytest.approx(np.array([[math.log(3)], [0]]))


def test_a_row_of_wins_is_a_matrix():
    """Pairs (0, 1), (1, 2), (2, 3), (0, 3), wins of the first and of the second of each."""
    wins = RING.win_matrix(np.arange(1.0, 9.0))
    assert wins.tolist() == [[0, 1, 0, 7], [2, 0, 3, 0], [0, 4, 0, 5], [8, 0, 6, 0]]


def test_the_prior_is_half_a_win_each_way_for_every_item_but_one():
    """Of two: ½ each way, as Firth adds. Of four in a ring: 3 · ½ over 4 pairs."""
    assert ComparisonGraph(2, [(0, 1)]).prior == 0.5
    assert RING.prior == 3 / 8


def test_many_tables_at_once_are_fitted_as_one_by_one():
    rows = np.random.default_rng(0).integers(1, 30, (50, 8)).astype(np.float64)
    together = fit_strengths_batch(RING, rows)
    for row, found in zip(rows, together, strict=True):
        assert fit_strengths(RING.win_matrix(row))[1:] == pytest.approx(found, abs=1e-6)


def test_an_item_is_in_a_component_if_a_path_leads_there_and_back():
    """0 beats 1, 1 beats 2, 2 beats 0; 3 is beaten and beats nobody; 4 is apart."""
    links = np.zeros((5, 5), np.bool_)
    for winner, loser in ((0, 1), (1, 2), (2, 0), (0, 3)):
        links[winner, loser] = True
    assert component_of(0, links).tolist() == [True, True, True, False, False]
    assert component_of(3, links).tolist() == [False, False, False, True, False]
    assert component_of(3, links | links.T).tolist() == [True, True, True, True, False]
