"""The settings of each step, declared once.

A setting is one field here: its name, type, range, default and help text. The options of the
command line, the keys of a recipe, what a run folder writes down, the columns of exports and the
tables of the documentation are derived from these types, and every judge, that of a reward or a
server included, is asked by the same `JudgeSettings`.

Example:
    >>> settings = JudgeSettings(rationale=True, tags=("harm",))
    >>> settings.clamp
    (0.4, 0.6)
    >>> ScoreSettings.from_settings(settings, kind="check").tags
    ('harm',)
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, PlainSerializer

from cai.constitution.schema import Compose
from cai.methods.roles import RoleModel
from cai.models.base import Model, Sampling

Count = Annotated[int, Field(strict=True, ge=1)]
Natural = Annotated[int, Field(strict=True, ge=0)]
Temperature = Annotated[float, Field(strict=True, ge=0, le=100, allow_inf_nan=False)]
Share = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]
Margin = Annotated[float, Field(strict=True, ge=0, le=0.5, allow_inf_nan=False)]
Switch = Annotated[bool, Field(strict=True)]
Text = Annotated[str, Field(min_length=1)]

VerdictSource = Literal["auto", "logprobs", "parsed"]
"""Log-probabilities where there are any, log-probabilities or an error, or written verdicts."""

ScoreKind = Literal["mark", "check"]
ModelRole = Literal["respond", "critique", "revise", "sample", "judge"]
"""The role of a model in a recipe: a key of its `models`."""


@dataclass(frozen=True, slots=True)
class Option:
    """What the command line needs to know of a setting beyond its type.

    `flag` is its name where that is not the field's own. `parse` makes the value from a text that
    click has no type for, and raises ValueError with the reason; `default` is then the text shown.
    """

    flag: str | None = None
    metavar: str | None = None
    parse: Callable[[str], object] | None = None
    default: str | None = None


@dataclass(frozen=True, slots=True)
class PartOfRole:
    """Marks a setting that a run writes down with the model it is for, and not once more."""


class StepSettings(BaseModel):
    """Base of the settings of a step: fields only, unknown ones are refused, nothing changes.

    `roles` are those of the models that the step asks.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    roles: ClassVar[tuple[ModelRole, ...]]

    @classmethod
    def from_settings(cls, other: "StepSettings", **update: object) -> Self:
        """Settings of this type from the fields that `other` has by the same name."""
        # Through validation, and not by model_copy: another type may have narrower ranges.
        names = cls.model_fields.keys() & type(other).model_fields.keys()
        return cls.model_validate({name: getattr(other, name) for name in names} | update)

    # A model given from Python may have a sampling of its own, so what it was sampled with is
    # written down with the model; a second copy under the settings could contradict it.
    @classmethod
    def role_fields(cls) -> frozenset[str]:
        """The fields that are written down with a model."""
        fields = cls.model_fields.items()
        return frozenset(n for n, f in fields if any(isinstance(m, PartOfRole) for m in f.metadata))

    def decisive(self) -> dict[str, JsonValue]:
        """What decides a run beside its models, as JSON."""
        return self.model_dump(mode="json", exclude=set(self.role_fields()))

    def without_role_fields(self) -> Self:
        """The same with those fields at their defaults: what decides a run beside its models."""
        own = type(self).model_fields.keys() - self.role_fields()
        return type(self).model_validate({name: getattr(self, name) for name in own})


AsDecided = PlainSerializer(lambda settings: settings.decisive(), when_used="always")
"""Writes settings without what is written down with the models."""

_TAGS = "Only principles with this tag."
_TEMPLATES = "Template set, or a folder of your own templates."

Tags = Annotated[tuple[Text, ...], Option("--tag"), Field(description=_TAGS)]
Templates = Annotated[Text | None, Option("--prompts"), PartOfRole(), Field(description=_TEMPLATES)]
MaxTokens = Annotated[Count, PartOfRole(), Field(description="Most tokens of each answer.")]
FewShots = Annotated[
    Natural, Field(description="How many of the principle's own examples are shown first.")
]


class DecodingSettings(StepSettings):
    """How responses are sampled from a policy."""

    templates: Templates = None
    top_p: Annotated[
        float,
        PartOfRole(),
        Field(strict=True, gt=0, le=1, description="Nucleus sampling; 1 is off."),
    ] = 1.0
    top_k: Annotated[
        Natural, PartOfRole(), Field(description="Sample from the K likeliest tokens; 0 is off.")
    ] = 0
    max_tokens: MaxTokens = 512

    def role_model(self, model: Model, temperature: float) -> RoleModel:
        """The model as it is sampled. Raises UsageError where the templates do not fit."""
        sampling = Sampling(temperature, self.top_p, self.top_k, self.max_tokens)
        return RoleModel.of(model, sampling, self.templates)


