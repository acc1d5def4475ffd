"""Request and response models of the reward server; its OpenAPI document is made from them.

FastAPI validates every body against the request models and serializes the response models, so a
field that is added here is read, written and documented. `docs/serving.md` shows each of them.
"""

from importlib.metadata import version
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    field_validator,
    model_validator,
)

from cai.methods.judging.verdict import Outcome
from cai.types import Message, Prompt

MAX_ITEMS = 4096
VERSION = version("cai-toolkit")

RewardOutcome = Literal["scored", "unscored", "unparsed", "refused", "failed"]


class _Strict(BaseModel):
    # An unknown field is more often a typing error than an extension, and a field that is ignored
    # would silently change what is scored.
    model_config = ConfigDict(extra="forbid", frozen=True)


def _check_unicode(text: str) -> str:
    # JSON may hold half a surrogate pair ("\ud800"), which Python reads into a string that can be
    # neither hashed for the journal nor sent to a model.
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"the text has half a surrogate pair at character {error.start}, which is not Unicode"
        ) from error
    return text


Text = Annotated[str, AfterValidator(_check_unicode)]


# Lists in the request models, where a frozen model would have tuples: the error messages name the
# type to clients, and "should be a valid tuple" means nothing to those who write JSON.


class ChatMessage(_Strict):
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: Text


class _PromptItem(_Strict):
    # The discriminator decides which of the two was meant. A plain union would report a wrong role
    # in a message as "should be a valid string", its error about the alternative that comes first.
    prompt: Annotated[
        Annotated[Text, Tag("text")]
        | Annotated[list[ChatMessage], Field(min_length=1), Tag("messages")],
        Discriminator(lambda prompt: "text" if isinstance(prompt, str) else "messages"),
    ] = Field(description="A text, or the messages of a conversation; the last is the user's.")

    @field_validator("prompt")
    @classmethod
    def _ends_with_user(cls, prompt: str | list[ChatMessage]) -> str | list[ChatMessage]:
        if not isinstance(prompt, str) and prompt[-1].role != "user":
            raise ValueError(f"the last message has the role {prompt[-1].role}, and must be user's")
        return prompt

    def to_prompt(self) -> Prompt:
        if isinstance(self.prompt, str):
            return Prompt("", (Message("user", self.prompt),))
        return Prompt("", tuple(Message(each.role, each.content) for each in self.prompt))


class ScoreItem(_PromptItem):
    """A response to a prompt; `is_truncated` where its limit on tokens cut it off."""

    response: Text
    is_truncated: bool = False


class CompareItem(_PromptItem):
    """Two responses to a prompt, each of them truncated where its limit on tokens cut it off."""

    response_a: Text
    response_b: Text
    is_truncated_a: bool = False
    is_truncated_b: bool = False


class ScoreRequest(_Strict):
    """The body of `/score`."""

    items: Annotated[list[ScoreItem], Field(min_length=1, max_length=MAX_ITEMS)]


class CompareRequest(_Strict):
    """The body of `/compare`."""

    items: Annotated[list[CompareItem], Field(min_length=1, max_length=MAX_ITEMS)]


class RewardRequest(BaseModel):
    """The body of `/get_reward`: what OpenRLHF sends to a remote reward model.

    Each `query` is a prompt and its response as one text, in the policy's chat template. Fields of
    later versions of OpenRLHF are ignored, and so are the labels.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    query: Annotated[list[Text], Field(min_length=1, max_length=MAX_ITEMS)]
    prompts: list[Text]
    labels: list[object] | None = None

    @model_validator(mode="after")
    def _has_a_prompt_for_each_query(self) -> Self:
        if len(self.prompts) != len(self.query):
            raise ValueError(
                f"there are {len(self.query)} queries and {len(self.prompts)} prompts; send one "
                "prompt for each query"
            )
        return self


class ScoreResult(_Strict):
    """`reward` is null unless the outcome is `scored`; `reason` then says why."""

    reward: float | None
    outcome: RewardOutcome
    reason: str = ""
    by_principle: dict[str, float | None] = {}


class CompareResult(_Strict):
    """`p_a` in [0, 1] is the probability that response A is better; null if there is no verdict."""

    p_a: Annotated[float, Field(ge=0, le=1)] | None
    outcome: Outcome | Literal["unscored"]
    reason: str = ""
    by_principle: dict[str, float] = {}


class ScoreResponse(_Strict):
    """The scores, in the order of the items."""

    scores: tuple[ScoreResult, ...]


class CompareResponse(_Strict):
    """The comparisons, in the order of the items."""

    comparisons: tuple[CompareResult, ...]


class RewardResponse(_Strict):
    """What OpenRLHF reads. `extra_logs.scored` is 1 for a reward, 0 for a substitute."""

    rewards: tuple[float, ...]
    scores: tuple[float, ...]
    extra_logs: dict[str, tuple[float, ...]]


class Health(_Strict):
    """The server is up; what it scores with."""

    status: Literal["ok"]
    kind: Literal["reward model", "judge"]
    name: str
    version: str
    constitution: str = ""
    principles: tuple[str, ...] = ()


class ErrorResponse(_Strict):
    """One sentence on what was wrong and what to do, and the id of the request."""

    error: str
    request_id: str


ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorResponse, "description": description}
    for status, description in (
        (400, "The body is not JSON, or does not fit the request model."),
        (401, "The key is missing or wrong."),
        (403, "The request comes from a page of another site, or addresses another host."),
        (408, "The body took too long to arrive."),
        (413, "The body is too large."),
        (415, "The content type is not application/json."),
        (500, "The server failed; its log has the details."),
        (503, "Too many requests are in flight, or the server is stopping; send it again later."),
        # Without "default" FastAPI documents a 422 with an error body of its own, never sent here.
        ("default", "Any other error."),
    )
}
"""The error responses of every `POST`, in the form that FastAPI's `responses` takes."""

UNSCORED_ERRORS: dict[int | str, dict[str, Any]] = {
    422: {"model": ErrorResponse, "description": "A response cannot be scored."},
    503: {"model": ErrorResponse, "description": "A response was not scored now; ask again."},
}
"""Those of `/get_reward`, which has no other way to say that there is no reward."""
