"""Whether a judge favours its own: its model's responses, or those of its family.

The self-preference of Zheng et al. 2023, arXiv:2306.05685, §3.3.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from cai.evaluation.bootstrap import Estimate, share_estimate
from cai.evaluation.family import Kin, kinship
from cai.evaluation.lengths import WinShare, share_won
from cai.judging.comparisons import Group, Label
from cai.judging.ranking import Contest
from cai.judging.verdicts import Judgement, verdict_of

_SIDES = {"a": 1, "b": -1}
_POINTS = {"a": 1.0, "b": 0.0, "tie": 0.5, "inconsistent": 0.5}


@dataclass(frozen=True, slots=True)
class Relation:
    """A judge, and a model whose responses it judges: the very same, or of one family."""

    judge: str
    model: str
    kin: Kin


@dataclass(frozen=True, slots=True)
class SelfPreference:
    """The contests of a judge's own response against another's, by the judge's own verdicts.

    Own is the very same model, or one of its family, as `kin` says.
    """

    judge: str
    kin: Kin
    own: WinShare


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """A model's contests against other models; `wins` counts a verdict without a side one half."""

    model: str
    wins: Estimate | None


@dataclass(frozen=True, slots=True)
class Ownership:
    """`n_unknown` contests have a response whose model nobody knows, `n_alike` are of one model."""

    relations: tuple[Relation, ...]
    self_preference: tuple[SelfPreference, ...]
    models: tuple[ModelRecord, ...]
    n_unknown: int
    n_alike: int


@dataclass(slots=True)
class _Contests:
    """Rows of unit, winner, label and the side in question."""

    units: "array[int]" = field(default_factory=lambda: array("q"))
    winners: "array[int]" = field(default_factory=lambda: array("b"))
    labels: "array[int]" = field(default_factory=lambda: array("b"))
    sides: "array[int]" = field(default_factory=lambda: array("b"))

    def share(self, seed: int) -> WinShare:
        units, sides = np.array(self.units, np.int64), np.array(self.sides, np.int64)
        return WinShare(
            share_won(np.array(self.winners, np.int64), sides, units, seed),
            share_won(np.array(self.labels, np.int64), sides, units, seed),
        )


@dataclass(slots=True)
class _Record:
    units: "array[int]" = field(default_factory=lambda: array("q"))
    points: "array[float]" = field(default_factory=lambda: array("f"))

    def wins(self, seed: int) -> Estimate | None:
        points = np.array(self.points, np.float64)
        return share_estimate(points, np.ones(len(points)), np.array(self.units, np.int64), seed)


@dataclass(slots=True)
class OwnershipTally:
    """Takes one contest after the other."""

    judges: Sequence[str]
    tie_margin: float
    kin: dict[tuple[str, str], Kin | None] = field(
        default_factory=dict[tuple[str, str], Kin | None]
    )
    own: dict[tuple[str, Kin], _Contests] = field(default_factory=dict[tuple[str, Kin], _Contests])
    records: dict[str, _Record] = field(default_factory=dict[str, _Record])
    n_unknown: int = 0
    n_alike: int = 0

    def add(self, unit: int, group: Group, contest: Contest, label: Label | None) -> None:
        a, b = (group.candidates[i].model for i in (contest.first, contest.second))
        for judge in self.judges:
            for model in (a, b):
                if model and (judge, model) not in self.kin:
                    self.kin[judge, model] = kinship(judge, model)
        if not a or not b:
            self.n_unknown += 1
        elif a == b:
            self.n_alike += 1
        else:
            self._add_models(unit, a, b, contest)
            for judge in self.judges:
                self._add_own(unit, judge, self.kin[judge, a], self.kin[judge, b], contest, label)

    def _add_models(self, unit: int, a: str, b: str, contest: Contest) -> None:
        points = _POINTS.get(contest.verdict.outcome)
        if points is not None:
            for model, share in ((a, points), (b, 1 - points)):
                record = self.records.setdefault(model, _Record())
                record.units.append(unit)
                record.points.append(share)

    def _add_own(
        self,
        unit: int,
        judge: str,
        kin_a: Kin | None,
        kin_b: Kin | None,
        contest: Contest,
        label: Label | None,
    ) -> None:
        sides: dict[Kin, int] = {
            "same": (kin_a == "same") - (kin_b == "same"),
            "family": (kin_a is not None) - (kin_b is not None),
        }
        judgements = [each for each in contest.verdict.judgements if each.judge == judge]
        if not judgements:
            return
        winner = _winner(judgements, self.tie_margin)
        for kin, own in sides.items():
            if not own:
                continue
            rows = self.own.setdefault((judge, kin), _Contests())
            rows.units.append(unit)
            rows.winners.append(winner)
            rows.labels.append(_SIDES.get(label or "", 0))
            rows.sides.append(own)

    def report(self, seed: int) -> Ownership:
        return Ownership(
            tuple(
                Relation(judge, model, kin)
                for (judge, model), kin in self.kin.items()
                if kin is not None
            ),
            tuple(
                SelfPreference(judge, kin, rows.share(seed))
                for (judge, kin), rows in self.own.items()
            ),
            tuple(ModelRecord(name, record.wins(seed)) for name, record in self.records.items()),
            self.n_unknown,
            self.n_alike,
        )


def _winner(judgements: Sequence[Judgement], tie_margin: float) -> int:
    return _SIDES.get(verdict_of(judgements, tie_margin).outcome, 0)
