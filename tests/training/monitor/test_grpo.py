"""A GRPO run under watch: figures in its logs and file, rules that end it, resume, a collapse."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from tiny import QUIETLY
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    TrainerCallback,
)
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

from cai.evaluation.rules import Rule
from cai.methods.revision_flags import is_refusal
from cai.models.registry import embedded_folder
from cai.training.monitor.callbacks import monitor_training
from cai.training.monitor.monitor import DEFAULT_RULES, FILE, TrainingMonitor, parse_rule
from cai.training.rewards.batch import RewardRecorder, Text, text_of
from cai.training.rewards.functions import with_penalties

DEEDS = ("clean the lamp", "paint the gate", "mend the basket", "find the key")
Reward = Callable[..., list[float]]


def length_reward(*, completion_ids: Sequence[Sequence[int]], **_: object) -> list[float]:
    return [len(ids) / 50 for ids in completion_ids]


def watched_run(
    model: Path,
    folder: Path,
    reward: Reward | Any = length_reward,
    *,
    rules: Sequence[Rule] = DEFAULT_RULES,
    kind: str = "grpo",
    resumed_from: Path | None = None,
    reporters: Sequence[TrainerCallback] = (),
    n_texts: int = 8,
    tokenizers: list[Any] | None = None,
    **changes: Any,
) -> tuple[Any, TrainingMonitor]:
    """The trainer after its run, and its monitor."""
    recorder, monitor = RewardRecorder(), TrainingMonitor(folder, rules)
    functions, weights = with_penalties([reward])
    settings: dict[str, Any] = {
        "output_dir": str(folder),
        "reward_weights": weights,
        "max_steps": 3,
        "per_device_train_batch_size": 8,
        "num_generations": 4,
        "max_completion_length": 12,
        "learning_rate": 1e-3,
        "lr_scheduler_type": "constant",
        "beta": 0.04,
        **QUIETLY,
        **changes,
    }
    trainer_class, config = {"grpo": (GRPOTrainer, GRPOConfig), "rloo": (RLOOTrainer, RLOOConfig)}[
        kind
    ]
    rows = [{"prompt": [{"role": "user", "content": f"How do I {deed}?"}]} for deed in DEEDS]
    trainer = trainer_class(
        AutoModelForCausalLM.from_pretrained(model),
        reward_funcs=recorder.columns(functions, weights),
        args=config(**settings),
        train_dataset=Dataset.from_list(rows * 4),
        eval_dataset=Dataset.from_list(rows[:2]),
        processing_class=AutoTokenizer.from_pretrained(model),
        callbacks=list(reporters),
        reward_processing_classes=tokenizers,
    )
    monitor_training(trainer, monitor, recorder=recorder, n_texts=n_texts)
    trainer.train(resume_from_checkpoint=None if resumed_from is None else str(resumed_from))
    return trainer, monitor


def logged(trainer: Any) -> list[dict[str, float]]:
    return [entry for entry in trainer.state.log_history if "loss" in entry]


def written(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / FILE).read_text("utf-8").splitlines()]


@pytest.mark.parametrize("kind", ["grpo", "rloo"])
def test_figures_are_in_the_log_history_and_in_the_file(kind: str, tiny: Path, tmp_path: Path):
    trainer, monitor = watched_run(tiny, tmp_path, kind=kind)
    logs = logged(trainer)
    assert [entry["step"] for entry in logs] == [1, 2, 3]
    for entry in logs:
        assert entry["watch/tokens"] == pytest.approx(entry["completions/mean_length"])
        assert entry["watch/cut_off"] == entry["completions/clipped_ratio"]
        assert entry["watch/reward"] == pytest.approx(entry["reward"])
        assert entry["watch/entropy"] == entry["entropy"]
        assert entry["watch/kl"] == pytest.approx(entry["kl"] * entry["completions/mean_length"])
        assert 0 < entry["watch/distinct_2"] <= 1
    by_step = {entry["step"]: entry for entry in written(tmp_path) if "length" in entry}
    assert {step: entry["tokens"] for step, entry in by_step.items()} == {
        entry["step"]: entry["watch/tokens"] for entry in logs
    }
    assert len(monitor.history) == 6


def test_penalties_of_weight_0_are_logged_and_change_no_reward(tiny: Path, tmp_path: Path):
    trainer, _ = watched_run(tiny, tmp_path, max_steps=1)
    (entry,) = logged(trainer)
    assert entry["rewards/length_penalty/mean"] <= 0
    assert entry["rewards/evasiveness_penalty/mean"] <= 0
    assert entry["reward"] == pytest.approx(entry["rewards/length_reward/mean"])


def test_with_a_reward_model_the_reward_is_the_trainers_own(tiny: Path, tmp_path: Path):
    """TRL runs a module itself, and shows its scores to nobody."""
    scorer = AutoModelForSequenceClassification.from_pretrained(tiny, num_labels=1)
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    scorer.config.pad_token_id = tokenizer.pad_token_id
    trainer, _ = watched_run(
        tiny, tmp_path, scorer, max_steps=1, tokenizers=[tokenizer, None, None]
    )
    (entry,) = logged(trainer)
    assert entry["watch/reward"] == entry["reward"] != 0
    assert "watch/reward_length_correlation" not in entry
    assert entry["watch/length"] > 0


class Reporter(TrainerCallback):
    """Stands where TensorBoard's does: among the callbacks that read the logs in their order."""

    def __init__(self) -> None:
        self.told: list[dict[str, float]] = []

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        self.told.append(dict(logs))


