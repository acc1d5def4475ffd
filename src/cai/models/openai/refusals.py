"""What servers mean by an error: the table of known refusals, and their own words.

No status says all of it. Servers use 400 for a long request, for refused content and for a field
that they do not know alike, 429 for a rate that passes and for an account that is used up, and 500
for a chat template that would refuse the same turns again. `REFUSALS` is the one list of what
cannot pass, by status and by words, of which the first match counts. For everything else the status
alone decides whether the call is made again.

Example:
    failure(HttpReply(url, key, 402, b'{"error": "Insufficient Balance"}')).cause  # "no credit"
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import orjson

from cai.errors import Cause, ContextLengthError, ModelError, ModelUnavailable
from cai.models.openai.errors import HttpReply, models_shown, shown

Json = dict[str, "Json"] | list["Json"] | str | float | bool | None

_DEEPEST = 8  # levels of an error body that are read
_LONGEST = 20_000  # characters of an error that are searched
# Each may hold the next, or a list of such; `raw` is what a gateway passes on of another server.
_MESSAGES = ("error", "errors", "message", "msg", "detail", "error_msg", "error_description", "raw")
_CODES = frozenset({"code", "type", "param", "status", "reason", "reasons", "error_type", "title"})
# What a server repeats of the request is no word of its own.
_ECHOED = frozenset({"input", "ctx", "url", "flagged_input"})
_MAY_PASS = frozenset({408, 409, 424, 425, 429})


@dataclass(frozen=True, slots=True)
class Complaint:
    """A server's own words, without keys: `message` for people, `words` with codes and types too.

    `param` is the field that it names beside them, or empty.
    """

    message: str
    words: str
    param: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusal that would come again: any of the `statuses`, with `words` unless they are ""."""

    cause: Cause
    statuses: frozenset[int]
    words: str
    advice: str

    def fits(self, status: int, words: str) -> bool:
        """Whether an error with that status and those words is such a refusal."""
        return status in self.statuses and re.search(self.words, words, re.IGNORECASE) is not None


_REFUSING = frozenset({400, 403, 404, 406, 409, 415, 422, 500, 501, 502})
_SHORTEN = (
    "The request is longer than this model reads; shorten it, ask for fewer tokens, or serve the "
    "model with a longer context."
)
_PAY = "The account behind the key has no credit left."
_TURNS = "The model's chat template refuses these turns, and would again. Give it turns it knows."
_CONTENT = "The server refuses what the request says, and would again."
_CHANGE = "Change the request or the server's settings."

REFUSALS: tuple[Refusal, ...] = (
    Refusal("no credit", frozenset({402}), "", _PAY),
    Refusal(
        "no credit",
        frozenset({400, 401, 403, 429}),
        # Not "exceeded your current quota": that is said of rates a minute too.
        r"insufficient[ _-]?(?:user[ _-]?)?(?:quota|balance|credits?|funds)|billing[ _](?:hard|not)"
        r"|credit balance is too low|(?:out of|no|not enough|used up .{0,20}) credits?\b|arrearage"
        r"|spend(?:ing)?[ _-]limit|余额不足|欠费",
        _PAY,
    ),
    Refusal("context length", frozenset({413}), "", _SHORTEN),
    Refusal("context length", frozenset({429}), r"request too large", _SHORTEN),
    Refusal(
        "context length",
        _REFUSING,
        # the words of vLLM, llama.cpp, TGI, Ollama, SGLang and the hosted APIs
        r"context_length_exceeded|exceed_context_size|context[ _-](?:length|window|size)"
        r"|max_model_len|maximum (?:allowed )?(?:model|sequence|input|prompt) "
        r"|(?:prompt|input|request|string)\b.{0,60}\btoo (?:long|large)|too many (?:input )?tokens"
        r"|(?:token|length)\b.{0,60}\bexceed\w* .{0,40}\b(?:maximum|limit|allowed)"
        r"|exceed\w* .{0,40}\b(?:maximum|max|limit)\b.{0,30}\btokens\b"
        r"|longer than the (?:model|maximum)|max_new_tokens`? must be <=|range of input length",
        _SHORTEN,
    ),
    Refusal(
        "chat template",
        _REFUSING,
        r"jinja|chat[ _-]?template|raise_exception|template (?:error|render)"
        r"|roles? must alternate|(?:only|first|last).{0,40}\b(?:user|assistant)\b.{0,30}\broles?\b"
        r"|(?:first|last) (?:message|turn|role)\b.{0,40}\b(?:user|assistant|system)\b"
        r"|(?:system|developer)[ _-]?(?:role|message|prompt|instruction|turn)s?\b.{0,60}"
        r"(?:not|n't|un)[ _-]?(?:\w+ ){0,2}(?:support|enabl|allow|permit|accept)"
        r"|(?:not|n't|un)[ _-]?(?:\w+ )?(?:support|allow|accept|expect)\w* .{0,40}"
        r"\b(?:system|developer)\W{0,3}(?:role|message|prompt|instruction|turn)"
        r"|(?:unexpected|unknown|invalid|unsupported) role|messages\W{0,2}\d+\W{0,2}role"
        r"|\brole\W{0,3}(?:system|developer)\b.{0,40}(?:not|n't|un)",
        _TURNS,
    ),
    Refusal("refused content", frozenset({451}), "", _CONTENT),
    Refusal(
        "refused content",
        _REFUSING,
        r"content[ _-]?(?:filter|polic|management|moderation|violat|exists risk)|moderation"
        r"|responsible_?ai|safety[ _](?:system|model|check|filter|reason|setting)|guardrail"
        r"|prohibited[ _]?content|data[ _]?inspection|inappropriate content|sensitive[ _]?content"
        r"|(?:input|prompt|request|content|text|message)\b.{0,40}\bflagged"
        r"|flagged\b.{0,40}\b(?:input|prompt|content|violat)|violat\w+\b.{0,40}\b(?:polic|guideline)"
        r"|invalid_prompt|block_?reason|敏感|不安全",
        _CONTENT,
    ),
    Refusal("refused request", frozenset({501, 505}), "", _CHANGE),
    Refusal(
        "refused request",
        frozenset({500, 502}),
        r"bad ?request|unprocessable|code=4(?:00|22)\b|unexpected keyword|invalid_argument"
        r"|validation ?error",
        _CHANGE,
    ),
)


