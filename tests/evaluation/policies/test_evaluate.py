"""An evaluation's figures worked out by hand; its refusals; going on after an end of any kind."""

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
from made_evaluations import ONE, evaluated, judge_by_worth, n_asked, policy, requests, worths
from small_runs import TWO, quiet, sampled

from cai.constitution.schema import Constitution
from cai.engine.budget import Caps
from cai.errors import JournalError, ModelError, RunStopped, UsageError
from cai.evaluation.policies.evaluate import evaluate_policies
from cai.evaluation.policies.plan import EvaluationJudge, EvaluationPlan
from cai.evaluation.policies.policies import Policy
from cai.evaluation.policies.results import Evaluation
from cai.evaluation.results_file import load_results
from cai.methods.settings import JudgeSettings
from cai.models.scripted import ScriptedModel
from cai.runs.options import Part, RunOptions
from cai.types import Message


async def test_win_rate_rating_and_outcomes_are_those_worked_out_by_hand(tmp_path: Path):
    """b wins 3, loses 1, and one is a tie; one is equal and one empty: 3 + ½ + ½ of 6 is 2/3.

    The mean of its probabilities is (3 · 0.9 + 0.1 + 0.5 + 0.5) / 6, and 400 · log₁₀(4 / 2) its
    rating.
    """
    a = worths(1, 1, 1, 2, 3, 4) | {"6": ""}
    b = worths(2, 2, 2, 1) | {"4": "It is worth 3, yes.", "5": "It is worth 4.", "6": "Well."}
    found = await evaluated(
        tmp_path / "out", [policy("a", a), policy("b", b)], 7, judge=judge_by_worth()
    )
    (rate,) = found.win_rates
    assert (rate.policy, rate.opponent, rate.n, rate.n_prompts) == ("b", "a", 7, 7)
    assert {name: n for name, n in rate.outcomes.items() if n} == {
        "a": 3,
        "b": 1,
        "tie": 1,
        "equal": 1,
        "empty": 1,
    }
    assert rate.rate is not None
    assert rate.rate.value == pytest.approx(2 / 3)
    assert rate.probability is not None
    assert rate.probability.value == pytest.approx(3.8 / 6)
    assert rate.length_controlled is None
    assert rate.longer == pytest.approx(2 / 7)
    anchor, rating = found.ratings
    assert (anchor.policy, anchor.value, anchor.n) == ("a", 0.0, 6)
    assert rating.value == pytest.approx(400 * math.log10(2))
    assert (found.judges, found.constitution, found.n_prompts) == (("judge",), "one", 7)
    assert "b against a: 1 of 7 matches could not be read and are left out." in found.caveats


async def test_win_rates_are_also_those_of_each_kind(tmp_path: Path):
    """b wins both harmful prompts and loses three benign ones: 2 of 2, 0 of 3, 2 of 5."""
    out = tmp_path / "out"
    prompts = (requests(out, (0, 1), "harmful"), requests(out, (2, 3, 4), "benign"))
    policies = [policy("a", worths(1, 1, 5, 5, 5)), policy("b", worths(2, 2, 3, 3, 3))]
    found = await evaluated(out, policies, prompts, judge=judge_by_worth())
    rates = {kind: each[0].rate for kind, each in found.by_kind.items()}
    assert {kind: (rate and (rate.value, rate.n)) for kind, rate in rates.items()} == {
        "harmful": (1.0, 2),
        "benign": (0.0, 3),
    }
    assert found.win_rates[0].rate is not None
    assert found.win_rates[0].rate.value == pytest.approx(2 / 5)
    assert [one.kind for one in found.policies[0].conduct] == ["all", "harmful", "benign"]


async def test_adherence_is_the_mean_probability_of_keeping_each_principle(tmp_path: Path):
    """Worth 2 and 4 are kept with 0.2 and 0.4: 0.3; the weighted mean over two principles too.

    The empty response is not checked.
    """
    out = tmp_path / "out"
    prompts = (requests(out, (0,), "harmful"), requests(out, (1, 2), "benign"))
    a = worths(2, 4) | {"2": "  "}
    plan = EvaluationPlan(checks=(TWO,))
    found = await evaluated(out, [policy("a", a)], prompts, plan, judge_by_worth())
    adherence = found.policies[0].adherence
    for name in ("two", "two/long", "two/late"):
        by_kind = {kind: (each[name].value, each[name].n) for kind, each in adherence.items()}
        assert by_kind == {
            "all": (pytest.approx(0.3), 2),
            "harmful": (pytest.approx(0.2), 1),
            "benign": (pytest.approx(0.4), 1),
        }
    assert (found.win_rates, found.ratings, found.policies[0].n_unscored) == ((), (), 0)


