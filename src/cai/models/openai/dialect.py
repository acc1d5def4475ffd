"""Which optional request fields a server takes: full speech at first, less after each refusal.

Servers differ in the name of the token limit, in how many log-probabilities they show, and in
whether they bear fields that change nothing. All of it is learnt from their own complaints.

Sampling that is off is said to be off (`top_p` 1, `top_k` -1), because vLLM and others fill a
missing field from the model's own generation settings, and an unfiltered draw would silently become
a filtered one. What no request can say, such as a repetition penalty among those settings, is the
server's to switch off (`--generation-config vllm`).

A schema for the answer is a wish: a server that complains about it is asked without it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import orjson

from cai.errors import UsageError
from cai.models.protocol import Sampling

Json = dict[str, "Json"] | list["Json"] | str | int | float | bool | None

_REFUSAL = re.compile(
    r"unsupported|not supported|unrecogni[sz]ed|unexpected|unknown|extra|not permitted"
    r"|not allowed|forbidden|instead",
    re.IGNORECASE,
)
_N_TOP, _N_TOP_LOW = 20, 5  # what most servers show, and what the strictest do
_MENTION = {
    "logprobs": r"\b(?:top_)?logprobs\b|\btop_n_tokens\b",
    "response_format": r"response_format|(?i:json[ _]schema|structured[ _]output)|guided_|grammar",
}


@dataclass(frozen=True, slots=True)
class Dialect:
    """The fields in `refused` are left out, renamed or lowered."""

    refused: frozenset[str] = frozenset()

    @property
    def n_top(self) -> int:
        """How many likeliest tokens to ask for."""
        return _N_TOP_LOW if "logprobs" in self.refused else _N_TOP

    def fields(self, sampling: Sampling, *, is_text: bool) -> dict[str, Json]:
        """The part of a request's body that says how to sample.

        Raises:
            UsageError: The schema for the answer is not JSON.
        """
        # /completions never took the new name: servers would ignore it and stop at their default.
        is_renamed = "max_tokens" in self.refused and not is_text
        fields: dict[str, Json] = {
            "temperature": sampling.temperature,
            "max_completion_tokens" if is_renamed else "max_tokens": sampling.max_tokens,
        }
        if sampling.top_p < 1 or "top_p" not in self.refused:
            fields["top_p"] = sampling.top_p
        if sampling.top_k > 0 or "top_k" not in self.refused:
            fields["top_k"] = sampling.top_k or -1
        if sampling.stop:
            fields["stop"] = list(sampling.stop)
        if sampling.seed is not None and "seed" not in self.refused:
            fields["seed"] = sampling.seed
        if sampling.json_schema and not is_text and "response_format" not in self.refused:
            fields["response_format"] = _response_format(sampling.json_schema)
        return fields

    def after(
        self, complaint: str, sampling: Sampling, wants_logprobs: bool = False
    ) -> "Dialect | None":
        """The dialect to try after that complaint; None when it is about nothing we can do without.

        The field named first is the one meant: many servers go on to list what they would take.
        """
        fields = set(self._spare(sampling))
        if _REFUSAL.search(complaint):
            fields |= set(self._renamed_or_lost(sampling))
        if wants_logprobs:
            fields.add("logprobs")
        named = {
            match.start(): field
            for field in fields - self.refused
            if (match := re.search(_MENTION.get(field, rf"\b{field}\b"), complaint))
        }
        return Dialect(self.refused | {named[min(named)]}) if named else None

    def _spare(self, sampling: Sampling) -> Iterator[str]:
        """Fields that say what is off, or a wish: any complaint about them is reason to go."""
        if sampling.top_p >= 1:
            yield "top_p"
        if sampling.top_k <= 0:
            yield "top_k"
        if sampling.json_schema:
            yield "response_format"

    def _renamed_or_lost(self, sampling: Sampling) -> Iterator[str]:
        """Fields that a server which does not know them can be spared: a seed is best effort."""
        yield "max_tokens"
        if sampling.seed is not None:
            yield "seed"


def _response_format(schema: str) -> Json:
    try:
        parsed: Json = orjson.loads(schema)
    except orjson.JSONDecodeError as error:
        raise UsageError(f"The schema for the answer is not JSON ({error}). Repair it.") from None
    return {
        "type": "json_schema",
        "json_schema": {"name": "answer", "strict": True, "schema": parsed},
    }


# The hosted API refuses what it does not know, has the new name, and fills in nothing.
OPENAI = Dialect(frozenset({"max_tokens", "top_p", "top_k"}))
