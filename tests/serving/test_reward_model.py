"""Rewards of a reward model: the same numbers as from the model itself, and principles for it."""

import math
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio
from tiny_rewards import save_conditioned, save_reward_model

from cai.errors import UsageError
from cai.serving.reward_model import ModelRewarder, open_reward_model
from cai.types import Message, Prompt

PROMPT = Prompt("", (Message("user", "How are you?"),))
TOO_LONG = "x " * 400


@pytest_asyncio.fixture
async def rewarder(tmp_path: Path) -> AsyncGenerator[ModelRewarder]:
    folder = str(save_reward_model(tmp_path / "reward"))
    async with open_reward_model(folder, None, ()) as opened:
        yield opened


async def test_a_reward_is_the_output_of_the_model(rewarder: ModelRewarder):
    (expected,) = rewarder.model.rewards([(*PROMPT.messages, Message("assistant", "Well."))])
    result = await rewarder.score(PROMPT, "Well.")
    assert result.outcome == "scored"
    assert result.reward == pytest.approx(expected, abs=1e-5)


async def test_a_comparison_is_sigma_of_the_difference(rewarder: ModelRewarder):
    reward_a, reward_b = [(await rewarder.score(PROMPT, each)).reward for each in ("Well.", "No!")]
    assert reward_a is not None and reward_b is not None
    comparison = await rewarder.compare(PROMPT, "Well.", "No!")
    assert comparison.p_a == pytest.approx(1 / (1 + math.exp(reward_b - reward_a)), abs=1e-5)
    assert comparison.outcome == ("a" if reward_a > reward_b else "b")


async def test_a_conversation_that_is_too_long_has_no_reward(rewarder: ModelRewarder):
    score = await rewarder.score(PROMPT, TOO_LONG)
    assert (score.reward, score.outcome) == (None, "unscored")
    assert "longer than the model's context" in score.reason
    comparison = await rewarder.compare(PROMPT, "Well.", TOO_LONG)
    assert (comparison.p_a, comparison.outcome) == (None, "unscored")


async def test_health_names_the_model(rewarder: ModelRewarder):
    health = rewarder.health
    assert (health.kind, health.name) == ("reward model", rewarder.model.name)
    assert health.principles == ()


async def test_the_principles_are_those_that_are_named_or_those_of_the_training(tmp_path: Path):
    folder = str(save_conditioned(tmp_path / "reward"))
    rewards: list[float | None] = []
    for principles in (["kind"], ["not:kind"]):
        async with open_reward_model(folder, None, principles) as rewarder:
            assert rewarder.health.principles == tuple(principles)
            rewards.append((await rewarder.score(PROMPT, "Well.")).reward)
    assert rewards[0] != rewards[1]
    async with open_reward_model(folder, None, ()) as rewarder:
        assert rewarder.health.principles == ("kind",)
        assert (await rewarder.score(PROMPT, "Well.")).reward == pytest.approx(rewards[0])


async def test_principles_that_the_model_cannot_read_are_refused(tmp_path: Path):
    plain = str(save_reward_model(tmp_path / "plain"))
    known = str(save_conditioned(tmp_path / "known"))
    unknown = str(save_conditioned(tmp_path / "unknown", None))
    cases = [
        (plain, ["kind"], "does not read principles"),
        (known, ["cruel"], "no principle 'cruel'"),
        (unknown, [], "Name a constitution with -c"),
    ]
    for folder, principles, message in cases:
        with pytest.raises(UsageError, match=message):
            async with open_reward_model(folder, None, principles):
                pass
