"""OpenRLHF: whole conversations, to which it applies the chat template itself.

In the version below it has no trainer for KTO. Its SFT trains on the last response alone.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

from cai.export.formats import Format, Row
from cai.export.rows import Demonstration, PreferencePair, Unit
from cai.export.trainers.trainer import (
    ChatTurn,
    PairColumns,
    Trainer,
    data_set,
    pair_columns,
    stem,
    turns,
)
from cai.types import Prompt

_KEYS: Mapping[Format, str] = {
    "sft": "--data.input_key input",
    "preference": "--data.chosen_key chosen --data.rejected_key rejected",
    "reward": "--data.chosen_key chosen --data.rejected_key rejected",
    # The rewards are those of `cai serve`, at its own address.
    "prompts": "--data.input_key input --reward.remote_url http://127.0.0.1:8080/get_reward",
}


class OpenRlhfPrompt(TypedDict):
    input: list[ChatTurn]
    datasource: str


class OpenRlhfDemonstration(TypedDict):
    input: list[ChatTurn]


class OpenRlhfPair(PairColumns):
    chosen: list[ChatTurn]
    rejected: list[ChatTurn]


def _row(unit: Unit, format: Format, number: int) -> Row:
    match unit:
        case PreferencePair(prompt, chosen, rejected):
            return OpenRlhfPair(
                chosen=turns(prompt, chosen),
                rejected=turns(prompt, rejected),
                **pair_columns(unit),
            )
        case Demonstration(prompt, completion):
            return OpenRlhfDemonstration(input=turns(prompt, completion))
        case _:
            assert isinstance(unit, Prompt)
            return OpenRlhfPrompt(input=turns(unit), datasource=data_set(unit))


def _config(format: Format, path: Path) -> Mapping[str, str]:
    name = "prompt_dataset" if format == "prompts" else "dataset"
    flags = f"--data.{name} {path} --data.apply_chat_template {_KEYS[format]}\n"
    return {f"{stem(path)}.openrlhf.args": flags}


OPENRLHF = Trainer(
    title="OpenRLHF",
    version="0.11.2",
    row_types={
        "sft": OpenRlhfDemonstration,
        "preference": OpenRlhfPair,
        "reward": OpenRlhfPair,
        "prompts": OpenRlhfPrompt,
    },
    row=_row,
    suffixes=(".jsonl", ".parquet"),
    config=_config,
)
