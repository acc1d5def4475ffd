"""A recipe's steps one after the other, each into a run folder of its own."""

from collections.abc import Awaitable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console

from cai.constitution.loading import load_constitution
from cai.constitution.schema import Constitution
from cai.engine.storage.records import Counts
from cai.engine.storage.run_folder import RunFolder
from cai.export.files import export_file
from cai.export.formats import Format
from cai.jobs.estimating import Estimate
from cai.jobs.groups import GroupSource
from cai.jobs.judging import JudgeJob, JudgeOutcome, run_judging
from cai.jobs.pace import Pace
from cai.jobs.prompt_source import PromptSource
from cai.jobs.response_source import ResponseSource
from cai.jobs.revision import RevisionJob, run_revision
from cai.jobs.running import Outcome
from cai.jobs.sampling import SampleJob, run_sampling
from cai.jobs.scoring import ScoreJob, ScoringOutcome, run_scoring
from cai.judging.scoring import ScorePlan
from cai.models.protocol import Model, Sampling
from cai.prompts import load_templates
from cai.recipe.checking import check_plans, check_steps, exported_step
from cai.recipe.schema import ExportStep, JudgeStep, Recipe, Role, ScoreStep, StepName
from cai.revision import RevisionPlan, Speakers
from cai.speaker import Speaker


@dataclass(frozen=True, slots=True)
class Cast:
    """Which model plays which role, and through which templates; the default plays the others."""

    default: Model
    roles: Mapping[Role, Model]
    templates: str | None = None

    def speaker(self, role: Role, sampling: Sampling) -> Speaker:
        model = self.roles.get(role, self.default)
        if self.templates is None:
            return Speaker.of(model, sampling)
        return Speaker(model, load_templates(self.templates), sampling)


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """What a step left: a run folder with its counts, or a file with a line about it.

    There is an `estimate` where a sample was asked for.
    """

    step: str
    path: Path
    counts: Counts | None
    summary: str
    estimate: Estimate | None = None


async def run_recipe(
    recipe: Recipe, cast: Cast, source: PromptSource, out: Path, pace: Pace, console: Console
) -> list[StepOutcome]:
    """Does every step of the recipe; what is done already is not done again.

    A cap is one on all steps together. Where a sample is asked for, the later steps are about the
    sample of the first, each is estimated for the whole source, and nothing is exported.

    Raises:
        UsageError: A step needs another that the recipe does not have.
        CaiError: As the commands of the steps.
    """
    check_steps(recipe)
    constitution = load_constitution(recipe.constitution or "harmless")
    check_plans(recipe, constitution)
    jobs = _Steps(out, pace, console)
    if recipe.revise is not None:
        revision = _revision_job(recipe, cast, source, constitution)
        await jobs.do("revise", partial(run_revision, job=revision))
    if recipe.sample is not None:
        sampling = SampleJob(source, tuple(_policies(recipe, cast)), recipe.sample.k, recipe.seed)
        await jobs.do("sample", partial(run_sampling, job=sampling))
    if recipe.judge is not None:
        judging = _judge_job(recipe, recipe.judge, cast, constitution, out)
        await jobs.do("judge", partial(run_judging, job=judging))
    if recipe.score is not None:
        scoring = _score_job(recipe, recipe.score, cast, constitution, out)
        await jobs.do("score", partial(run_scoring, job=scoring))
    if pace.sample is None:
        for format, step in recipe.export.items():
            jobs.done.append(_export(recipe, format, step, out))
    return jobs.done


class _RunStep(Protocol):
    """A step's job, yet to be told its folder and its pace."""

    def __call__(
        self, folder: Path, *, pace: Pace, console: Console
    ) -> Awaitable[Outcome[Any] | JudgeOutcome | ScoringOutcome]: ...


@dataclass(slots=True)
class _Steps:
    """The steps done so far; each later one gets what they left of the caps."""

    out: Path
    pace: Pace
    console: Console
    done: list[StepOutcome] = field(default_factory=list[StepOutcome])

    async def do(self, name: StepName, step: _RunStep) -> None:
        folder = self.out / name
        self.console.print(f"[bold]{name}[/bold] → {folder}")
        found = await step(folder, pace=self.pace, console=self.console)
        outcome: Outcome[Any] = found if isinstance(found, Outcome) else found.run
        counts, estimate = outcome.counts, outcome.estimate
        summary = f"{counts.done} done, {counts.failed} failed"
        self.done.append(StepOutcome(name, folder, counts, summary, estimate))
        left = self.pace.caps.after(outcome.ledger)
        whole = self.pace.whole or (estimate.n_total if estimate else None)
        self.pace = replace(self.pace, caps=left, whole=whole)


def _revision_job(
    recipe: Recipe, cast: Cast, source: PromptSource, constitution: Constitution
) -> RevisionJob:
    step = recipe.revise
    assert step is not None
    respond = Sampling(step.temperature, step.top_p, step.top_k, step.max_tokens)
    revise = replace(respond, temperature=step.revision_temperature)
    speakers = Speakers(
        cast.speaker("respond", respond),
        cast.speaker("critique", revise),
        cast.speaker("revise", revise),
    )
    plan = RevisionPlan(
        step.rounds, step.tags, step.few_shots, step.direct, step.minimal, step.stop_early
    )
    return RevisionJob(source, constitution, speakers, plan, recipe.seed)


def _policies(recipe: Recipe, cast: Cast) -> Iterator[Speaker]:
    step = recipe.sample
    assert step is not None
    for temperature in step.temperatures:
        sampling = Sampling(temperature, step.top_p, step.top_k, step.max_tokens)
        yield cast.speaker("sample", sampling)


def _judge_job(
    recipe: Recipe, step: JudgeStep, cast: Cast, constitution: Constitution, out: Path
) -> JudgeJob:
    judge = cast.speaker("judge", Sampling(step.temperature, max_tokens=step.max_tokens))
    return JudgeJob(
        GroupSource((str(out / recipe.judged_step(step)),)),
        constitution,
        (judge,),
        step.plan,
        step.pairing,
        step.verdicts,
        recipe.seed,
    )


def _score_job(
    recipe: Recipe, step: ScoreStep, cast: Cast, constitution: Constitution, out: Path
) -> ScoreJob:
    judge = cast.speaker("judge", Sampling(step.temperature, max_tokens=step.max_tokens))
    return ScoreJob(
        ResponseSource((str(out / recipe.judged_step(step)),)),
        constitution,
        (judge,),
        ScorePlan(step.kind, step.tags, step.samples),
        step.verdicts,
        recipe.seed,
    )


def _export(recipe: Recipe, format: Format, step: ExportStep, out: Path) -> StepOutcome:
    path = out / step.file_name(format)
    with RunFolder.existing(out / exported_step(recipe, format, step)) as run:
        mixing = step.mixing(recipe.seed)
        summary = export_file([run], format, path, step.selection, mixing=mixing)
    return StepOutcome(f"export {format}", path, None, summary.describe())
