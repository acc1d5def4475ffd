"""In which order the steps and trainings of a recipe are done.

The steps stand in the order of the chain, and the trainings after them, unless a policy that is
trained plays a role: then its training, with those before it, is done before the step it plays in.
So the supervised policy of Bai et al. 2022, arXiv:2212.08073, figure 1, gives the samples that are
judged.
"""

from collections.abc import Mapping
from typing import TypeAlias

from cai.errors import UsageError
from cai.export.formats import Format
from cai.pipeline.schema import Recipe
from cai.pipeline.train_steps import RlTraining, Role, StepName, TrainStep

Work: TypeAlias = StepName | TrainStep

TRAINED = "train/"
"""Before the name of a training, where a model is named."""

_PLAYING: Mapping[StepName, tuple[Role, ...]] = {
    "revise": ("respond", "critique", "revise"),
    "sample": ("sample",),
    "judge": ("judge",),
    "score": ("judge",),
}
_PREFERENCES: tuple[StepName, ...] = ("judge", "revise")
GIVING: Mapping[Format, tuple[StepName, ...]] = {
    "sft": ("revise", "judge", "sample", "score"),
    "preference": _PREFERENCES,
    "reward": _PREFERENCES,
    "kto": ("judge", "revise", "score"),
    "prompts": ("revise", "sample", "judge"),
    "everything": ("judge", "score", "revise", "sample"),
}
"""Of the rows of each format, the steps that can give them; the first that was done does."""


def is_trained(spec: str) -> bool:
    """Whether that names a training of the recipe, and no model that there is already."""
    return spec.startswith(TRAINED)


def roles_of(recipe: Recipe, training: TrainStep) -> tuple[Role, ...]:
    """The roles that its policy plays."""
    return tuple(
        role for role, spec in recipe.models.items() if spec == f"{TRAINED}{training.name}"
    )


def ordered(recipe: Recipe) -> tuple[Work, ...]:
    """The steps and the trainings in the order in which they are done; exports apart.

    Raises:
        UsageError: A role is played by a training that there is not.
    """
    named = {
        f"{TRAINED}{each.name}": n for n, each in enumerate(recipe.train, 1) if each.spec.is_policy
    }
    for role, spec in recipe.models.items():
        if is_trained(spec) and spec not in named:
            known = ", ".join(named) or "none"
            raise UsageError(
                f"The role {role} of the recipe {recipe.name!r} is played by {spec!r}, and no "
                f"training of a policy has that name. There is {known}."
            )
    done = 0
    found: list[Work] = []
    for step in recipe.steps:
        specs = [recipe.models[role] for role in _PLAYING[step] if role in recipe.models]
        upto = max([done, *(named[spec] for spec in specs if is_trained(spec))])
        found.extend(recipe.train[done:upto])
        found.append(step)
        done = upto
    return (*found, *recipe.train[done:])


def before(recipe: Recipe, training: TrainStep) -> tuple[Work, ...]:
    """What is done before the training."""
    order = ordered(recipe)
    place = next(n for n, each in enumerate(order) if each is training)
    return order[:place]


def trained_before(recipe: Recipe, training: TrainStep) -> tuple[TrainStep, ...]:
    """The trainings that are done before it."""
    return tuple(each for each in before(recipe, training) if isinstance(each, TrainStep))


def data_of(recipe: Recipe, training: TrainStep) -> tuple[str, ...]:
    """The steps, run folders and files that it is trained on; none stands for the recipe's prompts.

    Raises:
        UsageError: A step that it names is not done before it, or has no such rows; or it names
            nothing, and no step before it has such rows.
    """
    steps = [each for each in before(recipe, training) if isinstance(each, str)]
    able = GIVING[training.spec.rows]
    for name in training.part.data:
        if name in _PLAYING and name not in able:
            raise UsageError(
                f"{said(recipe, training)} is on {name!r}, which has no rows for "
                f"{training.spec.name}. It is on {', '.join(able)}, or on files."
            )
        if name in _PLAYING and name not in steps:
            raise UsageError(
                f"{said(recipe, training)} is on {name!r}, which is not done before it. Before it "
                f"there is {', '.join(steps) or 'no step'}; name files of your own otherwise."
            )
    if training.part.data or isinstance(training.part, RlTraining):
        return training.part.data
    first = next((name for name in able if name in steps), None)
    if first is None:
        raise UsageError(
            f"{said(recipe, training)} has nothing to train on: none of {', '.join(able)} is done "
            "before it. Add such a step, or name files under data:."
        )
    return (first,)


def start_of(recipe: Recipe, training: TrainStep) -> TrainStep | str | None:
    """The training whose policy it starts from, or a model's spec; None for that of `respond`.

    Raises:
        UsageError: It starts from a reward model.
    """
    earlier = trained_before(recipe, training)
    start = training.part.start
    if start is None:
        return next((each for each in reversed(earlier) if each.spec.is_policy), None)
    named = start.removeprefix(TRAINED)
    found = next((each for each in earlier if each.name == named), None)
    if found is None and (is_trained(start) or any(each.name == start for each in recipe.train)):
        raise UsageError(
            f"{said(recipe, training)} starts from {start!r}, which is not trained before it. Name "
            "a training that is, or a model."
        )
    if found is not None and not found.spec.is_policy:
        raise UsageError(
            f"{said(recipe, training)} starts from {start!r}, which is a reward model. Name a "
            "policy."
        )
    return found or start


def reward_of(recipe: Recipe, training: TrainStep, named: str) -> TrainStep | str:
    """The training of that reward model, or the folder that is named.

    Raises:
        UsageError: It is the name of another training, or of one that is not done before.
    """
    rewards = [each for each in trained_before(recipe, training) if not each.spec.is_policy]
    found = next((each for each in rewards if each.name == named), None)
    if found is None and any(each.name == named for each in recipe.train):
        raise UsageError(
            f"{said(recipe, training)} is rewarded by {named!r}, which is no reward model that is "
            "trained before it. Name one that is, or a folder."
        )
    return found or named


def said(recipe: Recipe, training: TrainStep) -> str:
    """The training as messages name it."""
    return f"The training {training.name} of the recipe {recipe.name!r}"
