"""The options that name models: judges with their constitution, policies, roles of a revision.

Models are passed as specs and opened by the command itself, after everything else was checked:
loading weights takes minutes, and a wrong file name should not cost them.

Example:
    @click.command()
    @with_judges(ScoreSettings)
    def score(judges, constitution, settings, seed) -> int:
        roles = open_judges(judges, settings)
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields

import click

from cai.cli.options.settings_options import (
    Command,
    Decorator,
    with_object,
    with_options,
    with_settings,
)
from cai.errors import UsageError
from cai.methods.revision import RevisionRoles
from cai.methods.roles import RoleModel
from cai.methods.settings import JudgeSettings, ReviseSettings, ScoreSettings
from cai.models.base import Sampling
from cai.models.registry import SCHEMES, open_model

seed_option = click.option("--seed", type=int, default=0)


def constitution_option(*, is_required: bool) -> Decorator:
    return click.option(
        "-c", "--constitution", required=is_required, help="A shipped name or a YAML file."
    )


def with_judges(
    kind: type[JudgeSettings] | type[ScoreSettings] = JudgeSettings,
    *,
    is_required: bool = True,
    has_constitution: bool = True,
    leave_out: Collection[str] = (),
) -> Decorator:
    """Gives a command `judges` (specs), `constitution`, `settings` of that kind, and `seed`.

    `is_required` is False for commands that also work without a judge, `has_constitution` for
    those whose argument is the constitution.
    """
    options = [
        click.option(
            "-m",
            "--model",
            "judges",
            multiple=True,
            required=is_required,
            help=f"Judge model (repeat for an ensemble): {SCHEMES}.",
        )
    ]
    if has_constitution:
        options.append(constitution_option(is_required=is_required))
    options += [with_settings(kind, leave_out=leave_out), seed_option]
    return lambda command: with_options(command, options)


def open_judges(
    specs: Sequence[str], settings: JudgeSettings | ScoreSettings
) -> tuple[RoleModel, ...]:
    """The judges, in the order of their names. Raises CaiError where one cannot be opened."""
    return tuple(settings.role_model(open_model(spec)) for spec in specs)


def check_both_named(judges: Sequence[str], constitution: str | None) -> None:
    """Checks that judge and constitution are both given, or neither.

    Raises:
        UsageError: One is given without the other.
    """
    if judges and constitution is None:
        raise UsageError("A judge is named and no constitution to judge by. Name one with -c.")
    if constitution is not None and not judges:
        raise UsageError(
            "A constitution is named and no judge. Name one with -m, or leave both out."
        )


def with_sampling(*, temperature: float) -> Decorator:
    """Gives a command `sampling`: how policies respond, with that temperature by default."""

    def make(temperature: float, response_tokens: int) -> Sampling:
        return Sampling(temperature, max_tokens=response_tokens)

    options = [
        click.option(
            "--temperature", type=click.FloatRange(0, 100), default=temperature, help="Of policies."
        ),
        click.option(
            "--response-tokens", type=click.IntRange(1), default=512, help="Most of a response."
        ),
    ]
    return with_object("sampling", make, ("temperature", "response_tokens"), options)


@dataclass(frozen=True, slots=True)
class RevisionModels:
    """The specs of the models that respond, critique and revise; None is the one that responds."""

    model: str
    critique_model: str | None
    revise_model: str | None

    def open(self, settings: ReviseSettings) -> RevisionRoles:
        """The models in their roles. Raises CaiError where one cannot be opened."""
        names = (self.model, self.critique_model or self.model, self.revise_model or self.model)
        # one spec is opened once: three copies of the same weights would not fit the memory
        models = {name: open_model(name) for name in dict.fromkeys(names)}
        respond, critique, revise = (models[name] for name in names)
        # Critiques and revisions are sampled colder than responses: variety belongs to the first
        # text.
        cold = settings.revision_temperature
        return RevisionRoles(
            settings.role_model(respond, settings.temperature),
            settings.role_model(critique, cold),
            settings.role_model(revise, cold),
        )


def with_revision(command: Command) -> Command:
    """Gives a command `models`, `constitution`, `settings` and `seed`."""
    models = [
        click.option("-m", "--model", required=True, help=f"Model that responds: {SCHEMES}."),
        click.option("--critique-model", help="Model that critiques, if another."),
        click.option("--revise-model", help="Model that revises, if another."),
    ]
    options = [
        constitution_option(is_required=True),
        with_object(
            "models", RevisionModels, [each.name for each in fields(RevisionModels)], models
        ),
        with_settings(ReviseSettings),
        seed_option,
    ]
    return with_options(command, options)
