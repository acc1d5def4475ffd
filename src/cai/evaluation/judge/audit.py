"""The habits of a judge in any judged set, with or without labels.

What it does with places, lengths and its own responses, how often it cannot be read, and how the
principles work together. Each matchup is looked at once and leaves a few numbers.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field

from cai.errors import EvaluationError
from cai.evaluation.judge.label_metrics import OUTCOMES
from cai.evaluation.judge.length_bias import Lengths, LengthTally
from cai.evaluation.judge.position_bias import Negations, Positions, PositionTally, negations_of
from cai.evaluation.judge.principles import Principles, PrincipleTally
from cai.evaluation.judge.self_preference import Ownership, OwnershipTally, Relation
from cai.evaluation.stats.bootstrap import unit_of
from cai.methods.judging.ranking import Judged, JudgedMatchup
from cai.methods.judging.verdict import UNREADABLE, Outcome
from cai.runs.config import JudgeRunConfig

LOW_MASS = 0.5


@dataclass(frozen=True, slots=True)
class Readings:
    """Single orders of single questions, by outcome.

    Of the `n_with_mass` that were read by log-probabilities of known mass, `n_low_mass` gave the
    letters together less than one half: the judge wanted to say something else.
    """

    outcomes: Mapping[Outcome, int]
    n_with_mass: int
    n_low_mass: int

    @property
    def low_mass_rate(self) -> float | None:
        return self.n_low_mass / self.n_with_mass if self.n_with_mass else None


@dataclass(frozen=True, slots=True)
class AuditReport:
    """The habits of `judges` in `n` matchups of `n_groups` groups; `outcomes` add up to `n`.

    `n_failed` groups more have no verdict at all.
    """

    judges: tuple[str, ...]
    n_groups: int
    n_failed: int
    n: int
    outcomes: Mapping[Outcome, int]
    readings: Readings
    positions: Positions
    lengths: Lengths
    ownership: Ownership
    principles: Principles
    negations: Negations

    @property
    def warnings(self) -> tuple[str, ...]:
        """Where a judge marks its own work: to be shown louder than all else."""
        return tuple(_warning(each) for each in self.ownership.relations)

    @property
    def caveats(self) -> tuple[str, ...]:
        """What a reader must know beside the figures, in plain sentences."""
        return tuple(_caveats(self))

    def as_json(self) -> dict[str, object]:
        """Mappings, lists, texts and numbers; null for what has no figure."""
        said = {"warnings": list(self.warnings), "caveats": list(self.caveats)}
        related = {
            kind: [[pair.first, pair.second] for pair in self.principles.related(kind)]
            for kind in ("redundant", "contradicting")
        }
        never = {"never_decide": list(self.principles.never_decide)}
        return {**asdict(self), **never, **related, **said}


def audit(
    judged: Iterable[Judged], recipe: JudgeRunConfig, *, n_failed: int = 0, seed: int = 0
) -> AuditReport:
    """The report over all matchups, read once; `recipe` is the one they were judged by.

    `n_failed` is how many groups more were to be judged and have no verdict at all.

    Raises:
        EvaluationError: There is no matchup.
    """
    tally = _Tally.of(recipe)
    for each in judged:
        tally.add(each)
    if not tally.outcomes:
        raise EvaluationError(
            f"There is no judged matchup to audit, and {n_failed} groups failed. Judge some first, "
            "or look at the failures: cai export RUN --format everything"
        )
    return tally.report(n_failed, seed)


@dataclass(slots=True)
class _Tally:
    judges: tuple[str, ...]
    ownership: OwnershipTally
    principles: PrincipleTally
    positions: PositionTally = field(default_factory=PositionTally)
    lengths: LengthTally = field(default_factory=LengthTally)
    outcomes: Counter[Outcome] = field(default_factory=Counter[Outcome])
    readings: Counter[Outcome] = field(default_factory=Counter[Outcome])
    negations: Negations = field(default_factory=Negations)
    n_groups: int = 0
    n_with_mass: int = 0
    n_low_mass: int = 0

    @classmethod
    def of(cls, recipe: JudgeRunConfig) -> "_Tally":
        judges = tuple(dict.fromkeys(each.model for each in recipe.judges))
        margin = recipe.settings.tie_margin
        return cls(judges, OwnershipTally(judges, margin), PrincipleTally(margin))

    def add(self, judged: Judged) -> None:
        self.n_groups += 1
        unit = unit_of(judged.group.prompt)
        for each in judged.matchups:
            self._add(unit, judged, each)

    def _add(self, unit: int, judged: Judged, matchup: JudgedMatchup) -> None:
        group, verdict = judged.group, matchup.verdict
        label = group.label if (matchup.first, matchup.second) == (0, 1) else None
        comparison = group.comparison(matchup.first, matchup.second)
        self.outcomes[verdict.outcome] += 1
        self.positions.add(unit, verdict.principle_verdicts)
        self.lengths.add(unit, comparison, verdict, label)
        self.ownership.add(unit, group, matchup, label)
        self.principles.add(verdict)
        self.negations += negations_of(verdict.principle_verdicts)
        for principle_verdict in verdict.principle_verdicts:
            for reading in (principle_verdict.order_ab, principle_verdict.order_ba):
                self.readings[reading.outcome] += 1
                if reading.mass is not None:
                    self.n_with_mass += 1
                    self.n_low_mass += reading.mass < LOW_MASS

    def report(self, n_failed: int, seed: int) -> AuditReport:
        return AuditReport(
            judges=self.judges,
            n_groups=self.n_groups,
            n_failed=n_failed,
            n=self.outcomes.total(),
            outcomes={each: self.outcomes[each] for each in OUTCOMES},
            readings=Readings(
                {each: self.readings[each] for each in OUTCOMES}, self.n_with_mass, self.n_low_mass
            ),
            positions=self.positions.report(seed),
            lengths=self.lengths.report(seed),
            ownership=self.ownership.report(seed),
            principles=self.principles.report(),
            negations=self.negations,
        )


def _warning(relation: Relation) -> str:
    if relation.kin == "same":
        return f"The judge is the policy: {relation.judge} judges its own responses."
    return f"The judge is of the policy's family: {relation.judge} judges {relation.model}."


def _caveats(report: AuditReport) -> Iterator[str]:
    if report.n_failed:
        yield f"{report.n_failed} groups failed altogether and are in no figure."
    n_unread = sum(report.outcomes[each] for each in UNREADABLE)
    if n_unread:
        yield f"{n_unread} of {report.n} verdicts could not be read and are in no share below."
    if report.ownership.n_unknown:
        yield (
            f"Of {report.ownership.n_unknown} of {report.n} matchups nobody knows the models: "
            "self-preference leaves them out."
        )
    low = report.readings.low_mass_rate
    if low is not None and low > 0.05:
        yield (
            f"In {low:.0%} of readings the letters have less than half of the probability: the "
            "judge wants to say something else. Look at its requests: cai prompts render judge"
        )
