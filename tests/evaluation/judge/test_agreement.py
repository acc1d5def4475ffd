"""Agreement with people: every figure of a small set with known errors, breakdowns, caveats."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict

import pytest
from made_verdicts import Said, judged, mean_of, principle_verdict

from cai.constitution.schema import Constitution, Principle
from cai.errors import EvaluationError, ModelError, NoLogprobs
from cai.evaluation.judge.agreement import AgreementReport, Prices, agreement
from cai.evaluation.stats.bootstrap import expanded_quantile
from cai.evaluation.stats.calibration import Bin
from cai.methods.judging.composition import Composer
from cai.methods.judging.ranking import (
    Judged,
    JudgedMatchup,
    JudgePanel,
    compose_group,
    judge_group,
)
from cai.methods.judging.verdict import Candidate, Group, Label
from cai.methods.roles import Judge, RoleModel
from cai.methods.settings import JudgeSettings
from cai.models.base import Usage
from cai.models.scripted import ScriptedModel
from cai.types import Message, user_prompt

KIND = Constitution(name="kind", principles=(Principle(id="be-kind", text="Be kind."),))

# label of people, and the judge's p_a in the first and the second order
SET: list[tuple[Label | None, Said, Said]] = [
    *[("a", 0.9, 0.9)] * 6,
    *[("a", 0.2, 0.2)] * 2,
    *[("b", 0.1, 0.1)] * 2,
    ("b", 0.7, 0.7),
    ("b", 0.9, 0.1),
    ("tie", 0.5, 0.5),
    ("tie", 0.8, 0.8),
    ("a", "failed", "failed"),
    ("b", "unparsed", "unparsed"),
    (None, 0.9, 0.9),
]


def answer(messages: Sequence[Message], options: Sequence[str]) -> Sequence[float]:
    """The log-probabilities of A and B for the pair that the request is about, as SET has it."""
    asked = messages[-1].content
    (number,) = map(int, re.findall(r"Question (\d+)\?", asked))
    is_there = asked.index("the longer one") < asked.index("the other")
    said = SET[number][1 if is_there else 2]
    if said == "failed":
        raise ModelError("the request is refused")
    if said == "unparsed":
        raise NoLogprobs("B is not among the letters shown")
    assert isinstance(said, float)
    p_letter_a = said if is_there else 1 - said
    return math.log(p_letter_a), math.log(1 - p_letter_a)


@pytest.fixture
async def report() -> AgreementReport:
    judge = Judge(RoleModel.of(ScriptedModel(choices=answer)), reads_logprobs=True)
    panel = JudgePanel((judge,), KIND)
    found: list[Judged] = []
    for number, (label, _, _) in enumerate(SET):
        candidates = (Candidate("the longer one"), Candidate("the other"))
        group = Group(user_prompt(f"Question {number}?", str(number)), candidates, label)
        readings = await judge_group(panel, group, "all", seed=0)
        found.append(compose_group(readings, panel.composer))
    return agreement(found)


def test_every_pair_is_in_one_count(report: AgreementReport):
    overall = report.overall
    assert (report.n_groups, overall.n, report.n_unlabelled) == (17, 16, 1)
    assert overall.outcomes == {
        "a": 8, "b": 4, "tie": 2, "inconsistent": 0, "unparsed": 1, "refused": 0, "failed": 1,
    }  # fmt: skip
    assert sum(overall.outcomes.values()) == overall.n
    assert (overall.n_readable, overall.coverage, overall.n_label_ties) == (14, 14 / 16, 2)


def test_accuracy_is_over_readable_verdicts_on_pairs_with_a_better_side(report: AgreementReport):
    """Twelve pairs: 6 + 2 right, 2 + 1 wrong, one tie, right by ½: 8.5 / 12; of sides 8 / 11."""
    overall = report.overall
    assert overall.accuracy is not None
    assert (overall.accuracy.value, overall.accuracy.n) == (pytest.approx(8.5 / 12), 12)
    assert overall.accuracy_of_sides == pytest.approx(8 / 11)


def test_kappa_takes_in_ties_of_people_and_judge(report: AgreementReport):
    """Labels a, b, tie down and verdicts a, b, none across, fourteen pairs:

        6 2 0
        1 2 1
        1 0 1

    Agreement 9/14; by chance (8·8 + 4·4 + 2·2) / 196 = 6/14; kappa (9 − 6) / (14 − 6) = 3/8.
    """
    assert report.overall.kappa is not None
    assert report.overall.kappa.value == pytest.approx(3 / 8)
    assert report.overall.kappa.n == 14


def test_calibration(report: AgreementReport):
    """Confidence 0.9: 8 of 8 right, gap 0.8; 0.8: 0 of 2, 1.6; 0.7: 0 of 1, 0.7; ½: none.

    ECE (0.8 + 1.6 + 0.7) / 12. By side p_a 0.9: 6 of 6 are a, 0.6; 0.1: 0 of 2, 0.2; 0.2: 2 of 2,
    1.6; 0.7: 0 of 1, 0.7; 0.5: 0 of 1, 0.5: 3.6 / 12. Brier
    (6 · 0.01 + 2 · 0.64 + 2 · 0.01 + 0.49 + 0.25) / 12 = 2.1 / 12.
    """
    overall = report.overall
    assert overall.ece == pytest.approx(3.1 / 12)
    assert overall.ece_by_side == pytest.approx(3.6 / 12)
    assert overall.brier == pytest.approx(2.1 / 12)
    bins = [(0.1, 2, 0.1, 0.0), (0.2, 2, 0.2, 1.0), (0.5, 1, 0.5, 0.0), (0.7, 1, 0.7, 0.0)]
    assert report.curve == tuple(
        Bin(low, pytest.approx(low + 0.1), n, pytest.approx(mean), share)
        for low, n, mean, share in [*bins, (0.9, 6, 0.9, 1.0)]
    )


def tempered_by(n_right: int, n_wrong: int, p: float = 0.6) -> AgreementReport:
    """A judge that gives `p` to one side of each pair, which in `n_right` people prefer too."""
    labels: list[Label] = ["a", "b"]
    return agreement(
        judged(str(i), principle_verdict(p if (i < n_right) == (label == "a") else 1 - p), label)
        for i, label in zip(range(n_right + n_wrong), labels * 10, strict=False)
    )


def test_the_temperature_that_fits_the_labels_is_found():
    """A judge that says 0.6 and is right in 4 of 5: log(0.6 / 0.4) / T = log 4, and 0.8 comes true.

    Before, 0.6 is 0.2 too modest. Each of the 20 prompts has a score of 0.2 L or −0.8 L, L = log
    1.5; their squares sum to 3.2 L², as the information does. So log T has a standard error of
    1 / (√3.2 · log 4) = 0.4032.
    """
    report = tempered_by(16, 4)
    assert report.overall.ece == pytest.approx(0.2)
    assert report.tempering is not None
    assert report.tempering.temperature == pytest.approx(math.log(1.5) / math.log(4), rel=1e-6)
    assert report.tempering.low is not None and report.tempering.high is not None
    factor = math.exp(expanded_quantile(20) * 0.4032)
    assert report.tempering.high / report.tempering.temperature == pytest.approx(factor, rel=1e-3)
    assert report.tempering.temperature / report.tempering.low == pytest.approx(factor, rel=1e-3)
    assert report.as_json()["tempering"] == asdict(report.tempering)


def test_the_error_at_a_temperature_is_that_of_prompts_that_it_was_not_fitted_on():
    """At the temperature of all 20 pairs it would be 0: 0.6 becomes 0.8, the share that is right.

    Without its own fifth of the prompts, of which 0 to 4 are wrong, it is another one.
    """
    report = tempered_by(16, 4)
    assert report.tempering is not None and report.tempering.ece is not None
    assert report.tempering.ece > 0.001


@pytest.mark.parametrize(
    ("n_right", "n_wrong", "p"), [(20, 0, 0.6), (10, 10, 0.6), (4, 16, 0.6), (16, 4, 0.5)]
)
def test_no_temperature_fits_a_judge_that_errs_never_or_half_the_time(
    n_right: int, n_wrong: int, p: float
):
    """The best would be 0 where it is always right, endless where it is no better than a coin."""
    assert tempered_by(n_right, n_wrong, p).tempering is None


def test_one_order_alone(report: AgreementReport):
    """The pair whose orders disagree is a in the first, and people say b: 8 / 12."""
    assert report.one_order.accuracy is not None
    assert report.one_order.accuracy.value == pytest.approx(8 / 12)
    assert report.one_order.outcomes["a"] == 9
    assert report.one_order.n == 16


def test_always_taking_the_longer_is_the_side_prior_here(report: AgreementReport):
    """A is the longer one always, and 9 of 14 labels of a side say a."""
    assert report.longer is not None
    assert (report.longer.value, report.longer.n) == (pytest.approx(9 / 14), 14)
    assert report.label_a_share == pytest.approx(9 / 14)


def test_one_principle_and_one_judge_are_the_whole(report: AgreementReport):
    assert report.by_principle == {"be-kind": report.overall}
    assert report.by_judge == {"scripted": report.overall}


def test_what_a_reader_must_know_is_said(report: AgreementReport):
    """The interval of 8.5 of 12 reaches one half."""
    assert report.caveats == (
        "No better than chance on these pairs: the interval of the accuracy includes one half.",
        "2 of 16 verdicts could not be read; accuracy, kappa and calibration are of the others.",
        "64% of the labels are A: one order alone flatters a judge that favours the first place.",
        "2 pairs that people call even count in kappa alone.",
        "1 judged groups without a label are left out.",
    )


def test_json_has_every_figure_and_null_for_none(report: AgreementReport):
    content = json.loads(json.dumps(report.as_json(), allow_nan=False))
    assert content["n_groups"] == 17
    assert content["overall"]["outcomes"]["unparsed"] == 1
    assert content["overall"]["kappa"]["value"] == pytest.approx(0.375)
    assert content["cost"]["usd"] is None
    assert content["caveats"] == list(report.caveats)


# Parts


def test_words_that_disagree_and_refusals_are_outcomes_of_their_own():
    """Right, inconsistent (½) and refused: (1 + ½) / 2 over the two that can be read."""
    found = agreement(
        [
            judged("1", principle_verdict(1.0, is_voted=True), "a"),
            judged("2", principle_verdict(1.0, 0.0, is_voted=True), "a"),
            judged("3", principle_verdict("refused"), "a"),
        ]
    ).overall
    assert (found.outcomes["a"], found.outcomes["inconsistent"], found.outcomes["refused"]) == (
        1, 1, 1,
    )  # fmt: skip
    assert found.accuracy is not None
    assert (found.accuracy.value, found.accuracy.n) == (0.75, 2)
    assert found.accuracy_of_sides == 1


def test_each_principle_and_judge_has_figures_of_its_own():
    """Of two pairs that people call a, one principle and one judge are right, the others wrong."""
    principle_verdicts = [
        principle_verdict(p, principle=principle, judge=judge)
        for judge, shift in (("sharp", 0.0), ("dull", -0.3))
        for principle, p in (("right", 0.95), ("wrong", 0.25 - shift / 3))
    ]
    assert [each.p_a for each in principle_verdicts] == [0.95, 0.25, 0.95, pytest.approx(0.35)]
    report = agreement(
        judged(id, [*principle_verdicts, principle_verdict("failed", principle="mute")], "a")
        for id in "12"
    )
    shares = {name: each.accuracy_of_sides for name, each in report.by_principle.items()}
    assert shares == {"right": 1, "wrong": 0, "mute": None}
    mute = report.by_principle["mute"]
    assert (mute.n, mute.n_readable, mute.outcomes["failed"], mute.accuracy) == (2, 0, 2, None)
    assert report.by_judge["sharp"].accuracy_of_sides == 1
    assert set(report.by_judge) == {"sharp", "dull", "scripted"}


def test_each_value_of_a_tag_has_figures_of_its_own():
    report = agreement(
        [
            judged("1", principle_verdict(0.9), "a", tags={"kind": "easy", "source": "x"}),
            judged("2", principle_verdict(0.9), "b", tags={"kind": "hard"}),
            judged("3", principle_verdict(0.9), "b", tags={"kind": "hard"}),
            judged("4", principle_verdict(0.9), "b"),
        ]
    )
    found = {
        (name, value): (each.n, each.accuracy_of_sides)
        for name, values in report.by_tag.items()
        for value, each in values.items()
    }
    assert found == {("kind", "easy"): (1, 1), ("kind", "hard"): (2, 0), ("source", "x"): (1, 1)}


def test_a_tag_with_a_value_for_each_pair_is_not_broken_down_and_said():
    report = agreement(
        judged(str(i), principle_verdict(0.9), "a", tags={"url": str(i), "kind": "all"})
        for i in range(150)
    )
    assert (report.crowded_tags, set(report.by_tag)) == (("url",), {"kind"})
    assert any("'url' has more than 100 values" in caveat for caveat in report.caveats)


def test_pairs_of_one_prompt_are_one_draw():
    """Twenty pairs right, of two prompts: no surer than two pairs, whose bound is √0.025."""
    same = agreement(
        judged(str(i), principle_verdict(0.9), "a", asked=f"{i % 2}?") for i in range(20)
    )
    other = agreement(judged(str(i), principle_verdict(0.9), "a") for i in range(20))
    assert same.overall.accuracy is not None
    assert other.overall.accuracy is not None
    assert same.overall.accuracy.low == pytest.approx(0.025**0.5)
    assert other.overall.accuracy.low == pytest.approx(0.025 ** (1 / 20))
    assert (same.overall.n_prompts, other.overall.n_prompts) == (2, 20)


def test_pairs_of_one_prompt_alone_are_drawn_themselves_and_that_is_said():
    report = agreement(
        judged(str(i), principle_verdict(0.9 if i < 15 else 0.1), "a", asked="Same?")
        for i in range(20)
    )
    accuracy = report.overall.accuracy
    assert accuracy is not None
    assert accuracy.low is not None
    assert accuracy.high is not None
    assert 0.45 < accuracy.low < accuracy.value == 0.75 < accuracy.high
    assert (
        "All pairs are of one prompt: the intervals hold for that prompt alone." in report.caveats
    )


def test_without_an_interval_nothing_is_called_better_than_chance():
    """Of every prompt two pairs are right and one is wrong: each resample gives 2/3."""
    report = agreement(
        judged(str(i), principle_verdict(0.9 if i % 3 else 0.1), "a", asked=f"{i // 3}?")
        for i in range(30)
    )
    accuracy = report.overall.accuracy
    assert accuracy is not None
    assert (accuracy.value, accuracy.low) == (pytest.approx(2 / 3), None)
    assert report.caveats[0].startswith("Chance cannot be excluded")


def test_of_several_responses_the_label_is_about_the_first_two():
    texts = ("one", "two", "three")
    group = Group(user_prompt("Which?"), tuple(Candidate(text) for text in texts), "a")
    a, b = (
        mean_of([principle_verdict(0.9)]),
        mean_of([principle_verdict(0.1)]),
    )
    met = Judged(
        group, (JudgedMatchup(1, 2, b), JudgedMatchup(0, 2, b), JudgedMatchup(0, 1, a)), None
    )
    not_met = Judged(group, (JudgedMatchup(0, 2, a),), None)
    report = agreement([met, not_met])
    assert (report.overall.n, report.overall.outcomes["a"], report.n_not_compared) == (1, 1, 1)
    assert report.n_groups == 2
    assert any("whose first two never met" in caveat for caveat in report.caveats)


def test_groups_that_failed_altogether_are_counted():
    report = agreement([judged("1", principle_verdict(0.9), "a")], n_failed=3)
    assert report.n_groups == 4
    assert "3 groups failed altogether and are in no figure." in report.caveats


def test_reversed_questions_that_contradict_are_counted():
    """One pair contradicts itself, one agrees, one says nothing either way, one cannot be read."""
    ways = [(0.9, 0.2), (0.9, 0.6), (0.9, 0.5), (0.9, "unparsed")]
    report = agreement(
        judged(str(i), [principle_verdict(plain), principle_verdict(turned, is_negated=True)], "a")
        for i, (plain, turned) in enumerate(ways)
    )
    assert (report.negations.n, report.negations.n_contradictions) == (3, 1)
    assert report.negations.rate == pytest.approx(1 / 3)


def test_the_first_order_alone_keeps_the_clamp_of_a_plan_with_rationales():
    """There 0.99, clamped to 0.6: |0.6 − 1| is the gap."""
    plan = JudgeSettings(rationale=True)
    report = agreement([judged("1", principle_verdict(0.99, 0.01), "a")], plan, Composer("mean"))
    assert report.one_order.ece == pytest.approx(0.4)


# Cost


def test_what_could_not_be_read_is_paid_by_what_could():
    """Two orders of 300 + 3 tokens for each of four pairs, one of them unreadable, so three labels:

    2,400 / 3 = 800 tokens read and 24 / 3 = 8 written a label; at $0.15 and $0.60 a million
    (800 · 0.15 + 8 · 0.60) / 10⁶ = $0.0001248, and a person at $0.3744 is 3,000 times that.
    """
    usage = Usage(300, 3)
    said: list[Said] = [0.9, 0.9, 0.8, "unparsed"]
    cost = agreement(
        [judged(str(i), principle_verdict(p, usage=usage), "a") for i, p in enumerate(said)],
        prices=Prices(0.15, 0.60, 0.3744),
    ).cost
    assert (cost.n_labels, cost.prompt_tokens, cost.completion_tokens) == (3, 800, 8)
    assert cost.usd == pytest.approx(0.0001248)
    assert cost.cheaper == pytest.approx(3000)


def test_without_prices_or_tokens_there_is_no_cost():
    counted = agreement([judged("1", principle_verdict(0.9, usage=Usage(300, 3)), "a")]).cost
    uncounted = agreement([judged("1", principle_verdict(0.9), "a")], prices=Prices(1, 1, 1)).cost
    unread = agreement([judged("1", principle_verdict("failed", usage=Usage(9, 9)), "a")]).cost
    assert (counted.prompt_tokens, counted.usd, counted.cheaper) == (600, None, None)
    assert (uncounted.prompt_tokens, uncounted.usd, uncounted.human_usd) == (None, None, 1)
    assert (unread.n_labels, unread.prompt_tokens) == (0, None)


# Against chance


@pytest.mark.parametrize(
    ("n_right", "n_wrong", "said"),
    [(80, 20, None), (52, 48, "No better than chance"), (20, 80, "Worse than chance")],
)
def test_a_judge_is_set_against_chance(n_right: int, n_wrong: int, said: str | None):
    """Half of the labels are b, so neither a place nor, with equal lengths, a length helps."""
    labels: list[Label] = ["a", "b"]
    is_right = [True] * n_right + [False] * n_wrong
    report = agreement(
        judged(str(i), principle_verdict(0.9 if right == (label == "a") else 0.1), label)
        for i, (right, label) in enumerate(zip(is_right, labels * 50, strict=True))
    )
    about_chance = [each for each in report.caveats if "chance" in each]
    assert [each.startswith(said or "-") for each in about_chance] == ([True] if said else [])


def test_a_judge_no_better_than_length_is_told_so():
    report = agreement(
        judged(str(i), principle_verdict(0.9 if i % 4 else 0.1), "a", texts=("longer", "short"))
        for i in range(40)
    )
    assert "Always taking the longer response is right as often, or more: 100.0%." in report.caveats


def test_an_accuracy_of_nothing_is_none_and_said():
    report = agreement([judged("1", principle_verdict("refused"), "a")])
    assert report.overall.accuracy is None
    assert report.caveats[0].startswith("No accuracy")


def test_pairs_without_labels_are_an_error():
    with pytest.raises(EvaluationError, match="None of 2 judged pairs has a label"):
        agreement([judged("1", principle_verdict(0.9)), judged("2", principle_verdict(0.9))])
