"""Judges as rewards of real GRPO and RLOO runs of a tiny model, through the journal."""

import hashlib
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from reward_server import write_prompts
from rich.console import Console

from cai.constitution.loader import load_constitution
from cai.errors import ModelError, ModelUnavailable, TrainingError
from cai.methods.roles import RoleModel
from cai.methods.settings import JudgeSettings, ScoreSettings
from cai.models.base import Sampling
from cai.models.scripted import ScriptedModel
from cai.training.data.load import load_training_data
from cai.training.plan import TrainPlan
from cai.training.rewards.spec import JudgeRewardSpec, RewardSpec, ScoreRewardSpec
from cai.training.run import Trained, train

TESTBED = load_constitution("testbed")
TONE = JudgeSettings(tags=("tone",))  # two principles: stay-polite, no-preaching
SETTINGS: dict[str, object] = {
    "max_steps": 1,
    "per_device_train_batch_size": 4,
    "num_generations": 4,
    "max_completion_length": 6,
    "logging_steps": 1,
    "save_strategy": "no",
}


def trained(
    tiny: Path,
    folder: Path,
    rewards: RewardSpec,
    algorithm: Literal["grpo", "rloo"] = "grpo",
    *,
    resumes: bool = False,
    **changes: object,
) -> Trained:
    folder.mkdir(exist_ok=True)
    data = load_training_data(write_prompts(folder / "prompts.jsonl", 4), "prompts", eval_share=0)
    plan = TrainPlan(f"hf:{tiny}", folder / "out", {**SETTINGS, **changes}, resumes=resumes)
    return train(algorithm, data, plan, Console(quiet=True), rewards=rewards)


def judged_by(model: ScriptedModel, **changes: Any) -> RewardSpec:
    return RewardSpec(
        judge=JudgeRewardSpec((RoleModel.of(model, Sampling(0.0)),), TESTBED, TONE, **changes)
    )


def is_probe(text: str) -> bool:
    """The question to each judge before the run, which compares two greetings."""
    return "Good day." in text


def responses(text: str) -> tuple[str, str]:
    one, other = (
        re.findall(rf"<response_{letter}>\n(.*?)\n</response_{letter}>", text, re.DOTALL)[0]
        for letter in "ab"
    )
    return one, other


def number(text: str) -> int:
    return hashlib.blake2b(text.strip().encode(), digest_size=1).digest()[0]


def prefer_greater(messages: Sequence[Any], options: Sequence[str]) -> tuple[float, float]:
    one, other = responses("\n".join(message.content for message in messages))
    better, worse = math.log(0.9), math.log(0.1)
    return (better, worse) if number(one) > number(other) else (worse, better)


