"""The next round's judge beside the frozen one, on the very same matchups and pairs."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cai.engine.run_folder import RunFolder
from cai.evaluation.policies.matchups import Matchups
from cai.evaluation.stats.bootstrap import Estimate, ratio_estimate, share_estimate, unit_of
from cai.methods.judging.ranking import GroupReadings
from cai.methods.judging.verdict import Verdict
from cai.runs.judged import composer_of
from cai.runs.records import load

_POINTS = {"a": 0.0, "b": 1.0}
"""For the second response; what names no side is one half."""

_Scores = dict[str, tuple[int, float]]
"""By matchup or pair its unit and a score in [0, 1]."""


def judge_gap(
    matchups: Matchups, frozen: Mapping[str, Verdict], current: Mapping[str, Verdict]
) -> Estimate | None:
    """How much higher the policy's win rate against round 0 is by the current judge, in [−1, 1].

    None where no matchup was read by both.
    """
    return _difference(_wins(matchups, current), _wins(matchups, frozen), matchups.seed)


def judges_agree(
    matchups: Matchups, frozen: Mapping[str, Verdict], current: Mapping[str, Verdict]
) -> Estimate | None:
    """Of matchups with round 0 in which both favour a side, the share with the same one."""
    one, other = _wins(matchups, frozen), _wins(matchups, current)
    both = [(one[id][0], one[id][1], other[id][1]) for id in one if id in other]
    # Only where both name a side: with even verdicts the share would also measure how often a judge
    # is undecided, which is no drift.
    sided = [(unit, float(a == b)) for unit, a, b in both if 0.5 not in (a, b)]
    units = np.array([unit for unit, _ in sided], np.int64)
    same = np.array([is_same for _, is_same in sided], np.float64)
    return share_estimate(same, np.ones(len(same)), units, matchups.seed)


def agreement_gap(current: Path, frozen: Path, seed: int) -> Estimate | None:
    """How much more often the current judge agrees with people, in [−1, 1]; folders are of runs.

    None where no pair was read by both.
    """
    return _difference(_rights(current), _rights(frozen), seed)


def _wins(matchups: Matchups, verdicts: Mapping[str, Verdict]) -> _Scores:
    """By judged matchup with round 0 its unit and what the later policy gets of it."""
    found: _Scores = {}
    for each in matchups.all():
        verdict = verdicts.get(each.id)
        # The first pair is round 0 and this one: `AnchorMeasurements.matchups` sorts them so.
        if (each.first, each.second) == matchups.pairs[0] and verdict and verdict.p_a is not None:
            found[each.id] = (each.unit, _POINTS.get(verdict.outcome, 0.5))
    return found


def _rights(folder: Path) -> _Scores:
    """By pair its unit and whether the verdict is right; one half where it names no side."""
    found: _Scores = {}
    with RunFolder.existing(folder) as run:
        composer = composer_of([run])
        for record in run.records("done"):
            readings = load(GroupReadings, record.body)
            verdict = composer.verdict(readings.matchups[0].principle_verdicts)
            label = readings.group.label
            # A pair that people call even has no right side for a judge to be measured by.
            if verdict.p_a is not None and label in _POINTS:
                right = 1.0 - abs(_POINTS[label] - _POINTS.get(verdict.outcome, 0.5))
                found[record.id] = (unit_of(readings.group.prompt), right)
    return found


def _difference(one: _Scores, other: _Scores, seed: int) -> Estimate | None:
    """The mean of one less the other over what both have, with an interval by unit."""
    shared = [id for id in one if id in other]
    if not shared:
        return None
    # Paired by matchup: what is hard for both judges cancels out, and the interval is narrower than
    # that of two rates, which would call every drift chance.
    units = np.array([one[id][0] for id in shared])
    less = np.array([one[id][1] - other[id][1] for id in shared])
    return ratio_estimate(less, np.ones(len(less)), units, seed)
