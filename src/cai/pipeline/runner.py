"""A recipe's steps one after the other, each into a folder of its own."""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console

from cai.constitution.loader import load_constitution
from cai.constitution.schema import Constitution
from cai.data.source import CheckedSource, ItemSource
from cai.engine.run_files import Counts
from cai.engine.run_folder import RunFolder
from cai.export.formats import Format
from cai.export.writers import export_file
from cai.methods.revision import RevisionRoles
from cai.methods.settings import JudgeSettings, ScoreSettings
from cai.models.registry import open_model
from cai.pipeline.checks import check_plans, check_start, check_steps, exported_step
from cai.pipeline.order import Work, ordered, roles_of
from cai.pipeline.schema import ExportStep, Recipe
from cai.pipeline.train_runner import RecipeTrainer, RoleModels
from cai.pipeline.train_steps import StepName, TrainStep
from cai.runs.inputs import GroupSource, ResponseSource
from cai.runs.job import Outcome
from cai.runs.judge import JudgeJob, JudgeOutcome, run_judging
from cai.runs.options import Estimate, RunOptions
from cai.runs.revise import RevisionJob, run_revision
from cai.runs.sample import SampleJob, run_sampling
from cai.runs.score import ScoreJob, ScoringOutcome, run_scoring
from cai.training.environment import require
from cai.types import Prompt


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
    recipe: Recipe,
    models: RoleModels,
    source: ItemSource[Prompt],
    out: Path,
    run_options: RunOptions,
    console: Console,
) -> list[StepOutcome]:
    """Does every step of the recipe; what is done already is not done again.

    A cap is one on all steps together. Where a sample is asked for, the later steps are about the
    sample of the first, each is estimated for the whole source, and nothing is exported or trained;
    nor are steps estimated in which a policy plays that is yet to be trained.

    Raises:
        UsageError: A step needs another that the recipe does not have.
        CaiError: As the commands of the steps.
    """
    check_steps(recipe)
    constitution = load_constitution(recipe.constitution or "harmless")
    check_plans(recipe, constitution)
    jobs = _Steps(recipe, models, source.check(), constitution, out, run_options, console)
    if recipe.train:
        require()
        check_start(recipe, models.start)
        jobs.trainer.check()
    order = ordered(recipe)
    if run_options.sample is not None:
        return await jobs.estimate(order)
    n_steps = len(recipe.steps)
    for work in order:
        if not isinstance(work, str):
            jobs.train(work)
            continue
        await jobs.do(work)
        n_steps -= 1
        if not n_steps:  # before the other trainings: a file is there however they end
            jobs.export()
    return jobs.done


class _RunStep(Protocol):
    """A step's job, yet to be told its folder and its pace."""

    def __call__(
        self, folder: Path, *, run_options: RunOptions, console: Console
    ) -> Awaitable[Outcome[Any] | JudgeOutcome | ScoringOutcome]: ...


