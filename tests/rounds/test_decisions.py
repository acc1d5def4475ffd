"""Rules over rounds: what breaks one, what follows, and from which round it goes on."""

from dataclasses import replace

import pytest

from cai.errors import UsageError
from cai.evaluation.policies.ratings import Rating
from cai.evaluation.rules import Rule, Vocabulary, parse_rule
from cai.evaluation.stats.bootstrap import Estimate
from cai.rounds.controller import best_of, broken_rules, decision_of, lineage
from cai.rounds.measure import DEFAULT_RULES, metrics, rules_of
from cai.rounds.state import RoundResult

KNOWN = metrics(["harmful", "benign"], has_people=True, has_checks=True, has_tokens=True)


def rule(text: str) -> Rule:
    [found] = rules_of([text], KNOWN)
    return found


def figures(**values: float | tuple[float, float, float]) -> dict[str, Estimate]:
    return {
        name: Estimate(value, 50)
        if isinstance(value, float)
        else Estimate(value[0], 50, *value[1:])
        for name, value in values.items()
    }


def found(number: int, parent: int) -> RoundResult:
    return RoundResult(number, "p", (), {}, {}, {}, (), (), "go on", number, 1.0, parent)


def test_worse_than_the_round_before_counts_only_beyond_the_interval():
    worse = rule("win_last < 0.5 surely then stop")
    assert not broken_rules([worse], [{}, figures(win_last=(0.45, 0.38, 0.52))])
    [(broken, sentence)] = broken_rules([worse], [{}, figures(win_last=(0.40, 0.33, 0.48))])
    assert broken.then == "stop"
    assert sentence == "win_last is 0.4 (0.33 to 0.48): rule 'win_last < 0.5 surely then stop'"


def test_without_an_interval_nothing_is_sure():
    assert not broken_rules([rule("win_last < 0.5 surely")], [figures(win_last=0.0)])
    assert broken_rules([rule("win_last < 0.5")], [figures(win_last=0.0)])


def test_a_rule_compares_with_the_start_or_with_the_round_before():
    history = [figures(length=10.0), figures(length=16.0), figures(length=21.0)]
    assert broken_rules([rule("length > 2*start")], history)
    assert not broken_rules([rule("length > 1.5*last")], history)
    assert broken_rules([rule("length > last+4")], history)
    [(_, sentence)] = broken_rules([rule("length > 2*start")], history)
    assert sentence.endswith("which is 20")


def test_a_rule_for_two_rounds_waits_for_both():
    twice = rule("length > last for 2 then ask")
    assert not broken_rules([twice], [figures(length=10.0), figures(length=12.0)])
    assert broken_rules([twice], [figures(length=float(each)) for each in (10, 12, 13)])
    assert not broken_rules([twice], [figures(length=float(each)) for each in (10, 9, 13)])


def test_what_the_round_could_not_measure_breaks_nothing():
    assert not broken_rules([rule("length > 2*start")], [figures(length=1.0), {}])


def test_the_weightiest_consequence_is_the_decision():
    ask, order_ba, stop, warn = (
        rule(f"empty > 0.1 then {then}") for then in ("ask", "roll back", "stop", "warn")
    )
    assert decision_of([]) == "go on"
    assert decision_of([warn]) == "go on"
    assert decision_of([warn, ask]) == "ask"
    assert decision_of([order_ba, ask]) == "roll back"
    assert decision_of([order_ba, stop, ask]) == "stop"


def test_the_lineage_leaves_out_what_was_rolled_back():
    rounds = [found(0, 0), found(1, 0), found(2, 1), found(3, 1)]
    assert lineage(rounds, 0, 0) == []
    assert lineage(rounds, 0, 1) == [0]
    assert lineage(rounds, 3, 4) == [0, 1, 3]


def test_the_best_round_is_the_best_rated_that_no_rule_threw_out():
    rounds = [found(0, 0), found(1, 0), found(2, 1), replace(found(3, 2), decision="stop")]
    rated = [Rating(str(n), 9, value) for n, value in enumerate((0.0, 30.0, 30.0, 90.0))]
    assert best_of(rounds, rated) == 1
    assert best_of(rounds[:1], [Rating("0", 0, None)]) == 0


def test_the_default_rules_are_those_about_what_is_measured():
    assert len(rules_of(None, KNOWN)) == len(DEFAULT_RULES)
    bare = metrics(["all"], has_people=False, has_checks=False, has_tokens=False)
    names = {each.metric for each in rules_of(None, bare)}
    assert "agreement_gap" not in names
    assert "adherence" not in names
    assert "win_last" in names
    assert rules_of([], KNOWN) == ()


def test_a_rule_about_what_the_anchors_do_not_measure_is_refused():
    bare = metrics(["all"], has_people=False, has_checks=False, has_tokens=False)
    with pytest.raises(UsageError, match="no metric is called 'agreement'"):
        rules_of(["agreement < 0.6"], bare)
    with pytest.raises(UsageError, match="Did you mean 'refusals/benign'"):
        rules_of(["refusals/bening > 0.1"], KNOWN)


def test_trainings_know_neither_surely_nor_rolling_back():
    training = Vocabulary({"kl": "divergence"})
    with pytest.raises(UsageError, match="no intervals here"):
        parse_rule("kl > 3 surely", training)
    with pytest.raises(UsageError, match="'roll back' cannot follow here"):
        parse_rule("kl > 3 then roll back", training)
