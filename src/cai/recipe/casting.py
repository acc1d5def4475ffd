"""Who plays which role of a recipe."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from cai.errors import UsageError
from cai.models.opening import open_model
from cai.models.protocol import Model, Sampling
from cai.prompts import load_templates
from cai.recipe.ordering import is_trained
from cai.recipe.parts import Role
from cai.recipe.schema import Recipe
from cai.speaker import Speaker


@dataclass(frozen=True, slots=True)
class Cast:
    """Which model plays which role, and through which templates; the default plays the others.

    `start` is the spec of the model that trainings start from where the recipe says nothing. The
    `jury` judges beside the judge.
    """

    default: Model
    roles: Mapping[Role, Model]
    templates: str | None = None
    start: str | None = None
    jury: tuple[Model, ...] = ()

    def speaker(self, role: Role, sampling: Sampling) -> Speaker:
        return self._speaking(self.roles.get(role, self.default), sampling)

    def judges(self, sampling: Sampling) -> tuple[Speaker, ...]:
        """The judge, and the jury after it."""
        others = (self._speaking(model, sampling) for model in self.jury)
        return (self.speaker("judge", sampling), *others)

    def recast(self, model: Model, roles: tuple[Role, ...]) -> "Cast":
        """The cast with that model in these roles."""
        return replace(self, roles={**self.roles, **dict.fromkeys(roles, model)})

    def _speaking(self, model: Model, sampling: Sampling) -> Speaker:
        if self.templates is None:
            return Speaker.of(model, sampling)
        return Speaker(model, load_templates(self.templates), sampling)


def cast_of(recipe: Recipe, model: str | None) -> Cast:
    """The recipe's models, opened, but of trainings; one that is named twice is opened once.

    `model` plays every role that has none.

    Raises:
        UsageError: No model is named, or the jury has one that is yet to be trained.
        ModelError: A model is not there or cannot be loaded.
    """
    specs: dict[Role, str] = {
        role: spec for role, spec in recipe.models.items() if not is_trained(spec)
    }
    for spec in recipe.jury:
        if is_trained(spec):
            raise UsageError(
                f"The jury of the recipe {recipe.name!r} has {spec!r}, which is yet to be trained. "
                "A policy of the recipe can be its judge; name the others of the jury as models."
            )
    default = model or specs.get("respond")
    if default is None:
        raise UsageError("Name a model with -m, or in the recipe under models: respond.")
    named = {default, *specs.values(), *recipe.jury}
    opened: dict[str, Model] = {spec: open_model(spec) for spec in sorted(named)}
    by_role: dict[Role, Model] = {role: opened[spec] for role, spec in specs.items()}
    jury = tuple(opened[spec] for spec in recipe.jury)
    start = recipe.models.get("respond", model)
    return Cast(opened[default], by_role, recipe.templates, start, jury)
