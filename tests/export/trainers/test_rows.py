"""The row of each format for each trainer: a conversation of several turns, and its two sides."""

import json
from pathlib import Path

import pytest
from made_runs import contested, made_run, revised

from cai.export.export import Export, ExportSummary
from cai.export.formats import Format
from cai.export.trainers.table import TRAINERS
from cai.methods.revision import Chain
from cai.models.base import Completion
from cai.types import Message, Prompt, user_prompt

TURNS = (Message("system", "Be brief."), Message("user", "Hi."), Message("assistant", "Yes?"),
         Message("user", "Go."))  # fmt: skip
ASKED = [{"role": turn.role, "content": turn.content} for turn in TURNS]
GOOD, BAD = ({"role": "assistant", "content": text} for text in ("Gladly.", "No."))
UNJUDGED = {"chosen_probability": None, "judging": None}
ALPACA = {"system": "Be brief.", "history": [["Hi.", "Yes?"]], "prompt": "Go."}


def rows(folder: Path, format: Format, trainer: str, prompt: Prompt) -> list[dict[str, object]]:
    """The rows of one revised response, without what all rows have."""
    with made_run(folder, [Chain(prompt, Completion("No."), (revised("Gladly."),))]) as run:
        found = Export.of([run], format, trainer=trainer).rows(ExportSummary(format))
        plain = [json.loads(json.dumps(row)) for row in found]
    assert [row.pop("id") for row in plain] == [prompt.id] * len(plain)
    assert all(row.pop("provenance")["method"] == "revise" for row in plain)
    assert all(row.pop("metadata") is None for row in plain)
    return plain


def marked(key: str, response: dict[str, str] = GOOD) -> list[dict[str, object]]:
    """The conversation, of which only the response is trained on."""
    return [*({**turn, key: False} for turn in ASKED), {**response, key: True}]


TALKS = [
    ("trl", "sft", {"prompt": ASKED, "completion": [GOOD]}),
    ("trl", "preference", {"prompt": ASKED, "chosen": [GOOD], "rejected": [BAD], **UNJUDGED}),
    ("trl", "kto", {"prompt": ASKED, "completion": [GOOD], "label": True}),
    ("trl", "prompts", {"prompt": ASKED}),
    ("axolotl", "sft", {"messages": marked("train")}),
    ("axolotl", "preference", {"messages": ASKED, "chosen": GOOD, "rejected": BAD, **UNJUDGED}),
    ("axolotl", "kto", {"completion": [*ASKED, GOOD], "label": True}),
    ("axolotl", "prompts", {"prompt": ASKED}),
    ("llamafactory", "sft", {**ALPACA, "response": "Gladly."}),
    ("llamafactory", "preference", {**ALPACA, "chosen": "Gladly.", "rejected": "No.", **UNJUDGED}),
    ("llamafactory", "kto", {**ALPACA, "response": "Gladly.", "label": True}),
    ("llamafactory", "prompts", ALPACA),
    ("ms-swift", "sft", {"messages": marked("loss")}),
    ("ms-swift", "reward", {"messages": marked("loss"), "rejected_response": "No.", **UNJUDGED}),
    ("ms-swift", "kto", {"messages": marked("loss"), "label": True}),
    ("ms-swift", "prompts", {"messages": ASKED}),
    ("nemo-rl", "sft", {"messages": [*ASKED, GOOD]}),
    (
        "nemo-rl",
        "preference",
        {
            "context": ASKED,
            "completions": [{"rank": 0, "completion": [GOOD]}, {"rank": 1, "completion": [BAD]}],
            **UNJUDGED,
        },
    ),
    ("openrlhf", "sft", {"input": [*ASKED, GOOD]}),
    ("openrlhf", "reward", {"chosen": [*ASKED, GOOD], "rejected": [*ASKED, BAD], **UNJUDGED}),
    ("openrlhf", "prompts", {"input": ASKED, "datasource": "talks/asked.jsonl"}),
    ("torchtune", "sft", {"messages": [*ASKED, GOOD]}),
    ("torchtune", "preference", {"chosen": [*ASKED, GOOD], "rejected": [*ASKED, BAD], **UNJUDGED}),
    ("verl", "sft", {"messages": [*ASKED, GOOD]}),
    (
        "verl",
        "prompts",
        {
            "data_source": "talks/asked.jsonl",
            "prompt": ASKED,
            "ability": "alignment",
            "reward_model": {"style": "model", "ground_truth": ""},
            "extra_info": {"split": "train", "index": 0, "id": "talk", "prompt": ASKED},
        },
    ),
]


@pytest.mark.parametrize(("trainer", "format", "row"), TALKS)
def test_a_conversation_has_the_form_of_its_trainer(
    trainer: str, format: Format, row: dict[str, object], tmp_path: Path
):
    found = rows(tmp_path, format, trainer, Prompt("talk", TURNS, "talks/asked.jsonl:3"))
    assert found[0] == row
    assert len(found) == (2 if format == "kto" else 1)


PAIR = {"chosen": "Gladly.", "rejected": "No.", **UNJUDGED}


@pytest.mark.parametrize(
    ("trainer", "format", "row"),
    [
        ("axolotl", "reward", {"system": "", "input": "Go.", **PAIR}),
        ("verl", "reward", {"prompt": "Go.", **PAIR}),
        ("nemo-rl", "prompts", {"input": "Go.", "output": ""}),
    ],
)
def test_where_a_form_has_room_for_one_request_a_conversation_is_left_out(
    trainer: str, format: Format, row: dict[str, object], tmp_path: Path
):
    assert rows(tmp_path / "one", format, trainer, user_prompt("Go.")) == [row]
    assert rows(tmp_path / "talk", format, trainer, Prompt("talk", TURNS)) == []


def test_axolotl_s_reward_models_have_a_column_for_a_system_turn(tmp_path: Path):
    prompt = Prompt("0", (Message("system", "Be brief."), Message("user", "Go.")))
    (row,) = rows(tmp_path, "reward", "axolotl", prompt)
    assert (row["system"], row["input"]) == ("Be brief.", "Go.")


def test_a_conversation_that_the_assistant_begins_has_no_place_in_llamafactory(tmp_path: Path):
    prompt = Prompt("0", (Message("assistant", "Hello."), Message("user", "Hi.")))
    with made_run(tmp_path, [Chain.of(prompt, "No.")]) as run:
        summary = ExportSummary("sft")
        assert not list(Export.of([run], "sft", trainer="llamafactory").rows(summary))
    assert summary.dropped == {"with turns that the trainer cannot read": 1}


def test_rows_are_numbered_and_a_prompt_without_a_place_has_a_data_set_too(tmp_path: Path):
    chains = [Chain.of(Prompt(id, TURNS), "No.") for id in ("talk", "talk-2")]
    with made_run(tmp_path, chains) as run:
        found = list(Export.of([run], "prompts", trainer="verl").rows(ExportSummary("prompts")))
    assert [row["extra_info"]["index"] for row in found] == [0, 1]
    assert {row["data_source"] for row in found} == {"cai"}


@pytest.mark.parametrize(
    "trainer", [name for name in TRAINERS if "reward" in TRAINERS[name].row_types]
)
def test_no_row_has_a_column_that_a_reward_trainer_takes_for_a_margin(trainer: str, tmp_path: Path):
    with made_run(tmp_path, [contested("1", ["x", "y"], {(0, 1): 0.75})]) as run:
        (row,) = Export.of([run], "reward", trainer=trainer).rows(ExportSummary("reward"))
    assert "margin" not in row
    assert row["judging"]["margin"] == 0.25
