"""Several rewards as one judgement: what one of them could not score has none of the others.

TRL adds up what it is given and takes what is missing for zero, unless every reward of a completion
is missing. A completion that a judge could not read would so be worth as much as one that lost
every contest, since the penalties beside the judge always have a value. Here such a completion has
no reward at all, and TRL leaves it out of the advantages.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

Rewards = list[float | None]


class Together:
    """The rewards of a batch, computed once however many columns are read from it."""

    def __init__(self, functions: Sequence[Any], weights: Sequence[float]) -> None:
        self._functions = functions
        self._counts = [weight != 0 for weight in weights]
        self._latest: tuple[object, asyncio.Future[list[Rewards]]] | None = None

    async def of(self, completions: Sequence[object], given: dict[str, Any]) -> list[Rewards]:
        """One list of rewards for each function, with holes in the same places."""
        if self._latest is None or self._latest[0] is not completions:
            work = asyncio.ensure_future(self._all(completions, given))
            self._latest = (completions, work)
        return await asyncio.shield(self._latest[1])

    async def _all(self, completions: Sequence[object], given: dict[str, Any]) -> list[Rewards]:
        # judges first, so that they answer while the others are computed here
        order = sorted(range(len(self._functions)), key=lambda n: not is_async(self._functions[n]))
        found = await asyncio.gather(
            *(_called(self._functions[n], completions, given) for n in order)
        )
        columns = [rewards for _, rewards in sorted(zip(order, found, strict=True))]
        lost = {
            place
            for column, counts in zip(columns, self._counts, strict=True)
            if counts
            for place, reward in enumerate(column)
            if reward is None
        }
        log_metric = cast(Callable[[str, float], None], given["log_metric"])
        log_metric("not_scored", len(lost) / len(completions))
        return [
            [None if place in lost else reward for place, reward in enumerate(column)]
            for column in columns
        ]


class Column:
    """One of the rewards, by its own name in the logs."""

    def __init__(self, together: Together, place: int, name: str) -> None:
        self.__name__ = name
        self._together = together
        self._place = place

    async def __call__(self, completions: Sequence[object], **given: Any) -> Rewards:
        """A reward for each completion, None for those that a reward could not be found for."""
        return (await self._together.of(completions, given))[self._place]


def columns_of(functions: Sequence[Any], weights: Sequence[float]) -> list[Column]:
    """The same rewards; those of weight 0 are looked at only, and leave nothing out."""
    together = Together(functions, weights)
    return [Column(together, place, each.__name__) for place, each in enumerate(functions)]


def is_async(function: Any) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(function.__call__)


async def _called(function: Any, completions: Sequence[object], given: dict[str, Any]) -> Rewards:
    found = function(completions=completions, **given)
    return await cast(Awaitable[Rewards], found) if inspect.isawaitable(found) else found
