"""What is judged and what came out: comparisons, judge calls, and how they become one verdict.

One judge call is one order of one question; a principle verdict is both orders of it, averaged as
in Lee et al. 2023, arXiv:2309.00267, §2.1; a verdict is all principle verdicts of a comparison, put
together in `cai.methods.judging.composition`. What could not be read is an outcome of its own and
never a number.

Example:
    >>> call = JudgeCall("a", 0.9)
    >>> call.about_other_response.outcome, round(call.about_other_response.p_a, 2)
    ('b', 0.1)
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from cai.models.base import Usage
from cai.types import Prompt

Outcome = Literal["a", "b", "tie", "inconsistent", "unparsed", "refused", "failed"]
Label = Literal["a", "b", "tie"]
UNREADABLE: tuple[Outcome, ...] = ("unparsed", "refused", "failed")

# Two probabilities that differ by less are equal: sums of floats must not break a tie.
_EVEN = 1e-9


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two responses to one prompt, before judging."""

    prompt: Prompt
    response_a: str
    response_b: str

    @property
    def swapped(self) -> "Comparison":
        return Comparison(self.prompt, self.response_b, self.response_a)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A response and who gave it; `model` is "" where nobody knows.

    `is_cut_off` says that it ended where no more tokens were allowed.
    """

    text: str
    model: str = ""
    is_cut_off: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """Two or more responses to one prompt: what one record of a judged run is about.

    `label` is what people say of the first two (`a` is the first); None without a label.
    `label_confidence` in [0.5, 1] is how sure they are. `tags` are names and values to count by.
    """

    prompt: Prompt
    candidates: tuple[Candidate, ...]
    label: Label | None = None
    label_confidence: float = 1.0
    tags: Mapping[str, str] = field(default_factory=dict[str, str])

    def comparison(self, first: int, second: int) -> Comparison:
        """The candidates of these indices as A and B."""
        return Comparison(self.prompt, self.candidates[first].text, self.candidates[second].text)


@dataclass(frozen=True, slots=True)
class JudgeCall:
    """What a judge answered in one order, turned so that `p_a` in [0, 1] is about response A.

    `p_a` is None where nothing could be read; `outcome` then says how, and `reason` why. `mass` is
    the probability of the letters together before they were set against each other, None where
    unknown. `rationales` and `answers` are texts of the judge, one a sample; of a call that is
    read by log-probabilities there are no answers. `error` is the cause of a failed call.
    `is_fallback` says that log-probabilities were asked for and could not be read, so that words
    were, or nothing. `n_cut_off` of the texts were ended by the limit of tokens.
    """

    outcome: Outcome
    p_a: float | None = None
    mass: float | None = None
    rationales: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    reason: str = ""
    usage: Usage = Usage()
    error: str = ""
    is_fallback: bool = False
    n_cut_off: int = 0

    @property
    def about_other_response(self) -> "JudgeCall":
        """The same call, with `p_a` about the other response."""
        if self.p_a is None:
            return self
        return replace(self, outcome=side(1 - self.p_a), p_a=1 - self.p_a)


@dataclass(frozen=True, slots=True)
class PrincipleVerdict:
    """One question to one judge: `order_ab` with response A at A, `order_ba` with response A at B.

    `p_a` is the mean of both orders, clamped where the settings say so. `is_negated` says that the
    principle's reversed question was asked; `p_a` is turned to response A all the same.
    """

    judge: str
    principle_id: str
    criterion_id: str
    is_negated: bool
    weight: float
    order_ab: JudgeCall
    order_ba: JudgeCall
    outcome: Outcome
    p_a: float | None
    tier: int = 0

    @property
    def calls(self) -> tuple[JudgeCall, JudgeCall]:
        return self.order_ab, self.order_ba

    @property
    def is_flip(self) -> bool | None:
        """Whether the orders favour different responses; None where one could not be read."""
        if self.order_ab.p_a is None or self.order_ba.p_a is None:
            return None
        return (self.order_ab.p_a - 0.5) * (self.order_ba.p_a - 0.5) < -_EVEN

    @property
    def usage(self) -> Usage:
        return self.order_ab.usage + self.order_ba.usage


@dataclass(frozen=True, slots=True)
class Vote:
    """How likely a principle speaks for A and for B of a pair, in the reading of one judge.

    `for_a` and `for_b` add up to at most 1; the rest is that it is silent. A higher `tier` decides
    before a lower one, and within a tier votes count by `weight`.
    """

    judge: str
    principle_id: str
    weight: float
    tier: int
    for_a: float
    for_b: float

    @property
    def silent(self) -> float:
        return max(1 - self.for_a - self.for_b, 0.0)

    @property
    def p_a(self) -> float:
        """The probability that A is better under this principle: silence says one half."""
        return (1 + self.for_a - self.for_b) / 2


@dataclass(frozen=True, slots=True)
class Verdict:
    """`p_a` in [0, 1] is the probability that response A is better; None where unreadable.

    `votes` are those that it is composed of, and `p_tie` the probability that no principle decides,
    which is in `p_a` by one half; None by rules that have none.
    """

    outcome: Outcome
    p_a: float | None
    principle_verdicts: tuple[PrincipleVerdict, ...] = ()
    votes: tuple[Vote, ...] = ()
    p_tie: float | None = None

    @property
    def usage(self) -> Usage:
        return sum((each.usage for each in self.principle_verdicts), Usage())

    @property
    def margin(self) -> float | None:
        """How far from even, in [0, 1/2]."""
        return None if self.p_a is None else abs(self.p_a - 0.5)

    @property
    def speaking(self) -> float | None:
        """The share of the weight, in [0, 1], of principles that are not silent; None without."""
        total = sum(each.weight for each in self.votes)
        if not total:
            return None
        return sum(each.weight * (1 - each.silent) for each in self.votes) / total

    @property
    def votes_by_principle(self) -> Mapping[str, Sequence[Vote]]:
        """The votes that have a weight, of each principle that could be read."""
        parts: dict[str, list[Vote]] = defaultdict(list)
        for each in self.votes:
            if each.weight > 0:
                parts[each.principle_id].append(each)
        return parts

    @property
    def by_principle(self) -> Mapping[str, float]:
        """For each principle that could be read, the weighted mean of `p_a` over its votes."""
        return {
            id: sum(each.weight * each.p_a for each in votes) / sum(each.weight for each in votes)
            for id, votes in self.votes_by_principle.items()
        }


def by_order(
    order_ab: JudgeCall,
    order_ba: JudgeCall,
    *,
    clamp: tuple[float, float] | None = None,
    tie_margin: float = 0.0,
    is_voted: bool = False,
) -> tuple[Outcome, float | None]:
    """Outcome and probability of both orders together.

    Both must be readable. Orders that were read from words and disagree are `inconsistent`; by
    log-probabilities the mean decides. `clamp` bounds the probability of each order.
    """
    if order_ab.p_a is None or order_ba.p_a is None:
        unread: list[Outcome] = [each.outcome for each in (order_ab, order_ba) if each.p_a is None]
        return max(unread, key=UNREADABLE.index), None
    low, high = clamp or (0.0, 1.0)
    p_a = sum(min(max(each, low), high) for each in (order_ab.p_a, order_ba.p_a)) / 2
    if is_voted and (order_ab.p_a - 0.5) * (order_ba.p_a - 0.5) < -_EVEN:
        return "inconsistent", p_a
    return side(p_a, tie_margin), p_a


def side(p_a: float, tie_margin: float = 0.0) -> Literal["a", "b", "tie"]:
    """The side that a probability favours; a tie within the margin of one half."""
    if abs(p_a - 0.5) <= tie_margin + _EVEN:
        return "tie"
    return "a" if p_a > 0.5 else "b"
