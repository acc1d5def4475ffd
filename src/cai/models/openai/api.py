"""A choice read from the likeliest first tokens that a server returns.

Example:
    read_choice([("A", -0.1), (" B", -2.4)], ("A", "B"), "my-model at http://localhost:8000/v1")
"""

import math
from collections.abc import Sequence

from cai.errors import ModelError, NoLogprobs
from cai.models.base import Choice, Usage, bare, check_options, log_sum_exp, mass_of
from cai.models.openai.errors import shown

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
