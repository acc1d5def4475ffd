"""The options of commands that revise: the model of each role, and the settings."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from typing import Any

import click

from cai.cli.options.judge_options import constitution_option, seed_option
from cai.cli.options.run_options import with_options
from cai.cli.options.settings_options import with_settings
from cai.methods.revision import RevisionRoles
from cai.methods.settings import ReviseSettings
from cai.models.registry import SCHEMES, open_model


@dataclass(frozen=True, slots=True)
class RevisionModels:
    """The specs of the models that respond, critique and revise; None: the one that responds."""

    model: str
    critique_model: str | None
    revise_model: str | None

    def open(self, settings: ReviseSettings) -> RevisionRoles:
        """The models in their roles; one that is named twice is opened once."""
        names = (self.model, self.critique_model or self.model, self.revise_model or self.model)
        models = {name: open_model(name) for name in dict.fromkeys(names)}
        respond, critique, revise = (models[name] for name in names)
        cold = settings.revision_temperature
        return RevisionRoles(
            settings.role_model(respond, settings.temperature),
            settings.role_model(critique, cold),
            settings.role_model(revise, cold),
        )


_OPTIONS = [
    constitution_option(is_required=True),
    click.option("-m", "--model", required=True, help=f"Who responds: {SCHEMES}."),
    click.option("--critique-model", help="Who critiques, when not the same."),
    click.option("--revise-model", help="Who revises, when not the same."),
]


def with_revision(command: Callable[..., int]) -> Callable[..., int]:
    """Gives a command `models`, `constitution`, `settings` and `seed`."""

    @wraps(command)
    def gathered(**options: Any) -> int:
        names = [each.name for each in fields(RevisionModels)]
        models = RevisionModels(**{name: options.pop(name) for name in names})
        return command(models=models, **options)

    return with_options(
        with_settings(ReviseSettings)(with_options(gathered, [seed_option])), _OPTIONS
    )
