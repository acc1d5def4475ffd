"""torchtune: whole conversations, for SFT and for DPO.

Its SFT trains on every turn of the assistant. In DPO the turns of the prompt are on both sides, so
that they cancel out.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

import yaml

from cai.export.formats import Format, Row
from cai.export.rows import Demonstration, PreferencePair, Unit
from cai.export.trainers.trainer import (
    ChatTurn,
    PairColumns,
    Trainer,
    loader,
    pair_columns,
    stem,
    turns,
)


class TorchtuneDemonstration(TypedDict):
    messages: list[ChatTurn]


class TorchtunePair(PairColumns):
    chosen: list[ChatTurn]
    rejected: list[ChatTurn]


def _row(unit: Unit, format: Format, number: int) -> Row:
    if isinstance(unit, PreferencePair):
        return TorchtunePair(
            chosen=turns(unit.prompt, unit.chosen),
            rejected=turns(unit.prompt, unit.rejected),
            **pair_columns(unit),
        )
    assert isinstance(unit, Demonstration)
    return TorchtuneDemonstration(messages=turns(unit.prompt, unit.completion))


def _config(format: Format, path: Path) -> Mapping[str, str]:
    settings = {
        "_component_": "torchtune.datasets.preference_dataset",
        "source": loader(path),
        "data_files": str(path),
        "split": "train",
    }
    if format == "sft":
        settings |= {
            "_component_": "torchtune.datasets.chat_dataset",
            "conversation_column": "messages",
            "conversation_style": "openai",
        }
    text = yaml.safe_dump({"dataset": settings}, sort_keys=False)
    return {f"{stem(path)}.torchtune.yaml": text}


TORCHTUNE = Trainer(
    title="torchtune",
    version="0.6.1",
    row_types={"sft": TorchtuneDemonstration, "preference": TorchtunePair},
    row=_row,
    config=_config,
    trains_earlier_turns=True,
)
