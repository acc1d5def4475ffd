"""Who plays which role of a recipe."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from cai.models.protocol import Model, Sampling
from cai.prompts import load_templates
from cai.recipe.parts import Role
from cai.speaker import Speaker


@dataclass(frozen=True, slots=True)
class Cast:
    """Which model plays which role, and through which templates; the default plays the others.

    `start` is the spec of the model that trainings start from where the recipe says nothing.
    """

    default: Model
    roles: Mapping[Role, Model]
    templates: str | None = None
    start: str | None = None

    def speaker(self, role: Role, sampling: Sampling) -> Speaker:
        model = self.roles.get(role, self.default)
        if self.templates is None:
            return Speaker.of(model, sampling)
        return Speaker(model, load_templates(self.templates), sampling)

    def recast(self, model: Model, roles: tuple[Role, ...]) -> "Cast":
        """The cast with that model in these roles."""
        return replace(self, roles={**self.roles, **dict.fromkeys(roles, model)})
