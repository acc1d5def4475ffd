"""A recipe's steps one after the other, each into a run folder of its own."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from cai.constitution.loading import load_constitution
from cai.constitution.schema import Constitution
from cai.drawing import candidates
from cai.engine.records import Counts
from cai.engine.run_folder import RunFolder
from cai.errors import UsageError
from cai.export.files import export_file
from cai.export.formats import Format
from cai.export.selecting import Selection
from cai.jobs.groups import GroupSource
from cai.jobs.judging import JudgeJob, run_judging
from cai.jobs.prompt_source import PromptSource
from cai.jobs.response_source import ResponseSource
from cai.jobs.revision import RevisionJob, run_revision
from cai.jobs.running import Pace
from cai.jobs.sampling import SampleJob, run_sampling
from cai.jobs.scoring import ScoreJob, run_scoring
from cai.judging.judge import JudgePlan
from cai.judging.scoring import ScorePlan
from cai.models.protocol import Model, Sampling
from cai.prompts import load_templates
from cai.recipe.schema import ExportStep, JudgeStep, Recipe, Role, ScoreStep, StepName
from cai.revision import RevisionPlan, Speakers
from cai.speaker import Speaker

_PREFERENCES: tuple[StepName, ...] = ("judge", "revise")
_EXPORTED: Mapping[Format, tuple[StepName, ...]] = {
    "sft": ("revise", "judge", "sample", "score"),
    "preference": _PREFERENCES,
    "reward": _PREFERENCES,
    "kto": ("judge", "revise", "score"),
    "prompts": ("revise", "sample", "judge"),
    "everything": ("judge", "score", "revise", "sample"),
}
"""Of each format, the steps that can give it; the first that was done does."""


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
    _check_plans(recipe, constitution)
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


def check_steps(recipe: Recipe) -> None:
    """Finds out before a call whether every step has what it works on.

    Raises:
        UsageError: One has not; the message says which step to add.
    """
    here = _steps(recipe)
    if not here:
        raise UsageError(
            f"The recipe {recipe.name!r} has no step. Give it one of revise, sample, judge, score."
        )
    for name, step in (("judge", recipe.judge), ("score", recipe.score)):
        if step is not None and (step.of or "sample or revise") not in (*here, "sample or revise"):
            raise UsageError(
                f"The step {name} of the recipe {recipe.name!r} is of {step.of!r}, which the "
                "recipe does not have. Add that step."
            )
        if step is not None and not {"sample", "revise"} & set(here):
            raise UsageError(
                f"The step {name} of the recipe {recipe.name!r} has nothing to work on. Add the "
                "step sample or revise before it."
            )
    written: set[str] = set()
    for format, step in recipe.export.items():
        exported = _exported_step(recipe, format, step)
        _selection(step).check(format)
        file = _file(format, step)
        if file in (*written, *here):
            raise UsageError(
                f"The export {format} of the recipe {recipe.name!r} goes to {file!r}, where "
                "something else of it goes. Name another file."
            )
        if step.balance_length and exported == "score":
            raise UsageError(
                f"The export {format} of the recipe {recipe.name!r} is of scores, which have no "
                "pairs whose lengths could be balanced. Leave balance_length out."
            )
        written.add(file)


def _check_plans(recipe: Recipe, constitution: Constitution) -> None:
    """Finds out before a call whether the constitution has what every step asks of it."""
    if recipe.revise is not None:
        candidates(constitution, recipe.revise.tags)
    if recipe.judge is not None:
        _judge_plan(recipe.judge).check((), constitution)
    if recipe.score is not None:
        candidates(constitution, recipe.score.tags)


def _steps(recipe: Recipe) -> list[StepName]:
    found: list[tuple[StepName, object]] = [
        ("revise", recipe.revise),
        ("sample", recipe.sample),
        ("judge", recipe.judge),
        ("score", recipe.score),
    ]
    return [name for name, step in found if step is not None]


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
        GroupSource((str(out / _judged_step(recipe, step)),)),
        constitution,
        (judge,),
        _judge_plan(step),
        step.pairing,
        step.verdicts,
        recipe.seed,
    )


def _judge_plan(step: JudgeStep) -> JudgePlan:
    return JudgePlan(
        tags=step.tags,
        n_principles=None if step.principles == "all" else step.principles,
        has_rationale=step.rationale,
        clamp=step.clamp,
        samples=step.samples,
        with_negated=step.negated,
        few_shots=step.few_shots,
        tie_margin=step.tie_margin,
    )


def _score_job(
    recipe: Recipe, step: ScoreStep, cast: Cast, constitution: Constitution, out: Path
) -> ScoreJob:
    judge = cast.speaker("judge", Sampling(step.temperature, max_tokens=step.max_tokens))
    return ScoreJob(
        ResponseSource((str(out / _judged_step(recipe, step)),)),
        constitution,
        (judge,),
        ScorePlan(step.kind, step.tags, step.samples),
        step.verdicts,
        recipe.seed,
    )


def _judged_step(recipe: Recipe, step: JudgeStep | ScoreStep) -> StepName:
    return step.of or ("sample" if recipe.sample is not None else "revise")


def _export(recipe: Recipe, format: Format, step: ExportStep, out: Path) -> StepOutcome:
    path = out / _file(format, step)
    with RunFolder.existing(out / _exported_step(recipe, format, step)) as run:
        summary = export_file([run], format, path, _selection(step))
    return StepOutcome(f"export {format}", path, None, summary.describe())


def _file(format: Format, step: ExportStep) -> str:
    return step.file or f"{format}.jsonl"


def _selection(step: ExportStep) -> Selection:
    return Selection(
        all_rounds=step.all_rounds,
        sft_share=step.sft_share,
        pairs=step.pairs,
        min_margin=step.min_margin,
        balances_length=step.balance_length,
    )


def _exported_step(recipe: Recipe, format: Format, step: ExportStep) -> StepName:
    """The step whose run is exported.

    Raises:
        UsageError: The recipe has none that gives this format.
    """
    here = _steps(recipe)
    able: Sequence[StepName] = _EXPORTED[format]
    if step.of is not None and step.of not in here:
        raise UsageError(
            f"The export {format} of the recipe {recipe.name!r} is of {step.of!r}, which the "
            "recipe does not have. Add that step."
        )
    if step.of is not None and step.of not in able:
        raise UsageError(
            f"The export {format} of the recipe {recipe.name!r} is of {step.of!r}, which has no "
            f"rows of that format. It is of {', '.join(able)}."
        )
    first: StepName | None = next((name for name in able if name in here), None)
    found = step.of or first
    if found is None:
        raise UsageError(
            f"The recipe {recipe.name!r} has no step whose run can be exported as {format}. Add "
            f"one of {', '.join(able)}."
        )
    return found
