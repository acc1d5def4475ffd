"""verl: whole conversations for SFT, texts for reward models, and prompts for its own rewards.

`extra_info.prompt` is what the reward functions of `cai.serving.verl` send to the judge. The data
set of reward models applies no chat template, so a prompt must be a single user turn.
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
    is_one_request,
    pair_columns,
    stem,
    turns,
)
from cai.types import Prompt


class VerlDemonstration(TypedDict):
    messages: list[ChatTurn]


class VerlPair(PairColumns):
    prompt: str
    chosen: str
    rejected: str


class VerlReward(TypedDict):
    style: str
    ground_truth: str


class VerlExtra(TypedDict):
    split: str
    index: int
    id: str
    prompt: list[ChatTurn]


class VerlPrompt(TypedDict):
    data_source: str
    prompt: list[ChatTurn]
    ability: str
    reward_model: VerlReward
    extra_info: VerlExtra


def _row(unit: Unit, format: Format, number: int) -> Row:
    match unit:
        case Demonstration(prompt, completion):
            return VerlDemonstration(messages=turns(prompt, completion))
        case PreferencePair(prompt, chosen, rejected):
            return VerlPair(
                prompt=prompt.request, chosen=chosen, rejected=rejected, **pair_columns(unit)
            )
        case _:
            assert isinstance(unit, Prompt)
            return VerlPrompt(
                data_source=data_set(unit),
                prompt=turns(unit),
                ability="alignment",
                reward_model=VerlReward(style="model", ground_truth=""),
                extra_info=VerlExtra(split="train", index=number, id=unit.id, prompt=turns(unit)),
            )


def _config(format: Format, path: Path) -> Mapping[str, str]:
    if format != "prompts":
        return {}
    reward = "reward.custom_reward_function"
    values = (
        f"data.train_files={path}",
        f"{reward}.path=$(python -c 'import cai.serving.verl as f; print(f.__file__)')",
        f"{reward}.name=compute_score_async",
        f"+{reward}.reward_kwargs.url=http://127.0.0.1:8080",
    )
    return {f"{stem(path)}.verl.args": " ".join(values) + "\n"}


VERL = Trainer(
    title="verl",
    version="0.9.1",
    row_types={"sft": VerlDemonstration, "reward": VerlPair, "prompts": VerlPrompt},
    row=_row,
    suffixes=(".parquet",),
    config=_config,
    can_read=lambda prompt, format: format != "reward" or is_one_request(prompt),
    trains_earlier_turns=True,
)