class ReviseSettings(DecodingSettings):
    """How a response is critiqued and revised. Bai et al. 2022, arXiv:2212.08073, §3.1.

    The paper used 4 rounds, and responses, critiques and revisions at temperature 1. Critiques and
    revisions are colder here, so that what is right is kept. `direct` is §3.5.
    """

    roles = ("respond", "critique", "revise")

    rounds: Annotated[
        int, Field(strict=True, ge=0, le=64, description="Critique-revision pairs.")
    ] = 1
    tags: Annotated[
        tuple[Text, ...], Option("--tag"), Field(description="Draw only principles with this tag.")
    ] = ()
    few_shots: FewShots = 0
    direct: Annotated[Switch, Field(description="Revise without a critique.")] = False
    minimal: Annotated[Switch, Field(description="Ask for the smallest change.")] = False
    stop_early: Annotated[Switch, Field(description="End when a critique finds nothing.")] = False
    temperature: Annotated[Temperature, PartOfRole(), Field(description="Of responses.")] = 1.0
    revision_temperature: Annotated[
        Temperature,
        PartOfRole(),
        Field(description="Of critiques and revisions: colder, so that what is right is kept."),
    ] = 0.3


class SampleSettings(DecodingSettings):
    """How many responses each policy gives to a prompt, and how they are sampled."""

    roles = ("sample",)

    k: Annotated[Count, Option("-k"), Field(description="Responses of each policy.")] = 4
    temperatures: Annotated[
        tuple[Temperature, ...],
        Option("--temperature"),
        PartOfRole(),
        Field(min_length=1, description="Several: every model is a policy at every one of them."),
    ] = (1.0,)


class _JudgeModelSettings(StepSettings):
    """What judging by pairs and scoring one by one have in common."""

    roles = ("judge",)

    tags: Tags = ()
    templates: Templates = None
    verdicts: Annotated[
        VerdictSource,
        PartOfRole(),
        Field(description="Read log-probabilities, written verdicts, or whichever the model has."),
    ] = "auto"
    min_mass: Annotated[
        Share,
        Field(
            description="Least probability of the options together for log-probabilities to be "
            "read; below it, words are."
        ),
    ] = 0.5
    samples: Annotated[
        Count, Field(description="Verdicts or rationales to sample from a judge in each order.")
    ] = 1
    temperature: Annotated[
        Temperature,
        Option("--judge-temperature"),
        PartOfRole(),
        Field(description="Of what a judge writes; above 0 for several samples."),
    ] = 0.0
    max_tokens: MaxTokens = 512

    def role_model(self, model: Model) -> RoleModel:
        """The model as a judge. Raises UsageError where the templates do not fit."""
        sampling = Sampling(self.temperature, max_tokens=self.max_tokens)
        return RoleModel.of(model, sampling, self.templates)


def _none_for_all(value: object) -> object:
    return None if value == "all" else value


def _parse_principles(text: str) -> int | None:
    if text == "all":
        return None
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ValueError(f"{text!r} is neither 'all' nor a whole number above 0.")
    return int(text)


def _parse_clamp(text: str) -> tuple[float, float] | None:
    if text == "off":
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"{text!r} is neither 'off' nor two numbers such as 0.4,0.6.") from None
    return low, high


class JudgeSettings(_JudgeModelSettings):
    """How two responses are compared under principles.

    `clamp` bounds the probability of each order after a rationale (Bai et al. 2022,
    arXiv:2212.08073, §4.1); None does not. A verdict within `tie_margin` of one half is a tie.
    """

    principles: Annotated[
        Count | None,
        BeforeValidator(_none_for_all),
        Option(metavar="all|N", parse=_parse_principles, default="all"),
        Field(description="Judge under all, or under N drawn by weight for each comparison."),
    ] = None
    rationale: Annotated[
        Switch,
        Option("--rationale/--no-rationale"),
        Field(description="Ask for an assessment before the verdict."),
    ] = False
    clamp: Annotated[
        tuple[Share, Share] | None,
        Option(metavar="LO,HI|off", parse=_parse_clamp, default="0.4,0.6"),
        Field(description="Bounds of the probability after a rationale, in a mean."),
    ] = (0.4, 0.6)
    negated: Annotated[Switch, Field(description="Ask each question reversed too.")] = False
    few_shots: FewShots = 0
    tie_margin: Annotated[Margin, Field(description="Within this of one half is a tie.")] = 0.0
    principle_tests: Annotated[
        Switch,
        Field(
            description="Ask the principles' own tests first, and weigh each vote by how many the "
            "judge passes."
        ),
    ] = False
    compose: Annotated[
        Compose | None,
        Field(description="How principles become one verdict; the constitution's way by default."),
    ] = None


class ScoreSettings(_JudgeModelSettings):
    """How one response is scored under principles."""

    kind: Annotated[ScoreKind, Field(description="A mark from 1 to 10, or passed and failed.")] = (
        "mark"
    )
