"""Units, and their rows in the columns that a trainer reads by default.

TRL: lists of messages; the prompt apart from the responses. OpenRLHF with
`--data.apply_chat_template`: whole conversations. verl: whole conversations for SFT, and prompts
with the inputs of its reward functions.

Example:
    unit = Labelled(user_prompt("Hi."), "Hello.", label=True, model="policy")
    columns_of(unit, "trl", number=0)
    # {"prompt": [{"role": "user", …}], "completion": [{"role": "assistant", …}], "label": True}
"""

# No row has a column `margin`: TRL's and OpenRLHF's reward trainers would subtract it in their
# losses, and the confidence of a judge is not a margin between rewards.

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import PurePath
from typing import Annotated, Any, Literal, TypeAlias, TypedDict

from cai.constitution.schema import Compose
from cai.export.formats import Columns, Format, Row
from cai.methods.judging.verdict import Outcome
from cai.types import Prompt


@dataclass(frozen=True, slots=True)
class Dropped:
    """Why something becomes no row."""

    reason: str


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A response to learn from."""

    prompt: Prompt
    completion: str
    model: str  # that gave the response; "" if unknown


@dataclass(frozen=True, slots=True)
class Labelled:
    """A response that is good or not."""

    prompt: Prompt
    completion: str
    label: bool
    model: str


@dataclass(frozen=True, slots=True)
class PrincipleShare:
    """The probability, under one principle, that the chosen side is better.

    It is (1 + `chosen` − `rejected`) / 2: how likely the principle speaks for either side. The rest
    to 1 is that it is silent.
    """

    principle: str
    probability: float
    chosen: float
    rejected: float


@dataclass(frozen=True, slots=True)
class PairJudging:
    """The judging of a pair."""

    # Where the probability comes from: the matchup of the two sides, or, where they had none, the
    # strengths of the ranking. Then there is no outcome, and nothing by principle.
    basis: Literal["matchup", "strengths"]
    outcome: Outcome | None
    margin: float  # distance of the probability from one half
    compose: Compose  # how the principles became one probability
    calibration: str  # what it rests on: none, mixtures, mixtures and tests, labels
    p_tie: float | None  # that no principle decides; None by rules that have none
    speaking: float | None  # the share of the principles' weight that is not silent
    by_principle: tuple[PrincipleShare, ...]
    n_flips: int  # of the questions below, those whose orders favour different sides
    n_questions: int  # those that could be read in both orders
    chosen_place: int  # from 0, among the responses of the group
    rejected_place: int
    chosen_rank: int | None  # from 1; None without a ranking
    rejected_rank: int | None
    n_responses: int


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """A better and a worse response to one prompt."""

    prompt: Prompt
    chosen: str
    rejected: str
    chosen_model: str
    rejected_model: str
    # In [0.5, 1], the judge's that the chosen response is better; None for pairs without a judge.
    chosen_probability: float | None = None
    judging: PairJudging | None = None


Unit: TypeAlias = Demonstration | Labelled | PreferencePair | Prompt


def labelled(unit: Unit) -> tuple[Labelled, ...]:
    """The good and the bad responses of a unit."""
    if isinstance(unit, Labelled):
        return (unit,)
    if isinstance(unit, PreferencePair):
        return (
            Labelled(unit.prompt, unit.chosen, True, unit.chosen_model),
            Labelled(unit.prompt, unit.rejected, False, unit.rejected_model),
        )
    return ()


def prompt_of(unit: Unit) -> Prompt:
    return unit if isinstance(unit, Prompt) else unit.prompt


def text_of(unit: Unit) -> str:
    """The text by which near duplicates are detected: the conversation with the good response."""
    turns = [turn.content for turn in prompt_of(unit).messages]
    if isinstance(unit, PreferencePair):
        turns.append(unit.chosen)
    elif not isinstance(unit, Prompt):
        turns.append(unit.completion)
    return "\n".join(turns)


def models_of(unit: Unit) -> list[str]:
    """The models of the responses, in the order of the row's columns."""
    if isinstance(unit, Prompt):
        return []
    if isinstance(unit, PreferencePair):
        return [unit.chosen_model, unit.rejected_model]
    return [unit.model]


class ChatTurn(TypedDict):
    role: str
    content: str


class TrlPrompt(TypedDict):
    prompt: list[ChatTurn]


class TrlDemonstration(TypedDict):
    prompt: list[ChatTurn]
    completion: list[ChatTurn]


class TrlLabelled(TrlDemonstration):
    label: bool


class _PairColumns(TypedDict):
    chosen: list[ChatTurn]
    rejected: list[ChatTurn]
    chosen_probability: float | None
    judging: Annotated[dict[str, Any] | None, PairJudging]


