"""Requests in the dialect of a server, which is learnt from its refusals.

Servers differ in the name of the token limit, in how many log-probabilities they return, in whether
they take a system turn, and in which fields of sampling they accept. The dialect starts with every
field and loses the one that a refusal names; what it lost is said once, in a warning of the log.

Sampling that is off is sent as off (`top_p` 1, `top_k` -1), because vLLM and others fill a missing
field from the model's own generation settings, and an unfiltered draw would silently become a
filtered one. What no request can set, such as a repetition penalty among those settings, has to be
switched off on the server (`--generation-config vllm`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import orjson

from cai.errors import UsageError
from cai.models.base import Sampling
from cai.models.openai.refusals import Complaint, Json

# Words by which a server says that it does not take a field or its value at all. Others, such as
# that a value is too large, are an error that the caller has to see.
_REFUSING = re.compile(
    r"unsupported|(?:n't|not|no longer) (?:\w+ ){0,2}(?:support|accept|allow|permit|enabled"
    r"|available|implemented)|unrecogni[sz]ed|unexpected|unknown|extra|forbidden|instead|deprecated"
    r"|cannot find field|invalid (?:parameter|argument|field|name)|\bonly\b.{0,40}(?:\b1\b|support"
    r"|default|allowed)|must be 1\b|cannot (?:both )?be (?:used|set|specified|changed)|unavailable"
    r"|cannot both|is fixed|disabled",
    re.IGNORECASE,
)
_ALTERNATIVE = re.compile(r"\bboth\b|together|mutually exclusive|only one of", re.IGNORECASE)
_N_TOP, _N_TOP_LOW = 20, 5  # what most servers return, and what the strictest do
_LOGPROBS = re.compile(r"log[ _-]?prob|top_n_tokens", re.IGNORECASE)
_MENTION = {
    "temperature": r"\btemperature\b",
    "top_p": r"\btop[ _-]?p\b",
    "top_k": r"\btop[ _-]?k\b",
    "max_tokens": r"\bmax_?tokens\b",
    "seed": r"\bseed\b",
    "stop": r"['\"`.]stop['\"`]?(?:\W|$)|\bstop[ _](?:sequence|string|word|parameter)|^stop\b",
    "response_format": r"response[ _.]?(?:format|schema|mime)|json[ _](?:schema|mode|object)"
    r"|structured[ _]output|guided_|grammar|\bschema\b|output_config",
    "logprobs": _LOGPROBS.pattern,
    "stream": r"['\"`]stream['\"`]|\bstream\b[ :]",
}
_SAID = {
    "temperature": "answers are drawn at the server's own temperature",
    "top_p": "top_p is the server's own",
    "top_k": "top_k is the server's own",
    "seed": "its answers have no seed",
    "stop": "answers are cut at stop strings when they are complete",
    "response_format": "no schema holds its answers to a form",
}


@dataclass(frozen=True, slots=True)
class Dialect:
    """The fields in `refused` are left out or renamed; `n_top` log-probabilities are asked for.

    With `is_folded`, system turns are written at the head of the user turn that follows.
    """

    refused: frozenset[str] = frozenset()
    n_top: int = _N_TOP
    is_folded: bool = False

    def fields(self, sampling: Sampling, *, is_text: bool) -> dict[str, Json]:
        """The part of a request's body about sampling.

        Raises:
            UsageError: The schema for the answer is not JSON.
        """
        # /completions never took the new name: servers would ignore it and stop at their default.
        is_renamed = "max_tokens" in self.refused and not is_text
        fields: dict[str, Json] = {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k or -1,
            "stream": False,
        }
        if sampling.stop:
            fields["stop"] = list(sampling.stop)
        if sampling.seed is not None:
            fields["seed"] = sampling.seed
        if sampling.json_schema and not is_text and "response_format" not in self.refused:
            try:
                schema: Json = orjson.loads(sampling.json_schema)
            except orjson.JSONDecodeError as error:
                raise UsageError(
                    f"The schema for the answer is not JSON ({error}). Fix it."
                ) from None
            named: Json = {"name": "answer", "strict": True, "schema": schema}
            fields["response_format"] = {"type": "json_schema", "json_schema": named}
        for field in self.refused:
            fields.pop(field, None)
        fields["max_completion_tokens" if is_renamed else "max_tokens"] = sampling.max_tokens
        return fields

    def after(
        self,
        complaint: Complaint,
        sampling: Sampling,
        *,
        wants_logprobs: bool = False,
        is_malformed: bool = True,
    ) -> "Dialect | None":
        """The dialect to try after that complaint; None where it is about no optional field.

        `is_malformed` says that the status means a malformed request; with another one, only words
        that refuse a field count.
        """
        is_refusing = _REFUSING.search(complaint.words) is not None
        if not is_malformed and not is_refusing:
            return None
        # Fields that only state what is off, a schema, and the number of log-probabilities can go
        # after any words that mention them.
        free = {"response_format", "logprobs"}
        free |= {"top_p"} if sampling.top_p >= 1 else set()
        free |= {"top_k"} if sampling.top_k <= 0 else set()
        absent = {
            "response_format": not sampling.json_schema,
            "logprobs": not wants_logprobs,
            "seed": sampling.seed is None,
            "stop": not sampling.stop,
        }
        may_go = [
            field
            for field in _MENTION
            if field not in self.refused and not absent.get(field)
            if is_refusing or field in free
        ]
        named = _named(complaint, may_go)
        if _ALTERNATIVE.search(complaint.message):
            named.sort(key=lambda field: field not in free)  # of two that exclude each other
        if not named:
            return None
        if named[0] == "logprobs":
            lower = map(int, re.findall(r"\b\d{1,2}\b", complaint.message))
            n_top = max((n for n in lower if 0 < n < self.n_top), default=_N_TOP_LOW)
            return replace(self, n_top=n_top) if n_top < self.n_top else None
        return replace(self, refused=self.refused | {named[0]})

    def merged(self, other: "Dialect") -> "Dialect":
        """What both have learnt."""
        return Dialect(
            self.refused | other.refused,
            min(self.n_top, other.n_top),
            self.is_folded or other.is_folded,
        )

    def learnt_since(self, before: "Dialect") -> list[str]:
        """A sentence on everything that this dialect leaves out and the one `before` did not."""
        said = [
            f"{each!r} ({_SAID[each]})" for each in _SAID if each in self.refused - before.refused
        ]
        if self.is_folded and not before.is_folded:
            said.append("a system turn (its text goes to the head of the user's first turn)")
        return said


# The hosted API refuses unknown fields, has the new name, and fills in nothing.
OPENAI = Dialect(frozenset({"max_tokens", "top_p", "top_k"}))


def _named(complaint: Complaint, fields: list[str]) -> list[str]:
    """The fields that a complaint names, the one that is meant first."""
    # Many servers go on to list what they would accept, so it is the first in the message, unless
    # the server itself says which in a field of its own.
    found: Mapping[str, re.Match[str] | None] = {
        field: re.search(_MENTION[field], complaint.message, re.IGNORECASE) for field in fields
    }
    by_place = sorted((match.start(), field) for field, match in found.items() if match)
    by_param = [
        field for field in fields if re.search(_MENTION[field], complaint.param, re.IGNORECASE)
    ]
    return list(dict.fromkeys([*by_param, *(field for _, field in by_place)]))


def is_about_logprobs(complaint: Complaint) -> bool:
    """Whether the server speaks of log-probabilities, in whatever spelling."""
    return _LOGPROBS.search(f"{complaint.words} {complaint.param}") is not None
