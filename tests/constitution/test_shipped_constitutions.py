"""The constitutions that ship with the package are complete and in good order."""

import pytest

from cai.constitution.lint import check_constitution
from cai.constitution.loader import load_constitution, shipped_constitutions

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
        assert principle.tags, principle.id
        assert principle.examples, principle.id
        assert principle.tests, principle.id


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
