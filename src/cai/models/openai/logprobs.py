"""From the likeliest next tokens of a model to log-probabilities of the options it may choose from.

A letter reaches us in several spellings ("A", " A", "(A", "**A"): their probabilities are added. An
option among none of the tokens shown is bounded from above: it cannot be likelier than the rarest
token shown, nor than all the probability that the shown tokens leave over. It gets that bound, so
the share of the others errs towards caution, never towards certainty.

One token is seen, so options should be one token each: where "10" is spelt "1", "0", its
probability counts for "1".
"""

import math
from collections.abc import Sequence

from cai.errors import ModelError, NoLogprobs, UsageError
from cai.models.openai.failures import shown
from cai.models.protocol import Choice, log_sum_exp

_AROUND = " \t\r\n()[]{}\"'`“”‘’*_.:,▁Ġ"
_LEAST_REST = 1e-9


def option_logprobs(
    tokens: Sequence[tuple[str, float]], options: Sequence[str], where: str
) -> tuple[float, ...]:
    """Log-probabilities of the options in nats, normalised over them.

    `tokens` are the likeliest first tokens of the answer with their log-probabilities; `where`
    names the server in messages.

    Raises:
        UsageError: The options are not distinct texts.
        NoLogprobs: No token is one of the options.
        ModelError: A log-probability is not a number.
    """
    seen = _gather(tokens, options, where)
    if not seen:
        raise NoLogprobs(
            f"{where}: none of the options {', '.join(options)} is among the likeliest first "
            f"tokens, which are {_listed(tokens)}. Ask for the bare option, switch off the "
            "thinking of a model that thinks first, or judge by parsed verdicts."
        )
    bound = _bound([value for _, value in tokens])
    summed = [log_sum_exp(seen[option]) if option in seen else bound for option in options]
    return Choice.normalised(summed).logprobs


def _gather(
    tokens: Sequence[tuple[str, float]], options: Sequence[str], where: str
) -> dict[str, list[float]]:
    if len(set(options)) < len(options) or any(
        not option or option != option.strip(_AROUND) for option in options
    ):
        raise UsageError(
            f"The options {list(options)!r} cannot be told apart in an answer. "
            "Give distinct letters or words without spaces or punctuation around them."
        )
    seen: dict[str, list[float]] = {}
    for token, value in tokens:
        if math.isnan(value):
            raise ModelError(
                f"{where}: the log-probability of the token '{shown(token)}' is not a number. "
                "The model overflows on that server; try another data type there."
            )
        if value > -math.inf and _bare(token) in options:
            seen.setdefault(_bare(token), []).append(value)
    return seen


def _bare(token: str) -> str:
    return token.strip(_AROUND) or token


def _bound(values: Sequence[float]) -> float:
    rest = 1.0 - sum(math.exp(value) for value in values)
    finite = [value for value in values if value > -math.inf]
    return min(min(finite), math.log(max(rest, _LEAST_REST)))


def _listed(tokens: Sequence[tuple[str, float]]) -> str:
    likeliest = sorted(tokens, key=lambda pair: -pair[1])[:5]
    return ", ".join(f"'{shown(token)}'" for token, _ in likeliest)
