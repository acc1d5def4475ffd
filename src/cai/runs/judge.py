"""Judging over a data set: pairs from files, samples, or revisions against originals.

Example:
    judges = (JudgeSettings().role_model(open_model("embedded")),)
    job = JudgeJob(GroupSource(("runs/samples",)), load_constitution("testbed"), judges)
    result = run_async(run_judging(Path("runs/judged"), job, console=Console()))
    print(result.verdicts.outcomes)
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from cai.constitution.schema import Constitution
from cai.data.source import ItemSource, SourceSummary
from cai.engine.run_folder import RunFolder
from cai.errors import ModelError
from cai.methods.judging.composition import Composer
from cai.methods.judging.pairwise import check_judging, composer_for
from cai.methods.judging.principle_tests import pass_counts
from cai.methods.judging.ranking import GroupReadings, JudgePanel, Pairing, judge_group
from cai.methods.judging.verdict import UNREADABLE, Group, Outcome
from cai.methods.roles import Judge, RoleModel
from cai.methods.settings import JudgeSettings
from cai.models.base import Usage
from cai.runs.config import (
    JudgeRunConfig,
    described_constitution,
    described_judge,
    described_source,
)
from cai.runs.execution import RunPlan, RunResult, WrapModel, error_of, execute, is_finished, opened
from cai.runs.judge_preparation import ReadingTally, judges_of_finished, prepare_judges, wrap_judges
from cai.runs.judged import PASS_COUNTS, composer_of, dump_pass_counts
from cai.runs.options import RunOptions
from cai.runs.records import read_done
from cai.runs.warning import warn


@dataclass(frozen=True, slots=True)
class JudgeJob:
    """All that decides the result of a judging run; several `judges` are a jury."""

    source: ItemSource[Group]
    constitution: Constitution
    judges: tuple[RoleModel, ...]
    settings: JudgeSettings = JudgeSettings()
    pairing: Pairing = "all"
    seed: int = 0

    @property
    def decided_settings(self) -> JudgeSettings:
        """The settings as the run writes them down, with the rule by which it is composed."""
        rule = composer_for(self.constitution, self.settings).rule
        return self.settings.without_role_fields().model_copy(update={"compose": rule})


@dataclass(slots=True)
class VerdictTally:
    """What the comparisons of a run folder came to; the outcomes add up to `n`.

    Of `n_both` questions both orders could be read, and in `n_flips` of these they favour different
    responses. `readings` says how the calls were read. `usage` has the tokens of all that is in the
    folder.
    """

    n: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter[Outcome])
    n_both: int = 0
    n_flips: int = 0
    n_labelled: int = 0
    readings: ReadingTally = field(default_factory=ReadingTally)
    usage: Usage = Usage()
    _margins: float = 0.0
    _n_margins: int = 0

    @classmethod
    def of(cls, run: RunFolder) -> "VerdictTally":
        """Over all finished groups, as they are composed now."""
        tally, composer = cls(), composer_of([run])
        for _, readings in read_done(run, GroupReadings):
            tally.add(readings, composer)
        return tally

    def add(self, readings: GroupReadings, composer: Composer) -> None:
        self.n_labelled += readings.group.label is not None
        self.usage += readings.usage
        self.readings.add(readings.calls)
        for matchup in readings.matchups:
            verdict = composer.verdict(matchup.principle_verdicts)
            self.n += 1
            self.outcomes[verdict.outcome] += 1
            if verdict.margin is not None:
                self._margins += verdict.margin
                self._n_margins += 1
            flips = [
                each.is_flip for each in verdict.principle_verdicts if each.is_flip is not None
            ]
            self.n_both += len(flips)
            self.n_flips += sum(flips)

    @property
    def mean_margin(self) -> float | None:
        """How far from even the readable verdicts are, in [0, 1/2]; None where none is."""
        return self._margins / self._n_margins if self._n_margins else None


@dataclass(frozen=True, slots=True)
class JudgingResult:
    """How the run went, and what its verdicts are."""

    run_result: RunResult[SourceSummary]
    verdicts: VerdictTally


async def run_judging(
    folder: Path, job: JudgeJob, run_options: RunOptions = RunOptions(), *, console: Console
) -> JudgingResult:
    """Judges every group of the source, into the run folder; as `cai.runs.revise.run_revision`.

    A group of which every comparison failed becomes a failed record; every other outcome is stored
    as a result. Before the first comparison the console names judges that give no
    log-probabilities, and judges of their own responses.

    Raises:
        UsageError: The settings do not fit the judges or the constitution.
        SourceError: A source cannot be read, a row is bad, or there is nothing to judge.
        JournalError: A folder is a run with other settings, or cannot be used.
        ModelError: A model cannot be used, or call after call failed.
    """
    check_judging(job.settings, job.constitution)
    checked = job.source.check()
    judges = None
    if is_finished(folder, checked.items, checked.summary.n_items, run_options):
        judges = judges_of_finished(folder, job.judges, job.settings.verdicts)
    models = [judge.model for judge in job.judges]
    async with opened(models, is_finished=judges is not None):
        judges = judges or await prepare_judges(job.judges, job.constitution, job.settings, console)
        _warn_of_own_responses(judges, checked.summary, console)

        def judge_groups(wrap: WrapModel) -> Callable[[Group], Awaitable[GroupReadings]]:
            wrapped = wrap_judges(judges, wrap, "judge")
            panel = JudgePanel(wrapped, job.constitution, job.settings)

            async def judge_one(group: Group) -> GroupReadings:
                readings = await judge_group(panel, group, job.pairing, job.seed)
                # Some failed calls are outcomes to count; a group without any answer is a failed
                # example, which can be tried again.
                if panel.outcomes(readings) == {"failed"}:
                    raise _error_of(readings)
                return readings

            return judge_one

        async def test_principles(wrap: WrapModel) -> Mapping[str, str]:
            wrapped = wrap_judges(judges, wrap, "judge")
            found = await pass_counts(wrapped, job.constitution, job.settings, job.seed)
            return {PASS_COUNTS: dump_pass_counts(found)}

        panel = JudgePanel(judges, job.constitution, job.settings)

        plan = RunPlan(
            config=JudgeRunConfig(
                source=described_source(checked.summary),
                constitution=described_constitution(job.constitution),
                judges=tuple(described_judge(judge) for judge in judges),
                settings=job.decided_settings,
                pairing=job.pairing,
                seed=job.seed,
            ),
            constitution=job.constitution,
            source=checked.summary,
            n_items=checked.summary.n_items,
            items=checked.items,
            body=GroupReadings,
            make_worker=judge_groups,
            is_flagged=lambda readings: bool(panel.outcomes(readings).intersection(UNREADABLE)),
            before=test_principles if job.settings.principle_tests else None,
        )
        result = await execute(folder, plan, run_options, console)
    with RunFolder.existing(folder) as run:
        return JudgingResult(result, VerdictTally.of(run))


def _warn_of_own_responses(
    judges: Sequence[Judge], summary: SourceSummary, console: Console
) -> None:
    for name in sorted({judge.name for judge in judges} & summary.models):
        warn(
            console,
            f"{name} judges its own responses, which judges tend to prefer. Take another "
            "judge, or see how much it prefers them: cai audit.",
        )


def _error_of(readings: GroupReadings) -> ModelError:
    """The error of a group of which every comparison failed."""
    failed = [each for each in readings.calls if each.outcome == "failed"]
    return error_of([(each.error, each.reason) for each in failed])
