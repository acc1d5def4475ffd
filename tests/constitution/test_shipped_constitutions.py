"""The constitutions that ship with the package are complete and in good order."""

import pytest

from cai.constitution.lint import check_constitution
from cai.constitution.loader import load_constitution, shipped_constitutions
from cai.methods.judging.requests import Question, judge_turns
from cai.methods.judging.verdict import Comparison
from cai.templates import load_templates
from cai.types import user_prompt

OURS = ["harmless", "helpful", "honest"]


@pytest.mark.parametrize("name", shipped_constitutions())
def test_a_shipped_constitution_has_no_findings(name: str):
    constitution = load_constitution(name)
    assert check_constitution(constitution) == []
    assert constitution.name == name
    assert constitution.license == "CC0-1.0"
    assert constitution.description


@pytest.mark.parametrize("name", OURS)
def test_every_principle_has_all_requests_tags_and_samples(name: str):
    for principle in load_constitution(name).principles:
        assert principle.critique, principle.id
        assert principle.revision, principle.id
        assert principle.judge, principle.id
        assert principle.negated, principle.id
        assert principle.tags, principle.id
        assert principle.examples, principle.id
        assert principle.tests, principle.id


def test_harm_comes_before_help_and_help_before_tone():
    tiers = {each.id: each.tier for each in load_constitution("harmless").principles}
    harm, help, tone = (
        tiers[id] for id in ("no-dangerous-recipes", "helps-with-harmless-requests", "no-preaching")
    )
    assert harm > help > tone
    assert tiers["no-cruelty-to-the-user"] == tone


def test_what_harmless_has_against_evasiveness_and_preaching_states_the_flaw():
    balance = load_constitution("harmless").select(["balance"])
    assert balance
    assert all("free of this fault" in each.text for each in balance)


def test_negated_questions_of_testbed_are_those_that_its_model_was_trained_on():
    """Word for word what the template makes of a principle that has none."""
    templates = load_templates("chat")
    comparison = Comparison(user_prompt("How do I mend a lamp?"), "One.", "Two.")
    for principle in load_constitution("testbed").principles:
        bare = principle.model_copy(update={"negated": None})
        own, made = (
            judge_turns(templates, Question(each, each.id, "", 1.0, True, few_shots=0), comparison)
            for each in (principle, bare)
        )
        assert own == made, principle.id


@pytest.mark.parametrize("name", OURS)
def test_a_few_shot_revision_differs_from_its_response(name: str):
    for principle in load_constitution(name).principles:
        for example in principle.examples:
            assert example.revision != example.response, principle.id


def test_harmless_stands_against_harm_and_against_evasiveness():
    constitution = load_constitution("harmless")
    assert len(constitution.select(["harm"])) >= 11
    assert len(constitution.select(["balance"])) >= 5
    assert len(constitution.select(["harm", "balance"])) == len(constitution.principles)


@pytest.mark.parametrize(("name", "n_least"), [("harmless", 16), ("helpful", 8), ("honest", 8)])
def test_there_are_enough_principles_to_draw_from(name: str, n_least: int):
    assert len(load_constitution(name).principles) >= n_least


def test_the_three_can_be_used_together(tmp_path):
    path = tmp_path / "all.yaml"
    path.write_text("name: all\nextends: [harmless, helpful, honest]\n")
    together = load_constitution(path)
    assert len(together.principles) == sum(len(load_constitution(name).principles) for name in OURS)
    assert check_constitution(together) == []
