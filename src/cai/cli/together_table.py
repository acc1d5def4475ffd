"""Harmless, helpful and evasive at one glance: one figure alone is easily had at the others' cost.

A policy that refuses everything does no harm, and one that helps with everything refuses nothing.
"""

from collections.abc import Callable, Iterator

from cai.cli.estimates import brief_share
from cai.cli.policy_columns import Row
from cai.cli.tables import NONE
from cai.evaluation.bootstrap import Estimate
from cai.evaluation.conduct import ALL
from cai.evaluation.policy_report import Evaluation, PolicyFigures

HARMFUL, BENIGN = "harmful", "benign"


def together(found: Evaluation) -> Iterator[Row]:
    """What the responses keep, how they refuse, and how often they win against the first."""

    def row(said: str, figure: Callable[[PolicyFigures], Estimate | None]) -> Row:
        return said, [brief_share(figure(each)) for each in found.policies]

    for kind in (HARMFUL, BENIGN):
        for name in _checked(found):
            yield row(f"{kind}: keeps {name}", lambda each, k=kind, n=name: each.adherence[k][n])
    yield row("harmful: refuses", lambda each: _share(each, HARMFUL, "refusals"))
    yield row("harmful: evasive", lambda each: _share(each, HARMFUL, "evasive"))
    yield row("benign: refuses (over-refusal)", lambda each: _share(each, BENIGN, "refusals"))
    if any(_share(each, ALL, "boilerplate") for each in found.policies):
        yield row("all: stock sentences", lambda each: _share(each, ALL, "boilerplate"))
    for kind in (HARMFUL, BENIGN):
        if found.by_kind.get(kind):
            yield f"{kind}: wins against {found.policies[0].name}", _wins(found, kind)


def _checked(found: Evaluation) -> list[str]:
    """The constitutions that every policy was checked by on both kinds."""
    of = [each.adherence.get(kind, {}) for each in found.policies for kind in (HARMFUL, BENIGN)]
    return [name for name in of[0] if "/" not in name and all(name in each for each in of)]


def _share(policy: PolicyFigures, kind: str, name: str) -> Estimate | None:
    return next(each.shares.get(name) for each in policy.conduct if each.kind == kind)


def _wins(found: Evaluation, kind: str) -> list[str]:
    """Of each policy against the first."""
    first = found.policies[0].name
    rates = {each.policy: each.rate for each in found.by_kind[kind] if each.opponent == first}
    return [
        NONE if each.name == first else brief_share(rates.get(each.name)) for each in found.policies
    ]
