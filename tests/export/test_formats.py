"""Which keys rows have for each trainer, and how they are nested."""

import json
from pathlib import Path

import pytest
from made_runs import chain, contested, made_run, revised

from cai.engine.run_folder import RunFolder
from cai.errors import ExportError
from cai.export.export import Export, ExportSummary
from cai.export.formats import Columns, Format
from cai.methods.revision import Chain
from cai.models.base import Completion
from cai.types import Message, Prompt

TURNS = (Message("system", "Be brief."), Message("user", "Hi."), Message("assistant", "Yes?"),
         Message("user", "Go."))  # fmt: skip
ASKED = [{"role": turn.role, "content": turn.content} for turn in TURNS]
GOOD = [{"role": "assistant", "content": "Gladly."}]
BAD = [{"role": "assistant", "content": "No."}]


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """One conversation whose response was revised."""
    prompt = Prompt("talk", TURNS, "talks/asked.jsonl:3")
    talk = Chain(prompt, Completion("No."), (revised("Gladly."),))
    return made_run(tmp_path, [talk])


def rows(run: RunFolder, format: Format, columns: Columns) -> list[dict[str, object]]:
    """The rows without what all of them have."""
    found = Export.of([run], format, columns=columns).rows(ExportSummary(format))
    plain = [json.loads(json.dumps(row)) for row in found]
    assert [row.pop("id") for row in plain] == ["talk"] * len(plain)
    assert all(row.pop("provenance")["method"] == "revise" for row in plain)
    assert all(row.pop("metadata") is None for row in plain)
    return plain


def test_trl_takes_the_prompt_apart_from_the_responses(run: RunFolder):
    pair = {"prompt": ASKED, "chosen": GOOD, "rejected": BAD}
    unjudged = {"chosen_probability": None, "judging": None}
    assert rows(run, "sft", "trl") == [{"prompt": ASKED, "completion": GOOD}]
    assert rows(run, "preference", "trl") == [{**pair, **unjudged}]
    assert rows(run, "reward", "trl") == [{**pair, **unjudged}]
    assert rows(run, "kto", "trl") == [
        {"prompt": ASKED, "completion": GOOD, "label": True},
        {"prompt": ASKED, "completion": BAD, "label": False},
    ]
    assert rows(run, "prompts", "trl") == [{"prompt": ASKED}]


def test_openrlhf_takes_whole_conversations(run: RunFolder):
    pair = {"chosen": ASKED + GOOD, "rejected": ASKED + BAD}
    unjudged = {"chosen_probability": None, "judging": None}
    assert rows(run, "sft", "openrlhf") == [{"input": ASKED + GOOD}]
    assert rows(run, "preference", "openrlhf") == [{**pair, **unjudged}]
    assert rows(run, "reward", "openrlhf") == [{**pair, **unjudged}]
    labelled = rows(run, "kto", "openrlhf")
    assert labelled == [{"input": ASKED + GOOD, "label": 1}, {"input": ASKED + BAD, "label": 0}]
    assert [type(row["label"]) for row in labelled] == [int, int]
    asked = {"input": ASKED, "datasource": "talks/asked.jsonl"}
    assert rows(run, "prompts", "openrlhf") == [asked]


def test_verl_takes_whole_conversations_and_prompts_with_what_rewards_need(run: RunFolder):
    assert rows(run, "sft", "verl") == [{"messages": ASKED + GOOD}]
    assert rows(run, "prompts", "verl") == [
        {
            "data_source": "talks/asked.jsonl",
            "prompt": ASKED,
            "ability": "alignment",
            "reward_model": {"style": "model", "ground_truth": ""},
            "extra_info": {"split": "train", "index": 0, "id": "talk"},
        }
    ]


def test_verl_s_rows_are_numbered_and_a_prompt_without_a_place_has_a_data_set_too(tmp_path: Path):
    chains = [Chain.of(Prompt(id, TURNS), "No.") for id in ("talk", "talk-2")]
    with made_run(tmp_path, chains) as run:
        found = list(Export.of([run], "prompts", columns="verl").rows(ExportSummary("prompts")))
    assert [row["extra_info"]["index"] for row in found] == [0, 1]
    assert {row["data_source"] for row in found} == {"cai"}


@pytest.mark.parametrize(
    ("columns", "format", "said"),
    [
        ("verl", "preference", "Use the columns of trl or openrlhf"),
        ("verl", "reward", "it reads sft, prompts"),
        ("verl", "kto", "verl has no columns for the format 'kto'"),
        ("verl", "everything", "Use the columns of trl"),
        ("openrlhf", "everything", "openrlhf has no columns for the format 'everything'"),
    ],
)
def test_a_format_that_a_trainer_has_not_is_an_error(
    columns: Columns, format: Format, said: str, run: RunFolder
):
    with pytest.raises(ExportError, match=said):
        Export.of([run], format, columns=columns)


@pytest.mark.parametrize("columns", ["trl", "openrlhf"])
def test_no_row_has_a_column_that_a_reward_trainer_takes_for_a_margin(
    columns: Columns, tmp_path: Path
):
    with made_run(tmp_path, [contested("1", ["x", "y"], {(0, 1): 0.75})]) as run:
        (row,) = Export.of([run], "reward", columns=columns).rows(ExportSummary("reward"))
    assert "margin" not in row
    assert row["judging"]["margin"] == 0.25


def test_a_chain_without_a_change_is_a_demonstration_in_every_form(tmp_path: Path):
    with made_run(tmp_path, [chain("talk", "No.")]) as run:
        for columns in ("trl", "openrlhf", "verl"):
            assert len(rows(run, "sft", columns)) == 1
