"""Which optional request fields a server takes: full speech at first, less after each refusal.

Servers differ in the name of the token limit, in how many log-probabilities they show, and in
whether they bear fields that change nothing. All of it is learnt from their own complaints.

Sampling that is off is said to be off (`top_p` 1, `top_k` -1), because vLLM and others fill a
missing field from the model's own generation settings, and an unfiltered draw would silently become
a filtered one. What no request can say, such as a repetition penalty among those settings, is the
server's to switch off (`--generation-config vllm`).

A schema for the answer is a wish: a server that complains about it is asked without it.

From the likeliest next tokens of a model to log-probabilities of the options it may choose from.

A letter reaches us in several spellings ("A", " A", "(A", "**A"): their probabilities are added. An
option among none of the tokens shown is bounded from above: it cannot be likelier than the rarest
token shown, nor than all the probability that the shown tokens leave over. It gets that bound, so
the share of the others errs towards caution, never towards certainty.

One token is seen. An option may be spelt in several: a token that begins it, and no other option,
counts for it, as "Y" does for Yes. But where "10" is spelt "1",
"0", its probability would count for "1", and there is no choice to be read.
"""

import math
import re
from collections.abc import Iterator, Sequence
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


_LEAST_REST = 1e-9
_NEGLIGIBLE = 1e-3
_ROUNDING = 1e-3  # by which a server's log-probability may lie above 0


def read_choice(
    tokens: Sequence[tuple[str, float]],
    options: Sequence[str],
    where: str,
    usage: Usage = Usage(),
) -> Choice:
    """The choice among the options; its mass is that of the option tokens seen.

    `tokens` are the likeliest first tokens of the answer with their log-probabilities; `where`
    names the server in messages.

    Raises:
        UsageError: The options are not distinct texts.
        NoLogprobs: No token is one of the options, or one may be the beginning of two of them.
        ModelError: A log-probability is not one.
    """
    check_options(options)
    seen = _gather(tokens, options, where)
    if not seen:
        raise NoLogprobs(
            f"{where}: none of the options {', '.join(options)} is among the likeliest first "
            f"tokens, which are {_listed(tokens)}. Ask for the bare option, switch off the "
            "thinking of a model that thinks first, or judge by parsed verdicts."
        )
    _check_beginnings(seen, options, where)
    bound = _bound([value for _, value in tokens])
    summed = [seen.get(option, bound) for option in options]
    return Choice.normalised(summed, usage, mass_of(list(seen.values())))


def _gather(
    tokens: Sequence[tuple[str, float]], options: Sequence[str], where: str
) -> dict[str, float]:
    """The log-probability of each option that was seen, over its spellings."""
    seen: dict[str, list[float]] = {}
    for token, value in tokens:
        if math.isnan(value) or value > _ROUNDING:
            raise ModelError(
                f"{where}: {value:g} for the token '{shown(token)}' is not a log-probability. "
                "The model overflows on that server; try another data type there."
            )
        option = bare(token) if bare(token) in options else _begun(bare(token), options)
        if value > -math.inf and option is not None:
            seen.setdefault(option, []).append(value)
    return {option: log_sum_exp(values) for option, values in seen.items()}


def _begun(text: str, options: Sequence[str]) -> str | None:
    """The one option that the text begins without being it; None where there is none or several."""
    if not text or text in options:
        return None
    found = [option for option in options if option.startswith(text)]
    return found[0] if len(found) == 1 else None


def _check_beginnings(seen: dict[str, float], options: Sequence[str], where: str) -> None:
    for short, value in seen.items():
        longer = [one for one in options if one != short and one.startswith(short)]
        hidden = [one for one in longer if one not in seen]
        if hidden and math.exp(value) > _NEGLIGIBLE:
            raise NoLogprobs(
                f"{where}: the first token '{shown(short)}' is an option and may also begin the "
                f"option {shown(hidden[0])}, which is not among the tokens shown, so their "
                "probabilities cannot be told apart. Give options of which none begins another, "
                "or judge by parsed verdicts."
            )


def _bound(values: Sequence[float]) -> float:
    rest = 1.0 - sum(math.exp(value) for value in values)
    finite = [value for value in values if value > -math.inf]
    return min(min(finite), math.log(max(rest, _LEAST_REST)))


def _listed(tokens: Sequence[tuple[str, float]]) -> str:
    likeliest = sorted(tokens, key=lambda pair: -pair[1])[:5]
    return ", ".join(f"'{shown(token)}'" for token, _ in likeliest)
