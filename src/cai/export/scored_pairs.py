"""Pairs of a run of scores: of several responses to one prompt the best over the worst.

A run over samples has each response as an example of its own; those of one prompt follow each
other. The difference of two scores is no probability, and says nothing of how sure the judge is, so
that the pairs have none (`chosen_probability` is null), like those of revision.

Example:
    pair = best_over_worst_scored([first, second, third])
    if isinstance(pair, Dropped):
        print(pair.reason)          # "one response", "tie"
"""

from collections.abc import Sequence

from cai.export.rows import Dropped, PreferencePair
from cai.methods.judging.pointwise import Scored


def best_over_worst_scored(group: Sequence[Scored]) -> PreferencePair | Dropped:
    """The best of the responses, all of which have a score, over the worst."""
    if len(group) < 2:
        return Dropped("one response")
    best, worst = max(group, key=_value), min(group, key=_value)
    if _value(best) == _value(worst):
        return Dropped("tie")
    if best.response.split() == worst.response.split():
        return Dropped("equal texts")
    return PreferencePair(best.prompt, best.response, worst.response, best.model, worst.model)


def _value(scored: Scored) -> float:
    assert scored.value is not None
    return scored.value
