"""The options of commands with judges: who judges, by which constitution, and how."""

from collections.abc import Callable, Collection, Sequence

import click

from cai.cli.options.run_options import with_options
from cai.cli.options.settings_options import Command, with_settings
from cai.errors import UsageError
from cai.methods.roles import RoleModel
from cai.methods.settings import JudgeSettings, ScoreSettings
from cai.models.registry import SCHEMES, open_model

seed_option = click.option("--seed", type=int, default=0, show_default=True)


def constitution_option(*, is_required: bool) -> Callable[[Command], Command]:
    return click.option(
        "-c", "--constitution", required=is_required, help="A shipped name or a YAML file."
    )


def with_judges(
    kind: type[JudgeSettings] | type[ScoreSettings] = JudgeSettings,
    *,
    is_required: bool = True,
    has_constitution: bool = True,
    leave_out: Collection[str] = (),
) -> Callable[[Command], Command]:
    """Gives a command `judges` (specs), `constitution`, `settings` of that kind, and `seed`.

    A command that also works without a judge does not require one. One whose argument is the
    constitution has no option for it.
    """
    options = [
        click.option(
            "-m",
            "--model",
            "judges",
            multiple=True,
            required=is_required,
            help=f"Who judges, several for a jury: {SCHEMES}.",
        )
    ]
    if has_constitution:
        options.append(constitution_option(is_required=is_required))

    def decorate(command: Command) -> Command:
        with_all = with_settings(kind, leave_out=leave_out)(with_options(command, [seed_option]))
        return with_options(with_all, options)

    return decorate


def open_judges(
    specs: Sequence[str], settings: JudgeSettings | ScoreSettings
) -> tuple[RoleModel, ...]:
    """The judges, in the order of their names. Raises CaiError where one cannot be opened."""
    return tuple(settings.role_model(open_model(spec)) for spec in specs)


def check_both_named(judges: Sequence[str], constitution: str | None) -> None:
    """Nothing, where there is a judge with a constitution, or neither of them.

    Raises:
        UsageError: One is there without the other.
    """
    if judges and constitution is None:
        raise UsageError("A judge is named and no constitution to judge by. Name one with -c.")
    if constitution is not None and not judges:
        raise UsageError(
            "A constitution is named and no judge. Name one with -m, or leave both out."
        )
