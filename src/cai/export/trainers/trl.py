"""TRL: lists of messages, the prompt apart from the responses."""

from typing import TypedDict

from cai.export.formats import Format, Row
from cai.export.rows import Demonstration, Labelled, PreferencePair, Unit
from cai.export.trainers.trainer import (
    ChatTurn,
    PairColumns,
    Trainer,
    assistant_turn,
    pair_columns,
    turns,
)
from cai.types import Prompt


class TrlPrompt(TypedDict):
    prompt: list[ChatTurn]


class TrlDemonstration(TrlPrompt):
    completion: list[ChatTurn]


class TrlLabelled(TrlDemonstration):
    label: bool


class TrlPair(TrlPrompt, PairColumns):
    chosen: list[ChatTurn]
    rejected: list[ChatTurn]


def _row(unit: Unit, format: Format, number: int) -> Row:
    match unit:
        case Prompt():
            return TrlPrompt(prompt=turns(unit))
        case Demonstration(prompt, completion):
            return TrlDemonstration(prompt=turns(prompt), completion=[assistant_turn(completion)])
        case Labelled(prompt, completion, label):
            return TrlLabelled(
                prompt=turns(prompt), completion=[assistant_turn(completion)], label=label
            )
        case PreferencePair(prompt, chosen, rejected):
            return TrlPair(
                prompt=turns(prompt),
                chosen=[assistant_turn(chosen)],
                rejected=[assistant_turn(rejected)],
                **pair_columns(unit),
            )


TRL = Trainer(
    title="TRL",
    version="1.16.0",
    row_types={
        "sft": TrlDemonstration,
        "preference": TrlPair,
        "reward": TrlPair,
        "kto": TrlLabelled,
        "prompts": TrlPrompt,
    },
    row=_row,
)