class TrlPair(TrlPrompt, _PairColumns):
    pass


class OpenRlhfPrompt(TypedDict):
    input: list[ChatTurn]
    datasource: str


class OpenRlhfDemonstration(TypedDict):
    input: list[ChatTurn]


class OpenRlhfLabelled(OpenRlhfDemonstration):
    label: int


class OpenRlhfPair(_PairColumns):
    pass


class VerlDemonstration(TypedDict):
    messages: list[ChatTurn]


class VerlReward(TypedDict):
    style: str
    ground_truth: str


class VerlExtra(TypedDict):
    split: str
    index: int
    id: str


class VerlPrompt(TypedDict):
    data_source: str
    prompt: list[ChatTurn]
    ability: str
    reward_model: VerlReward
    extra_info: VerlExtra


# The columns of a row, beside its `id` and `provenance`; Parquet schemas are derived from them.
ROW_TYPES: Mapping[Columns, Mapping[Format, type]] = {
    "trl": {
        "sft": TrlDemonstration,
        "preference": TrlPair,
        "reward": TrlPair,
        "kto": TrlLabelled,
        "prompts": TrlPrompt,
    },
    "openrlhf": {
        "sft": OpenRlhfDemonstration,
        "preference": OpenRlhfPair,
        "reward": OpenRlhfPair,
        "kto": OpenRlhfLabelled,
        "prompts": OpenRlhfPrompt,
    },
    "verl": {"sft": VerlDemonstration, "prompts": VerlPrompt},
}


def columns_of(unit: Unit, columns: Columns, number: int) -> Row:
    """The columns for the trainer; `number` is that of the row, from 0."""
    if columns == "openrlhf":
        return _openrlhf(unit)
    if columns == "verl":
        return _verl(unit, number)
    return _trl(unit)


def _trl(unit: Unit) -> TrlPrompt | TrlDemonstration | TrlLabelled | TrlPair:
    match unit:
        case Prompt():
            return TrlPrompt(prompt=_turns(unit))
        case Demonstration():
            return TrlDemonstration(
                prompt=_turns(unit.prompt), completion=_response(unit.completion)
            )
        case Labelled():
            return TrlLabelled(
                prompt=_turns(unit.prompt), completion=_response(unit.completion), label=unit.label
            )
        case PreferencePair():
            return TrlPair(
                prompt=_turns(unit.prompt),
                chosen=_response(unit.chosen),
                rejected=_response(unit.rejected),
                chosen_probability=unit.chosen_probability,
                judging=asdict(unit.judging) if unit.judging else None,
            )


def _openrlhf(
    unit: Unit,
) -> OpenRlhfPrompt | OpenRlhfDemonstration | OpenRlhfLabelled | OpenRlhfPair:
    match unit:
        case Prompt():
            return OpenRlhfPrompt(input=_turns(unit), datasource=_data_set(unit))
        case Demonstration():
            return OpenRlhfDemonstration(input=_turns(unit.prompt, unit.completion))
        case Labelled():
            # OpenRLHF makes a tensor of integers of the labels, in which -1 has its own meaning.
            return OpenRlhfLabelled(
                input=_turns(unit.prompt, unit.completion), label=int(unit.label)
            )
        case PreferencePair():
            return OpenRlhfPair(
                chosen=_turns(unit.prompt, unit.chosen),
                rejected=_turns(unit.prompt, unit.rejected),
                chosen_probability=unit.chosen_probability,
                judging=asdict(unit.judging) if unit.judging else None,
            )


def _verl(unit: Unit, number: int) -> VerlPrompt | VerlDemonstration:
    assert isinstance(unit, Prompt | Demonstration), "no other format has columns for verl"
    if isinstance(unit, Demonstration):
        return VerlDemonstration(messages=_turns(unit.prompt, unit.completion))
    return VerlPrompt(
        data_source=_data_set(unit),
        prompt=_turns(unit),
        ability="alignment",
        reward_model=VerlReward(style="model", ground_truth=""),
        extra_info=VerlExtra(split="train", index=number, id=unit.id),
    )


def _turns(prompt: Prompt, response: str | None = None) -> list[ChatTurn]:
    """The conversation, with the response as its last turn where one is given."""
    turns = [ChatTurn(role=each.role, content=each.content) for each in prompt.messages]
    return turns if response is None else [*turns, *_response(response)]


def _response(text: str) -> list[ChatTurn]:
    return [ChatTurn(role="assistant", content=text)]


def _data_set(prompt: Prompt) -> str:
    """The source of the prompt: verl selects reward functions and groups metrics by it."""
    source = prompt.origin.rpartition(":")[0] or prompt.origin or "cai"
    return PurePath(source).name if PurePath(source).is_absolute() else source
