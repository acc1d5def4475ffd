"""Units: what becomes a row of an export, whatever trainer reads it.

Example:
    unit = Labelled(user_prompt("Hi."), "Hello.", label=True, model="policy")
    prompt_of(unit).request     # "Hi."
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from cai.constitution.schema import Compose
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
