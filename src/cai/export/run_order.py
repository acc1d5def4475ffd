"""The order of the rows of several runs: parts of one run by position, other runs in turn."""

import heapq
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from cai.export.provenance import SourceRun

T = TypeVar("T")


def interleave_runs(
    runs: Sequence[SourceRun],
    stream: Callable[[SourceRun], Iterator[T]],
    position: Callable[[T], int],
    ends_turn: Callable[[T], bool],
    combine: Callable[[Iterator[T]], Iterator[T]] = iter,
) -> Iterator[T]:
    """The streams of all runs: those of one config by position, those of others in turn.

    A turn lasts to the next element that `ends_turn`. Runs of one config are parts of one source,
    and together are what one run over the whole is: `combine` is given each such whole.
    """
    # In turn, so that rows of each kind are near the top of a file: readers of JSON infer the types
    # of columns from there.
    waiting = deque(
        combine(heapq.merge(*map(stream, parts), key=position)) for parts in runs_by_config(runs)
    )
    while waiting:
        merged = waiting.popleft()
        for each in merged:
            yield each
            if ends_turn(each):
                waiting.append(merged)
                break


def runs_by_config(runs: Sequence[SourceRun]) -> list[list[SourceRun]]:
    """The runs, those of one configuration together."""
    groups: list[list[SourceRun]] = []
    for run in runs:
        group = next((parts for parts in groups if parts[0].config == run.config), None)
        if group is None:
            groups.append([run])
        else:
            group.append(run)
    return groups
