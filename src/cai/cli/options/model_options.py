"""The options that every command with a model shares, and the speakers they make."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from typing import Any

import click

from cai.methods.revision import RevisionPlan, Speakers
from cai.methods.roles import Speaker
from cai.models.base import Model, Sampling
from cai.models.registry import SCHEMES, open_model
from cai.templates import TemplateSet, load_templates

_MODEL_OPTIONS = [
    click.option("-m", "--model", required=True, help=f"Who speaks: {SCHEMES}."),
    click.option("--critique-model", help="Who critiques, when not the same."),
    click.option("--revise-model", help="Who revises, when not the same."),
    click.option("--prompts", "templates", help="Template set, or a folder of your own templates."),
    click.option("--temperature", type=float, default=1.0, show_default=True, help="Of responses."),
    click.option(
        "--revision-temperature",
        type=float,
        default=0.3,
        show_default=True,
        help="Of critiques and revisions: colder, so that what is right is kept.",
    ),
    click.option("--top-p", type=float, default=1.0, show_default=True),
    click.option("--top-k", type=int, default=0, show_default=True, help="0 is off."),
    click.option("--max-tokens", type=int, default=512, show_default=True, help="Of each answer."),
]
_PLAN_OPTIONS = [
    click.option("-c", "--constitution", required=True, help="A shipped name or a YAML file."),
    click.option("--rounds", type=click.IntRange(0, 64), default=1, show_default=True),
    click.option("--tag", "tags", multiple=True, help="Draw only principles with this tag."),
    click.option("--few-shots", type=click.IntRange(0), default=0, show_default=True),
    click.option("--direct", "is_direct", is_flag=True, help="Revise without a critique."),
    click.option("--minimal", "is_minimal", is_flag=True, help="Ask for the smallest change."),
    click.option("--stop-early", "stops_early", is_flag=True, help="End when nothing is found."),
    click.option("--seed", type=int, default=0, show_default=True),
]


@dataclass(frozen=True, slots=True)
class Voices:
    """The model options as they were given."""

    model: str
    critique_model: str | None
    revise_model: str | None
    templates: str | None
    temperature: float
    revision_temperature: float
    top_p: float
    top_k: int
    max_tokens: int

    def open(self) -> Speakers:
        """The three speakers; a model that is named twice is opened once."""
        names = (self.model, self.critique_model or self.model, self.revise_model or self.model)
        models = {name: open_model(name) for name in dict.fromkeys(names)}
        sampling = self._sampling(self.revision_temperature)
        return Speakers(
            self._speaker(models[names[0]], self._sampling(self.temperature)),
            self._speaker(models[names[1]], sampling),
            self._speaker(models[names[2]], sampling),
        )

    def _sampling(self, temperature: float) -> Sampling:
        return sampling_of(temperature, self.top_p, self.top_k, self.max_tokens)

    def _speaker(self, model: Model, sampling: Sampling) -> Speaker:
        return Speaker(model, templates_for(model, self.templates), sampling)


def sampling_of(temperature: float, top_p: float, top_k: int, max_tokens: int) -> Sampling:
    """The sampling of these options. Raises click.UsageError where one is out of its range."""
    _check("--temperature", 0 <= temperature <= 100, temperature, "from 0 to 100")
    _check("--top-p", 0 < top_p <= 1, top_p, "above 0 and at most 1")
    _check("--top-k", top_k >= 0, top_k, "0 or more")
    _check("--max-tokens", max_tokens >= 1, max_tokens, "1 or more")
    return Sampling(temperature, top_p, top_k, max_tokens)


def templates_for(model: Model, name: str | None) -> TemplateSet:
    """The set of that name; without one, `chat`, or `transcript` for a base model."""
    templates = load_templates(name or ("chat" if model.is_chat else "transcript"))
    if templates.is_chat and not model.is_chat:
        raise click.UsageError(
            f"{model.name} has no chat template, and the template set {templates.name!r} is for "
            "chat models. Use --prompts transcript, or a folder whose set.yaml says "
            "`base: transcript`."
        )
    return templates


def speaking(command: Callable[..., int]) -> Callable[..., int]:
    """Gives a command the options of models and plan, gathered in `voices` and `plan`."""

    @wraps(command)
    def gathered(**options: Any) -> int:
        voices = Voices(**{field.name: options.pop(field.name) for field in fields(Voices)})
        plan = RevisionPlan(**{each.name: options.pop(each.name) for each in fields(RevisionPlan)})
        return command(voices=voices, plan=plan, **options)

    for option in reversed([*_PLAN_OPTIONS, *_MODEL_OPTIONS]):
        gathered = option(gathered)
    return gathered


def _check(name: str, is_right: bool, value: float, wanted: str) -> None:
    if not is_right:
        raise click.UsageError(f"{name} {value} is not possible; it is {wanted}.")