def refusal_of(status: int, words: str) -> Refusal | None:
    """The known refusal that an error is; None where the status alone says what it is."""
    return next((each for each in REFUSALS if each.fits(status, words)), None)


def failure(answer: HttpReply, listed: Sequence[str] = ()) -> ModelError:
    """The typed error of an answer, with advice. `listed` are the models that the server has."""
    said, status, variable = complaint(answer), answer.status, answer.key.variable
    where = f"{answer.url} answers {status}"
    quoted = f"{where}: '{shown(said.message)}'."
    known = refusal_of(status, said.words)
    if known is not None and known.cause == "context length":
        return ContextLengthError(f"{quoted} {known.advice}")
    if known is not None:
        return ModelError(f"{quoted} {known.advice}", known.cause)
    if status in (401, 403, 407):
        advice = f"it wants a key. Set the environment variable {variable} to it."
        if answer.key.value:
            advice = (
                f"the key in {variable} was refused: '{shown(said.message)}'. "
                "Set the variable to a key that may use this model."
            )
        return ModelError(f"{where}: {advice}", "refused key")
    if status in _MAY_PASS or status >= 500:
        return ModelUnavailable(
            f"{quoted} If it goes on, look at the server's log or load.",
            answer.retry_after_s,
            "rate limit" if status == 429 else "time-out" if status == 408 else "server error",
        )
    if status == 404:
        advice = "Check the model's name and the URL, which usually ends in /v1."
        if listed:
            advice = f"The server has {models_shown(listed)}; name one of those."
        return ModelError(f"{quoted} {advice}")
    if 300 <= status < 400:
        return ModelError(f"{where}, a redirect. Give the final URL of the API instead.")
    return ModelError(f"{quoted} {_CHANGE}")


def complaint(answer: HttpReply) -> Complaint:
    """What a server says in an error body, whichever nesting it has, or else the whole body."""
    body = parsed(answer.body)
    messages = list(_messages(body)) or [answer.text]
    codes = list(_codes(body))
    message = answer.key.scrubbed("; ".join(dict.fromkeys(messages))[:_LONGEST])
    words = answer.key.scrubbed(" ".join([*messages, *map("=".join, codes)])[:_LONGEST])
    param = next((text for name, text in codes if name == "param"), "")
    return Complaint(message, words, param)


def parsed(text: bytes | str) -> Json:
    """The JSON of the text; None where it is none."""
    try:
        return cast(Json, orjson.loads(text))
    except orjson.JSONDecodeError:
        return None


def _messages(body: Json, depth: int = 0) -> Iterator[str]:
    if depth > _DEEPEST:
        return
    if isinstance(body, str) and body.strip():
        inner = list(_messages(parsed(body), depth + 1)) if body.lstrip()[0] in "{[" else []
        yield from inner or [body]
    elif isinstance(body, list):
        for each in body:
            yield from _messages(each, depth + 1)
    elif isinstance(body, dict):
        said = next((body[name] for name in _MESSAGES if body.get(name)), None)
        place = body.get("loc")  # FastAPI's list of the keys down to a field
        where = ".".join(map(str, place)) + ": " if isinstance(place, list) else ""
        yield from (where + text for text in _messages(said, depth + 1))
        details = body.get("metadata")
        if isinstance(details, dict):
            yield from _messages(details.get("raw"), depth + 1)


def _codes(body: Json, depth: int = 0) -> Iterator[tuple[str, str]]:
    """Names and values of codes, types and named fields, at any depth."""
    if depth > _DEEPEST:
        return
    if isinstance(body, list):
        for each in body:
            yield from _codes(each, depth + 1)
    elif isinstance(body, dict):
        for name, value in body.items():
            if name in _CODES and isinstance(value, str | int | float):
                yield name, str(value)
            elif name in _CODES and isinstance(value, list):
                yield from ((name, text) for text in value if isinstance(text, str))
            elif name == "loc" and isinstance(value, list) and value:
                yield "param", str(value[-1])
            elif name not in _ECHOED:
                inner = parsed(value) if name == "raw" and isinstance(value, str) else value
                yield from _codes(inner, depth + 1)
