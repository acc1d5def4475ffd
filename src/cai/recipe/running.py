"""A recipe's steps one after the other, each into a run folder of its own."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from cai.constitution.loading import load_constitution
from cai.constitution.schema import Constitution
from cai.engine.storage.records import Counts
from cai.engine.storage.run_folder import RunFolder
from cai.export.files import export_file
from cai.export.formats import Format
from cai.jobs.groups import GroupSource
from cai.jobs.judging import JudgeJob, run_judging
from cai.jobs.pace import Pace
from cai.jobs.prompt_source import PromptSource
from cai.jobs.response_source import ResponseSource
from cai.jobs.revision import RevisionJob, run_revision
from cai.jobs.sampling import SampleJob, run_sampling
from cai.jobs.scoring import ScoreJob, run_scoring
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
    """What a step left: a run folder with its counts, or a file with a line about it."""

    step: str
    path: Path
    counts: Counts | None
    summary: str


async def run_recipe(
    recipe: Recipe, cast: Cast, source: PromptSource, out: Path, pace: Pace, console: Console
) -> list[StepOutcome]:
    """Does every step of the recipe; what is done already is not done again.

    Raises:
        UsageError: A step needs another that the recipe does not have.
        CaiError: As the commands of the steps.
    """
    check_steps(recipe)
    constitution = load_constitution(recipe.constitution or "harmless")
    check_plans(recipe, constitution)
    done: list[StepOutcome] = []

    def note(step: StepName, counts: Counts) -> None:
        summary = f"{counts.done} done, {counts.failed} failed"
        done.append(StepOutcome(step, out / step, counts, summary))

    if recipe.revise is not None:
        console.print(f"[bold]revise[/bold] → {out / 'revise'}")
        revision = _revision_job(recipe, cast, source, constitution)
        note("revise", (await run_revision(out / "revise", revision, pace, console=console)).counts)
    if recipe.sample is not None:
        console.print(f"[bold]sample[/bold] → {out / 'sample'}")
        sampling = SampleJob(source, tuple(_policies(recipe, cast)), recipe.sample.k, recipe.seed)
        note("sample", (await run_sampling(out / "sample", sampling, pace, console=console)).counts)
    if recipe.judge is not None:
        console.print(f"[bold]judge[/bold] → {out / 'judge'}")
        judging = _judge_job(recipe, recipe.judge, cast, constitution, out)
        judged = await run_judging(out / "judge", judging, pace, console=console)
        note("judge", judged.run.counts)
    if recipe.score is not None:
        console.print(f"[bold]score[/bold] → {out / 'score'}")
        scoring = _score_job(recipe, recipe.score, cast, constitution, out)
        scored = await run_scoring(out / "score", scoring, pace, console=console)
        note("score", scored.run.counts)
    for format, step in recipe.export.items():
        done.append(_export(recipe, format, step, out))
    return done


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
        summary = export_file([run], format, path, step.selection)
    return StepOutcome(f"export {format}", path, None, summary.describe())
