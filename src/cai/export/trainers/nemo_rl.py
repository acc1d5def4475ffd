"""NeMo RL: conversations for SFT, ranked completions for pairs, and texts for GRPO.

With its reward models GRPO reads the text of one user turn; the column `output` is what other
environments compare a response with.
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
    assistant_turn,
    is_one_request,
    pair_columns,
    stem,
    turns,
)
from cai.types import Prompt

_DATA_SETS: Mapping[Format, str] = {
    "sft": "openai_format",
    "preference": "PreferenceDataset",
    "reward": "PreferenceDataset",
    "prompts": "ResponseDataset",
}


class NemoDemonstration(TypedDict):
    messages: list[ChatTurn]


class RankedCompletion(TypedDict):
    rank: int  # the lower is the better one
    completion: list[ChatTurn]


class NemoPair(PairColumns):
    context: list[ChatTurn]
    completions: list[RankedCompletion]


class NemoPrompt(TypedDict):
    input: str
    output: str


def _row(unit: Unit, format: Format, number: int) -> Row:
    match unit:
        case Demonstration(prompt, completion):
            return NemoDemonstration(messages=turns(prompt, completion))
        case PreferencePair(prompt, chosen, rejected):
            ranked = [
                RankedCompletion(rank=rank, completion=[assistant_turn(text)])
                for rank, text in enumerate((chosen, rejected))
            ]
            return NemoPair(context=turns(prompt), completions=ranked, **pair_columns(unit))
        case _:
            assert isinstance(unit, Prompt)
            return NemoPrompt(input=unit.request, output="")


def _config(format: Format, path: Path) -> Mapping[str, str]:
    train = {"data_path": str(path), "dataset_name": _DATA_SETS[format]}
    settings: dict[str, object] = {"data": {"train": train}}
    if format == "sft":
        # Otherwise it trains on what the assistant said in the prompt, too.
        settings["sft"] = {"only_unmask_final": True}
    if format == "prompts":
        train |= {"processor": "math_hf_data_processor", "env_name": "reward_model"}
    return {f"{stem(path)}.nemo-rl.yaml": yaml.safe_dump(settings, sort_keys=False)}


NEMO_RL = Trainer(
    title="NeMo RL",
    version="7ea279a",
    row_types={
        "sft": NemoDemonstration,
        "preference": NemoPair,
        "reward": NemoPair,
        "prompts": NemoPrompt,
    },
    row=_row,
    suffixes=(".jsonl",),
    config=_config,
    can_read=lambda prompt, format: format != "prompts" or is_one_request(prompt),
)
