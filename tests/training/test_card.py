"""The card of a trained model: what it tells, what it leaves out, and that its code can be run."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from tiny import CHATML, save_tiny_model
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from cai.errors import TrainingError
from cai.training.card import (
    CardFacts,
    DataSource,
    Feedback,
    Figure,
    card_text,
    front_matter,
    shown,
    write_card,
)
from cai.training.trainers import TRAINERS

FACTS = CardFacts(
    path="runs/dpo",
    base_model="hf:Qwen/Qwen3-0.6B",
    trainer=TRAINERS["dpo"],
    loss="cross-entropy of the implicit reward margin against p",
    data=(
        DataSource("runs/judged", 3000, "ai"),
        DataSource("hub:Anthropic/hh-rlhf:helpful-base@train", 1000, "people"),
    ),
    data_hash="0123abcd",
    feedback=Feedback(
        constitution="harmless 1.0.0",
        constitution_hash="feed1234",
        principles=("Nobody is helped to break the law.",),
        responders=("hf:Qwen/Qwen3-0.6B",),
        judges=("openai:mistral-large@http://someone:secret@judge.internal:8000/v1",),
    ),
    settings={"learning_rate": 1e-5, "max_steps": 20},
    figures=(Figure("win rate", 0.7123, 500), Figure("loss at the end", 0.31)),
    license="apache-2.0",
)


def test_the_hub_can_read_the_front_matter():
    card = ModelCard(card_text(FACTS))
    assert card.data.to_dict() == {
        "license": "apache-2.0",
        "base_model": "Qwen/Qwen3-0.6B",
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["cai", "constitutional-ai", "rlaif", "trl", "dpo"],
        "datasets": ["Anthropic/hh-rlhf"],
    }


def test_what_is_not_known_is_left_out_of_the_front_matter():
    facts = replace(FACTS, base_model="embedded", data=(), license=None)
    assert set(front_matter(facts)) == {"library_name", "pipeline_tag", "tags"}


@pytest.mark.usefixtures("in_tmp_path")
def test_a_folder_is_no_model_of_the_hub():
    Path("runs/sft").mkdir(parents=True)
    assert "base_model" not in front_matter(replace(FACTS, base_model="hf:runs/sft"))
    assert front_matter(replace(FACTS, base_model="hf:runs/other"))["base_model"] == "runs/other"


def test_an_adapter_is_of_the_library_peft():
    text = card_text(replace(FACTS, lora={"r": 16, "alpha": 32}))
    front = yaml.safe_load(text.split("---")[1])
    assert front["library_name"] == "peft"
    assert front["tags"][-1] == "lora"
    assert "| LoRA | r 16, alpha 32 |" in text
    assert "-m 'hf:Qwen/Qwen3-0.6B?adapter=runs/dpo'" in text


def test_it_tells_what_was_trained_from_what_and_by_which_feedback():
    text = card_text(FACTS)
    for told in (
        "# dpo\n",
        "| from | `hf:Qwen/Qwen3-0.6B` |",
        "| method | direct preference optimization (DPO) |",
        "| loss | cross-entropy of the implicit reward margin against p |",
        "| constitution | harmless 1.0.0 (`feed1234`) |",
        "| responses by | `hf:Qwen/Qwen3-0.6B` |",
        "| `runs/judged` | 3,000 | of a judge |",
        "| `hub:Anthropic/hh-rlhf:helpful-base@train` | 1,000 | of people |",
        "Content hash of the rows: `0123abcd`.",
        "- Nobody is helped to break the law.",
        "| win rate | 0.7123 | 500 |",
        "| loss at the end | 0.31 |  |",
        "| `learning_rate` | `1e-05` |",
        "-m 'hf:runs/dpo'",
        "trl 1.",
        "transformers 5.",
    ):
        assert told in text, told


def test_nothing_of_this_machine_and_no_secret_is_told():
    facts = replace(
        FACTS,
        path="/home/someone/runs/dpo",
        base_model="hf:/data/models/base",
        data=(DataSource("/data/private/pairs.jsonl", 5), DataSource("~/own/more.jsonl", 5)),
        settings={"deepspeed": "/home/someone/zero.json", "vllm_server_base_url": "http://h/x"},
    )
    text = card_text(facts)
    for kept in ("/home", "/data", "~/", "secret", "judge.internal"):
        assert kept not in text, kept
    for told in ("`openai:mistral-large`", "`pairs.jsonl`", "`hf:base`", "`zero.json`"):
        assert told in text, told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("runs/first", "runs/first"),
        ("hf:owner/name", "hf:owner/name"),
        ("hf:/a/b/base+/c/adapter", "hf:base+adapter"),
        ("/a", "a"),
        ("/a/b/", "b"),
        ("../up/file", "../up/file"),
        ("http://host/a", "http://host/a"),
        ("openai:m@http://u:p@h/v1", "openai:m"),
        ("openai:m@https://a/v1,https://b/v1", "openai:m"),
        ("a | b\nc", "a \\| b c"),
    ],
)
def test_of_a_path_or_model_is_shown_what_others_can_know(text: str, told: str):
    assert shown(text) == told


def distrusted(facts: CardFacts) -> str:
    return card_text(facts).partition("## What to distrust")[2].partition("## Settings")[0]


def test_a_judge_of_the_models_own_kind_is_to_be_distrusted():
    def judged_by(name: str) -> str:
        return distrusted(replace(FACTS, feedback=replace(FACTS.feedback, judges=(name,))))

    assert "is of one family with the model" in judged_by("openai:Qwen/Qwen3-32B@http://h/v1")
    assert "is the model itself" in judged_by("hf:Qwen/Qwen3-0.6B")
    assert "tends to favour" not in judged_by("openai:mistral-large@http://h/v1")


def test_the_share_of_people_is_told_where_there_is_one():
    """1,000 of 4,000 rows."""
    assert "- 25 % of the rows carry labels of people" in distrusted(FACTS)
    alone = replace(FACTS, data=(DataSource("runs/judged", 10, "ai"),))
    assert "No row carries a label of a person." in distrusted(alone)


def test_figures_that_are_missing_or_of_few_cases_are_to_be_distrusted():
    assert "an unknown number" in distrusted(FACTS)
    sure = replace(FACTS, figures=(Figure("win rate", 0.7, 500),))
    assert "by chance" not in distrusted(sure)
    few = replace(FACTS, figures=(Figure("win rate", 0.7, 99),))
    assert "by chance" in distrusted(few)
    none = replace(FACTS, figures=())
    assert "Nothing was measured" in distrusted(none)


@pytest.mark.parametrize("trainer", TRAINERS.values(), ids=TRAINERS)
def test_every_trainer_has_a_card_without_a_gap(trainer):
    """Also where nothing is known beyond what has to be."""
    facts = CardFacts("out", "embedded", trainer, "as in TRL", (), "00")
    text = card_text(facts)
    assert "None |" not in text
    assert "{{" not in text and "{%" not in text
    assert "\n\n\n" not in text
    assert yaml.safe_load(text.split("---")[1])["tags"][-1] == trainer.name
    assert ("reward model" in text) is not trainer.is_policy


def code_of(text: str) -> str:
    (code,) = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return code


@pytest.mark.usefixtures("in_tmp_path")
def test_what_it_shows_runs_for_a_policy(capsys: pytest.CaptureFixture[str]):
    save_tiny_model(Path("runs/dpo"))
    exec(code_of(card_text(FACTS)), {})
    assert capsys.readouterr().out.strip()


@pytest.mark.usefixtures("in_tmp_path")
def test_what_it_shows_runs_for_a_reward_model(capsys: pytest.CaptureFixture[str]):
    base = save_tiny_model(Path("base"), template=CHATML)
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1, pad_token_id=0)
    model.save_pretrained("runs/reward")
    AutoTokenizer.from_pretrained(base).save_pretrained("runs/reward")
    capsys.readouterr()
    exec(code_of(card_text(replace(FACTS, trainer=TRAINERS["reward"], path="runs/reward"))), {})
    assert isinstance(float(capsys.readouterr().out), float)


def test_it_takes_the_place_of_the_card_that_trl_wrote(tmp_path: Path):
    (tmp_path / "README.md").write_text("# Model Card for out\n")
    path = write_card(tmp_path, FACTS)
    assert path == tmp_path / "README.md"
    assert path.read_text("utf-8") == card_text(FACTS)
    assert [found.name for found in tmp_path.iterdir()] == ["README.md"]


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match="The model itself is saved"):
        write_card(tmp_path / "file" / "model", FACTS)
