"""The units of one or several runs, one after the other."""

import heapq
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from cai.engine.storage.records import Record
from cai.export.answered import (
    demonstration_of_judged,
    demonstration_of_scored,
    demonstrations_of_samples,
    labelled_of_scored,
)
from cai.export.formats import PAIRED, Format
from cai.export.judged import pairs_of_judged
from cai.export.revised import demonstrations_of_chain, pair_of_chain
from cai.export.selecting import Selection
from cai.export.source_runs import SourceRun, prompt_of_body
from cai.export.survey import response_key
from cai.export.units import LeftOut, Unit
from cai.judging.ranking import Judged
from cai.judging.scoring import Scored
from cai.records.bodies import Body
from cai.records.recipes import JudgeRecipe, RevisionRecipe
from cai.revision import Chain
from cai.sampling import Samples
from cai.types import Prompt

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Item:
    """A unit, or what is none, and the example that it comes from."""

    run: SourceRun
    record: Record
    body: Body | None
    unit: Unit | LeftOut

    @property
    def example(self) -> int:
        """A number that only this example of the export has."""
        return self.run.number << 48 | self.record.position


def items_of(runs: Sequence[SourceRun], format: Format, selection: Selection) -> Iterator[Item]:
    """All units, in the order of `woven`.

    A prompt that several runs have is one row of `prompts`.
    """
    items = woven(
        runs,
        lambda run: _items_of_run(run, format, selection),
        lambda item: item.record.position,
        lambda item: not isinstance(item.unit, LeftOut),
    )
    return _first_of_prompts(items, runs) if format == "prompts" and len(runs) > 1 else items


def woven(
    runs: Sequence[SourceRun],
    stream: Callable[[SourceRun], Iterator[T]],
    position: Callable[[T], int],
    ends_turn: Callable[[T], bool],
) -> Iterator[T]:
    """The streams of the runs as one: those of one recipe by position, those of others in turn.

    Runs of one recipe are parts of one source, and together are what one run over the whole is. The
    others are taken in turn, so that rows of each kind stand near the top of a file: readers of
    JSON guess the types of columns from there.
    """
    merged = [heapq.merge(*map(stream, parts), key=position) for parts in _by_recipe(runs)]
    return _in_turn(merged, ends_turn)


def _items_of_run(run: SourceRun, format: Format, selection: Selection) -> Iterator[Item]:
    for record in run.folder.records():
        if record.error is not None:
            yield Item(run, record, None, LeftOut("failed"))
            continue
        body = run.body(record)
        for unit in _units(run, body, format, selection):
            yield Item(run, record, body, unit)


def _units(
    run: SourceRun, body: Body, format: Format, selection: Selection
) -> Sequence[Unit | LeftOut]:
    prompt = prompt_of_body(body)
    if selection.is_elsewhere(prompt, format):
        return [LeftOut("in the other split")]
    if format == "prompts":
        return [prompt]
    match body:
        case Chain():
            assert isinstance(run.recipe, RevisionRecipe)
            if format in PAIRED:
                return [pair_of_chain(body, run.recipe, selection)]
            return demonstrations_of_chain(body, run.recipe, selection)
        case Samples():
            return demonstrations_of_samples(body, selection)
        case Judged():
            assert isinstance(run.recipe, JudgeRecipe)
            tie_margin = run.recipe.plan.tie_margin
            if format in PAIRED:
                return pairs_of_judged(body, selection, tie_margin)
            return [demonstration_of_judged(body, selection, tie_margin)]
        case Scored():
            if format in PAIRED:
                return [labelled_of_scored(body, selection)]
            return [demonstration_of_scored(body, selection)]


def _by_recipe(runs: Sequence[SourceRun]) -> list[list[SourceRun]]:
    found: list[list[SourceRun]] = []
    for run in runs:
        parts = next((parts for parts in found if parts[0].recipe == run.recipe), None)
        if parts is None:
            found.append([run])
        else:
            parts.append(run)
    return found


def _in_turn(streams: Sequence[Iterator[T]], ends_turn: Callable[[T], bool]) -> Iterator[T]:
    """Of each stream up to the next that ends its turn, then of the next stream, to their ends."""
    waiting = deque(streams)
    while waiting:
        stream = waiting.popleft()
        for each in stream:
            yield each
            if ends_turn(each):
                waiting.append(stream)
                break


def _first_of_prompts(items: Iterator[Item], runs: Sequence[SourceRun]) -> Iterator[Item]:
    """Without what another recipe's run had already, and examples that one of the same recipe had.

    Equal prompts of one source stay as they are.
    """
    source_of = {run.number: n for n, parts in enumerate(_by_recipe(runs)) for run in parts}
    last: dict[int, tuple[int, int]] = {}
    for item in items:
        if isinstance(item.unit, Prompt):
            key, source = response_key(item.unit, ""), source_of[item.run.number]
            before = last.get(key)
            if before is not None and (before[0] != source or before[1] == item.record.position):
                yield Item(item.run, item.record, item.body, LeftOut("repeated"))
                continue
            last[key] = (source, item.record.position)
        yield item