def test_callbacks_that_report_the_logs_are_told_the_figures(tiny: Path, tmp_path: Path):
    reporter = Reporter()
    watched_run(tiny, tmp_path, max_steps=1, reporters=[reporter])
    assert reporter.told[0]["watch/length"] > 0


def test_a_rule_ends_the_run_and_says_so(
    tiny: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    trainer, monitor = watched_run(
        tiny, tmp_path, rules=[parse_rule("tokens > 1 for 2 then stop")], max_steps=5
    )
    assert trainer.state.global_step == 2
    assert monitor.stop is not None
    assert monitor.stop.step == 2
    assert monitor.stop.line in [record.getMessage() for record in caplog.records]
    assert logged(trainer)[-1]["step"] == 2


def test_a_rule_of_the_trainers_own_figures_ends_the_run(tiny: Path, tmp_path: Path):
    trainer, monitor = watched_run(tiny, tmp_path, rules=[parse_rule("entropy > 0 then stop")])
    assert trainer.state.global_step == 1
    assert monitor.stop is not None
    assert monitor.stop.value == logged(trainer)[0]["entropy"]


def test_the_policy_is_trained_as_if_nobody_watched(tiny: Path, tmp_path: Path):
    one, _ = watched_run(tiny, tmp_path / "often", seed=3)
    other, _ = watched_run(tiny, tmp_path / "once", seed=3, n_texts=1000, rules=[])
    assert [entry["loss"] for entry in logged(one)] == [entry["loss"] for entry in logged(other)]


def test_an_observation_gathers_responses_over_steps(tiny: Path, tmp_path: Path):
    """Eight responses a step, sixteen an observation: at steps 2 and 4 of 4."""
    watched_run(tiny, tmp_path, n_texts=16, max_steps=4)
    assert [entry["step"] for entry in written(tmp_path) if "length" in entry] == [2, 4]


def test_a_short_run_is_observed_once_at_its_end(tiny: Path, tmp_path: Path):
    watched_run(tiny, tmp_path, n_texts=1000)
    assert [entry["step"] for entry in written(tmp_path) if "length" in entry] == [3]


def test_responses_of_an_evaluation_are_not_those_of_the_training(tiny: Path, tmp_path: Path):
    """With those of the evaluations after each step, 24 would be reached at step 2."""
    trainer, _ = watched_run(
        tiny, tmp_path, n_texts=24, eval_strategy="steps", eval_steps=1,
        per_device_eval_batch_size=8,
    )  # fmt: skip
    assert any("eval_loss" in entry for entry in trainer.state.log_history)
    assert [entry["step"] for entry in written(tmp_path) if "length" in entry] == [3]


def test_a_resumed_run_goes_on_with_its_history(tiny: Path, tmp_path: Path):
    _, before = watched_run(tiny, tmp_path, save_strategy="steps", save_steps=2)
    _, after = watched_run(tiny, tmp_path, resumed_from=tmp_path / "checkpoint-2", max_steps=4)
    steps = [entry["step"] for entry in written(tmp_path) if "length" in entry]
    assert steps == [1, 2, 3, 4]
    assert after.history[0] == before.history[0]


def refusal_reward(*, completions: Sequence[Text], **_: object) -> list[float]:
    return [float(is_refusal(text_of(completion))) for completion in completions]


@pytest.mark.parametrize(
    ("reward", "rule"),
    [
        pytest.param(length_reward, "length > 1.5*start for 2 then stop", marks=pytest.mark.slow),
        (length_reward, "reward_length_correlation > 0.8 for 2 then stop"),
        (refusal_reward, "refusals > start+0.3 for 2 then stop"),
        pytest.param(
            refusal_reward, "boilerplate > start+0.3 for 2 then stop", marks=pytest.mark.slow
        ),
    ],
)
def test_a_collapse_made_on_purpose_ends_the_run(reward: Reward, rule: str, tmp_path: Path):
    """Rewarded for length or refusals alone, the embedded model gives them, and is stopped."""
    trainer, monitor = watched_run(
        embedded_folder(), tmp_path, reward, rules=[parse_rule(rule)], max_steps=40,
        max_completion_length=64, per_device_train_batch_size=16, n_texts=32, beta=0.0,
    )  # fmt: skip
    assert monitor.stop is not None
    assert trainer.state.global_step == monitor.stop.step < 40
