"""TRL's trainers take the exported files as they are, JSONL and Parquet, and train two steps."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from serving import write_prompts
from tiny import save_tiny_model

import cai
from cai.export.formats import Format
from cai.models.opening import embedded_folder
from cai.models.protocol import Sampling
from cai.types import Message

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of TRL and what it imports, on being imported
    from datasets import Dataset, load_dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

# TRL uses names that transformers has given new ones
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*gradient_checkpointing.* is deprecated:FutureWarning"
)


def answer(messages: Sequence[Message], sampling: Sampling) -> str:
    return f"I would keep the lamp dry, and then look at part {(sampling.seed or 0) % 97} of it."


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded model, or a tiny random one where its weights are not here."""
    if (embedded_folder() / "model.safetensors").exists():
        return embedded_folder()
    return save_tiny_model(tmp_path_factory.mktemp("tiny"))


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
        "use_cpu": True,
        "bf16": False,
        "report_to": "none",
        "save_strategy": "no",
        "logging_steps": 1,
        "disable_tqdm": True,
    }


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_sft_takes_the_rows(run: cai.Run, model_folder: Path, tmp_path: Path, suffix: str):
    trainer = SFTTrainer(
        AutoModelForCausalLM.from_pretrained(model_folder),
        SFTConfig(**settings(tmp_path)),
        train_dataset=exported(run, "sft", suffix, tmp_path),
        processing_class=AutoTokenizer.from_pretrained(model_folder),
    )
    assert_trains(trainer)


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_dpo_takes_the_rows(run: cai.Run, model_folder: Path, tmp_path: Path, suffix: str):
    trainer = DPOTrainer(
        AutoModelForCausalLM.from_pretrained(model_folder),
        args=DPOConfig(**settings(tmp_path)),
        train_dataset=exported(run, "preference", suffix, tmp_path),
        processing_class=AutoTokenizer.from_pretrained(model_folder),
    )
    assert_trains(trainer)


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


def test_the_completion_alone_is_learned(run: cai.Run, model_folder: Path, tmp_path: Path):
    """TRL masks the prompt: the labels that count are those of the revision."""
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    trainer = SFTTrainer(
        AutoModelForCausalLM.from_pretrained(model_folder),
        SFTConfig(**settings(tmp_path)),
        train_dataset=exported(run, "sft", "jsonl", tmp_path),
        processing_class=tokenizer,
    )
    batch = next(iter(trainer.get_train_dataloader()))
    learned = [tokenizer.decode(row[row >= 0]) for row in batch["labels"]]
    for text in learned:
        assert text.startswith("I would keep the lamp dry")
        assert "How do I" not in text
