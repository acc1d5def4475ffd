"""Requests and responses of OpenAI-compatible servers: chat completions, completions of text."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import cast

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from cai.errors import ModelError, ModelUnavailable, NoLogprobs
from cai.models.base import (
    CLOSING,
    OPENING,
    Completion,
    Sampling,
    StopReason,
    Usage,
    folded,
    split_reasoning,
    until_stop,
)
from cai.models.openai.dialect import Dialect
from cai.models.openai.errors import HttpReply, shown
from cai.models.openai.refusals import Json, parsed
from cai.types import Message, as_dicts

_LENGTH = frozenset({"length", "max_tokens", "max_length", "model_length"})
_FILTERED = re.compile(
    r"content_?filter|safety|prohibited|recitation|blocklist|spii|refusal|sensitive|guardrail"
)
_MOST_TOKENS = 10**9  # of one call; what is more is no count
_BROKEN_OFF = frozenset({"abort", "error"})


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """A request to a model, independent of the server's dialect.

    The fields `extra` of the body are the user's own, and go before all others.
    """

    model: str
    messages: tuple[Message, ...]
    sampling: Sampling
    wants_logprobs: bool = False
    extra: Mapping[str, Json] = field(default_factory=dict[str, Json])

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
            turns = folded(self.messages) if dialect.is_folded else self.messages
            body["messages"] = as_dicts(turns)
        if self.wants_logprobs and self.is_text:
            body["logprobs"] = dialect.n_top
        elif self.wants_logprobs:
            body |= {"logprobs": True, "top_logprobs": dialect.n_top}
        body |= self.extra
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
    refusal: str | None = None


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

    @property
    def stop_reason(self) -> StopReason:
        reason = (self.finish_reason or "").lower()
        if reason in _LENGTH:
            return "length"
        is_declined = self.message is not None and bool(self.message.refusal)
        return "filtered" if is_declined or _FILTERED.search(reason) else "stop"


class _Reply(_Wire):
    choices: list[_Alternative] | None
    usage: object = None

    def counted(self) -> Usage:
        """The tokens that the server counts; none where it counts what cannot be."""
        if not isinstance(self.usage, dict):
            return Usage()
        counts = cast(dict[str, object], self.usage)
        n_prompt, n_completion = counts.get("prompt_tokens"), counts.get("completion_tokens")
        n_prompt, n_completion = n_prompt or 0, n_completion or 0
        # The exact type: true is no number here. One count that cannot be makes the other doubtful.
        if type(n_prompt) is not int or type(n_completion) is not int:
            return Usage()
        if not (0 <= n_prompt <= _MOST_TOKENS and 0 <= n_completion <= _MOST_TOKENS):
            return Usage()
        return Usage(n_prompt, n_completion)


class _ListedModel(_Wire):
    id: str


class _ModelList(_Wire):
    data: list[_ListedModel]


def read_completion(answer: HttpReply, request: CompletionRequest) -> Completion:
    """The text of the answer up to the first stop string, and its reasoning.

    An answer that declines by `message.refusal` or by a filter has the stop reason `filtered`, and
    the model's words as text.

    Raises:
        ModelError: The server gave no choice.
        ModelUnavailable: The server aborted the answer, or it is not of the protocol.
    """
    reply, first = _read(answer, request)
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
        text = text or first.message.refusal or ""
    hidden = answer.key.hidden
    text, reasoning = hidden(text), hidden(reasoning)
    stop_reason = first.stop_reason
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
    reply, first = _read(answer, request)
    logprobs = first.logprobs
    shown_tokens = logprobs.first() if logprobs else []
    if all(value is None for _, value in shown_tokens):
        raise NoLogprobs(
            f"{answer.url} answers without the requested log-probabilities. Serve the model "
            "with a server that gives them, or judge by parsed verdicts."
        )
    # JSON writers turn minus infinity into null. What is no number is sorted to the front, so that
    # it is noticed. A token beyond `n_top` is one that was drawn: it does not show where the list
    # ends.
    tokens = [(token, -math.inf if value is None else value) for token, value in shown_tokens]
    tokens.sort(key=lambda pair: (math.isnan(pair[1]), pair[1]), reverse=True)
    return tokens[:n_top], reply.counted()


def read_model_names(answer: HttpReply) -> list[str]:
    """The models that a server lists; none when its answer is not such a list."""
    try:
        return [listed.id for listed in _ModelList.model_validate_json(answer.body).data]
    except ValidationError:
        return []


def _read(answer: HttpReply, request: CompletionRequest) -> tuple[_Reply, _Alternative]:
    try:
        reply = _Reply.model_validate_json(answer.body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the body"
        raise _unreadable(answer, f"{first['msg']} at {place}") from None
    if not reply.choices:
        raise ModelError(
            f"{answer.url} gave no choice, probably because its content filter refuses the "
            f"request: '{shown(answer.text)}'.",
            "refused content",
        )
    first = reply.choices[0]
    wanted = "text" if request.is_text else "message"
    if getattr(first, wanted) is None and first.stop_reason != "filtered":
        raise _unreadable(answer, f"no {wanted!r} at choices.0")
    return reply, first


def settled(answer: HttpReply) -> HttpReply:
    """The answer as one body: a stream joined, and an error that was sent with status 200 as such.

    Some servers stream whatever is asked of them, and some gateways send 200 before they know
    whether there will be an answer.
    """
    if answer.status != 200:
        return answer
    body = answer.body.lstrip()
    if body.startswith((b"data:", b"event:", b":", b"id:")):
        joined = _joined(body)
        return answer if joined is None else settled(replace(answer, body=orjson.dumps(joined)))
    if b'"choices"' in body or not body.startswith(b"{"):
        return answer
    content = parsed(body)
    error = content.get("error") if isinstance(content, dict) else None
    if not error:
        return answer
    code = error.get("code") if isinstance(error, dict) else None
    is_status = isinstance(code, int) and 400 <= code < 600
    return replace(answer, status=code if is_status else 500)


def _joined(stream: bytes) -> dict[str, Json] | None:
    """The answer that the events of a stream add up to, or its error; None for no such stream."""
    first: dict[str, Json] = {}
    texts: dict[str, list[str]] = {}
    positions: list[Json] = []
    usage: Json = None
    for line in stream.splitlines():
        event = parsed(line[5:]) if line.startswith(b"data:") else None
        if not isinstance(event, dict):
            continue
        if event.get("error"):
            return {"error": event["error"]}
        usage = event.get("usage") or usage
        choices = event.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, dict):
            continue
        first |= {name: value for name, value in choice.items() if value is not None}
        part = choice.get("delta") or choice.get("message") or {"text": choice.get("text")}
        for name, value in part.items() if isinstance(part, dict) else ():
            if isinstance(value, str) and name != "role":
                texts.setdefault(name, []).append(value)
        logprobs = choice.get("logprobs")
        if isinstance(logprobs, dict) and isinstance(logprobs.get("content"), list):
            positions += cast(list[Json], logprobs["content"])
    if not first:
        return None
    # Without a finish reason the stream broke off.
    message: dict[str, Json] = {name: "".join(parts) for name, parts in texts.items()}
    merged: dict[str, Json] = {
        "message": message,
        "text": message.get("text"),
        "finish_reason": first.get("finish_reason") or "abort",
    }
    if positions:
        merged["logprobs"] = {"content": positions}
    elif isinstance(first.get("logprobs"), dict):
        merged["logprobs"] = first["logprobs"]
    return {"choices": [merged], "usage": usage}


def _unreadable(answer: HttpReply, reason: str) -> ModelUnavailable:
    # Unavailable and not an error for good: cut short on its way, it may be whole the next time.
    return ModelUnavailable(
        f"{answer.url} answers with something else than a completion ({shown(reason)}): "
        f"'{shown(answer.text)}'. Check that the URL is that of an OpenAI-compatible API.",
        cause="invalid answer",
    )
