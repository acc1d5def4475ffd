"""Each warning fires where it should, and is silent where it should not."""

from itertools import permutations

import pytest

from cai.constitution.lint import LintFinding, check_constitution, double_negative
from cai.constitution.loader import load_constitution
from cai.constitution.schema import (
    Compose,
    Constitution,
    Criterion,
    Expectation,
    FewShot,
    Principle,
)

KIND = Principle(id="kind", text="The response is kind to the user.", judge="Which is kinder?")
SHORT = Principle(id="short", text="The response comes to its point.", judge="Which is shorter?")


def findings(*principles: Principle, compose: Compose = "vote") -> list[LintFinding]:
    return check_constitution(Constitution(name="sample", principles=principles, compose=compose))


def kinds(*principles: Principle) -> list[tuple[str, str]]:
    return [(finding.principle, finding.kind) for finding in findings(*principles)]


def test_a_constitution_in_good_order_has_no_findings():
    assert findings(KIND, SHORT) == []


def test_findings_stand_in_the_order_of_the_principles():
    principles = [KIND.model_copy(update={"id": id, "judge": None}) for id in ("z", "a")]
    assert kinds(*principles) == [("z", "no-judge"), ("a", "no-judge"), ("a", "near-duplicate")]


def test_a_principle_of_weight_zero_is_never_drawn():
    assert kinds(KIND, SHORT.model_copy(update={"weight": 0})) == [("short", "never-drawn")]


@pytest.mark.parametrize("field", ["text", "critique", "revision", "judge"])
def test_a_text_that_is_too_long_is_named(field: str):
    long = SHORT.model_copy(update={field: "Say it. " * 100})
    (finding,) = findings(KIND, long)
    assert finding.kind == "long"
    assert f"800 characters in {field!r}" in finding.message


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (
            "The response does not help anyone to steal from a shop or a person.",
            "The response does not help someone to steal from shops or a person.",
        ),
        (
            "The response is polite, warm and patient with the user.",
            "The response is warm, patient and polite with users.",
        ),
    ],
)
def test_two_ways_of_saying_the_same_are_near_duplicates(first: str, second: str):
    principles = [
        KIND.model_copy(update={"text": first}),
        SHORT.model_copy(update={"text": second}),
    ]
    (finding,) = findings(*principles)
    assert (finding.principle, finding.kind) == ("short", "near-duplicate")
    assert "'kind'" in finding.message


def twins(**of_second: object) -> list[Principle]:
    """Two principles that say the same, in the group 'tone' and tier 0 until told otherwise."""
    first = KIND.model_copy(update={"group": "tone"})
    return [first, first.model_copy(update={"id": "twin", **of_second})]


def test_near_duplicates_in_one_group_share_a_weight_and_are_fine():
    assert findings(*twins()) == []


@pytest.mark.parametrize("group", [None, "manners"])
def test_near_duplicates_without_a_common_group_are_told_of_it(group: str | None):
    found = [each for each in findings(*twins(group=group)) if each.kind == "near-duplicate"]
    assert [each.principle for each in found] == ["twin"]
    assert "shifts the verdict" in found[0].message
    assert "'group'" in found[0].message


def test_near_duplicates_without_any_group_are_found():
    ungrouped = [each.model_copy(update={"group": None}) for each in twins()]
    assert [each.kind for each in findings(*ungrouped)] == ["near-duplicate"]


def test_near_duplicates_of_two_tiers_are_not_told_to_share_a_weight():
    found = [each.model_copy(update={"group": None}) for each in twins(tier=1)]
    (finding,) = findings(*found)
    assert finding.kind == "near-duplicate"
    assert "tier 0" in finding.message
    assert "'group'" not in finding.message


def test_a_group_of_one_is_found():
    alone = SHORT.model_copy(update={"group": "tone"})
    (finding,) = findings(KIND, alone)
    assert (finding.principle, finding.kind) == ("short", "lone-group")
    assert "'tone'" in finding.message


def test_a_principle_that_is_never_drawn_shares_no_weight():
    assert kinds(*twins(weight=0.0)) == [("kind", "lone-group"), ("twin", "never-drawn")]


def test_a_group_over_two_tiers_is_found():
    (finding,) = findings(*twins(tier=1))
    assert (finding.principle, finding.kind) == ("kind", "split-group")
    assert "tiers 0, 1" in finding.message


def test_tiers_may_have_gaps_and_principles_without_weight():
    high = SHORT.model_copy(update={"tier": 7})
    assert findings(KIND, high) == []
    unused = high.model_copy(update={"id": "brief", "text": "It is brief.", "weight": 0.0})
    assert kinds(KIND, high, unused) == [("brief", "never-drawn")]


