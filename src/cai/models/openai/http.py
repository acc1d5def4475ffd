"""Requests and responses of OpenAI-compatible servers: chat completions, completions of text."""

import math
from dataclasses import dataclass
from typing import Annotated

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cai.errors import ModelError, ModelUnavailable, NoLogprobs
from cai.models.base import (
    CLOSING,
    OPENING,
    Completion,
    Sampling,
    StopReason,
    Usage,
    split_reasoning,
    until_stop,
)
from cai.models.openai.api import Dialect
from cai.models.openai.errors import HttpReply, shown
from cai.types import Message, as_dicts

_STOP_REASONS: dict[str | None, StopReason] = {"length": "length", "content_filter": "filtered"}
_BROKEN_OFF = frozenset({"abort", "error"})


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """A request to a model, independent of the server's dialect."""

    model: str
    messages: tuple[Message, ...]
    sampling: Sampling
    wants_logprobs: bool = False

    @property
    def is_text(self) -> bool:
        return len(self.messages) == 1 and self.messages[0].role == "text"

    @property
    def path(self) -> str:
        return "/completions" if self.is_text else "/chat/completions"

    def body(self, dialect: Dialect) -> bytes:
        """The request as JSON.

        Raises:
            UsageError: The schema for the answer is not JSON.
            ModelError: A text has a lone surrogate, which JSON cannot encode.
        """
        body: dict[str, object] = {
            "model": self.model,
            **dialect.fields(self.sampling, is_text=self.is_text),
        }
        if self.is_text:
            body["prompt"] = self.messages[0].content
        else:
            body["messages"] = as_dicts(self.messages)
        if self.wants_logprobs and self.is_text:
            body["logprobs"] = dialect.n_top
        elif self.wants_logprobs:
            body |= {"logprobs": True, "top_logprobs": dialect.n_top}
        try:
            return orjson.dumps(body)
        except TypeError:
            where = (
                f"Message {number} ({message.role}): character {place} is U+{ord(char):04X}, a "
                "lone surrogate, half of a character. Fix or drop that text."
                for number, message in enumerate(self.messages, 1)
                for place, char in enumerate(message.content, 1)
                if "\ud800" <= char <= "\udfff"
            )
            other = (
                f"The request to {self.model!r} has a text that is not Unicode. Fix its settings."
            )
            raise ModelError(next(where, other)) from None


class _Wire(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)  # servers add fields of their own


class _Part(_Wire):
    text: str | None = None


class _Answered(_Wire):
    content: str | list[_Part] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None


class _Token(_Wire):
    token: str
    logprob: float | None


class _Position(_Wire):
    top_logprobs: list[_Token] | None = None


class _Logprobs(_Wire):
    """`content` is the form of chat, and of llama.cpp throughout; `top_logprobs` that of text."""

    content: list[_Position] | None = None
    top_logprobs: list[dict[str, float | None] | None] | None = None

    def first(self) -> list[tuple[str, float | None]]:
        if self.content:
            return [(token.token, token.logprob) for token in self.content[0].top_logprobs or ()]
        if self.top_logprobs:
            return list((self.top_logprobs[0] or {}).items())
        return []


class _Alternative(_Wire):
    message: _Answered | None = None
    text: str | None = None
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _Counts(_Wire):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Reply(_Wire):
    choices: Annotated[list[_Alternative], Field(min_length=1)]
    usage: _Counts | None = None

    def counted(self) -> Usage:
        counts = self.usage or _Counts()
        return Usage(counts.prompt_tokens or 0, counts.completion_tokens or 0)


class _ListedModel(_Wire):
    id: str


class _ModelList(_Wire):
    data: list[_ListedModel]


def read_completion(answer: HttpReply, request: CompletionRequest) -> Completion:
    """The text of the answer up to the first stop string, and its reasoning.

    Raises:
        ModelUnavailable: The server aborted the answer, or it is not of the protocol.
    """
    reply = _read(answer, request)
    first = reply.choices[0]
    if first.finish_reason in _BROKEN_OFF:
        raise ModelUnavailable(
            f"{answer.url} broke its answer off (finish_reason {first.finish_reason!r}). "
            "If this persists, look at the server's log.",
            cause="broken connection",
        )
    text, reasoning = first.text or "", ""
    if first.message is not None:
        content = first.message.content
        if isinstance(content, list):
            content = "".join(part.text or "" for part in content)
        content = content or ""
        # Some chat templates open the block inside the request: only its end is in the response.
        if OPENING not in content.partition(CLOSING)[0] and CLOSING in content:
            content = OPENING + content
        thought, text = split_reasoning(content)
        field = first.message.reasoning_content or first.message.reasoning
        reasoning = "\n".join(filter(None, (field, thought)))
    stop_reason = _STOP_REASONS.get(first.finish_reason, "stop")
    cut = until_stop(text, request.sampling.stop)  # some servers ignore stop strings
    if len(cut) < len(text):
        stop_reason = "stop"
    return Completion(cut, stop_reason, reply.counted(), reasoning)


def read_top_tokens(
    answer: HttpReply, request: CompletionRequest, n_top: int
) -> tuple[list[tuple[str, float]], Usage]:
    """The `n_top` most probable first tokens with their log-probabilities, and the usage.

    Raises:
        NoLogprobs: The server sent none.
        ModelUnavailable: The body is not of the protocol.
    """
    reply = _read(answer, request)
    logprobs = reply.choices[0].logprobs
    shown_tokens = logprobs.first() if logprobs else []
    if all(value is None for _, value in shown_tokens):
        raise NoLogprobs(
            f"{answer.url} answers without the requested log-probabilities. Serve the model "
            "with a server that gives them, or judge by parsed verdicts."
        )
    # JSON writers turn what is not a number into null. It is sorted to the front, so that it is
    # noticed. A token beyond `n_top` is one that was drawn: it does not show where the list ends.
    tokens = [(token, math.nan if value is None else value) for token, value in shown_tokens]
    tokens.sort(key=lambda pair: (math.isnan(pair[1]), pair[1]), reverse=True)
    return tokens[:n_top], reply.counted()


def read_model_names(answer: HttpReply) -> list[str]:
    """The models that a server lists; none when its answer is not such a list."""
    try:
        return [listed.id for listed in _ModelList.model_validate_json(answer.body).data]
    except ValidationError:
        return []


def _read(answer: HttpReply, request: CompletionRequest) -> _Reply:
    try:
        reply = _Reply.model_validate_json(answer.body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the body"
        raise _unreadable(answer, f"{first['msg']} at {place}") from None
    wanted = "text" if request.is_text else "message"
    if getattr(reply.choices[0], wanted) is None:
        raise _unreadable(answer, f"no {wanted!r} at choices.0")
    return reply


def _unreadable(answer: HttpReply, reason: str) -> ModelUnavailable:
    # Unavailable and not an error for good: cut short on its way, it may be whole the next time.
    return ModelUnavailable(
        f"{answer.url} answers with something else than a completion ({shown(reason)}): "
        f"'{shown(answer.text)}'. Check that the URL is that of an OpenAI-compatible API.",
        cause="invalid answer",
    )
