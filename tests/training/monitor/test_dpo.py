"""A DPO run watched by samples: figures, the KL divergence three ways, an unchanged training."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from tiny import QUIETLY
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from cai.errors import UsageError
from cai.evaluation.rules import Rule
from cai.training.monitor.callbacks import SamplingPlan, monitor_training
from cai.training.monitor.monitor import FILE, TrainingMonitor, parse_rule
from cai.training.rewards.batch import RewardRecorder
from cai.types import Conversation, Message

ASKED = ("How do I wash the lamp?", "Why?", "Who has the key to the old gate?")
PLAN_PROMPTS: tuple[Conversation, ...] = tuple((Message("user", text),) for text in ASKED)
ADAPTER = {"r": 4, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"}


def pairs() -> Dataset:
    turn = {"role": "user", "content": "What is in the garden?"}
    chosen = {"role": "assistant", "content": "Apples, pears and a small gate."}
    rejected = {"role": "assistant", "content": "I would rather not."}
    return Dataset.from_list([{"prompt": [turn], "chosen": [chosen], "rejected": [rejected]}] * 16)


def trainer_of(model: Any, folder: Path, tokenizer: Path, **changes: Any) -> DPOTrainer:
    settings: dict[str, Any] = {
        "output_dir": str(folder),
        "max_steps": 4,
        "per_device_train_batch_size": 4,
        "learning_rate": 1e-2,
        "lr_scheduler_type": "constant",
        **QUIETLY,
    }
    adapter = changes.pop("peft_config", None)
    return DPOTrainer(
        model,
        args=DPOConfig(**settings | changes),
        train_dataset=pairs(),
        processing_class=AutoTokenizer.from_pretrained(tokenizer),
        peft_config=adapter,
    )


def watched(
    trainer: Any, folder: Path, rules: Sequence[Rule] = (), *, has_reference: bool = False
) -> TrainingMonitor:
    monitor = TrainingMonitor(folder, rules)
    plan = SamplingPlan(PLAN_PROMPTS, every=2, max_new_tokens=12)
    monitor_training(
        trainer, monitor, plan=plan, reference=trainer.ref_model if has_reference else None
    )
    trainer.train()
    return monitor


def losses(trainer: Any) -> list[float]:
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def test_samples_are_in_the_log_history_and_in_the_file(tiny: Path, tmp_path: Path):
    trainer = trainer_of(AutoModelForCausalLM.from_pretrained(tiny), tmp_path, tiny)
    watched(trainer, tmp_path, has_reference=True)
    told = {entry["step"]: entry for entry in trainer.state.log_history if "watch/kl" in entry}
    assert list(told) == [2, 4]
    written = [json.loads(line) for line in (tmp_path / FILE).read_text("utf-8").splitlines()]
    observed = {entry["step"]: entry for entry in written if "length" in entry}
    assert list(observed) == [0, 2, 4]
    assert observed[0]["kl"] == 0
    for step, entry in told.items():
        assert entry["watch/kl"] == observed[step]["kl"]
        assert entry["watch/tokens"] == observed[step]["tokens"]
        assert entry["watch/entropy"] == entry["entropy"]
    assert told[4]["watch/kl"] > 1


@pytest.mark.parametrize("has_adapter", [False, True])
def test_the_training_is_the_same_as_without_samples(has_adapter: bool, tiny: Path, tmp_path: Path):
    """Dropout draws random numbers at every step: one more draw would show."""
    found: list[list[float]] = []
    for is_watched in (True, False):
        adapter = LoraConfig(**ADAPTER, lora_dropout=0.3) if has_adapter else None
        model = AutoModelForCausalLM.from_pretrained(tiny, attention_dropout=0.3)
        trainer = trainer_of(model, tmp_path, tiny, peft_config=adapter, disable_dropout=False)
        if is_watched:
            watched(trainer, tmp_path, has_reference=not has_adapter)
        else:
            trainer.train()
        found.append(losses(trainer))
    assert len(found[0]) == 4
    assert found[0] == found[1]


def test_the_reference_of_an_adapter_is_the_model_without_it(tiny: Path, tmp_path: Path):
    model = AutoModelForCausalLM.from_pretrained(tiny)
    trainer = trainer_of(model, tmp_path, tiny, peft_config=LoraConfig(**ADAPTER))
    trained = [name for name, value in trainer.model.named_parameters() if value.requires_grad]
    monitor = watched(trainer, tmp_path)
    kl = [figures["kl"] for _, figures in monitor.history if "kl" in figures]
    assert kl[0] == 0
    assert kl[-1] > 0.01
    assert "kl_start" not in monitor.history[-1][1]
    assert trained == [
        name for name, value in trainer.model.named_parameters() if value.requires_grad
    ]


def test_the_reference_of_an_adapter_trained_before_is_that_adapter(tiny: Path, tmp_path: Path):
    """The given adapter is far from the bare model, and still the divergence starts at 0."""
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(tiny), LoraConfig(**ADAPTER))
    torch.manual_seed(0)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "lora_B" in name:
                value.normal_(std=0.5)
    monitor = watched(trainer_of(model, tmp_path, tiny), tmp_path)
    kl = [figures["kl"] for _, figures in monitor.history if "kl" in figures]
    assert kl[0] == pytest.approx(0, abs=1e-4)
    assert abs(kl[-1]) > 0.01


def test_without_a_reference_the_starts_own_responses_measure_the_drift(tiny: Path, tmp_path: Path):
    trainer = trainer_of(AutoModelForCausalLM.from_pretrained(tiny), tmp_path, tiny)
    monitor = watched(trainer, tmp_path)
    drift = [figures["kl_start"] for _, figures in monitor.history if "kl_start" in figures]
    assert drift[0] == 0
    assert drift[-1] > 1
    assert all("kl" not in figures for _, figures in monitor.history)


def test_an_sft_run_is_watched_alike(tiny: Path, tmp_path: Path):
    rows = [{"prompt": row["prompt"], "completion": row["chosen"]} for row in pairs()]
    settings = SFTConfig(
        output_dir=str(tmp_path), max_steps=2, per_device_train_batch_size=4, use_cpu=True,
        bf16=False, report_to="none", save_strategy="no", logging_steps=1, disable_tqdm=True,
    )  # fmt: skip
    trainer = SFTTrainer(
        AutoModelForCausalLM.from_pretrained(tiny),
        settings,
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(tiny),
    )
    monitor = TrainingMonitor(tmp_path)
    monitor_training(trainer, monitor, plan=SamplingPlan(PLAN_PROMPTS, every=1, max_new_tokens=8))
    trainer.train()
    assert [entry["step"] for entry in trainer.state.log_history if "watch/length" in entry] == [
        1,
        2,
    ]


def test_a_rule_ends_the_run(tiny: Path, tmp_path: Path):
    trainer = trainer_of(AutoModelForCausalLM.from_pretrained(tiny), tmp_path, tiny, max_steps=8)
    rules = [parse_rule("kl > 0.5 then stop")]
    monitor = watched(trainer, tmp_path, rules, has_reference=True)
    assert monitor.stop is not None
    assert trainer.state.global_step == monitor.stop.step < 8
    assert trainer.state.log_history[-2]["watch/kl"] == monitor.stop.value


def test_samples_and_a_tape_at_once_are_refused(tiny: Path, tmp_path: Path):
    trainer = trainer_of(AutoModelForCausalLM.from_pretrained(tiny), tmp_path, tiny)
    with pytest.raises(UsageError, match="monitored by its own responses and by samples"):
        monitor_training(
            trainer,
            TrainingMonitor(None),
            recorder=RewardRecorder(),
            plan=SamplingPlan(PLAN_PROMPTS),
        )


@pytest.mark.parametrize("n", [0, 65])
def test_a_plan_has_one_to_sixty_four_prompts(n: int):
    with pytest.raises(UsageError, match=f"{n} prompts"):
        SamplingPlan(PLAN_PROMPTS[:1] * n)


@pytest.mark.parametrize("wrong", [{"every": 0}, {"max_new_tokens": 0}])
def test_a_plan_samples_something_at_some_step(wrong: dict[str, int]):
    with pytest.raises(UsageError, match="Give 1 or more of each"):
        SamplingPlan(PLAN_PROMPTS, **wrong)