async def test_two_constitutions_are_told_apart(tmp_path: Path):
    plan = EvaluationPlan(checks=(ONE, TWO))
    found = await evaluated(tmp_path / "out", [policy("a", worths(5))], 1, plan, judge_by_worth())
    assert set(found.policies[0].adherence["all"]) == {
        "one", "one/long", "two", "two/long", "two/late"
    }  # fmt: skip


async def test_refusals_are_counted_by_kind_and_evasions_apart(tmp_path: Path):
    out = tmp_path / "out"
    prompts = (requests(out, (0, 1), "harmful"), requests(out, (2, 3), "benign"))
    texts = {
        "0": "I cannot help with that.",
        "1": "Take the lamp.",
        "2": "I cannot help with that.",
        "3": "",
    }
    found = await evaluated(out, [policy("a", texts)], prompts)
    shares = {
        one.kind: {name: share.value for name, share in one.shares.items()}
        for one in found.policies[0].conduct
    }
    assert shares["harmful"]["refusals"] == 0.5
    assert (shares["benign"]["refusals"], shares["benign"]["empty"]) == (0.5, 0.5)
    assert shares["all"]["refusals"] == 0.5
    assert found.caveats == (
        "Nobody judged: these figures are of the texts, and say nothing of better or worse.",
    )


async def test_the_figures_are_read_back_as_they_were_kept(tmp_path: Path):
    plan = EvaluationPlan(checks=(ONE,))
    out = tmp_path / "out"
    policies = [policy("a", worths(1, 2, 3)), policy("b", worths(3, 2, 4))]
    found = await evaluated(out, policies, 3, plan, judge_by_worth())
    assert load_results(out / "evaluation.json", Evaluation) == found
    assert sorted(path.name for path in out.iterdir()) == [
        "adherence", "evaluation.json", "matchups", "responses"
    ]  # fmt: skip
    assert sorted(path.name for path in (out / "responses").iterdir()) == ["a", "b"]


# What a reader must know


async def test_all_ties_show_nobody_to_be_better(tmp_path: Path):
    a, b = worths(2, 2, 2), {str(i): "Also it is worth 2." for i in range(3)}
    found = await evaluated(
        tmp_path / "out", [policy("a", a), policy("b", b)], 3, judge=judge_by_worth()
    )
    (rate,) = found.win_rates
    assert rate.rate is not None
    assert (rate.rate.value, rate.rate.low, rate.length_controlled) == (0.5, None, None)
    assert found.ratings[1].low is None
    assert (
        "b against a: all 3 readable matches are ties, so nobody is shown to be better."
    ) in found.caveats


async def test_without_a_readable_verdict_there_is_no_figure(tmp_path: Path):
    """The judge shows no log-probabilities and says nothing that is a verdict."""
    judge = ScriptedModel(lambda messages, sampling: "Both are words.", name="judge")
    settings = JudgeSettings(verdicts="parsed")
    judging = EvaluationJudge((settings.role_model(judge),), ONE, settings)
    policies = [policy("a", worths(1, 2)), policy("b", worths(2, 1))]
    out = tmp_path / "out"
    found = await evaluate_policies(
        policies, [requests(out, (0, 1))], judging, EvaluationPlan(), out, console=quiet()
    )
    (rate,) = found.win_rates
    assert (rate.n, rate.outcomes["unparsed"]) == (2, 2)
    assert rate.rate is rate.probability is rate.length_controlled is None
    assert found.ratings == ()
    assert "b against a: no verdict of 2 could be read, so there is no win rate." in found.caveats


async def test_a_judge_that_plays_is_said_first(tmp_path: Path):
    policies = [policy("a", worths(1), source="judge"), policy("b", worths(2))]
    found = await evaluated(tmp_path / "out", policies, 1, judge=judge_by_worth())
    assert found.caveats[0].startswith("The judge judge is the policy a: it may prefer its own")


async def test_a_judge_that_gave_a_run_its_responses_is_found_out(tmp_path: Path):
    run = await sampled(tmp_path / "run", {"0": ["It is worth 1."]}, model="judge")
    policies = [Policy("old", run), policy("b", worths(2))]
    found = await evaluated(tmp_path / "out", policies, 1, judge=judge_by_worth())
    assert found.caveats[0].startswith("The judge judge is the policy old: ")


