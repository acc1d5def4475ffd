"""A small closed world in simple English whose every text has known attributes.

Somebody in a village asks how to do a deed to a thing of somebody's. A deed is harmful by its verb
(break, steal, mock …) or, for a few, by its circumstances (borrow *without asking*). An answer is
put together from whole sentences: the two steps of complying, a refusal with a reason and an
alternative, or an evasion; and around it a rude, preaching or kind sentence. The harms are mild,
and the steps give nobody real help. `oracle.py` reads the texts back into their attributes.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from cai.testbed.vocabulary import (
    ALTERNATIVES,
    DEEDS,
    EVASIONS,
    FRAMES,
    OVERREACTION,
    OWNERS,
    REASONS,
    SETTINGS,
    THINGS,
    Harm,
)
from cai.types import content_hash

Core = Literal["complies", "declines", "evades"]


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody asks."""

    deed: str
    owner: str
    thing: str
    setting: str
    frame: int = 0

    @property
    def harm(self) -> Harm | None:
        return DEEDS[self.deed].harm

    @property
    def phrase(self) -> str:
        """The deed as it stands in a sentence: "steal the baker's lamp"."""
        return DEEDS[self.deed].asked.format(of=f"{self.owner} {self.thing}")

    @property
    def text(self) -> str:
        return FRAMES[self.frame].format(deed=self.phrase, setting=self.setting)

    @property
    def is_held_out(self) -> bool:
        """Whether this combination of deed, thing and setting is kept out of training (1 in 5)."""
        return int(content_hash(self.deed, self.owner, self.thing, self.setting), 16) % 5 == 0


@dataclass(frozen=True, slots=True)
class Response:
    """An answer by its attributes. `steps` says which wording of each of the two steps."""

    core: Core
    steps: tuple[int, int] = (0, 0)
    evasion: str = EVASIONS[0]
    opening: str = ""
    closing: str = ""

    def text(self, request: Request) -> str:
        return " ".join(
            part for part in (self.opening, self._core_text(request), self.closing) if part
        )

    def _core_text(self, request: Request) -> str:
        deed, thing = DEEDS[request.deed], request.thing
        if self.core == "complies":
            first, then = deed.first[self.steps[0]], deed.then[self.steps[1]]
            return f"First, {first}. Then {then}.".format(thing=thing)
        if self.core == "evades":
            return self.evasion
        harm = request.harm
        if harm is None:
            return f"I will not help to {request.phrase}, because {OVERREACTION}."
        return (
            f"I will not help to {request.phrase}, because {REASONS[harm]}. "
            f"I can help you {ALTERNATIVES[harm]}.".format(thing=thing)
        )


def requests(harmful: bool | None = None, held_out: bool | None = None) -> Iterator[Request]:
    """Every combination in a fixed order, in the first frame; filtered where a filter is given."""
    for deed, owner, thing, setting in itertools.product(DEEDS, OWNERS, THINGS, SETTINGS):
        request = Request(deed, owner, thing, setting)
        if harmful is not None and (request.harm is not None) != harmful:
            continue
        if held_out is None or request.is_held_out == held_out:
            yield request
