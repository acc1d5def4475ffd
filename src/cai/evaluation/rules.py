"""Rules over metrics measured repeatedly: `METRIC OP VALUE [surely] [for N] [then …]`.

`evasive > 0.3 then stop`, `distinct_2 < 0.5*start`, `length > 2*start for 3`. The value may be
relative to the metric's first value, `0.5*start`, `start+0.3`, or to the previous one, `last-0.1`.
`surely` is for figures with intervals: the whole interval must be beyond the value.

Example:
    >>> rule = parse_rule("length > 2*start", Vocabulary({"length": "words a response"}))
    >>> rule.holds([100.0, 150.0]), rule.holds([100.0, 250.0])
    (False, True)
"""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from cai.errors import UsageError
from cai.suggest import did_you_mean

Consequence = Literal["warn", "stop", "roll back", "ask"]
Comparison = Literal[">", ">=", "<", "<="]
Reference = Literal["start", "last"]

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
     |(?:(?P<times>{_NUMBER})\s*\*\s*)?(?P<reference>start|last)
      (?:\s*(?P<sign>[+-])\s*(?P<plus>{_NUMBER}))?)
    (?:\s+(?P<surely>surely))?
    (?:\s+for\s+(?P<n>[1-9]\d*))?
    (?:\s+then\s+(?P<then>warn|stop|roll\s+back|ask))?\s*""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The metrics of rules, the permitted consequences, and whether figures have intervals."""

    metrics: Mapping[str, str]
    consequences: tuple[Consequence, ...] = ("warn", "stop")
    has_intervals: bool = False

    @property
    def form(self) -> str:
        """How a rule is written, in a sentence."""
        follows = " or ".join(f"'then {each}'" for each in self.consequences if each != "warn")
        surely = "'surely', " if self.has_intervals else ""
        return f"METRIC > VALUE, optionally followed by {surely}'for N' and {follows}"


@dataclass(frozen=True, slots=True)
class Rule:
    """Holds where the last `n` values of the metric are all beyond `times` × reference + `plus`.

    A rule without a reference compares with `plus` alone.
    """

    text: str
    metric: str
    comparison: Comparison
    times: float
    plus: float
    n: int
    then: Consequence
    reference: Reference | None = None
    is_sure: bool = False

    def limit(self, values: Sequence[float], index: int = -1) -> float:
        """The limit of the value at that index, among the metric's values in order."""
        if self.reference is None:
            return self.plus
        before = values[0] if self.reference == "start" else values[index - 1]
        return self.times * before + self.plus

    def holds(self, values: Sequence[float], edges: Sequence[float] | None = None) -> bool:
        """Whether these values of the metric, in order, meet the rule's condition now.

        `edges` are the ends of the intervals next to the limit, which a sure rule compares.
        """
        # The first value is the start itself, and cannot be beyond a limit relative to it.
        if len(values) < self.n + (self.reference is not None):
            return False
        compared = edges if self.is_sure and edges is not None else values
        compare = _COMPARE[self.comparison]
        return all(compare(compared[i], self.limit(values, i)) for i in range(-self.n, 0))


def parse_rule(text: str, vocabulary: Vocabulary) -> Rule:
    """The rule written in a text.

    Raises:
        UsageError: The text is not a rule, its metric is unknown, or its consequence not permitted.
    """
    match = _RULE.fullmatch(text)
    if match is None:
        raise UsageError(
            f"Rule {text!r} cannot be read. Write {vocabulary.form}, as in "
            "'evasive > 0.3 then stop', 'distinct_2 < 0.5*start' or 'length > 2*start for 3'."
        )
    metric = match["metric"]
    if metric not in vocabulary.metrics:
        known = f"There are {', '.join(vocabulary.metrics)}."
        hint = did_you_mean(metric, vocabulary.metrics, known)
        raise UsageError(f"Rule {text!r}: no metric is called {metric!r}. {hint}")
    then = cast(Consequence, " ".join((match["then"] or "warn").split()))
    if then not in vocabulary.consequences:
        able = ", ".join(vocabulary.consequences)
        raise UsageError(f"Rule {text!r}: {then!r} cannot follow here. What can is {able}.")
    if match["surely"] and not vocabulary.has_intervals:
        raise UsageError(
            f"Rule {text!r}: figures have no intervals here, so nothing is sure. Leave 'surely' "
            "out, and use 'for N' against chance."
        )
    return Rule(
        " ".join(text.split()),
        metric,
        comparison=cast(Comparison, match["comparison"]),
        times=0.0 if match["number"] else float(match["times"] or 1),
        plus=float(match["number"] or (match["sign"] or "") + (match["plus"] or "0")),
        n=int(match["n"] or 1),
        then=then,
        reference=cast("Reference | None", match["reference"]),
        is_sure=bool(match["surely"]),
    )
