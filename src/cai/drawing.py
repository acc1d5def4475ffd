"""Which principles of a constitution are applied: drawn by weight, among those with given tags."""

import random
from collections.abc import Sequence

from cai.constitution.schema import Constitution, Principle
from cai.errors import UsageError


def candidates(constitution: Constitution, tags: Sequence[str]) -> tuple[Principle, ...]:
    """The principles that carry any of the tags (all without tags) and have a weight above 0.

    Raises:
        UsageError: None has any of them.
    """
    found = constitution.select(tags)
    if not found:
        known = sorted({tag for each in constitution.principles for tag in each.tags})
        raise UsageError(
            f"No principle of {constitution.name!r} with a weight above 0 has a tag of "
            f"{', '.join(tags)}. Its tags: {', '.join(known) or 'none'}."
        )
    return found


def draw_principle(constitution: Constitution, tags: Sequence[str], seed: int) -> Principle:
    """One principle at random, in proportion to the weights. Raises as `candidates`."""
    found = candidates(constitution, tags)
    return random.Random(seed).choices(found, [each.weight for each in found])[0]


def draw_principles(
    constitution: Constitution, tags: Sequence[str], n: int, seed: int
) -> tuple[Principle, ...]:
    """`n` different principles at random, by weight, or all there are. Raises as `candidates`."""
    left = list(candidates(constitution, tags))
    rng = random.Random(seed)
    drawn: list[Principle] = []
    while left and len(drawn) < n:
        index = rng.choices(range(len(left)), [each.weight for each in left])[0]
        drawn.append(left.pop(index))
    return tuple(drawn)
