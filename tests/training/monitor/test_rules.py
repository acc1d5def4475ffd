"""Rules: what can be written, what each means, and what is said of one that is wrong."""

from pathlib import Path

import pytest

from cai.errors import UsageError
from cai.evaluation.metrics import TRAINING
from cai.training.monitor.monitor import DEFAULT_RULES, parse_rule


def test_a_rule_warns_unless_it_says_stop():
    assert parse_rule("evasive > 0.3").then == "warn"
    assert parse_rule("evasive > 0.3 then warn").then == "warn"
    assert parse_rule("evasive > 0.3 then stop").then == "stop"


@pytest.mark.parametrize(
    ("text", "start", "limit"),
    [
        ("kl > 10", 4.0, 10.0),
        ("kl > 1e-3", 4.0, 0.001),
        ("reward < -2.5", 4.0, -2.5),
        ("distinct_2 < 0.5*start", 0.8, 0.4),
        ("distinct_2 < .5 * start", 0.8, 0.4),
        ("length > start", 20.0, 20.0),
        ("refusals > start+0.3", 0.1, 0.4),
        ("entropy < start - 0.1", 0.5, 0.4),
        ("length > 2*start+5 for 3 then stop", 20.0, 45.0),
    ],
)
def test_a_limit_is_a_number_or_relative_to_the_start(text: str, start: float, limit: float):
    assert parse_rule(text).limit([start, start]) == pytest.approx(limit)


@pytest.mark.parametrize(
    ("comparison", "holds"), [(">", False), (">=", True), ("<", False), ("<=", True)]
)
def test_equal_values_are_beyond_the_limit_only_with_an_equals_sign(comparison: str, holds: bool):
    assert parse_rule(f"kl {comparison} 2").holds([2.0]) is holds


def test_a_rule_for_n_needs_n_values_in_a_row():
    rule = parse_rule("length > 2*start for 3")
    assert not rule.holds([10, 21, 22])
    assert rule.holds([10, 21, 22, 23])
    assert not rule.holds([10, 21, 19, 23])
    assert rule.holds([10, 5, 21, 22, 23])


def test_the_start_itself_never_breaks_a_rule_about_it():
    assert not parse_rule("length <= start").holds([10])
    assert parse_rule("length <= start").holds([10, 10])
    assert parse_rule("length <= 10").holds([10])


def test_no_values_break_no_rule():
    assert not parse_rule("kl > 10").holds([])


def test_an_unknown_metric_gets_the_nearest_name():
    with pytest.raises(UsageError, match=r"'evasve'.*Did you mean 'evasive'\?"):
        parse_rule("evasve > 0.3")


def test_a_metric_like_no_other_gets_the_list():
    with pytest.raises(UsageError, match="There are length, tokens, "):
        parse_rule("zzzzzz > 0.3")


@pytest.mark.parametrize(
    "text",
    ["", "evasive", "evasive > ", "evasive = 0.3", "evasive > 0.3 for 0", "evasive > 0.3 then go",
     "evasive > 0.3 stop", "evasive > half", "0.3 < evasive"],
)  # fmt: skip
def test_what_is_no_rule_is_refused_with_examples(text: str):
    with pytest.raises(UsageError, match=r"cannot be read.*'evasive > 0\.3 then stop'"):
        parse_rule(text)


def test_the_default_rules_only_warn_and_each_is_of_a_metric():
    assert {rule.then for rule in DEFAULT_RULES} == {"warn"}
    assert {rule.metric for rule in DEFAULT_RULES} <= set(TRAINING)
    assert len({rule.text for rule in DEFAULT_RULES}) == len(DEFAULT_RULES)


def test_the_page_names_every_metric_and_every_default_rule():
    page = (Path(__file__).parents[3] / "docs" / "watching.md").read_text("utf-8")
    assert [name for name in TRAINING if f"`{name}`" not in page] == []
    assert [rule.text for rule in DEFAULT_RULES if f"`{rule.text}`" not in page] == []
