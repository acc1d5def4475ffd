"""Scoring over a data set: every response under every principle."""

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from cai.constitution.schema import Constitution
from cai.data.source import ItemSource, SourceSummary
from cai.methods.judging.pointwise import Scored, ScoreOutcome, check_scoring, score_response
from cai.methods.roles import RoleModel
from cai.methods.settings import ScoreSettings
from cai.models.base import Usage
from cai.runs.config import (
    ScoreRunConfig,
    described_constitution,
    described_judge,
    described_source,
)
from cai.runs.execution import RunPlan, RunResult, WrapModel, error_of, execute, is_finished, opened
from cai.runs.inputs import ResponseItem
from cai.runs.judge_preparation import ReadingTally, judges_of_finished, prepare_judges, wrap_judges
from cai.runs.options import RunOptions
from cai.types import derive_seed


@dataclass(frozen=True, slots=True)
class ScoreJob:
    """All that decides the result of a scoring run."""

    source: ItemSource[ResponseItem]
    constitution: Constitution
    judges: tuple[RoleModel, ...]
    settings: ScoreSettings = ScoreSettings()
    seed: int = 0

    @property
    def decided_settings(self) -> ScoreSettings:
        """The settings as the run writes them down."""
        return self.settings.without_role_fields()


@dataclass(slots=True)
class ScoreTally:
    """What the scores of a run folder came to; the outcomes add up to `n`.

    `readings` says how they were read.
    """

    n: int = 0
    outcomes: Counter[ScoreOutcome] = field(default_factory=Counter[ScoreOutcome])
    readings: ReadingTally = field(default_factory=ReadingTally)
    usage: Usage = Usage()
    _values: dict[str, list[float]] = field(default_factory=lambda: defaultdict(lambda: [0.0, 0.0]))

    def add(self, scored: Scored) -> None:
        self.usage += scored.usage
        self.readings.add(scored.calls)
        for score in scored.scores:
            self.n += 1
            self.outcomes[score.outcome] += 1
            sums = self._values[score.principle_id]
            if score.value is not None:
                sums[0] += score.value
                sums[1] += 1

    @property
    def means(self) -> Mapping[str, float | None]:
        """The mean value in [−1, 1] under each principle; None where nothing was scored."""
        return {id: total / n if n else None for id, (total, n) in self._values.items()}


@dataclass(frozen=True, slots=True)
class ScoringResult:
    """How the run went, and what its scores are."""

    run_result: RunResult[SourceSummary]
    scores: ScoreTally


async def run_scoring(
    folder: Path, job: ScoreJob, run_options: RunOptions = RunOptions(), *, console: Console
) -> ScoringResult:
    """Scores every response of the source, into the run folder; as `cai.runs.judge.run_judging`.

    A response of which every score failed becomes a failed record.

    Raises:
        UsageError: The settings do not fit the judges or the constitution.
        SourceError: A source cannot be read, a row is bad, or there is nothing to score.
        JournalError: A folder is a run with other settings, or cannot be used.
        ModelError: A model cannot be used, or call after call failed.
    """
    check_scoring(job.settings, job.constitution)
    checked = job.source.check()
    tally = ScoreTally()
    judges = None
    if is_finished(folder, checked.items, checked.summary.n_items, run_options):
        judges = judges_of_finished(folder, job.judges, job.settings.verdicts)
    models = [judge.model for judge in job.judges]
    async with opened(models, is_finished=judges is not None):
        judges = judges or await prepare_judges(job.judges, job.constitution, job.settings, console)

        def score_responses(wrap: WrapModel) -> Callable[[ResponseItem], Awaitable[Scored]]:
            wrapped = wrap_judges(judges, wrap, "score")

            async def score_one(item: ResponseItem) -> Scored:
                text, seed = item.response.text, derive_seed(job.seed, item.id)
                scores = await score_response(
                    wrapped, job.constitution, item.prompt, text, job.settings, seed
                )
                failed = [(each.error, each.reason) for each in scores if each.outcome == "failed"]
                if len(failed) == len(scores):
                    raise error_of(failed)
                return Scored(item.prompt, text, item.response.model, scores)

            return score_one

        plan = RunPlan(
            config=ScoreRunConfig(
                source=described_source(checked.summary),
                constitution=described_constitution(job.constitution),
                judges=tuple(described_judge(judge) for judge in judges),
                settings=job.decided_settings,
                seed=job.seed,
            ),
            constitution=job.constitution,
            source=checked.summary,
            n_items=checked.summary.n_items,
            items=checked.items,
            body=Scored,
            make_worker=score_responses,
            is_flagged=lambda scored: any(each.value is None for each in scored.scores),
            note=tally.add,
        )
        return ScoringResult(await execute(folder, plan, run_options, console), tally)
