"""The tests that an author wrote for a principle, put before a judge.

How many of them a judge passes says how much its verdicts under the principle count, and finds a
judge that understands a principle the wrong way round.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from cai.constitution.schema import Constitution, Expectation, Principle
from cai.methods.judging.composition import PassCount
from cai.methods.judging.pairwise import compare
from cai.methods.judging.verdict import Comparison, Verdict
from cai.methods.roles import Judge, gather_all
from cai.methods.settings import JudgeSettings
from cai.types import derive_seed, user_prompt

Result = Literal["passed", "failed", "unreadable"]


@dataclass(frozen=True, slots=True)
class PrincipleTest:
    """One test of a principle; `number` counts from 1."""

    principle: Principle
    number: int
    expectation: Expectation

    @property
    def name(self) -> str:
        return f"{self.principle.id}[{self.number}]"


@dataclass(frozen=True, slots=True)
class Tested:
    """A test and what the judge found; A is the response that the author calls better."""

    test: PrincipleTest
    verdict: Verdict

    @property
    def result(self) -> Result:
        """Passed only where the better response wins, over both orders."""
        if self.verdict.p_a is None:
            return "unreadable"
        return "passed" if self.verdict.outcome == "a" else "failed"


def tests_of(constitution: Constitution, ids: Sequence[str] = ()) -> Iterator[PrincipleTest]:
    """Every test of the principles of these ids, or of all, in the order of the constitution."""
    for principle in constitution.principles:
        if not ids or principle.id in ids:
            for number, expectation in enumerate(principle.tests, 1):
                yield PrincipleTest(principle, number, expectation)


async def run_test(
    judges: Sequence[Judge],
    constitution: Constitution,
    test: PrincipleTest,
    settings: JudgeSettings,
    seed: int,
) -> Tested:
    """The test judged under its own principle alone, whatever the principle's weight.

    The orders, criteria and judges of one principle are averaged: there is nothing to compose.

    Raises:
        ModelUnavailable: A call failed in a way that may pass.
    """
    alone = test.principle.as_rule.model_copy(update={"weight": 1.0})
    narrowed = constitution.model_copy(update={"principles": (alone,)})
    asked = test.expectation
    comparison = Comparison(user_prompt(asked.prompt), asked.better, asked.worse)
    of_test = derive_seed(seed, test.principle.id, test.number)
    averaged = settings.model_copy(update={"compose": "mean"})
    return Tested(test, await compare(judges, narrowed, comparison, averaged, of_test))


PassCounts = Mapping[tuple[str, str], PassCount]
"""By judge and principle."""


async def pass_counts(
    judges: Sequence[Judge], constitution: Constitution, settings: JudgeSettings, seed: int
) -> PassCounts:
    """How many of its tests each judge passes under each principle that the settings ask about.

    Raises:
        ModelUnavailable: A call failed in a way that may pass.
    """
    ids = [each.id for each in constitution.select(settings.tags)]
    asked = [(judge, test) for judge in judges for test in tests_of(constitution, ids)]
    tested = await gather_all(
        run_test([judge], constitution, test, settings, seed) for judge, test in asked
    )
    passed: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for (judge, test), each in zip(asked, tested, strict=True):
        if each.result != "unreadable":
            passed[judge.name, test.principle.id].append(each.result == "passed")
    return {key: PassCount(sum(found), len(found)) for key, found in passed.items()}
