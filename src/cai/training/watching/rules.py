"""Rules over the figures of a run: `METRIC OP VALUE [for N] [then warn|stop]`.

`evasive > 0.3 then stop`, `distinct_2 < 0.5*start`, `length > 2*start for 3`. The value may be
relative to the metric's first value in the run: `0.5*start`, `start+0.3`, `start-0.1`.
"""

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal, cast

from cai.errors import UsageError
from cai.training.watching.metrics import METRICS

Consequence = Literal["warn", "stop"]
Comparison = Literal[">", ">=", "<", "<="]

_COMPARE: dict[Comparison, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_NUMBER = r"\d+(?:\.\d*)?(?:e-?\d+)?|\.\d+"
_RULE = re.compile(
    rf"""\s*(?P<metric>[\w/-]+)\s*(?P<comparison>>=|<=|>|<)\s*
    (?:(?P<number>-?(?:{_NUMBER}))
     |(?:(?P<times>{_NUMBER})\s*\*\s*)?start(?:\s*(?P<sign>[+-])\s*(?P<plus>{_NUMBER}))?)
    (?:\s+for\s+(?P<n>[1-9]\d*))?
    (?:\s+then\s+(?P<then>warn|stop))?\s*""",
    re.VERBOSE,
)
FORM = "METRIC > VALUE, optionally followed by 'for N' and 'then stop'"


@dataclass(frozen=True, slots=True)
class Rule:
    """Broken where the last `n` values of the metric are all beyond `times` × start + `plus`."""

    text: str
    metric: str
    comparison: Comparison
    times: float
    plus: float
    n: int
    then: Consequence

    def limit(self, start: float) -> float:
        """What the metric is compared with, in a run whose first value is `start`."""
        return self.times * start + self.plus

    def holds(self, values: Sequence[float]) -> bool:
        """Whether a run with these values of the metric, in order, breaks the rule now.

        The first value is the start itself, and never counts against a rule that is relative to it.
        """
        if len(values) < self.n + (self.times != 0):
            return False
        limit = self.limit(values[0])
        compare = _COMPARE[self.comparison]
        return all(compare(value, limit) for value in values[-self.n :])


def parse_rule(text: str) -> Rule:
    """The rule that a text says.

    Raises:
        UsageError: It is none, or of a metric that nobody measures.
    """
    found = _RULE.fullmatch(text)
    if found is None:
        raise UsageError(
            f"Rule {text!r} cannot be read. Write {FORM}, as in 'evasive > 0.3 then stop', "
            "'distinct_2 < 0.5*start' or 'length > 2*start for 3'."
        )
    metric = found["metric"]
    if metric not in METRICS:
        close = get_close_matches(metric, METRICS, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else f"There are {', '.join(METRICS)}."
        raise UsageError(f"Rule {text!r}: no metric is called {metric!r}. {hint}")
    times = 0.0 if found["number"] else float(found["times"] or 1)
    plus = float(found["number"] or (found["sign"] or "") + (found["plus"] or "0"))
    return Rule(
        " ".join(text.split()),
        metric,
        cast(Comparison, found["comparison"]),
        times,
        plus,
        int(found["n"] or 1),
        cast(Consequence, found["then"] or "warn"),
    )


DEFAULT_RULES: tuple[Rule, ...] = tuple(
    parse_rule(text)
    for text in (
        "length > 2*start for 3",
        "length < 0.5*start for 3",
        "empty > 0.1",
        "cut_off > 0.5 for 3",
        "distinct_2 < 0.5*start",
        "self_similarity > start+0.2",
        "boilerplate > start+0.3",
        "refusals > start+0.3",
        "evasive > 0.3",
        "reward_length_correlation > 0.8 for 3",
        "kl > 30",
        "kl_start > 30",
        "entropy < 0.25*start for 3",
    )
)
"""Only warnings: what is wrong in one run is the aim of another."""
