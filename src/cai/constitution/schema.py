"""The schema of a constitution: the objects that a YAML file becomes, and their constraints.

A constitution is a list of principles, from which one is drawn for each critique, revision or
judgement (Bai et al. 2022, arXiv:2212.08073, §3.1 and §4.1). Weights, tags, rubrics, few-shots and
tests of principles are ours.

Example:
    honest = Principle(id="honest", text="The response is honest.", judge="Which is more honest?")
    constitution = Constitution(name="mine", principles=(honest,))
    assert constitution.select(tags=()) == (honest,)
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from cai.types import content_hash

SCHEMA_VERSION = 1

Text = Annotated[str, StringConstraints(strict=True, pattern=r"\S", max_length=20_000)]
Identifier = Annotated[
    str, StringConstraints(strict=True, pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=80)
]


def _first_repeated(ids: Iterable[str]) -> str | None:
    return next((id for id, n in Counter(ids).items() if n > 1), None)


class _Part(BaseModel):
    # The texts below fields are their descriptions in the JSON Schema.
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class FewShot(_Part):
    """A worked critique and revision, shown to the model as an example.

    A judge sees it as a comparison in which the revision beats the response; `assessment` is then
    the text about the two before the verdict.
    """

    prompt: Text
    response: Text
    critique: Text
    revision: Text
    assessment: Text | None = None


class Expectation(_Part):
    """The author's own verdict on a pair: a test that the judge prefers `better`."""

    prompt: Text
    better: Text
    worse: Text

    @model_validator(mode="after")
    def _texts_differ(self) -> "Expectation":
        if self.better.strip() == self.worse.strip():
            raise ValueError(
                "'better' and 'worse' are the same text. Write two that a judge should distinguish"
            )
        return self


class ChangelogEntry(_Part):
    """One entry of the changelog."""

    version: Text
    note: Text


class Criterion(_Part):
    """One line of a principle's rubric, judged separately; `weight` (> 0) is its share.

    `judge` and `negated` are as for a principle.
    """

    id: Identifier
    text: Text
    judge: Text | None = None
    negated: Text | None = None
    weight: Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)] = 1.0


class Principle(_Part):
    """One rule or flaw: a statement about a response, and requests of its own.

    Without a request of its own, the template makes one from `text`.
    """

    id: Identifier
    text: Text
    """What the response does; for a flaw, the fault that the response must not have."""
    critique: Text | None = None
    revision: Text | None = None
    judge: Text | None = None
    """Asks which of two responses satisfies the principle better, also for a flaw."""
    negated: Text | None = None
    """Asks which of two responses violates the principle more."""
    kind: Literal["rule", "flaw"] = "rule"
    """Whether `text` states a rule, or a fault that the response must not have."""
    weight: Annotated[float, Field(strict=True, allow_inf_nan=False)] = 1.0
    """Relative probability to be drawn, and weight of its vote; below 0 it makes a flaw."""
    tier: Annotated[int, Field(strict=True, ge=-100, le=100)] = 0
    """In a verdict the principles of a higher tier decide first."""
    group: Identifier | None = None
    """The principles of one group share a single weight, the mean of theirs."""
    tags: tuple[Identifier, ...] = ()
    rubric: tuple[Criterion, ...] = ()
    """Criteria, each judged by itself in place of the principle's own question."""
    examples: tuple[FewShot, ...] = ()
    tests: tuple[Expectation, ...] = ()

    @field_validator("rubric")
    @classmethod
    def _criteria_are_unique(cls, rubric: tuple[Criterion, ...]) -> tuple[Criterion, ...]:
        if id := _first_repeated(each.id for each in rubric):
            raise ValueError(f"two criteria of the rubric have the id {id!r}. Rename one of them")
        return rubric

    @model_validator(mode="after")
    def _is_turned_once(self) -> "Principle":
        if self.kind == "flaw" and self.weight < 0:
            raise ValueError(
                "it is a flaw and its weight is negative, and each of these says that 'text' "
                "states a fault. Write a weight above 0"
            )
        return self

    @property
    def is_flaw(self) -> bool:
        """Whether `text` states a fault."""
        return self.kind == "flaw" or self.weight < 0

    @property
    def as_rule(self) -> "Principle":
        """A flaw as the rule that the response is free of it; a rule as it is."""
        if not self.is_flaw:
            return self
        text = f"The response is free of this fault: {self.text}"
        return self.model_copy(update={"text": text, "kind": "rule", "weight": abs(self.weight)})


Compose = Literal["vote", "mean", "product"]
"""How the verdicts under several principles become one: see `cai.methods.judging.composition`."""


class Constitution(_Part):
    """A named, versioned list of principles, with those of the constitutions it extends first."""

    cai: Annotated[int, Field(strict=True, ge=1, le=SCHEMA_VERSION)] = SCHEMA_VERSION
    name: Identifier
    version: Text = "0.0.0"
    description: str = ""
    license: str = ""
    extends: Annotated[
        tuple[Text, ...],
        BeforeValidator(
            lambda value: (value,) if isinstance(value, str) else value,
            json_schema_input_type=str | tuple[str, ...],
        ),
    ] = ()
    compose: Compose = "vote"
    """How the verdicts under several principles become one; only a vote heeds tiers."""
    principles: Annotated[tuple[Principle, ...], Field(min_length=1)]
    changelog: tuple[ChangelogEntry, ...] = ()

    @field_validator("principles")
    @classmethod
    def _ids_are_unique(cls, principles: tuple[Principle, ...]) -> tuple[Principle, ...]:
        if id := _first_repeated(each.id for each in principles):
            # A type of its own: for a file the loader reports it with both lines instead.
            message = "two principles have the id '{id}'; ids must be unique"
            raise PydanticCustomError("duplicate_id", message, {"id": id})
        return principles

    @field_validator("principles")
    @classmethod
    def _something_can_be_drawn(cls, principles: tuple[Principle, ...]) -> tuple[Principle, ...]:
        if not any(principle.weight for principle in principles):
            raise ValueError(
                "every weight is 0, so no principle could ever be drawn. Give at least one a "
                "weight, such as 1.0"
            )
        return principles

    @property
    def hash(self) -> str:
        """Twelve hex digits over everything that can change a request."""
        # So not over description, changelog and the principles' tests, nor over how verdicts are
        # composed: an edit of these must not make a run another one.
        texts = [each.model_dump_json(exclude={"tests"}) for each in self.principles]
        return content_hash(self.name, *texts)

    def principle(self, id: str) -> Principle:
        """The principle of that id. Raises KeyError where there is none."""
        return {each.id: each for each in self.principles}[id]

    def select(self, tags: Sequence[str]) -> tuple[Principle, ...]:
        """The principles that can be drawn and carry any of the tags, if given; flaws as rules."""
        return tuple(
            principle.as_rule
            for principle in self.principles
            if principle.weight and (not tags or set(tags) & set(principle.tags))
        )


def json_schema() -> dict[str, object]:
    """The JSON Schema of a constitution file, for editors."""
    # A file that extends another may have no principles of its own; the merged constitution, which
    # `Constitution` describes, always has some.
    schema = Constitution.model_json_schema()
    required = [name for name in schema["required"] if name != "principles"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "Constitution of cai",
        "required": required,
        "anyOf": [{"required": ["principles"]}, {"required": ["extends"]}],
    }
