"""What rows are made of, before the columns of any trainer."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from cai.judging.verdicts import Outcome
from cai.types import Prompt


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What could have been a row and is none."""

    reason: str


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A response to learn from; `model` gave it, "" where nobody knows."""

    prompt: Prompt
    completion: str
    model: str


@dataclass(frozen=True, slots=True)
class Labelled:
    """A response that is good or not."""

    prompt: Prompt
    completion: str
    label: bool
    model: str


@dataclass(frozen=True, slots=True)
class PrincipleShare:
    """How probable it is, under one principle, that the chosen side is better."""

    principle: str
    probability: float


@dataclass(frozen=True, slots=True)
class PairJudging:
    """What is known of a judged pair.

    `basis` says where its probability comes from: the contest of its two sides, or, where they did
    not meet, the strengths of the ranking; it then has no `outcome` and nothing by principle.
    `margin` is how far the probability is from one half. Of `n_questions` that were read in both
    orders, in `n_flips` the orders favour different sides. Places count the `n_responses` from 0,
    ranks from 1; None without a ranking.
    """

    basis: Literal["contest", "strengths"]
    outcome: Outcome | None
    margin: float
    by_principle: tuple[PrincipleShare, ...]
    n_flips: int
    n_questions: int
    chosen_place: int
    rejected_place: int
    chosen_rank: int | None
    rejected_rank: int | None
    n_responses: int


@dataclass(frozen=True, slots=True)
class Pair:
    """A better and a worse response to one prompt.

    `chosen_probability` of at least one half is the judge's that the chosen one is better; None
    where nobody judged.
    """

    prompt: Prompt
    chosen: str
    rejected: str
    chosen_model: str
    rejected_model: str
    chosen_probability: float | None = None
    judging: PairJudging | None = None


Unit: TypeAlias = Demonstration | Labelled | Pair | Prompt


def labelled(unit: Unit) -> tuple[Labelled, ...]:
    """The good and the bad responses of a unit."""
    if isinstance(unit, Labelled):
        return (unit,)
    if isinstance(unit, Pair):
        return (
            Labelled(unit.prompt, unit.chosen, True, unit.chosen_model),
            Labelled(unit.prompt, unit.rejected, False, unit.rejected_model),
        )
    return ()


def prompt_of(unit: Unit) -> Prompt:
    return unit if isinstance(unit, Prompt) else unit.prompt


def text_of(unit: Unit) -> str:
    """What two units are alike by: the conversation, with the response that is learned from."""
    turns = [turn.content for turn in prompt_of(unit).messages]
    if isinstance(unit, Pair):
        turns.append(unit.chosen)
    elif not isinstance(unit, Prompt):
        turns.append(unit.completion)
    return "\n".join(turns)


def models_of(unit: Unit) -> list[str]:
    """Who gave the responses, in the order of the row's columns."""
    if isinstance(unit, Prompt):
        return []
    if isinstance(unit, Pair):
        return [unit.chosen_model, unit.rejected_model]
    return [unit.model]
