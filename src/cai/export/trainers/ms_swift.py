"""ms-swift: whole conversations, in which a turn says whether it is trained on.

Of a pair the conversation has the chosen response, and the rejected one stands beside it.
"""

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


class LossTurn(ChatTurn):
    loss: bool


class SwiftDemonstration(TypedDict):
    messages: list[LossTurn]


class SwiftPrompt(TypedDict):
    messages: list[ChatTurn]


class SwiftLabelled(SwiftPrompt):
    label: bool


class SwiftPair(SwiftPrompt, PairColumns):
    rejected_response: str


def _row(unit: Unit, format: Format, number: int) -> Row:
    match unit:
        case Demonstration(prompt, completion):
            asked = [LossTurn(**turn, loss=False) for turn in turns(prompt)]
            said = LossTurn(**assistant_turn(completion), loss=True)
            return SwiftDemonstration(messages=[*asked, said])
        case Labelled(prompt, completion, label):
            return SwiftLabelled(messages=turns(prompt, completion), label=label)
        case PreferencePair(prompt, chosen, rejected):
            return SwiftPair(
                messages=turns(prompt, chosen), rejected_response=rejected, **pair_columns(unit)
            )
        case _:
            return SwiftPrompt(messages=turns(unit))


MS_SWIFT = Trainer(
    title="ms-swift",
    version="4.6.0",
    row_types={
        "sft": SwiftDemonstration,
        "preference": SwiftPair,
        "reward": SwiftPair,
        "kto": SwiftLabelled,
        "prompts": SwiftPrompt,
    },
    row=_row,
    suffixes=(".jsonl", ".parquet"),
)
