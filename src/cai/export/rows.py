"""Units as rows, in the columns that a trainer reads without being told their names.

TRL: lists of messages; prompt apart from responses. OpenRLHF with `--data.apply_chat_template`:
whole conversations. verl: whole conversations to learn from, and prompts with what its reward
functions are given. No row has a column `margin`: TRL's and OpenRLHF's reward trainers would
subtract it in their losses, and how sure a judge is is no margin between rewards.
"""

from collections.abc import Sequence
from dataclasses import asdict

from cai.export.formats import Columns
from cai.export.units import Demonstration, Labelled, Pair, Unit
from cai.types import Message, Prompt, as_dicts


def columns_of(unit: Unit, columns: Columns, number: int) -> dict[str, object]:
    """The columns for the trainer; `number` is that of the row, from 0."""
    if columns == "openrlhf":
        return _openrlhf(unit)
    if columns == "verl":
        return _verl(unit, number)
    return _trl(unit)


def _trl(unit: Unit) -> dict[str, object]:
    match unit:
        case Prompt():
            return {"prompt": _turns(unit)}
        case Demonstration():
            return {"prompt": _turns(unit.prompt), "completion": _response(unit.completion)}
        case Labelled():
            return {
                "prompt": _turns(unit.prompt),
                "completion": _response(unit.completion),
                "label": unit.label,
            }
        case Pair():
            return {
                "prompt": _turns(unit.prompt),
                "chosen": _response(unit.chosen),
                "rejected": _response(unit.rejected),
                **_sureness(unit),
            }


def _openrlhf(unit: Unit) -> dict[str, object]:
    match unit:
        case Prompt():
            return {"input": _turns(unit), "datasource": _data_set(unit)}
        case Demonstration():
            return {"input": _whole(unit.prompt, unit.completion)}
        case Labelled():
            # a tensor of whole numbers is made of the labels, in which -1 has a meaning of its own
            return {"input": _whole(unit.prompt, unit.completion), "label": int(unit.label)}
        case Pair():
            return {
                "chosen": _whole(unit.prompt, unit.chosen),
                "rejected": _whole(unit.prompt, unit.rejected),
                **_sureness(unit),
            }


def _verl(unit: Unit, number: int) -> dict[str, object]:
    assert isinstance(unit, Prompt | Demonstration), "no other format has columns for verl"
    if isinstance(unit, Demonstration):
        return {"messages": _whole(unit.prompt, unit.completion)}
    return {
        "data_source": _data_set(unit),
        "prompt": _turns(unit),
        "ability": "alignment",
        "reward_model": {"style": "model", "ground_truth": ""},
        "extra_info": {"split": "train", "index": number, "id": unit.id},
    }


def _sureness(pair: Pair) -> dict[str, object]:
    judging = asdict(pair.judging) if pair.judging else None
    return {"chosen_probability": pair.chosen_probability, "judging": judging}


def _turns(prompt: Prompt) -> list[dict[str, str]]:
    return as_dicts(prompt.messages)


def _response(text: str) -> Sequence[dict[str, str]]:
    return as_dicts([Message("assistant", text)])


def _whole(prompt: Prompt, response: str) -> list[dict[str, str]]:
    return as_dicts([*prompt.messages, Message("assistant", response)])


def _data_set(prompt: Prompt) -> str:
    """The file or data set of the prompt: reward functions are chosen, and figures kept, by it."""
    return prompt.origin.rpartition(":")[0] or prompt.origin or "cai"
