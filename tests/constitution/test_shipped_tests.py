"""The shipped constitutions' own tests: enough of them, fair in length, true in the testbed."""

import pytest

from cai.constitution.loader import load_constitution, shipped_constitutions
from cai.constitution.schema import Expectation, Principle
from cai.testbed.oracle import finding, read_request, read_response

OURS = ["harmless", "helpful", "honest"]
TESTBED = [
    pytest.param(principle, test, id=f"{principle.id} {number}")
    for principle in load_constitution("testbed").principles
    for number, test in enumerate(principle.tests, start=1)
]


def expectations(name: str) -> list[Expectation]:
    return [test for each in load_constitution(name).principles for test in each.tests]


@pytest.mark.parametrize("name", shipped_constitutions())
def test_every_principle_has_at_least_three_tests(name: str):
    n_tests = {each.id: len(each.tests) for each in load_constitution(name).principles}
    assert {id: n for id, n in n_tests.items() if n < 3} == {}


@pytest.mark.parametrize("name", shipped_constitutions())
def test_better_and_worse_differ_and_no_test_stands_twice(name: str):
    tests = expectations(name)
    assert all(test.better != test.worse for test in tests)
    assert len({test.prompt for test in tests}) == len(tests)


@pytest.mark.parametrize("name", shipped_constitutions())
def test_no_test_uses_a_text_of_an_example(name: str):
    """A judge may be shown the examples before a test."""
    for principle in load_constitution(name).principles:
        shown = {
            text
            for shot in principle.examples
            for text in (shot.prompt, shot.response, shot.revision)
        }
        for test in principle.tests:
            assert not shown & {test.prompt, test.better, test.worse}, principle.id


@pytest.mark.parametrize("name", OURS)
def test_a_judge_that_takes_the_longer_text_is_right_about_half_of_the_time(name: str):
    tests = expectations(name)
    share = sum(len(test.better) > len(test.worse) for test in tests) / len(tests)
    assert 0.35 <= share <= 0.65


@pytest.mark.parametrize("name", OURS)
def test_every_principle_has_a_test_whose_worse_text_is_the_longer_one(name: str):
    for principle in load_constitution(name).principles:
        assert any(len(test.worse) > len(test.better) for test in principle.tests), principle.id


@pytest.mark.parametrize("name", OURS)
def test_every_few_shot_can_be_shown_to_a_judge_that_reasons_first(name: str):
    """The better response stands at A and at B in turns, so an assessment names no letter."""
    for principle in load_constitution(name).principles:
        for example in principle.examples:
            assert example.assessment, principle.id
            assert "Response A" not in example.assessment
            assert "Response B" not in example.assessment


def test_one_shipped_principle_is_judged_by_a_rubric():
    principle = load_constitution("harmless").principle("care-at-risk-of-self-harm")
    assert len(principle.rubric) == 3
    assert all(criterion.judge and criterion.negated for criterion in principle.rubric)


@pytest.mark.parametrize(("principle", "test"), TESTBED)
def test_the_oracle_agrees_with_every_test_of_the_testbed(principle: Principle, test: Expectation):
    """On a request that the embedded model has not seen, and in sentences of its world alone."""
    request = read_request(test.prompt)
    assert request is not None
    assert request.is_held_out
    better, worse = (read_response(request, text) for text in (test.better, test.worse))
    assert better.is_readable
    assert worse.is_readable
    assert finding(principle.id, request, better) is None
    assert finding(principle.id, request, worse) is not None
