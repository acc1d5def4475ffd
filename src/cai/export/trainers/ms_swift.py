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
from cai.types import Prompt


class LossTurn(ChatTurn):
    loss: bool


class SwiftPrompt(TypedDict):
    messages: list[ChatTurn]


class SwiftDemonstration(TypedDict):
    messages: list[LossTurn]


class SwiftLabelled(SwiftDemonstration):
    label: bool


class SwiftPair(SwiftDemonstration, PairColumns):
    rejected_response: str


def _row(unit: Unit, format: Format, number: int) -> Row:
    match unit:
        case Demonstration(prompt, completion):
            return SwiftDemonstration(messages=_messages(prompt, completion))
        case Labelled(prompt, completion, label):
            return SwiftLabelled(messages=_messages(prompt, completion), label=label)
        case PreferencePair(prompt, chosen, rejected):
            return SwiftPair(
                messages=_messages(prompt, chosen),
                rejected_response=rejected,
                **pair_columns(unit),
            )
        case _:
            assert isinstance(unit, Prompt)
            return SwiftPrompt(messages=turns(unit))


def _messages(prompt: Prompt, response: str) -> list[LossTurn]:
    # In KTO, too, it would count what the assistant said in the prompt as part of the response.
    asked = [LossTurn(**turn, loss=False) for turn in turns(prompt)]
    return [*asked, LossTurn(**assistant_turn(response), loss=True)]


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
