"""axolotl: conversations that say of each turn whether it is trained on; texts for reward models.

Its strategy for reward models has columns for a system turn and one request alone.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

import yaml

from cai.export.formats import Format, Row
from cai.export.rows import Demonstration, Labelled, PreferencePair, Unit
from cai.export.trainers.trainer import (
    ChatTurn,
    PairColumns,
    Trainer,
    assistant_turn,
    is_one_request,
    loader,
    pair_columns,
    stem,
    turns,
)
from cai.types import Prompt

_SETTINGS: Mapping[Format, tuple[Mapping[str, object], Mapping[str, object]]] = {
    # For the run, and for its data set.
    "sft": ({}, {"type": "chat_template", "message_field_training": "train"}),
    "preference": ({"rl": "dpo"}, {"type": "chat_template.default"}),
    "reward": ({"reward_model": True}, {"type": "bradley_terry.chat_template"}),
    # Of its strategies for KTO those that read conversations know one chat template each: this one
    # ChatML, and `llama3.argilla_chat` that of Llama 3.
    "kto": ({"rl": "kto"}, {"type": "chatml.argilla_chat"}),
    "prompts": ({"rl": "grpo"}, {}),
}


class AxolotlPrompt(TypedDict):
    prompt: list[ChatTurn]


class TrainedTurn(ChatTurn):
    train: bool


class AxolotlDemonstration(TypedDict):
    messages: list[TrainedTurn]


class AxolotlLabelled(TypedDict):
    completion: list[ChatTurn]  # the whole conversation
    label: bool


class AxolotlPair(PairColumns):
    messages: list[ChatTurn]
    chosen: ChatTurn
    rejected: ChatTurn


class AxolotlRewardPair(PairColumns):
    system: str
    input: str
    chosen: str
    rejected: str


def _row(unit: Unit, format: Format, number: int) -> Row:
    match unit:
        case Prompt():
            return AxolotlPrompt(prompt=turns(unit))
        case Demonstration(prompt, completion):
            asked = [TrainedTurn(**turn, train=False) for turn in turns(prompt)]
            said = TrainedTurn(**assistant_turn(completion), train=True)
            return AxolotlDemonstration(messages=[*asked, said])
        case Labelled(prompt, completion, label):
            return AxolotlLabelled(completion=turns(prompt, completion), label=label)
        case PreferencePair(prompt, chosen, rejected) if format == "reward":
            return AxolotlRewardPair(
                system=prompt.messages[0].content if len(prompt.messages) > 1 else "",
                input=prompt.request,
                chosen=chosen,
                rejected=rejected,
                **pair_columns(unit),
            )
        case PreferencePair(prompt, chosen, rejected):
            return AxolotlPair(
                messages=turns(prompt),
                chosen=assistant_turn(chosen),
                rejected=assistant_turn(rejected),
                **pair_columns(unit),
            )


def _config(format: Format, path: Path) -> Mapping[str, str]:
    of_run, of_data_set = _SETTINGS[format]
    data_set = {"path": str(path), "ds_type": loader(path), "split": "train", **of_data_set}
    settings = {**of_run, "datasets": [data_set]}
    return {f"{stem(path)}.axolotl.yaml": yaml.safe_dump(settings, sort_keys=False)}


AXOLOTL = Trainer(
    title="axolotl",
    version="0.19.0",
    row_types={
        "sft": AxolotlDemonstration,
        "preference": AxolotlPair,
        "reward": AxolotlRewardPair,
        "kto": AxolotlLabelled,
        "prompts": AxolotlPrompt,
    },
    row=_row,
    suffixes=(".jsonl", ".parquet"),
    config=_config,
    can_read=lambda prompt, format: (
        format != "reward" or is_one_request(prompt, may_have_system=True)
    ),
)
