"""Requests in the dialect of a server, and choices read from the top tokens that it returns.

Servers differ in the name of the token limit, in how many log-probabilities they return, and in
whether they accept fields that change nothing. The dialect is learnt from their error messages: it
starts with every field and loses one after each refusal.

Sampling that is off is sent as off (`top_p` 1, `top_k` -1), because vLLM and others fill a missing
field from the model's own generation settings, and an unfiltered draw would silently become a
filtered one. What no request can set, such as a repetition penalty among those settings, has to be
switched off on the server (`--generation-config vllm`).
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from cai.errors import ModelError, NoLogprobs, UsageError
from cai.models.base import Choice, Sampling, Usage, bare, check_options, log_sum_exp, mass_of
from cai.models.openai.errors import shown

Json = dict[str, "Json"] | list["Json"] | str | int | float | bool | None

_REFUSAL = re.compile(
    r"unsupported|not supported|unrecogni[sz]ed|unexpected|unknown|extra|not permitted"
    r"|not allowed|forbidden|instead",
    re.IGNORECASE,
)
_N_TOP, _N_TOP_LOW = 20, 5  # what most servers return, and what the strictest do
_MENTION = {
    "logprobs": r"\b(?:top_)?logprobs\b|\btop_n_tokens\b",
    "response_format": r"response_format|(?i:json[ _]schema|structured[ _]output)|guided_|grammar",
}
_LEAST_REST = 1e-9
_NEGLIGIBLE = 1e-3
_ROUNDING = 1e-3  # by which a server's log-probability may lie above 0


@dataclass(frozen=True, slots=True)
class Dialect:
    """The fields in `refused` are left out, renamed or lowered."""

    refused: frozenset[str] = frozenset()

    @property
    def n_top(self) -> int:
        """How many of the most probable tokens to request."""
        return _N_TOP_LOW if "logprobs" in self.refused else _N_TOP

    def fields(self, sampling: Sampling, *, is_text: bool) -> dict[str, Json]:
        """The part of a request's body about sampling.

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
            try:
                schema: Json = orjson.loads(sampling.json_schema)
            except orjson.JSONDecodeError as error:
                raise UsageError(
                    f"The schema for the answer is not JSON ({error}). Fix it."
                ) from None
            named: Json = {"name": "answer", "strict": True, "schema": schema}
            fields["response_format"] = {"type": "json_schema", "json_schema": named}
        return fields

    def after(
        self, complaint: str, sampling: Sampling, wants_logprobs: bool = False
    ) -> "Dialect | None":
        """The dialect to try after that error message; None where it is about no optional field."""
        # Fields that only state what is off, a schema, and the number of log-probabilities can go
        # after any message that mentions them.
        is_optional = {
            "top_p": sampling.top_p >= 1,
            "top_k": sampling.top_k <= 0,
            "response_format": bool(sampling.json_schema),
            "logprobs": wants_logprobs,
        }
        # The limit can be renamed and a seed is best effort, but a message about their values (too
        # large, say) is an error that the caller has to see: only where the field is refused.
        if _REFUSAL.search(complaint):
            is_optional |= {"max_tokens": True, "seed": sampling.seed is not None}
        named = {
            match.start(): field
            for field, may_go in is_optional.items()
            if may_go and field not in self.refused
            if (match := re.search(_MENTION.get(field, rf"\b{field}\b"), complaint))
        }
        # The field named first is meant: many servers go on to list what they would accept.
        return Dialect(self.refused | {named[min(named)]}) if named else None


# The hosted API refuses unknown fields, has the new name, and fills in nothing.
OPENAI = Dialect(frozenset({"max_tokens", "top_p", "top_k"}))


def read_choice(
    tokens: Sequence[tuple[str, float]],
    options: Sequence[str],
    where: str,
    usage: Usage = Usage(),
) -> Choice:
    """The choice among the options; its mass is that of the option tokens seen.

    `tokens` are the most probable first tokens of the answer with their log-probabilities; `where`
    names the server in messages. Only one token is seen: one that begins an option, and no other,
    counts for it, as "Y" does for Yes.

    Raises:
        UsageError: The options are not distinct texts.
        NoLogprobs: No token is one of the options, or one may be the beginning of two of them.
        ModelError: A value is not a log-probability.
    """
    check_options(options)
    by_option: dict[str, list[float]] = {}
    for token, value in tokens:
        if math.isnan(value) or value > _ROUNDING:
            raise ModelError(
                f"{where}: {value:g} for the token '{shown(token)}' is not a log-probability. "
                "The model overflows on that server; try another data type there."
            )
        text = bare(token)
        begun = [text] if text in options else [each for each in options if each.startswith(text)]
        if value > -math.inf and text and len(begun) == 1:
            by_option.setdefault(begun[0], []).append(value)
    # Several spellings of one letter ("A", " A", "(A", "**A"): their probabilities are added.
    seen = {option: log_sum_exp(values) for option, values in by_option.items()}
    if not seen:
        likeliest = sorted(tokens, key=lambda pair: -pair[1])[:5]
        listed = ", ".join(f"'{shown(token)}'" for token, _ in likeliest)
        raise NoLogprobs(
            f"{where}: none of the options {', '.join(options)} is among the most probable first "
            f"tokens, which are {listed}. Request the bare option, switch off the thinking of a "
            "model that thinks first, or judge by parsed verdicts."
        )
    _check_prefixes(seen, options, where)
    # An option among none of the tokens is bounded from above: it cannot be more probable than the
    # rarest token shown, nor than all the probability that the shown tokens leave over. It gets
    # that bound, so that the others' share errs towards caution and never towards certainty.
    rest = 1.0 - sum(math.exp(value) for _, value in tokens)
    rarest = min(value for _, value in tokens if value > -math.inf)
    bound = min(rarest, math.log(max(rest, _LEAST_REST)))
    summed = [seen.get(option, bound) for option in options]
    return Choice.normalised(summed, usage, mass_of(list(seen.values())))


def _check_prefixes(seen: dict[str, float], options: Sequence[str], where: str) -> None:
    # Where "10" is spelt "1", "0", the probability of its first token would count for "1".
    for short, value in seen.items():
        longer = [one for one in options if one != short and one.startswith(short)]
        hidden = [one for one in longer if one not in seen]
        if hidden and math.exp(value) > _NEGLIGIBLE:
            raise NoLogprobs(
                f"{where}: the first token '{shown(short)}' is an option and may also begin the "
                f"option {shown(hidden[0])}, which is not among the tokens shown, so their "
                "probabilities cannot be told apart. Give options none of which begins another, "
                "or judge by parsed verdicts."
            )