async def test_length_is_said_to_speak_for_a_policy_where_it_does(tmp_path: Path):
    """b's 30 longer responses win 27 times, its 10 shorter ones once: 70 % in all."""
    a = {str(i): "Indeed, it is worth 5." for i in range(40)}
    longer = {str(i): f"It is worth {6 if i < 27 else 1}, and so goes on." for i in range(30)}
    shorter = {str(i): f"So it's worth {6 if i < 31 else 1}." for i in range(30, 40)}
    b = longer | shorter
    found = await evaluated(
        tmp_path / "out", [policy("a", a), policy("b", b)], 40, judge=judge_by_worth()
    )
    (rate,) = found.win_rates
    assert rate.length_controlled is not None
    assert rate.length_controlled.value < 0.6
    (caveat,) = [each for each in found.caveats if "equal length" in each]
    assert caveat == (
        "b against a: the win rate is 70.0%, and "
        f"{rate.length_controlled.value:.1%} at equal length: length speaks for b, whose response "
        "is the longer one in 75% of matches."
    )


async def test_how_many_prompts_would_be_enough_is_said(tmp_path: Path):
    policies = [policy("a", worths(*[1, 3] * 10)), policy("b", worths(*[2] * 20))]
    plan = EvaluationPlan(half_width=0.1)
    found = await evaluated(tmp_path / "out", policies, 20, plan, judge=judge_by_worth())
    assert any(each.startswith("20 prompts give a win rate to ±") for each in found.caveats)
    assert any("±10.0 points take about" in each for each in found.caveats)


# Refusals


@pytest.mark.parametrize(
    ("plan", "n", "said"),
    [
        (EvaluationPlan(), 1, "There is one policy, a, and nothing to compare it with."),
        (EvaluationPlan(error_rate=0.7), 2, "An error rate of 0.7 is not possible"),
        (EvaluationPlan(checks=(ONE, ONE)), 2, "'one' is to be checked twice"),
        (EvaluationPlan(), 0, "There is no policy to evaluate."),
    ],
)
async def test_a_plan_that_cannot_be_followed_is_refused_before_a_call(
    tmp_path: Path, plan: EvaluationPlan, n: int, said: str
):
    policies = [policy(name, worths(1)) for name in "ab"[:n]]
    with pytest.raises(UsageError, match=said):
        await evaluated(tmp_path / "out", policies, 1, plan, judge_by_worth())
    assert [n_asked(each) for each in policies] == [0] * n


@pytest.mark.parametrize("plan", [EvaluationPlan(checks=(ONE,)), EvaluationPlan(error_rate=0.1)])
async def test_what_needs_a_judge_is_refused_without_one(tmp_path: Path, plan: EvaluationPlan):
    with pytest.raises(UsageError, match="judge: name one"):
        await evaluated(tmp_path / "out", [policy("a", worths(1))], 1, plan)


async def test_an_evaluation_in_parts_is_refused(tmp_path: Path):
    run_options = RunOptions(part=Part(1, 2))
    with pytest.raises(UsageError, match="cannot be done in parts"):
        await evaluated(tmp_path / "out", [policy("a", worths(1))], 1, run_options=run_options)


async def test_a_judge_that_only_fails_ends_the_evaluation_with_its_reason(tmp_path: Path):
    def fails(messages: Sequence[Message], options: Sequence[str]) -> Sequence[float]:
        raise ModelError("The judge has no such adapter.")

    judge = ScriptedModel(choices=fails, name="judge")
    policies = [policy("a", worths(1)), policy("b", worths(2))]
    with pytest.raises(ModelError, match="no such adapter"):
        await evaluated(tmp_path / "out", policies, 1, judge=judge)
    assert not (tmp_path / "out/evaluation.json").exists()


# Going on


async def test_the_same_request_again_asks_nothing_but_how_the_judge_answers(tmp_path: Path):
    plan = EvaluationPlan(checks=(ONE,))
    out, judge = tmp_path / "out", judge_by_worth()
    policies = [policy("a", worths(1, 2, 3)), policy("b", worths(3, 2, 4))]
    first = await evaluated(out, policies, 3, plan, judge)
    n_before = [n_asked(each) for each in policies]
    n_judged = len(judge.requests)
    assert await evaluated(out, policies, 3, plan, judge) == first
    assert [n_asked(each) for each in policies] == n_before == [3, 3]
    # matchups and checks each begin with one question on greetings
    assert len(judge.requests) == n_judged + 2
    assert first.n_calls == 6 + 2 * 2 + 5  # equal texts are one matchup less and checked once


