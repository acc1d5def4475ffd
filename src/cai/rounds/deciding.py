"""What follows from a round's figures: rules over the rounds that led to its policy."""

from collections.abc import Mapping, Sequence

from cai.evaluation.bootstrap import Estimate
from cai.evaluation.ratings import Rating
from cai.evaluation.rules import Consequence, Rule
from cai.rounds.found import Decision, RoundFound

_WEIGHT: Mapping[Consequence, int] = {"warn": 0, "ask": 1, "roll back": 2, "stop": 3}


def lineage(rounds: Sequence[RoundFound], parent: int, number: int) -> list[int]:
    """The rounds that led to round `number`, which started from `parent`: round 0 first."""
    if not number:
        return []
    found = [parent]
    while found[0]:
        found.insert(0, rounds[found[0]].parent)
    return found


def broken_rules(
    rules: Sequence[Rule], history: Sequence[Mapping[str, Estimate]]
) -> list[tuple[Rule, str]]:
    """The rules that the last of these figures breaks, each with a sentence.

    `history` are the figures along the lineage, in order. A rule about what the last round could
    not measure breaks nothing; that it is missing is said elsewhere.
    """
    found: list[tuple[Rule, str]] = []
    for rule in rules:
        if rule.metric not in history[-1]:
            continue
        known = [figures[rule.metric] for figures in history if rule.metric in figures]
        values = [each.value for each in known]
        if rule.holds(values, [_edge(rule, each) for each in known]):
            found.append((rule, _sentence(rule, known[-1], rule.limit(values))))
    return found


def decision_of(rules: Sequence[Rule]) -> Decision:
    """The weightiest consequence of broken rules."""
    decisions: dict[Consequence, Decision] = {
        "warn": "go on",
        "ask": "ask",
        "roll back": "roll back",
        "stop": "stop",
    }
    heaviest = max(rules, key=lambda rule: _WEIGHT[rule.then], default=None)
    return "go on" if heaviest is None else decisions[heaviest.then]


def best_of(rounds: Sequence[RoundFound], ratings: Sequence[Rating]) -> int:
    """The best rated of the rounds that no rule threw out; of equal ones the earliest.

    The start is not thrown out: there is nothing before it.
    """
    found, highest = 0, float("-inf")
    for each, rating in zip(rounds, ratings, strict=False):
        is_out = each.number > 0 and each.decision in ("stop", "roll back")
        if not is_out and rating.value is not None and rating.value > highest:
            found, highest = each.number, rating.value
    return found


def _edge(rule: Rule, estimate: Estimate) -> float:
    """The end of the interval next to the limit; where there is none, nothing is sure."""
    is_above = rule.comparison in (">", ">=")
    edge = estimate.low if is_above else estimate.high
    if edge is None:
        return float("-inf") if is_above else float("inf")
    return edge


def _sentence(rule: Rule, estimate: Estimate, limit: float) -> str:
    span = ""
    if estimate.low is not None and estimate.high is not None:
        span = f" ({estimate.low:.3g} to {estimate.high:.3g})"
    against = f", which is {limit:.3g}" if rule.reference else ""
    return f"{rule.metric} is {estimate.value:.3g}{span}: rule {rule.text!r}{against}"
