"""The prompts of each round, and the frozen anchors, each written to a file of the series' folder.

A file is written once and used from then on, even if the files that it came from change.
"""

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cai.atomic_write import atomic_write
from cai.data.pairs import pair_files
from cai.data.prompts import PromptSource
from cai.errors import UsageError
from cai.evaluation.stats.bootstrap import unit_of
from cai.rounds.config import RoundsRecipe, kinds
from cai.types import Prompt, as_dicts, derive_seed

ANCHORS = "anchors"
PEOPLE = "people.jsonl"


def assign_prompts(recipe: RoundsRecipe, number: int, out: Path) -> PromptSource:
    """The prompts of a round: the next ones in an order drawn once, none of them an anchor's.

    Raises:
        UsageError: There are not enough for so many rounds.
        SourceError: A file cannot be read.
    """
    path = out / f"round-{number}" / "prompts.jsonl"
    if not path.exists():
        # The order is that of the seed alone, so the parts of two rounds never overlap, whichever
        # round a series is continued with.
        prompts = _shuffle(_for_training(recipe), recipe.seed)
        n = recipe.per_round or len(prompts)
        first = (number - 1) * n if recipe.per_round else 0
        _write(path, [_row(prompt) for prompt in prompts[first : first + n]])
    return PromptSource((str(path),), "prompt", "id")


def check_enough(recipe: RoundsRecipe) -> None:
    """Checks that there are prompts for every round.

    Raises:
        UsageError: There are too few.
        SourceError: A file cannot be read.
    """
    n = len(_for_training(recipe))
    wanted = recipe.rounds * (recipe.per_round or 0)
    if n < wanted:
        raise UsageError(
            f"{recipe.rounds} rounds of {recipe.per_round} prompts take {wanted}, and "
            f"{', '.join(recipe.prompts)} has {n} that are not anchors. Ask for fewer rounds, set "
            f"per_round to at most {n // recipe.rounds}, or leave it out to give every round all."
        )


def freeze(recipe: RoundsRecipe, out: Path, *, is_started: bool) -> None:
    """Writes the anchors' prompts, a file for each kind, and people's pairs.

    Raises:
        UsageError: No pair that people should have labelled has a label, or a file is missing on
            which earlier rounds were measured.
        SourceError: A file cannot be read.
    """
    anchors, folder = recipe.anchors, out / ANCHORS
    for number, (kind, file) in enumerate(kinds(anchors.prompts)):
        path = folder / f"{kind}-{number}.jsonl"
        if _is_missing(path, is_started=is_started):
            # The order depends on the seed alone: the same anchors after any restart.
            prompts = _shuffle(list(PromptSource((file,)).read()), recipe.seed)[: anchors.limit]
            # Two files may use one id for different prompts.
            _write(path, [_row(replace(each, id=f"{kind}-{each.id}")) for each in prompts])
    path = folder / PEOPLE
    if anchors.people and _is_missing(path, is_started=is_started):
        pairs = [pair for pair in pair_files(anchors.people).read() if pair.label is not None]
        if not pairs:
            raise UsageError(
                f"{', '.join(anchors.people)}: no pair says which response people prefer, so "
                "nothing can be measured by it. Name labelled pairs under anchors: people:, or "
                "leave it out."
            )
        random.Random(derive_seed(recipe.seed, "people")).shuffle(pairs)
        rows: list[dict[str, object]] = [
            {
                "id": f"{number}",
                "prompt": as_dicts(pair.prompt.messages),
                "response_a": pair.response_a,
                "response_b": pair.response_b,
                "label": pair.label,
            }
            for number, pair in enumerate(pairs[: anchors.limit])
        ]
        _write(path, rows)


def _is_missing(path: Path, *, is_started: bool) -> bool:
    if is_started and not path.exists():
        raise UsageError(
            f"{path}: is missing, and earlier rounds were measured on it: figures of new rounds "
            "could not be compared with theirs. Restore it, or start another series with -o."
        )
    return not path.exists()


def frozen_prompts(recipe: RoundsRecipe, out: Path) -> list[tuple[str, PromptSource]]:
    """The anchors' prompts by kind."""
    return [
        (kind, PromptSource((str(out / ANCHORS / f"{kind}-{number}.jsonl"),), "prompt", "id"))
        for number, (kind, _) in enumerate(kinds(recipe.anchors.prompts))
    ]


def _for_training(recipe: RoundsRecipe) -> list[Prompt]:
    """All prompts but those of the anchors: no round trains on what it is measured on."""
    # By content: the files of prompts and anchors may overlap under other ids. All prompts of the
    # anchors' files, not those below the limit alone, so that a higher limit changes no round.
    files = [file for _, file in kinds(recipe.anchors.prompts)]
    anchors = {unit_of(each) for file in files for each in PromptSource((file,)).read()}
    prompts = PromptSource.together(recipe.prompts).read()
    return [each for each in prompts if unit_of(each) not in anchors]


def _shuffle(prompts: list[Prompt], seed: int) -> list[Prompt]:
    random.Random(derive_seed(seed, "deal")).shuffle(prompts)
    return prompts


def _row(prompt: Prompt) -> dict[str, object]:
    return {"id": prompt.id, "prompt": as_dicts(prompt.messages)}


def _write(path: Path, rows: Sequence[dict[str, object]]) -> None:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    atomic_write(path, text, UsageError, "Name another folder with -o.")