def last_logged(done: Trained) -> dict[str, float]:
    found = json.loads((done.folder.path / "training.json").read_text())["train"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("algorithm", ["grpo", "rloo"])
def test_trl_leaves_out_what_could_not_be_judged(
    algorithm: Literal["grpo", "rloo"], tiny: Path, tmp_path: Path
):
    """Where it counted as zero, the mean reward would be below the mean of what was judged."""
    failed: list[str] = []

    def choose(messages: Sequence[Any], options: Sequence[str]) -> tuple[float, float]:
        asked = responses(text := "\n".join(message.content for message in messages))
        if not failed and not is_probe(text):
            failed.append(asked[0])
        if failed and failed[0] in asked:
            raise ModelError("That one I cannot judge.")
        return prefer_greater(messages, options)

    done = trained(tiny, tmp_path, judged_by(ScriptedModel(choices=choose)), algorithm)
    logged = last_logged(done)
    assert logged["not_scored"] == pytest.approx(0.25)
    assert logged["rewards/judge/mean"] == pytest.approx(0.5)
    assert logged["reward"] == pytest.approx(0.5)
    assert "rewards/length_penalty/mean" in logged
    assert (done.folder.path / "model.safetensors").is_file()


def test_a_batch_of_which_nothing_could_be_judged_ends_the_training(tiny: Path, tmp_path: Path):
    def choose(messages: Sequence[Any], options: Sequence[str]) -> tuple[float, float]:
        if is_probe("\n".join(message.content for message in messages)):
            return (0.0, -100.0)
        raise ModelError("It was unloaded.")

    with pytest.raises(ModelUnavailable, match=r"not one of 4 completions .* It was unloaded"):
        trained(tiny, tmp_path, judged_by(ScriptedModel(choices=choose)))
    assert not (tmp_path / "out" / "training.json").exists()


def test_principles_apart_are_rewards_by_name_and_the_judges_are_asked_once(
    tiny: Path, tmp_path: Path
):
    model = ScriptedModel(choices=prefer_greater)
    done = trained(tiny, tmp_path, judged_by(model, apart=True, weight=2.0))
    logged = last_logged(done)
    for principle in ("stay-polite", "no-preaching"):
        assert logged[f"rewards/judge/{principle}/mean"] == pytest.approx(0.5)
    assert logged["reward"] == pytest.approx(1.0)  # of a weight of 2, shared out
    assert logged["not_scored"] == 0
    asked = [request.text for request in model.requests if not is_probe(request.text)]
    assert len(asked) == len(set(asked)) == 6 * 2 * 2  # meetings of 4, principles, orders


def test_what_was_asked_is_never_asked_again(tiny: Path, tmp_path: Path):
    """The judge fails from the second step on: the calls of the first one are in the journal."""
    seen: list[str] = []

    def fails_after(n: int) -> ScriptedModel:
        def choose(messages: Sequence[Any], options: Sequence[str]) -> tuple[float, float]:
            text = "\n".join(message.content for message in messages)
            if not is_probe(text):
                if len(seen) >= n:
                    raise ModelError("Gone.")
                seen.append(text)
            return prefer_greater(messages, options)

        return ScriptedModel(choices=choose)

    with pytest.raises(ModelUnavailable):
        trained(tiny, tmp_path, judged_by(fails_after(24)), max_steps=2)
    assert len(seen) == 24
    model = ScriptedModel(choices=prefer_greater)
    done = trained(tiny, tmp_path, judged_by(model), max_steps=2, resumes=True)
    judging = json.loads((done.folder.path / "training.json").read_text())["judging"]
    assert judging["from_journal"] >= 24
    asked = [request.text for request in model.requests if not is_probe(request.text)]
    assert judging["calls"] == len(asked)
    assert not set(seen) & set(asked)


def test_direct_scores_are_a_reward_beside_the_judge(tiny: Path, tmp_path: Path):
    """All on the last mark is 1, and every win one half: 0.5 + 0.25 · 1."""

    def choose(messages: Sequence[Any], options: Sequence[str]) -> Sequence[float]:
        if len(options) == 2:
            return (math.log(0.5), math.log(0.5))
        return [-100.0] * (len(options) - 1) + [0.0]

    judges = (RoleModel.of(ScriptedModel(choices=choose), Sampling(0.0)),)
    rewards = RewardSpec(
        judge=JudgeRewardSpec(judges, TESTBED, TONE),
        score=ScoreRewardSpec(judges, TESTBED, ScoreSettings(tags=("tone",)), weight=0.25),
    )
    logged = last_logged(trained(tiny, tmp_path, rewards))
    assert logged["rewards/score/mean"] == pytest.approx(1)
    assert logged["reward"] == pytest.approx(0.75)


def test_no_reward_and_drawn_principles_apart_are_refused():
    with pytest.raises(TrainingError, match="No reward is named"):
        RewardSpec().check()
    drawn = JudgeRewardSpec((), TESTBED, JudgeSettings(principles=1), apart=True)
    with pytest.raises(TrainingError, match="a drawn principle has none"):
        RewardSpec(judge=drawn).check()
