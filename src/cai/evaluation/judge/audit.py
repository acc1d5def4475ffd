"""The biases of a judge in any judged set, with or without labels.

Position, length and self-preference, how often its answers cannot be read, and how the principles
of its constitution interact. Verdicts are streamed: each leaves a few numbers.

Example:
    report = audit(judged, config)
    print(report.positions.flips, report.lengths.by_characters.share, report.readings.low_mass_rate)
    print(*report.warnings, *report.caveats)
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass

from cai.errors import EvaluationError
from cai.evaluation.judge.label_metrics import OUTCOMES
from cai.evaluation.judge.length_bias import Lengths, LengthTally
from cai.evaluation.judge.position_bias import Negations, Positions, PositionTally, negations_of
from cai.evaluation.judge.principles import Principles, PrincipleTally
from cai.evaluation.judge.self_preference import Ownership, OwnershipTally
from cai.evaluation.stats.bootstrap import unit_of
from cai.methods.judging.composition import Composer
from cai.methods.judging.ranking import Judged
from cai.methods.judging.verdict import UNREADABLE, Outcome
from cai.runs.config import JudgeRunConfig

LOW_MASS = 0.5


@dataclass(frozen=True, slots=True)
class Readings:
    """Single judge calls, by outcome.

    Of the `n_with_mass` that were asked by log-probabilities of known mass, in `n_low_mass` all
    letters together had a probability below one half, or below that of the run's settings: the
    judge would write something else.
    """

    outcomes: Mapping[Outcome, int]
    n_with_mass: int
    n_low_mass: int

    @property
    def low_mass_rate(self) -> float | None:
        return self.n_low_mass / self.n_with_mass if self.n_with_mass else None


@dataclass(frozen=True, slots=True)
class AuditReport:
    """The biases of `judges` in `n` matchups of `n_groups` groups; `outcomes` add up to `n`.

    `n_failed` further groups have no verdict at all.
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
        """A sentence for each judge of its own responses or family; show these first."""
        return tuple(
            f"The judge is the policy: {each.judge} judges its own responses."
            if each.relation == "same"
            else f"The judge is of the policy's family: {each.judge} judges {each.model}."
            for each in self.ownership.relations
        )

    @property
    def caveats(self) -> tuple[str, ...]:
        """Plain sentences to be read beside the figures."""
        return tuple(self._caveats())

    def _caveats(self) -> Iterator[str]:
        if self.n_failed:
            yield f"{self.n_failed} groups failed altogether and are in no figure."
        n_unread = sum(self.outcomes[each] for each in UNREADABLE)
        if n_unread:
            yield f"{n_unread} of {self.n} verdicts could not be read and are in no share below."
        if self.ownership.n_unknown:
            yield (
                f"Of {self.ownership.n_unknown} of {self.n} matchups nobody knows the models: "
                "self-preference leaves them out."
            )
        low = self.readings.low_mass_rate
        if low is not None and low > 0.05:
            yield (
                f"In {low:.0%} of readings the letters have less than half of the probability: the "
                "judge wants to say something else. Look at its requests: cai prompts render judge"
            )

    def as_json(self) -> dict[str, object]:
        """Mappings, lists, texts and numbers; null for what has no figure."""
        related = {
            kind: [[pair.first, pair.second] for pair in self.principles.related(kind)]
            for kind in ("redundant", "contradicting")
        }
        return {
            **asdict(self),
            "never_decide": list(self.principles.never_decide),
            **related,
            "warnings": list(self.warnings),
            "caveats": list(self.caveats),
        }


def audit(
    judged: Iterable[Judged],
    config: JudgeRunConfig,
    composer: Composer,
    *,
    n_failed: int = 0,
    seed: int = 0,
) -> AuditReport:
    """The report over all matchups, iterated once; `config` is that of the judging run.

    `composer` is the one that composed them. `n_failed` further groups have no verdict at all.

    Raises:
        EvaluationError: There is no matchup.
    """
    judges = tuple(dict.fromkeys(each.model for each in config.judges))
    ownership = OwnershipTally(judges, composer)
    principles = PrincipleTally(composer)
    positions, lengths, negations = PositionTally(), LengthTally(), Negations()
    outcomes, call_outcomes = Counter[Outcome](), Counter[Outcome]()
    n_groups = n_with_mass = n_low_mass = 0
    for each in judged:
        n_groups += 1
        unit, group = unit_of(each.group.prompt), each.group
        for matchup in each.matchups:
            verdict, pair = matchup.verdict, (matchup.first, matchup.second)
            # A label is about the first two responses of a group alone.
            label = group.label if pair == (0, 1) else None
            outcomes[verdict.outcome] += 1
            positions.add(unit, verdict.principle_verdicts)
            lengths.add(unit, group.comparison(*pair), verdict, label)
            ownership.add(unit, group, matchup, label)
            principles.add(verdict)
            negations += negations_of(verdict.principle_verdicts)
            parts = verdict.principle_verdicts
            calls = [call for part in parts for call in part.calls]
            call_outcomes.update(call.outcome for call in calls)
            for call in calls:
                n_with_mass += call.is_fallback or call.mass is not None
                is_low = call.mass is not None and call.mass < LOW_MASS
                n_low_mass += call.is_fallback or is_low
    if not outcomes:
        raise EvaluationError(
            f"There is no judged matchup to audit, and {n_failed} groups failed. Judge some first, "
            "or look at the failures: cai export RUN --format everything"
        )
    return AuditReport(
        judges=judges,
        n_groups=n_groups,
        n_failed=n_failed,
        n=outcomes.total(),
        outcomes={each: outcomes[each] for each in OUTCOMES},
        readings=Readings(
            {each: call_outcomes[each] for each in OUTCOMES}, n_with_mass, n_low_mass
        ),
        positions=positions.report(seed),
        lengths=lengths.report(seed),
        ownership=ownership.report(seed),
        principles=principles.report(),
        negations=negations,
    )
