"""Principles in the input of a reward model: where they stand, how they are drawn."""

import json
from pathlib import Path

import pytest

from cai.constitution.loader import load_constitution
from cai.errors import PromptError, TrainingError, UsageError
from cai.templates import load_templates
from cai.training.reward_model.checkpoint import (
    NamedConstitution,
    RewardFacts,
    read_facts,
    write_facts,
)
from cai.training.reward_model.principles import (
    PrincipleStatement,
    RewardTemplate,
    conditioned,
    draw_statements,
    preference_under,
    statements_of,
)
from cai.types import Message

TEMPLATE = RewardTemplate.of(load_templates("chat"))
TESTBED = load_constitution("testbed")
POLITE = PrincipleStatement("stay-polite", "The response is polite.")
HARMFUL = PrincipleStatement("no-harm", "The response does no harm.", is_negated=True)
TALK = (
    Message("system", "Be brief."),
    Message("user", "Hello? {{ kept }}"),
    Message("assistant", "Yes?"),
    Message("user", "How are you?"),
    Message("assistant", "Well."),
)


@pytest.mark.parametrize("name", ["chat", "transcript"])
def test_principles_stand_in_front_of_the_first_request_and_nothing_else_changes(name: str):
    seen = conditioned(TALK, [HARMFUL, POLITE], RewardTemplate.of(load_templates(name)))
    assert (seen[0], *seen[2:]) == (TALK[0], *TALK[2:])
    text = seen[1].content
    assert seen[1].role == "user"
    assert text.endswith("\n\nHello? {{ kept }}")
    assert text.index("- The response is polite.") < text.index("- The response does no harm.")
    kept, broken = text.split("\n")[0], text.split("\n")[2]
    assert kept != broken


def test_a_negated_principle_reads_otherwise_than_one_to_be_kept():
    kept = PrincipleStatement(HARMFUL.principle_id, HARMFUL.text)
    as_broken, as_kept = (conditioned(TALK, [each], TEMPLATE)[1] for each in (HARMFUL, kept))
    assert as_broken != as_kept
    assert "break" in as_broken.content and "break" not in as_kept.content


def test_no_principles_or_no_request_is_an_error():
    with pytest.raises(TrainingError, match="No principles are given"):
        conditioned(TALK, [], TEMPLATE)
    with pytest.raises(TrainingError, match="first user turn"):
        conditioned((Message("assistant", "Hi."),), [POLITE], TEMPLATE)
    with pytest.raises(PromptError, match="reward"):
        conditioned(TALK, [POLITE], RewardTemplate("{{ prinicple }}"))


def test_draws_depend_on_the_seed_alone_and_never_repeat_a_principle():
    ids = {each.id for each in TESTBED.principles}
    draws = [draw_statements(TESTBED, 2, seed, negate_share=0.5) for seed in range(60)]
    assert draws == [draw_statements(TESTBED, 2, seed, negate_share=0.5) for seed in range(60)]
    assert all(len({each.principle_id for each in drawn}) == 2 for drawn in draws)
    assert {each.principle_id for drawn in draws for each in drawn} == ids
    negated = sum(each.is_negated for drawn in draws for each in drawn)
    assert 35 <= negated <= 85  # of 120, by a fair coin: 60 ± 4.5 standard deviations
    everything = draw_statements(TESTBED, 100, 0)
    assert {each.principle_id for each in everything} == ids
    assert not any(each.is_negated for each in everything)
    assert all(each.is_negated for each in draw_statements(TESTBED, 3, 0, negate_share=1))


def test_draws_that_cannot_be_made_are_refused():
    with pytest.raises(UsageError, match="at least one"):
        draw_statements(TESTBED, 0, 0)
    with pytest.raises(UsageError, match="from 0 to 1"):
        draw_statements(TESTBED, 1, 0, negate_share=1.5)
    with pytest.raises(UsageError, match="tag"):
        draw_statements(TESTBED, 1, 0, ["no-such-tag"])


def test_principles_are_named_by_id_with_not_for_the_negated():
    first, second = TESTBED.principles[0], TESTBED.principles[1]
    assert statements_of(TESTBED, [first.id, f"not:{second.id}"]) == (
        PrincipleStatement(first.id, first.text, False, first.weight),
        PrincipleStatement(second.id, second.text, True, second.weight),
    )
    assert [each.principle_id for each in statements_of(TESTBED, [])] == [
        each.id for each in TESTBED.select(())
    ]
    with pytest.raises(UsageError, match=r"no principle 'no-such'.*It has: "):
        statements_of(TESTBED, ["not:no-such"])
    with pytest.raises(UsageError, match="tag of odd"):
        statements_of(TESTBED, [], ["odd"])


def test_a_negated_principle_turns_the_probability_round():
    """0.9 for the kept one by weight 3, and 1 − 0.8 for the negated one by weight 1: 2.9 / 4."""
    statements = [
        PrincipleStatement("x", "X.", weight=3.0),
        PrincipleStatement("y", "Y.", is_negated=True),
    ]
    judged = {"x": 0.9, "y": 0.8, "z": 0.1}
    assert preference_under(statements, judged) == pytest.approx(0.725)
    flipped = [PrincipleStatement("x", "X.", True, 3.0), PrincipleStatement("y", "Y.", False)]
    assert preference_under(flipped, judged) == pytest.approx(1 - 0.725)


def test_what_was_not_judged_is_left_out_up_to_half_of_the_weight():
    statements = [
        PrincipleStatement("x", "X."),
        PrincipleStatement("y", "Y."),
        PrincipleStatement("z", "Z."),
    ]
    assert preference_under(statements, {"x": 0.9, "y": 0.5}) == pytest.approx(0.7)
    assert preference_under(statements, {"x": 0.9}) is None
    assert preference_under(statements, {}) is None


FACTS = RewardFacts(
    is_conditioned=True,
    constitution=NamedConstitution(name="x", hash="0" * 12, principles={"a": "A."}),
    template=TEMPLATE.text,
    template_hash=TEMPLATE.hash,
)


def test_facts_are_read_as_written_beside_what_else_the_file_says(tmp_path: Path):
    assert read_facts(tmp_path) == RewardFacts()
    (tmp_path / "cai.json").write_text('{"steps": 3}')
    assert read_facts(tmp_path) == RewardFacts()
    write_facts(tmp_path, FACTS)
    assert read_facts(tmp_path) == FACTS
    assert json.loads((tmp_path / "cai.json").read_text())["steps"] == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "must hold a mapping"),
        ('{"reward": {"is_conditionned": true}}', r"reward\.is_conditionned"),
        ('{"reward": {"is_conditioned": true}}', "has a template"),
        (json.dumps({"reward": FACTS.model_dump() | {"template": "x"}}), "not the one of the"),
    ],
)
def test_a_damaged_file_of_facts_is_named(content: str, message: str, tmp_path: Path):
    (tmp_path / "cai.json").write_text(content)
    with pytest.raises(TrainingError, match=r"cai\.json: .*" + message):
        read_facts(tmp_path)