@dataclass(slots=True)
class _Steps:
    """The steps done so far; each later one gets what they left of the caps."""

    recipe: Recipe
    models: RoleModels
    source: CheckedSource[Prompt]
    constitution: Constitution
    out: Path
    run_options: RunOptions
    console: Console
    done: list[StepOutcome] = field(default_factory=list[StepOutcome])

    @property
    def trainer(self) -> RecipeTrainer:
        return RecipeTrainer(self.recipe, self.source.summary.names, self.constitution, self.out)

    async def estimate(self, order: Sequence[Work]) -> list[StepOutcome]:
        """The outcomes of the steps that need no training."""
        first = next((n for n, work in enumerate(order) if not isinstance(work, str)), len(order))
        for work in order[:first]:
            if isinstance(work, str):
                await self.do(work)
        left = [work for work in order[first:] if isinstance(work, str)]
        if left:
            self.console.print(
                f"not estimated: {', '.join(left)}, which wait for a policy that is to be trained",
                markup=False,
                highlight=False,
            )
        return self.done

    async def do(self, name: StepName) -> None:
        folder = self.out / name
        self.console.print(f"[bold]{name}[/bold] → {folder}")
        found = await self._job(name)(folder, run_options=self.run_options, console=self.console)
        outcome: Outcome[Any] = found if isinstance(found, Outcome) else found.run
        counts, estimate = outcome.counts, outcome.estimate
        summary = f"{counts.done} done, {counts.failed} failed"
        self.done.append(StepOutcome(name, folder, counts, summary, estimate))
        left = self.run_options.caps.after(outcome.ledger)
        whole = self.run_options.whole or (estimate.n_total if estimate else None)
        self.run_options = replace(self.run_options, caps=left, whole=whole)

    def train(self, training: TrainStep) -> None:
        folder = self.out / training.name
        self.console.print(f"[bold]train {training.spec.name}[/bold] → {folder}")
        summary = self.trainer.train(training, self.models, self.run_options, self.console)
        self.done.append(StepOutcome(f"train {training.name}", folder, None, summary))
        self.run_options = replace(
            self.run_options, caps=self.trainer.caps_after(training, self.run_options)
        )
        roles = roles_of(self.recipe, training)
        if roles:
            self.models = self.models.with_model(open_model(f"hf:{folder}"), roles)

    def export(self) -> None:
        for format, step in self.recipe.export.items():
            self.done.append(_export(self.recipe, format, step, self.out))

    def _job(self, name: StepName) -> _RunStep:
        recipe, models, constitution = self.recipe, self.models, self.constitution
        if name == "revise":
            revision = _revision_job(recipe, models, self.source, constitution)
            return partial(run_revision, job=revision)
        if name == "sample":
            return partial(run_sampling, job=_sample_job(recipe, models, self.source))
        if name == "judge":
            return partial(run_judging, job=_judge_job(recipe, models, constitution, self.out))
        return partial(run_scoring, job=_score_job(recipe, models, constitution, self.out))


def _revision_job(
    recipe: Recipe, models: RoleModels, source: ItemSource[Prompt], constitution: Constitution
) -> RevisionJob:
    step = recipe.revise
    assert step is not None
    cold = step.revision_temperature
    roles = RevisionRoles(
        models.sampled("respond", step, step.temperature),
        models.sampled("critique", step, cold),
        models.sampled("revise", step, cold),
    )
    return RevisionJob(source, constitution, roles, step, recipe.seed)


def _sample_job(recipe: Recipe, models: RoleModels, source: ItemSource[Prompt]) -> SampleJob:
    step = recipe.sample
    assert step is not None
    policies = tuple(models.sampled("sample", step, each) for each in step.temperatures)
    return SampleJob(source, policies, step.k, recipe.seed)


def _judge_job(
    recipe: Recipe, models: RoleModels, constitution: Constitution, out: Path
) -> JudgeJob:
    step = recipe.judge
    assert step is not None
    return JudgeJob(
        GroupSource((str(out / recipe.judged_step(step)),)),
        constitution,
        models.judges(step),
        JudgeSettings.from_settings(step),
        step.pairing,
        recipe.seed,
    )


def _score_job(
    recipe: Recipe, models: RoleModels, constitution: Constitution, out: Path
) -> ScoreJob:
    step = recipe.score
    assert step is not None
    return ScoreJob(
        ResponseSource((str(out / recipe.judged_step(step)),)),
        constitution,
        models.judges(step),
        ScoreSettings.from_settings(step),
        recipe.seed,
    )


def _export(recipe: Recipe, format: Format, step: ExportStep, out: Path) -> StepOutcome:
    path = out / step.file_name(format)
    with RunFolder.existing(out / exported_step(recipe, format, step)) as run:
        mixing = step.mixing(recipe.seed)
        summary = export_file([run], format, path, step.selection, mixing=mixing)
    return StepOutcome(f"export {format}", path, None, summary.describe())