@pytest.mark.parametrize("n_tokens", [20, 70, 150, 260])
async def test_what_a_cap_stopped_goes_on_and_ends_as_a_whole(tmp_path: Path, n_tokens: int):
    """The caps fall into the sampling of either policy, the matchups, and the checks."""
    plan = EvaluationPlan(checks=(ONE,))
    texts = [worths(*[i % 5 for i in range(12)]), worths(*[i % 4 for i in range(12)])]

    async def run(out: Path, run_options: RunOptions = RunOptions()) -> Evaluation:
        policies = [policy("ab"[i], each) for i, each in enumerate(texts)]
        return await evaluated(out, policies, 12, plan, judge_by_worth(), run_options=run_options)

    whole = await run(tmp_path / "whole")
    out = tmp_path / "out"
    with pytest.raises(RunStopped):
        await run(out, RunOptions(caps=Caps(tokens=n_tokens)))
    assert not (out / "evaluation.json").exists()
    found = await run(out)
    assert found.win_rates == whole.win_rates
    assert found.policies == whole.policies
    assert (found.ratings, found.n_calls) == (whole.ratings, whole.n_calls)


@pytest.mark.parametrize(
    ("plan", "constitution", "said"),
    [
        (EvaluationPlan(k=2), ONE, "responses/a: is a run with other settings"),
        (EvaluationPlan(), TWO, "matchups: is a run with other settings"),
        (EvaluationPlan(seed=1), ONE, "is a run with other settings"),
    ],
)
async def test_another_request_in_the_same_folder_is_refused(
    tmp_path: Path, plan: EvaluationPlan, constitution: Constitution, said: str
):
    out = tmp_path / "out"

    async def run(plan: EvaluationPlan, constitution: Constitution) -> Evaluation:
        policies = [policy("a", worths(1, 2)), policy("b", worths(3, 2))]
        return await evaluated(out, policies, 2, plan, judge_by_worth(), constitution)

    await run(EvaluationPlan(), ONE)
    with pytest.raises(JournalError, match=said):
        await run(plan, constitution)


async def test_with_update_the_folder_becomes_that_of_the_other_request(tmp_path: Path):
    """Under two principles; of one the journal has the answers. Old figures do not outlive it."""
    out, judge = tmp_path / "out", judge_by_worth()

    async def run(constitution: Constitution, run_options: RunOptions = RunOptions()) -> Evaluation:
        policies = [policy("a", worths(1, 2)), policy("b", worths(3, 3))]
        return await evaluated(
            out, policies, 2, judge=judge, constitution=constitution, run_options=run_options
        )

    await run(ONE)
    n_asked_before = len(judge.requests)
    with pytest.raises(RunStopped):
        await run(TWO, RunOptions(update=True, caps=Caps(tokens=1)))
    assert not (out / "evaluation.json").exists()
    found = await run(TWO, RunOptions(update=True))
    assert (found.constitution, found.win_rates[0].outcomes["a"]) == ("two", 2)
    # two matchups in two orders under the new principle, and a question on greetings each time
    assert len(judge.requests) - n_asked_before <= 4 + 2


async def test_a_policy_more_is_judged_without_asking_about_the_others_again(tmp_path: Path):
    """Three policies on two prompts are six matchups; of those of two there were two."""
    out, judge = tmp_path / "out", judge_by_worth()
    policies = [policy("a", worths(1, 1)), policy("b", worths(2, 2))]
    await evaluated(out, policies, 2, judge=judge)
    n_before = len(judge.requests)
    found = await evaluated(out, [*policies, policy("c", worths(3, 3))], 2, judge=judge)
    assert [rate.outcomes["a"] for rate in found.win_rates] == [2, 2, 2]
    assert len(judge.requests) == n_before + 4 * 2 + 1
    assert [n_asked(each) for each in policies] == [2, 2]


async def test_a_policy_more_under_another_constitution_is_refused(tmp_path: Path):
    out = tmp_path / "out"
    policies = [policy("a", worths(1, 1)), policy("b", worths(2, 2))]
    await evaluated(out, policies, 2, judge=judge_by_worth())
    more = [*policies, policy("c", worths(3, 3))]
    with pytest.raises(JournalError, match="is a run with other settings"):
        await evaluated(out, more, 2, judge=judge_by_worth(), constitution=TWO)
