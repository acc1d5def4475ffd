"""The options of a step's settings, derived from the fields of its type in `methods/settings.py`.

Each field becomes one option: its name, or the flag it declares, its default, its range and its
help. The type itself validates the values, and the command gets them as one object.

Example:
    @click.command()
    @with_settings(JudgeSettings)
    def judge(settings: JudgeSettings) -> int: ...
"""

from collections.abc import Callable, Collection, Iterable
from functools import wraps
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeAlias, Union, get_args, get_origin

import annotated_types
import click
from click.core import ParameterSource
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from cai.errors import UsageError
from cai.methods.settings import Option, StepSettings

PATH = click.Path(path_type=Path)
SETTING = "setting_"
"""With which the names of parameters of settings begin."""

Command: TypeAlias = Callable[..., int]
Decorator: TypeAlias = Callable[[Command], Command]


def with_options(command: Command, options: Iterable[Decorator]) -> Command:
    """The command with the options, which its help lists in this order."""
    # click lists the option that was applied last first, so they are applied from the end
    for option in reversed(list(options)):
        command = option(command)
    return command


def refuse_options(is_refused: Callable[[str], bool], why: str) -> None:
    """Refuses the options of the current command that were given and that `is_refused` names.

    Names are those of the command's parameters. An option that changes nothing would leave
    somebody in the belief that it did.

    Raises:
        UsageError: One was given; `why` says in which case it has no effect.
    """
    context = click.get_current_context()
    for option in context.command.params:
        name = option.name or ""
        is_given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if isinstance(option, click.Option) and is_given and is_refused(name):
            raise click.UsageError(f"{option.opts[-1]} has no effect {why}. Leave it out.")


def with_object(
    name: str,
    make: Callable[..., object],
    parameters: Collection[str],
    options: Iterable[Decorator],
) -> Decorator:
    """A decorator: adds the options to a command, and passes one object made of their values.

    `make` gets the values of the `parameters` by keyword; its result is the argument `name`.

    Example:
        pairs = with_object("selection", Selection, ("pairs",), [click.option("--pairs")])
    """

    def decorate(command: Command) -> Command:
        @wraps(command)
        def run(**values: Any) -> int:
            own = {parameter: values.pop(parameter) for parameter in parameters}
            return command(**{name: make(**own)}, **values)

        return with_options(run, options)

    return decorate


def with_settings(kind: type[StepSettings], *, leave_out: Collection[str] = ()) -> Decorator:
    """Adds the options of these settings to a command, which gets the object as `settings`.

    Fields to `leave_out` have no option and stay at their defaults.

    Raises:
        UsageError: From the command, where a value breaks the type; it names the flag.
    """
    # A command may have a parameter of its own with the name of a field, such as `principles` of
    # `cai serve`, so the parameters of settings get a prefix that no command uses.
    variables = {f"{SETTING}{key}": key for key in kind.model_fields if key not in leave_out}

    def validated(**values: Any) -> StepSettings:
        try:
            return kind.model_validate({variables[name]: value for name, value in values.items()})
        except ValidationError as error:
            first = error.errors()[0]
            # a rule over several fields has no location, and its message names them itself
            name = str(first["loc"][0]) if first["loc"] else ""
            raise UsageError(f"{_flag(kind, name)}: {first['input']!r} {first['msg']}.") from None

    options = [setting_option(kind, key, variable) for variable, key in variables.items()]
    return with_object("settings", validated, variables, options)


def setting_option(kind: type[StepSettings], name: str, variable: str = "") -> Decorator:
    """The option of one field, passed to the command as `variable`, by default the field's name."""
    field = kind.model_fields[name]
    extra, default = _extra(field), field.default
    declared: dict[str, Any] = {"default": default}
    if extra.parse is not None:
        parse = extra.parse

        def parsed(_: click.Context, __: click.Parameter, value: str) -> object:
            try:
                return parse(value)
            except ValueError as error:
                raise click.BadParameter(str(error)) from None

        declared = {"default": extra.default, "callback": parsed, "metavar": extra.metavar}
    elif field.annotation is bool:
        # --a/--no-a is a switch for click already; with is_flag it would lose its second half
        if "/" not in _flag(kind, name):
            declared |= {"is_flag": True, "show_default": False}
    elif get_origin(field.annotation) is tuple:
        item = _click_type(get_args(field.annotation)[0], [])
        declared = {"default": list(default), "type": item, "multiple": True}
    else:
        declared |= {
            "type": _click_type(field.annotation, field.metadata),
            "metavar": extra.metavar,
        }
    return click.option(
        _flag(kind, name), variable or name, help=field.description or "", **declared
    )


def _extra(field: FieldInfo) -> Option:
    return next((each for each in field.metadata if isinstance(each, Option)), Option())


def _flag(kind: type[StepSettings], name: str) -> str:
    field = kind.model_fields.get(name)
    flag = _extra(field).flag if field is not None else None
    return flag or f"--{name.replace('_', '-')}"


def _click_type(annotation: Any, metadata: list[Any]) -> click.ParamType[Any] | type:
    """The click type of a field's type, with its range where it has one."""
    if get_origin(annotation) is Literal:
        return click.Choice(get_args(annotation))
    if get_origin(annotation) in (Union, UnionType):  # X | None
        [inner] = [each for each in get_args(annotation) if each is not type(None)]
        return _click_type(inner, metadata)
    if hasattr(annotation, "__metadata__"):  # Annotated
        return _click_type(annotation.__origin__, [*annotation.__metadata__, *metadata])
    limits: dict[str, Any] = {}
    for each in metadata:
        # Field(ge=0) hides its constraints inside a FieldInfo; pydantic's own fields list them
        for constraint in each.metadata if isinstance(each, FieldInfo) else [each]:
            match constraint:
                case annotated_types.Ge(ge):
                    limits["min"] = ge
                case annotated_types.Gt(gt):
                    limits |= {"min": gt, "min_open": True}
                case annotated_types.Le(le):
                    limits["max"] = le
                case annotated_types.Lt(lt):
                    limits |= {"max": lt, "max_open": True}
                case _:
                    pass
    if annotation is int:
        return click.IntRange(**limits) if limits else int
    if annotation is float:
        return click.FloatRange(**limits) if limits else float
    return str
