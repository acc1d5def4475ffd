"""Rewards of judges: how marks and verdicts become results, and what the journal remembers."""

import math
from pathlib import Path

import pytest
from arithmetic_judge import RULES, arithmetic_judge, log_probabilities
from rich.console import Console

from cai.errors import JournalError, UsageError
from cai.methods.roles import Judge
from cai.methods.settings import JudgeSettings
from cai.models.scripted import ScriptedModel
from cai.serving.rewarder import JudgeRewards, open_rewarder
from cai.types import Message, Prompt

PROMPT = Prompt("", (Message("user", "Hi."),))
CONSOLE = Console(quiet=True)


def settings_of(model: ScriptedModel, seed: int = 0) -> JudgeRewards:
    return JudgeRewards((Judge.of(model).role,), RULES, seed=seed)


async def test_a_mark_becomes_a_reward_by_principle():
    """A mark of 4 is 2 (4 − 1) / 9 − 1 = −1/3, under both principles and in their mean."""
    judge, model = arithmetic_judge()
    system = Message("system", "Be brief.")
    result = await judge.score(Prompt("", (system, *PROMPT.messages)), "mark 4")
    assert result.outcome == "scored"
    assert result.reward == pytest.approx(-1 / 3)
    assert result.by_principle == {"kind": pytest.approx(-1 / 3), "short": pytest.approx(-1 / 3)}
    assert all("Be brief." in each.text and "mark 4" in each.text for each in model.requests)


async def test_swapping_the_responses_swaps_the_verdict():
    """The responses differ by two characters, so p_a is σ(2) for the longer one."""
    judge, _ = arithmetic_judge()
    longer, shorter = "A longer one.", "A long one."
    first = await judge.compare(PROMPT, longer, shorter)
    second = await judge.compare(PROMPT, shorter, longer)
    assert (first.outcome, second.outcome) == ("a", "b")
    assert first.p_a == pytest.approx(1 / (1 + math.exp(-2)))
    assert second.p_a == pytest.approx(1 / (1 + math.exp(2)))
    assert first.reason == ""


async def test_a_failed_call_is_a_result_without_a_reward():
    judge, _ = arithmetic_judge()
    score = await judge.score(PROMPT, "refuse me")
    assert (score.reward, score.outcome) == (None, "failed")
    assert score.reason == "The server refused the request."
    comparison = await judge.compare(PROMPT, "refuse me", "No.")
    assert (comparison.p_a, comparison.outcome) == (None, "failed")
    assert comparison.reason == "The server refused the request."


async def test_health_names_the_judge_the_constitution_and_the_principles():
    judge, model = arithmetic_judge()
    health = judge.health
    assert (health.kind, health.name) == ("judge", model.name)
    assert health.constitution == f"rules@{RULES.hash}"
    assert health.principles == ("kind", "short")
    assert judge.chat_format is None


async def test_a_question_that_the_journal_has_is_never_sent_again(tmp_path: Path):
    model = ScriptedModel(choices=log_probabilities)
    rewards: list[float | None] = []
    n_scored: list[int] = []
    for _ in range(2):  # the second time as after a restart of the server
        async with open_rewarder(settings_of(model), tmp_path / "run", CONSOLE) as rewarder:
            rewards.append((await rewarder.score(PROMPT, "mark 10")).reward)
        n_scored.append(sum("mark 10" in each.text for each in model.requests))
    assert rewards == [pytest.approx(1.0), pytest.approx(1.0)]
    assert n_scored[0] == n_scored[1] > 0


async def test_a_journal_of_other_settings_is_refused(tmp_path: Path):
    model = ScriptedModel(choices=log_probabilities)
    async with open_rewarder(settings_of(model), tmp_path / "run", CONSOLE):
        pass
    with pytest.raises(JournalError, match="seed"):
        async with open_rewarder(settings_of(model, seed=1), tmp_path / "run", CONSOLE):
            pass


async def test_an_unknown_tag_is_refused_before_a_judge_is_asked():
    model = ScriptedModel(choices=log_probabilities)
    plan = JudgeSettings(tags=("no-such",))
    settings = JudgeRewards((Judge.of(model).role,), RULES, comparing=plan)
    with pytest.raises(UsageError, match="no-such"):
        async with open_rewarder(settings, None, CONSOLE):
            pass
    assert model.requests == []
