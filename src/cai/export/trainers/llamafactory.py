"""LLaMA-Factory: its `alpaca` form, and the `dataset_info.json` without which it reads nothing.

Where a column is not of the type that it expects, its reader takes another turn for the response
and says nothing: pairs need texts or single messages, never lists of them, and KTO true or false.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict, cast

import yaml

from cai.errors import ExportError
from cai.export.formats import Format, Row
from cai.export.rows import Demonstration, Labelled, PreferencePair, Unit
from cai.export.trainers.trainer import PairColumns, Trainer, pair_columns, stem
from cai.types import Prompt

_INFO = "dataset_info.json"
_PROMPT_COLUMNS = ("system", "history", "prompt")
_STAGES: Mapping[Format, Mapping[str, object]] = {
    # Without `mask_history` it trains on what the assistant said in the prompt, too.
    "sft": {"stage": "sft", "mask_history": True},
    "preference": {"stage": "dpo"},
    "reward": {"stage": "rm"},
    "kto": {"stage": "kto"},
    "prompts": {"stage": "ppo"},
}


class AlpacaPrompt(TypedDict):
    system: str
    history: list[list[str]]  # of earlier turns, the user's and the assistant's
    prompt: str


class AlpacaDemonstration(AlpacaPrompt):
    response: str


class AlpacaLabelled(AlpacaDemonstration):
    label: bool


class AlpacaPair(AlpacaPrompt, PairColumns):
    chosen: str
    rejected: str


def _row(unit: Unit, format: Format, number: int) -> Row:
    match unit:
        case Prompt():
            return _prompt(unit)
        case Demonstration(prompt, completion):
            return AlpacaDemonstration(**_prompt(prompt), response=completion)
        case Labelled(prompt, completion, label):
            return AlpacaLabelled(**_prompt(prompt), response=completion, label=label)
        case PreferencePair(prompt, chosen, rejected):
            return AlpacaPair(
                **_prompt(prompt), chosen=chosen, rejected=rejected, **pair_columns(unit)
            )


def _prompt(prompt: Prompt) -> AlpacaPrompt:
    system, texts = _system_and_others(prompt)
    history = [list(pair) for pair in zip(texts[:-1:2], texts[1::2], strict=True)]
    return AlpacaPrompt(system=system, history=history, prompt=texts[-1])


def _system_and_others(prompt: Prompt) -> tuple[str, list[str]]:
    has_system = prompt.messages[0].role == "system"
    system = prompt.messages[0].content if has_system else ""
    return system, [turn.content for turn in prompt.messages[has_system:]]


def _can_read(prompt: Prompt, format: Format) -> bool:
    """Whether user and assistant take turns, behind at most one system turn."""
    roles = [turn.role for turn in prompt.messages]
    roles = roles[1:] if roles[0] == "system" else roles
    return roles == [("user", "assistant")[place % 2] for place in range(len(roles))]


def _config(format: Format, path: Path) -> Mapping[str, str]:
    name, columns = stem(path), [*_PROMPT_COLUMNS, *_response_columns(format)]
    entry: dict[str, object] = {
        "file_name": path.name,
        "formatting": "alpaca",
        "columns": {("kto_tag" if each == "label" else each): each for each in columns},
    }
    if format in ("preference", "reward"):
        entry["ranking"] = True
    info = _other_entries(path.parent / _INFO) | {name: entry}
    settings = {"dataset": name, "dataset_dir": str(path.parent), **_STAGES[format]}
    return {
        _INFO: json.dumps(info, indent=2, ensure_ascii=False) + "\n",
        f"{name}.llamafactory.yaml": yaml.safe_dump(settings, sort_keys=False),
    }


def _response_columns(format: Format) -> tuple[str, ...]:
    match format:
        case "sft":
            return ("response",)
        case "kto":
            return ("response", "label")
        case "preference" | "reward":
            return ("chosen", "rejected")
        case _:
            return ()


def _other_entries(info: Path) -> dict[str, Any]:
    """What the file says of other data sets of its folder."""
    if not info.exists():
        return {}
    try:
        entries = json.loads(info.read_text("utf-8"))
    except (OSError, ValueError):
        entries = None
    if not isinstance(entries, dict):
        raise ExportError(
            f"{info}: is no JSON object, so the entry of the new file cannot be added to it. "
            "Repair it, or export to another folder."
        )
    return cast("dict[str, Any]", entries)


LLAMAFACTORY = Trainer(
    title="LLaMA-Factory",
    version="0.9.5",
    row_types={
        "sft": AlpacaDemonstration,
        "preference": AlpacaPair,
        "reward": AlpacaPair,
        "kto": AlpacaLabelled,
        "prompts": AlpacaPrompt,
    },
    row=_row,
    suffixes=(".jsonl", ".parquet"),
    config=_config,
    can_read=_can_read,
)
