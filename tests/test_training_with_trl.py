"""TRL's trainers take the exported files as they are, JSONL and Parquet, and train two steps."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, load_dataset
from reward_server import write_prompts
from tiny import QUIETLY
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)
from trl import (
    DPOConfig,
    DPOTrainer,
    KTOConfig,
    KTOTrainer,
    RewardConfig,
    RewardTrainer,
    SFTConfig,
    SFTTrainer,
)

import cai
from cai.export.formats import Format
from cai.models.base import Sampling
from cai.models.registry import embedded_folder
from cai.types import Message

MODEL = embedded_folder()


def answer(messages: Sequence[Message], sampling: Sampling) -> str:
    return f"I would keep the lamp dry, and then look at part {(sampling.seed or 0) % 97} of it."


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> cai.Run:
    folder = tmp_path_factory.mktemp("run")
    run = cai.Run(folder / "run")
    run.revise(
        write_prompts(folder / "prompts.jsonl", 8),
        model=cai.ScriptedModel(answer),
        constitution=cai.load_constitution("testbed"),
        is_quiet=True,
    )
    return run


def prefer(messages: Sequence[Message], options: Sequence[str]) -> tuple[float, float]:
    """The response with the greater number is better, by 9 to 1."""
    asked = "\n".join(message.content for message in messages)
    numbers = [int(number) for number in re.findall(r"look at part (\d+) of it", asked)]
    better, worse = math.log(0.9), math.log(0.1)
    # the first question of a run is about two greetings
    return (better, worse) if not numbers or numbers[0] > numbers[1] else (worse, better)


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> cai.Run:
    """Eight prompts with three samples each, judged."""
    folder = tmp_path_factory.mktemp("judged")
    sampled, judged = cai.Run(folder / "sampled"), cai.Run(folder / "judged")
    prompts = write_prompts(folder / "prompts.jsonl", 8)
    sampled.sample(prompts, model=cai.ScriptedModel(answer), k=3, is_quiet=True)
    judged.judge(
        sampled,
        model=cai.ScriptedModel(choices=prefer, name="scripted-judge"),
        constitution=cai.load_constitution("testbed"),
        settings=cai.JudgeSettings(compose="mean"),
        is_quiet=True,
    )
    return judged


def exported(run: cai.Run, format: Format, suffix: str, folder: Path) -> Dataset:
    """The file as `datasets` reads it, nothing renamed and nothing left out."""
    path = folder / f"{format}.{suffix}"
    run.export_file(format, path)
    reader = "json" if suffix == "jsonl" else "parquet"
    cache = str(folder / "cache")
    return load_dataset(reader, data_files=str(path), split="train", cache_dir=cache)


def settings(folder: Path) -> dict[str, Any]:
    return {
        "output_dir": str(folder / "out"),
        "max_steps": 2,
        "per_device_train_batch_size": 2,
        "max_length": 256,
        "learning_rate": 1e-3,
        **QUIETLY,
    }


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_sft_takes_the_rows(run: cai.Run, tmp_path: Path, suffix: str):
    trainer = SFTTrainer(
        AutoModelForCausalLM.from_pretrained(MODEL),
        SFTConfig(**settings(tmp_path)),
        train_dataset=exported(run, "sft", suffix, tmp_path),
        processing_class=AutoTokenizer.from_pretrained(MODEL),
    )
    assert_trains(trainer)


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
@pytest.mark.parametrize("source", ["run", "judged"])
@pytest.mark.parametrize(
    ("format", "trainer_class", "config_class"),
    [("preference", DPOTrainer, DPOConfig), ("kto", KTOTrainer, KTOConfig)],
)
def test_dpo_and_kto_take_the_rows(
    format: Format,
    trainer_class: Any,
    config_class: Any,
    source: str,
    tmp_path: Path,
    suffix: str,
    request: pytest.FixtureRequest,
):
    trainer = trainer_class(
        AutoModelForCausalLM.from_pretrained(MODEL),
        args=config_class(**settings(tmp_path)),
        train_dataset=exported(request.getfixturevalue(source), format, suffix, tmp_path),
        processing_class=AutoTokenizer.from_pretrained(MODEL),
    )
    assert_trains(trainer)


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
@pytest.mark.parametrize("source", ["run", "judged"])
def test_a_reward_model_takes_the_rows(
    source: str, tmp_path: Path, suffix: str, request: pytest.FixtureRequest
):
    rows = exported(request.getfixturevalue(source), "reward", suffix, tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    trainer = RewardTrainer(
        AutoModelForSequenceClassification.from_pretrained(
            MODEL, num_labels=1, pad_token_id=tokenizer.pad_token_id
        ),
        args=RewardConfig(**settings(tmp_path)),
        train_dataset=rows,
        processing_class=tokenizer,
    )
    assert "margin" not in next(iter(trainer.get_train_dataloader()))
    assert_trains(trainer)


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_judged_pairs_are_what_the_judge_prefers(judged: cai.Run, tmp_path: Path, suffix: str):
    """0.9 in each order and under each principle is 0.9."""
    rows = exported(judged, "preference", suffix, tmp_path)
    assert len(rows) == 8
    for row in rows:
        chosen, rejected = (
            int(re.findall(r"part (\d+)", row[side][0]["content"])[0])
            for side in ("chosen", "rejected")
        )
        assert chosen > rejected
        assert row["chosen_probability"] == pytest.approx(0.9)


def assert_trains(trainer: Any) -> None:
    """Two steps with a finite loss, and parameters that moved."""
    before = {name: value.clone() for name, value in trainer.model.named_parameters()}
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert trainer.state.global_step == 2
    assert len(losses) == 2
    assert all(0 < loss < 100 for loss in losses)
    after = dict(trainer.model.named_parameters())
    assert any(not value.equal(after[name]) for name, value in before.items())


def test_the_completion_alone_is_learned(run: cai.Run, tmp_path: Path):
    """TRL masks the prompt: the labels that count are those of the revision."""
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    trainer = SFTTrainer(
        AutoModelForCausalLM.from_pretrained(MODEL),
        SFTConfig(**settings(tmp_path)),
        train_dataset=exported(run, "sft", "jsonl", tmp_path),
        processing_class=tokenizer,
    )
    batch = next(iter(trainer.get_train_dataloader()))
    learned = [tokenizer.decode(row[row >= 0]) for row in batch["labels"]]
    for text in learned:
        assert text.startswith("I would keep the lamp dry")
        assert "How do I" not in text
