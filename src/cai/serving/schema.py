"""What the server is sent and what it answers. The OpenAPI document is made from these classes.

The OpenAPI 3.1 document of the server, made from the very classes that read and answer.
"""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic.json_schema import models_json_schema

from cai.errors import SourceError
from cai.methods.judging.verdict import Outcome
from cai.types import Message, Prompt

MOST_ITEMS = 4096
VERSION = version("cai-toolkit")

ScoreOutcome = Literal["scored", "unscored", "unparsed", "refused", "failed"]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Said(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Turn(_Asked):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


class _Prompted(_Asked):
    prompt: str | Annotated[tuple[Turn, ...], Field(min_length=1)] = Field(
        description="A request, or the turns of a conversation that ends with the user's."
    )

    @field_validator("prompt")
    @classmethod
    def _ends_with_the_user(cls, prompt: str | tuple[Turn, ...]) -> str | tuple[Turn, ...]:
        if not isinstance(prompt, str) and prompt[-1].role != "user":
            raise ValueError(f"the last turn is of {prompt[-1].role}, and must be the user's")
        return prompt

    @property
    def asked(self) -> Prompt:
        if isinstance(self.prompt, str):
            return Prompt("", (Message("user", self.prompt),))
        return Prompt("", tuple(Message(turn.role, turn.content) for turn in self.prompt))


class ScoreItem(_Prompted):
    """A response to a prompt."""

    response: str


class CompareItem(_Prompted):
    """Two responses to a prompt."""

    response_a: str
    response_b: str


class ScoreRequest(_Asked):
    items: Annotated[tuple[ScoreItem, ...], Field(min_length=1, max_length=MOST_ITEMS)]


class CompareRequest(_Asked):
    items: Annotated[tuple[CompareItem, ...], Field(min_length=1, max_length=MOST_ITEMS)]


class ScoreResult(_Said):
    """`reward` is null unless the outcome is `scored`; `reason` then says why."""

    reward: float | None
    outcome: ScoreOutcome
    reason: str = ""
    by_principle: dict[str, float | None] = {}


class CompareResult(_Said):
    """`p_a` in [0, 1] is the probability that response A is better; null where unreadable."""

    p_a: Annotated[float, Field(ge=0, le=1)] | None
    outcome: Outcome
    reason: str = ""
    by_principle: dict[str, float] = {}


class ScoreResponse(_Said):
    """The scores, in the order of the items."""

    scores: tuple[ScoreResult, ...]


class CompareResponse(_Said):
    """The comparisons, in the order of the items."""

    comparisons: tuple[CompareResult, ...]


class RewardRequest(BaseModel):
    """What OpenRLHF sends to its remote reward model; other fields of later versions are ignored.

    `query` are prompt and response as one text each, with the policy's chat template.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    query: Annotated[tuple[str, ...], Field(min_length=1, max_length=MOST_ITEMS)]
    prompts: tuple[str, ...]
    labels: tuple[object, ...] | None = None


class RewardResponse(_Said):
    """`extra_logs.scored` is 1 where a reward was found, 0 where the substitute stands."""

    rewards: tuple[float, ...]
    scores: tuple[float, ...]
    extra_logs: dict[str, tuple[float, ...]]


class Health(_Said):
    """That the server answers, and by what it scores."""

    status: Literal["ok"]
    kind: Literal["reward model", "judge"]
    name: str
    version: str
    constitution: str = ""
    principles: tuple[str, ...] = ()


class Refusal(_Said):
    """One sentence on what was wrong, and the id under which the request is known."""

    error: str
    request_id: str


F = TypeVar("F", bound=BaseModel)


def parsed(form: type[F], body: bytes) -> F:
    """The request that the body holds.

    Raises:
        SourceError: It is not JSON, or not of the form.
    """
    try:
        return form.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SourceError(f"{where or 'The body'}: {first['msg']}. See /openapi.json.") from error


_FORMS: tuple[type[BaseModel], ...] = (
    CompareRequest, CompareResponse, Health, Refusal, RewardRequest, RewardResponse, ScoreRequest,
    ScoreResponse,
)  # fmt: skip
_REFUSALS = {
    "400": "The body is not JSON, or not of the form.",
    "401": "The key is missing or wrong.",
    "413": "The body is too large.",
    "500": "The server failed; its log says more.",
}
_UNSCORED = {
    "422": "A response cannot be scored, and no substitute was chosen.",
    "503": "A response could not be scored now; ask again.",
}


def document(*, has_key: bool) -> dict[str, object]:
    """The document, as JSON; with a bearer key where the server wants one."""
    schemas = models_json_schema(
        [(form, "validation" if form.__name__.endswith("Request") else "serialization")
         for form in _FORMS],
        ref_template="#/components/schemas/{model}",
    )[1]["$defs"]  # fmt: skip
    components: dict[str, object] = {"schemas": schemas}
    if has_key:
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "cai serve", "version": VERSION},
        "paths": {
            "/health": {"get": _operation("That the server answers", None, Health, {})},
            "/openapi.json": {"get": _operation("This document", None, None, {})},
            "/score": {"post": _operation("Score responses", ScoreRequest, ScoreResponse, {})},
            "/compare": {
                "post": _operation("Compare two responses", CompareRequest, CompareResponse, {})
            },
            "/get_reward": {
                "post": _operation(
                    "The remote reward of OpenRLHF", RewardRequest, RewardResponse, _UNSCORED
                )
            },
        },
        "components": components,
        **({"security": [{"key": []}]} if has_key else {}),
    }


def _operation(
    summary: str,
    request: type[BaseModel] | None,
    response: type[BaseModel] | None,
    refusals: Mapping[str, str],
) -> dict[str, object]:
    schema = _reference(response) if response else {"type": "object"}
    responses: dict[str, object] = {"200": _body("The answer.", schema)}
    told = {**_REFUSALS, **refusals} if request else {"401": _REFUSALS["401"]}
    for status, text in told.items():
        responses[status] = _body(text, _reference(Refusal))
    operation: dict[str, object] = {"summary": summary, "responses": responses}
    if response is Health:
        operation["security"] = []
        responses.pop("401")
    if request is not None:
        content = {"application/json": {"schema": _reference(request)}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _body(text: str, schema: Mapping[str, object]) -> dict[str, object]:
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def _reference(form: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{form.__name__}"}