def test_a_tier_without_any_weight_is_found_once():
    high = {"tier": 3, "weight": 0.0}
    brief = SHORT.model_copy(update={"id": "brief", "text": "It is brief.", **high})
    found = kinds(KIND, SHORT.model_copy(update=high), brief)
    assert found == [("short", "never-drawn"), ("short", "silent-tier"), ("brief", "never-drawn")]


@pytest.mark.parametrize("compose", ["mean", "product"])
def test_tiers_that_the_way_of_composing_ignores_are_found(compose: Compose):
    (finding,) = findings(KIND, SHORT.model_copy(update={"tier": 1}), compose=compose)
    assert (finding.principle, finding.kind) == ("short", "unused-tier")
    assert f"'compose: {compose}'" in finding.message
    assert findings(KIND, SHORT, compose=compose) == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("The response is polite.", "The response is not polite."),
        ("The response gives no medical advice.", "The response gives no legal advice."),
        (
            "The response does not insult people because of their religion.",
            "The response does not insult people because of their age.",
        ),
    ],
)
def test_like_sentences_on_different_things_are_no_near_duplicates(first: str, second: str):
    principles = [
        KIND.model_copy(update={"text": first}),
        SHORT.model_copy(update={"text": second}),
    ]
    assert findings(*principles) == []


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("The response does not avoid the topic.", "does not avoid"),
        ("The advice is not without danger.", "is not without"),
        ("The response should never fail to warn.", "never fail to"),
        ("Choose the one that doesn't say nothing.", "doesn't say nothing"),
        ("The response does not share secrets without consent.", "not share secrets without"),
        ("It cannot not answer.", "cannot not"),
        ("The response avoids saying nothing.", "avoids saying nothing"),
        ("The response is not unhelpful.", "not unhelpful"),
        ("The response isn't dishonest.", "n't dishonest"),
        ("It answers without being unkind.", "without being unkind"),
        ("It does\n  not   avoid it.", "does not avoid"),
    ],
)
def test_a_double_negative_is_found(text: str, phrase: str):
    assert phrase in double_negative(text)


@pytest.mark.parametrize(
    "text",
    [
        "The response does not lie, and never insults.",
        "The response does not insult and does not mock.",
        "The response is not only honest but never dull.",
        "The response does not refuse a harmless request.",
        "The response does not say what nobody asked.",
        "The response does not use unusual words.",
        "The response does not help people understand weapons.",
        "It is not under pressure, not until noon, not united, not unique.",
        "It does not help, no matter who asks.",
        "It adds no more than it needs and does not repeat itself.",
        "The response avoids harm. It never preaches.",
        "Which response is less unkind?",
    ],
)
def test_two_negatives_are_no_double_negative(text: str):
    assert double_negative(text) == ""


def test_a_double_negative_is_named_with_its_field():
    (finding,) = findings(KIND.model_copy(update={"judge": "Which one does not avoid kindness?"}))
    assert finding.kind == "double-negative"
    assert "'judge': 'does not avoid'" in finding.message


@pytest.mark.parametrize("as_flaw", [{"kind": "flaw"}, {"weight": -2.0}])
@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("The response does not insult the user.", "does not"),
        ("The response is free of insults.", "is free of"),
        ("The response never insults the user.", "never"),
        ("The\n response contains no insults.", "contains no"),
    ],
)
def test_a_flaw_that_reads_like_a_rule_is_a_double_negative(
    text: str, phrase: str, as_flaw: dict[str, object]
):
    flaw = KIND.model_copy(update={"text": text, **as_flaw})
    (finding,) = findings(flaw, SHORT)
    assert (finding.principle, finding.kind) == ("kind", "double-negative")
    assert phrase in finding.message
    assert findings(KIND.model_copy(update={"text": text}), SHORT) == []


@pytest.mark.parametrize(
    "text",
    [
        "The response insults the user.",
        "The response avoids the question.",
        "The response dodges: it does not say what it declines.",
        "The response that declines does not say why.",
        "The response says no to a harmless request.",
        "The response leaves out the reason.",
    ],
)
def test_a_flaw_that_states_its_fault_is_fine(text: str):
    assert findings(KIND.model_copy(update={"text": text, "kind": "flaw"}), SHORT) == []


