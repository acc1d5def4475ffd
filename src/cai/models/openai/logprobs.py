"""From the likeliest next tokens of a model to log-probabilities of the options it may choose from.

A letter reaches us in several spellings ("A", " A", "(A", "**A"): their probabilities are added. An
option among none of the tokens shown is bounded from above: it cannot be likelier than the rarest
token shown, nor than all the probability that the shown tokens leave over. It gets that bound, so
the share of the others errs towards caution, never towards certainty.

One token is seen. An option may be spelt in several: a token that begins it, and no other option,
counts for it, as "Y" does for Yes. But where "10" is spelt "1",
"0", its probability would count for "1", and there is no choice to be read.
"""

import math
from collections.abc import Sequence

from cai.errors import ModelError, NoLogprobs
from cai.models.openai.failures import shown
from cai.models.options import bare, check_options
from cai.models.protocol import Choice, Usage, log_sum_exp, mass_of

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
