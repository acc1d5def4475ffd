"""What TRL hands to a reward function, in our nouns: the completions of a batch, by prompt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from cai.types import Message, Prompt, Role

Turns = Sequence[Mapping[str, str]]
"""A conversation as TRL has it: `[{"role": …, "content": …}]`."""


@dataclass(frozen=True, slots=True)
class Group:
    """A prompt and its completions; `places` are where they stand in the batch."""

    prompt: Prompt
    completions: tuple[str, ...]
    places: tuple[int, ...]


def groups_of(
    prompts: Sequence[Turns], completions: Sequence[Turns], ids: Sequence[str]
) -> list[Group]:
    """The batch by prompt, in the order in which the prompts appear."""
    places: dict[str, list[int]] = {}
    for place, id in enumerate(ids):
        places.setdefault(id, []).append(place)
    return [
        Group(
            Prompt(id, conversation(prompts[at[0]])),
            tuple(text_of(completions[place]) for place in at),
            tuple(at),
        )
        for id, at in places.items()
    ]


def conversation(turns: Turns) -> tuple[Message, ...]:
    return tuple(Message(cast(Role, turn["role"]), turn["content"]) for turn in turns)


def text_of(completion: Turns) -> str:
    return completion[-1]["content"].strip()