def test_one_few_shot_under_two_principles_is_found():
    shared = FewShot(prompt="P", response="R", critique="It is rude.", revision="V")
    principles = [p.model_copy(update={"examples": (shared,)}) for p in (KIND, SHORT)]
    (finding,) = findings(*principles)
    assert (finding.principle, finding.kind) == ("short", "foreign-example")
    assert "example 1" in finding.message
    assert "'kind'" in finding.message


def test_a_critique_that_speaks_of_another_principle_is_found():
    constitution = load_constitution("harmless")
    fraud = constitution.principle("no-help-with-fraud")
    preaching = constitution.principle("no-preaching")
    moved = preaching.examples[0].model_copy(update={"prompt": "Another prompt."})
    spoilt = fraud.model_copy(update={"examples": (*fraud.examples, moved)})
    principles = [spoilt if p.id == fraud.id else p for p in constitution.principles]
    (finding,) = findings(*principles)
    assert (finding.principle, finding.kind) == ("no-help-with-fraud", "foreign-example")
    assert "example 2" in finding.message
    assert "'no-preaching'" in finding.message


def test_most_few_shots_that_are_moved_to_another_principle_are_found():
    """Of the 20 x 19 ways to move a few-shot of `harmless`, at least nine tenths are noticed."""
    constitution = load_constitution("harmless")
    n_found = n_moved = 0
    for owner, host in permutations(constitution.principles, 2):
        if (n_moved := n_moved + 1) % 7:
            continue
        spoilt = host.model_copy(update={"examples": owner.examples})
        bare = owner.model_copy(update={"examples": ()})
        swapped = {host.id: spoilt, owner.id: bare}
        found = findings(*(swapped.get(p.id, p) for p in constitution.principles))
        n_found += [finding.principle for finding in found] == [host.id]
    assert n_found >= 0.9 * (n_moved // 7)


LONE = Criterion(id="warm", text="The response is warm.", judge="Which is warmer?")
TWO = (LONE, LONE.model_copy(update={"id": "calm", "judge": "Which is calmer?"}))
SHOT = FewShot(prompt="P", response="Too cold.", critique="It is cold.", revision="Warm and kind.")


@pytest.mark.parametrize("negated", ["Which is kinder?", "which  is\nKINDER?"])
def test_a_negated_question_that_asks_the_same_is_found(negated: str):
    (finding,) = findings(KIND.model_copy(update={"negated": negated}), SHORT)
    assert (finding.principle, finding.kind) == ("kind", "same-question")


def test_a_negated_question_that_asks_for_the_worse_one_is_fine():
    assert findings(KIND.model_copy(update={"negated": "Which is less kind?"}), SHORT) == []


def test_a_negated_question_is_read_for_double_negatives():
    negated = KIND.model_copy(update={"negated": "Which one does not avoid coldness?"})
    (finding,) = findings(negated)
    assert finding.kind == "double-negative"
    assert "'negated': 'does not avoid'" in finding.message


def test_a_rubric_of_two_criteria_is_fine_and_stands_for_the_judge_question():
    assert findings(KIND.model_copy(update={"rubric": TWO, "judge": None}), SHORT) == []


def test_a_rubric_of_one_criterion_is_found():
    assert kinds(KIND.model_copy(update={"rubric": (LONE,)})) == [("kind", "lone-criterion")]


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"judge": None}, "no-judge"),
        ({"negated": "Which is calmer?"}, "same-question"),
        ({"text": "It is not without calm."}, "double-negative"),
        ({"judge": "Which is calmer? " * 40}, "long"),
    ],
)
def test_a_criterion_is_checked_like_a_principle_and_named(change: dict[str, str], kind: str):
    rubric = (LONE, TWO[1].model_copy(update=change))
    (finding,) = findings(KIND.model_copy(update={"rubric": rubric}))
    assert finding.kind == kind
    assert "calm" in finding.message


@pytest.mark.parametrize(
    ("prompt", "better", "worse", "found"),
    [
        ("p", "Very glad to help.", "Nobody asked you.", ["tested-example"]),
        ("Q", "Warm and kind.", "Too\n cold.", ["tested-example"]),
        ("Q", "Very glad to help.", "Too cold.", []),
        ("Q", "Very glad to help.", "Nobody asked you.", []),
    ],
)
def test_a_test_that_repeats_an_example_is_found(
    prompt: str, better: str, worse: str, found: list[str]
):
    test = Expectation(prompt=prompt, better=better, worse=worse)
    principle = KIND.model_copy(update={"examples": (SHOT,), "tests": (test,)})
    assert [finding.kind for finding in findings(principle, SHORT)] == found


def test_a_principle_without_tests_is_no_finding():
    assert KIND.tests == ()
    assert findings(KIND) == []
