"""A recipe's steps one after the other, each into a folder of its own.

Every step is the run of its command, so a recipe can be interrupted anywhere: done again, each step
goes on from its own folder.

Example:
    >>> recipe = load_recipe("bai2022")
    >>> models = open_role_models(recipe, "embedded")
    >>> await run_recipe(recipe, models, source, Path("runs/bai"), RunOptions(), Console())
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from cai.constitution.loader import load_constitution
from cai.constitution.schema import Constitution
from cai.data.source import CheckedSource, ItemSource
from cai.engine.run_files import Counts
from cai.engine.run_folder import RunFolder
from cai.export.writers import export_file
from cai.methods.revision import RevisionRoles
from cai.methods.settings import JudgeSettings, ModelRole, ScoreSettings
from cai.models.registry import open_model
from cai.pipeline.checks import check_plans, check_start, check_steps, exported_step
from cai.pipeline.order import TRAINED, Work, ordered
from cai.pipeline.schema import Recipe, StepName, TrainStep
from cai.pipeline.train_runner import RecipeTrainer, RoleModels
from cai.runs.execution import RunResult
from cai.runs.inputs import GroupSource, ResponseSource
from cai.runs.judge import JudgeJob, run_judging
from cai.runs.options import RunEstimate, RunOptions
from cai.runs.revise import RevisionJob, run_revision
from cai.runs.sample import SampleJob, run_sampling
from cai.runs.score import ScoreJob, run_scoring
from cai.training.environment import require
from cai.types import Prompt


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """A finished step: its run folder with the counts, or its file, and a line about it.

    There is an `estimate` after a dry run.
    """

    step: str
    path: Path
    counts: Counts | None
    summary: str
    estimate: RunEstimate | None = None


async def run_recipe(
    recipe: Recipe,
    models: RoleModels,
    source: ItemSource[Prompt],
    out: Path,
    run_options: RunOptions,
    console: Console,
) -> list[StepOutcome]:
    """Does every step of the recipe that is not done already.

    A cap is one on all steps together. In a dry run the later steps are done on the sample of the
    first, each is estimated for the whole source, and nothing is exported or trained; steps that
    need a policy of a training are not estimated.

    Raises:
        UsageError: A step needs another that the recipe does not have.
        CaiError: As the commands of the steps.
    """
    # In the order of what they cost: the recipe alone, the constitution, then the trainer's
    # settings.
    check_steps(recipe)
    constitution = load_constitution(recipe.constitution or "harmless")
    check_plans(recipe, constitution)
    jobs = _Steps(recipe, models, source.check(), constitution, out, run_options, console)
    # torch and TRL are imported only for recipes that train.
    if recipe.train:
        require()
        check_start(recipe, models.start)
        jobs.trainer.check()
    # A dry run cannot train, so it ends where the first training would begin.
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
        # exported before the remaining trainings: the files exist however those end
        if not n_steps:
            jobs.export()
    return jobs.done


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
        """The outcomes of the steps before the first training."""
        n_before = next((n for n, work in enumerate(order) if not isinstance(work, str)), None)
        steps: list[StepName] = [work for work in order if isinstance(work, str)]
        for step in steps[:n_before]:
            await self.do(step)
        left = [] if n_before is None else steps[n_before:]
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
        result = await self._run(name, folder)
        counts, estimate = result.counts, result.estimate
        summary = f"{counts.done} done, {counts.failed} failed"
        self.done.append(StepOutcome(name, folder, counts, summary, estimate))
        left = self.run_options.caps.after(result.ledger)
        # Later steps of a dry run see only the sample as their source. The size of the whole source
        # is known from the first step alone, and is passed on.
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
        named = f"{TRAINED}{training.name}"
        models = self.recipe.models.items()
        roles: tuple[ModelRole, ...] = tuple(role for role, spec in models if spec == named)
        # opened only now: the folder of its weights did not exist before
        if roles:
            self.models = self.models.with_model(open_model(f"hf:{folder}"), roles)

    def export(self) -> None:
        for format, step in self.recipe.export.items():
            path = self.out / step.file_name(format)
            folder = self.out / exported_step(self.recipe, format, step)
            with RunFolder.existing(folder) as run:
                mixing = step.mixing(self.recipe.seed)
                summary = export_file([run], format, path, step.selection, mixing=mixing)
            self.done.append(StepOutcome(f"export {format}", path, None, summary.describe()))

    async def _run(self, name: StepName, folder: Path) -> RunResult[Any]:
        """Runs one step as its command does; the seed is that of the recipe."""
        recipe, models, constitution = self.recipe, self.models, self.constitution
        run_options, console, seed = self.run_options, self.console, recipe.seed
        if name == "revise" and (step := recipe.revise):
            cold = step.revision_temperature
            roles = RevisionRoles(
                models.sampled("respond", step, step.temperature),
                models.sampled("critique", step, cold),
                models.sampled("revise", step, cold),
            )
            revision = RevisionJob(self.source, constitution, roles, step, seed)
            return await run_revision(folder, revision, run_options, console=console)
        if name == "sample" and (step := recipe.sample):
            policies = tuple(models.sampled("sample", step, each) for each in step.temperatures)
            sampling = SampleJob(self.source, policies, step.k, seed)
            return await run_sampling(folder, sampling, run_options, console=console)
        # The settings are stored with the run, so they are the command's own type: with the fields
        # that only recipes have, the command could not go on with the folder.
        if name == "judge" and (step := recipe.judge):
            source = GroupSource((str(self.out / recipe.responses_of(step)),))
            settings = JudgeSettings.from_settings(step)
            judges = models.judges(step)
            judging = JudgeJob(source, constitution, judges, settings, step.pairing, seed)
            return (await run_judging(folder, judging, run_options, console=console)).run_result
        step = recipe.score
        assert step is not None  # steps are in the order only where the recipe has them
        responses = ResponseSource((str(self.out / recipe.responses_of(step)),))
        settings = ScoreSettings.from_settings(step)
        scoring = ScoreJob(responses, constitution, models.judges(step), settings, seed)
        return (await run_scoring(folder, scoring, run_options, console=console)).run_result
