"""The options that commands with judges share, and the judges and plans they make."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from typing import Any, TypeVar

import click

from cai.cli.options.model_options import sampling_of, templates_for
from cai.cli.options.run_options import with_options
from cai.errors import UsageError
from cai.methods.judging.pairwise import JudgePlan
from cai.methods.judging.pointwise import ScorePlan
from cai.methods.roles import Speaker
from cai.models.registry import SCHEMES, open_model

Command = Callable[..., int]
Option = Callable[[Command], Command]
P = TypeVar("P", JudgePlan, ScorePlan)


def _principles(_: click.Context, param: click.Parameter, value: str) -> int | None:
    if value == "all":
        return None
    if not value.isascii() or not value.isdigit() or int(value) < 1:
        raise click.BadParameter(f"{value!r} is neither 'all' nor a whole number above 0.")
    return int(value)


def _clamp(_: click.Context, param: click.Parameter, value: str) -> tuple[float, float] | None:
    if value == "off":
        return None
    try:
        low, high = (float(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(
            f"{value!r} is neither 'off' nor two numbers such as 0.4,0.6."
        ) from None
    return low, high


_JUDGE_OPTIONS = [
    click.option("--tag", "tags", multiple=True, help="Only principles with this tag."),
    click.option("--prompts", "templates", help="Template set, or a folder of your own templates."),
    click.option(
        "--verdicts",
        type=click.Choice(["auto", "logprobs", "parsed"]),
        default="auto",
        show_default=True,
        help="Read from log-probabilities, from words, or from what the model has.",
    ),
    click.option(
        "--samples",
        type=click.IntRange(1),
        default=1,
        show_default=True,
        help="Of what a judge writes.",
    ),
    click.option(
        "--judge-temperature",
        type=float,
        default=0.0,
        show_default=True,
        help="Of what a judge writes; above 0 for several samples.",
    ),
    click.option("--max-tokens", type=int, default=512, show_default=True, help="Of each answer."),
    click.option("--seed", type=int, default=0, show_default=True),
]
principles_option = click.option(
    "--principles",
    "n_principles",
    callback=_principles,
    metavar="all|N",
    default="all",
    show_default=True,
    help="Judge under all, or under N drawn by weight for each comparison.",
)
_PLAN_OPTIONS = [
    click.option(
        "--rationale/--no-rationale",
        "has_rationale",
        default=False,
        show_default=True,
        help="Ask for an assessment before the verdict.",
    ),
    click.option(
        "--clamp",
        callback=_clamp,
        metavar="LO,HI|off",
        default="0.4,0.6",
        show_default=True,
        help="Bounds of the probability after a rationale.",
    ),
    click.option("--negated", "with_negated", is_flag=True, help="Ask each question reversed too."),
    click.option("--few-shots", type=click.IntRange(0), default=0, show_default=True),
    click.option(
        "--tie-margin",
        type=click.FloatRange(0, 0.5),
        default=0.0,
        show_default=True,
        help="Within this of one half is a tie.",
    ),
]
_KIND = click.option(
    "--kind",
    type=click.Choice(["mark", "check"]),
    default="mark",
    show_default=True,
    help="A mark from 1 to 10, or passed and failed.",
)


@dataclass(frozen=True, slots=True)
class JudgeChoice:
    """The options of judges as they were given."""

    models: tuple[str, ...]
    templates: str | None
    judge_temperature: float
    max_tokens: int

    def open(self) -> tuple[Speaker, ...]:
        """The judges, in the order of their names."""
        sampling = sampling_of(self.judge_temperature, 1.0, 0, self.max_tokens)
        opened = [open_model(name) for name in self.models]
        return tuple(
            Speaker(each, templates_for(each, self.templates), sampling) for each in opened
        )


T = TypeVar("T", JudgeChoice, JudgePlan, ScorePlan)


def judging(command: Command) -> Command:
    """Gives a command the options of judges and plan: `judges` and `plan`.

    What is left to it: `constitution`, `verdicts` and `seed`.
    """
    options = [_models(is_required=True), _constitution(is_required=True)]
    return with_options(
        _with_judges(JudgePlan, command),
        [*options, *_JUDGE_OPTIONS, principles_option, *_PLAN_OPTIONS],
    )


def judging_if_named(command: Command) -> Command:
    """As `judging`, but without a judge or a constitution the command looks to itself."""
    options = [_models(is_required=False), _constitution(is_required=False)]
    return with_options(
        _with_judges(JudgePlan, command),
        [*options, *_JUDGE_OPTIONS, principles_option, *_PLAN_OPTIONS],
    )


def judging_an_argument(command: Command) -> Command:
    """As `judging`, for a command that has constitution and principles of its own."""
    options = [_models(is_required=True), *_JUDGE_OPTIONS, *_PLAN_OPTIONS]
    return with_options(_with_judges(JudgePlan, command), options)


def scoring(command: Command) -> Command:
    """As `judging`, with a plan for scores."""
    options = [_models(is_required=True), _constitution(is_required=True), *_JUDGE_OPTIONS, _KIND]
    return with_options(_with_judges(ScorePlan, command), options)


def checking_if_named(command: Command) -> Command:
    """As `scoring`, but without a judge or a constitution; the command knows the kind of score."""
    options = [_models(is_required=False), _constitution(is_required=False), *_JUDGE_OPTIONS]
    return with_options(_with_judges(ScorePlan, command), options)


def check_both_named(judges: JudgeChoice, constitution: str | None) -> None:
    """Nothing, where there is a judge with a constitution, or neither of them.

    Raises:
        UsageError: One is there without the other.
    """
    if judges.models and constitution is None:
        raise UsageError("A judge is named and no constitution to judge by. Name one with -c.")
    if constitution is not None and not judges.models:
        raise UsageError(
            "A constitution is named and no judge. Name one with -m, or leave both out."
        )


def _with_judges(kind: type[P], command: Command) -> Command:
    @wraps(command)
    def gathered(**options: Any) -> int:
        judges = _gathered(JudgeChoice, options)
        return command(judges=judges, plan=_gathered(kind, options), **options)

    return gathered


def _models(*, is_required: bool) -> Option:
    return click.option(
        "-m",
        "--model",
        "models",
        multiple=True,
        required=is_required,
        help=f"Who judges, several for a jury: {SCHEMES}.",
    )


def _constitution(*, is_required: bool) -> Option:
    return click.option(
        "-c", "--constitution", required=is_required, help="A shipped name or a YAML file."
    )


def _gathered(kind: type[T], options: dict[str, Any]) -> T:
    """The object, of the options that are named as its fields; the others are at their defaults."""
    named = [each.name for each in fields(kind) if each.name in options]
    return kind(**{name: options.pop(name) for name in named})
