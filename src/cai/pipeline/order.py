"""The order of a recipe's steps and trainings, and what each training starts from and learns from.

The steps have the order of the method, and the trainings follow, unless a trained policy has a
role: then its training, with those before it, is done before the first step that uses it. So the
supervised policy gives the samples that are judged: Bai et al. 2022, arXiv:2212.08073, figure 1.

Example:
    >>> models = {"sample": "train/sft"}
    >>> recipe = Recipe(name="mine", models=models, revise={}, sample={}, train=[{"sft": {}}])
    >>> [work if isinstance(work, str) else work.name for work in ordered(recipe)]
    ['revise', 'sft', 'sample']
"""

from typing import TypeAlias

from cai.errors import UsageError
from cai.export.formats import METHODS_OF
from cai.pipeline.schema import STEP_NAMES, Recipe, RlTraining, StepName, TrainStep

Work: TypeAlias = StepName | TrainStep

TRAINED = "train/"
"""Before the name of a training, where a model is named."""


def is_trained(spec: str) -> bool:
    """Whether the spec names a training of the recipe, and not a model that exists already."""
    return spec.startswith(TRAINED)


def ordered(recipe: Recipe) -> tuple[Work, ...]:
    """The steps and the trainings in the order in which they are done; exports apart.

    Raises:
        UsageError: A role has a training that the recipe does not.
    """
    named = {
        f"{TRAINED}{each.name}": n for n, each in enumerate(recipe.train, 1) if each.spec.is_policy
    }
    for role, spec in recipe.models.items():
        if is_trained(spec) and spec not in named:
            known = ", ".join(named) or "none"
            raise UsageError(
                f"The role {role} of the recipe {recipe.name!r} has the model {spec!r}, and no "
                f"training of a policy has that name. There is {known}."
            )
    # Trainings never change places: each may start from the one before it. A step that needs one
    # of them therefore waits for all up to that one.
    n_trained = 0
    order: list[Work] = []
    for step, block in recipe.blocks.items():
        specs = [recipe.models[role] for role in block.roles if role in recipe.models]
        n_needed = max([n_trained, *(named[spec] for spec in specs if is_trained(spec))])
        order.extend(recipe.train[n_trained:n_needed])
        order.append(step)
        n_trained = n_needed
    return (*order, *recipe.train[n_trained:])


def trained_before(recipe: Recipe, training: TrainStep) -> tuple[TrainStep, ...]:
    """The trainings that are done before it."""
    # by identity: two trainings with the same settings are equal
    n = next(n for n, each in enumerate(recipe.train) if each is training)
    return recipe.train[:n]


def data_of(recipe: Recipe, training: TrainStep) -> tuple[str, ...]:
    """The steps, run folders and files that it is trained on; empty for the recipe's prompts.

    Raises:
        UsageError: A step that it names is not done before it, or has no such rows; or it names
            nothing, and no step before it has such rows.
    """
    label, order = label_of(recipe, training), ordered(recipe)
    n_before = next(n for n, each in enumerate(order) if each is training)
    steps = [each for each in order[:n_before] if isinstance(each, str)]
    able = METHODS_OF[training.spec.rows]
    for name in training.part.data:
        if name in STEP_NAMES and name not in able:
            raise UsageError(
                f"{label} is on {name!r}, which has no rows for {training.spec.name}. It is on "
                f"{', '.join(able)}, or on files."
            )
        if name in STEP_NAMES and name not in steps:
            raise UsageError(
                f"{label} is on {name!r}, which is not done before it. Before it there is "
                f"{', '.join(steps) or 'no step'}; name files of your own otherwise."
            )
    # RL learns from prompts alone, which are those of the recipe; all others need rows of a step.
    if training.part.data or isinstance(training.part, RlTraining):
        return training.part.data
    first = next((name for name in able if name in steps), None)
    if first is None:
        raise UsageError(
            f"{label} has nothing to train on: none of {', '.join(able)} is done before it. Add "
            "such a step, or name files under data:."
        )
    return (first,)


def start_of(recipe: Recipe, training: TrainStep) -> TrainStep | str | None:
    """The training whose policy it starts from, or a model's spec; None for that of `respond`.

    Raises:
        UsageError: It starts from a reward model.
    """
    label, earlier = label_of(recipe, training), trained_before(recipe, training)
    start = training.part.start
    if start is None:
        # By default trainings form a chain: SL from the start model, RL from SL.
        return next((each for each in reversed(earlier) if each.spec.is_policy), None)
    named = start.removeprefix(TRAINED)
    parent = next((each for each in earlier if each.name == named), None)
    if parent is None and (is_trained(start) or any(each.name == start for each in recipe.train)):
        raise UsageError(
            f"{label} starts from {start!r}, which is not trained before it. Name a training that "
            "is, or a model."
        )
    if parent is not None and not parent.spec.is_policy:
        raise UsageError(f"{label} starts from {start!r}, a reward model. Name a policy.")
    return parent or start


def label_of(recipe: Recipe, training: TrainStep) -> str:
    """The training as messages name it: "The training dpo of the recipe 'mine'"."""
    return f"The training {training.name} of the recipe {recipe.name!r}"
