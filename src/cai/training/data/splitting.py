"""Which rows are held out for evaluation.

That is decided by the prompt's content: equal prompts stay together, and the same rows are held out
whatever else is trained on.
"""

import hashlib
import json
from collections.abc import Sequence

from cai.errors import UsageError
from cai.export.units import prompt_of
from cai.training.data.rows import TrainingRow
from cai.types import as_dicts

Split = tuple[tuple[TrainingRow, ...], tuple[TrainingRow, ...]]


def split_rows(rows: Sequence[TrainingRow], eval_share: float) -> Split:
    """The rows to train on and those held out, each in the order that they had.

    About that share of the prompts is held out; of two prompts or more at least one, and never all
    of them. Of one prompt, and for a share of 0, nothing is.

    Raises:
        UsageError: The share is not in [0, 1).
    """
    if not 0 <= eval_share < 1:
        raise UsageError(
            f"The evaluation share is {eval_share:g}, and it must be at least 0 and below 1. "
            "Change it."
        )
    places = [_place(row) for row in rows]
    distinct = sorted(set(places))
    if eval_share == 0 or len(distinct) < 2:
        return tuple(rows), ()
    end = min(max(eval_share, _above(distinct[0])), distinct[-1])
    train = tuple(row for row, place in zip(rows, places, strict=True) if place >= end)
    held_out = tuple(row for row, place in zip(rows, places, strict=True) if place < end)
    return train, held_out


def _place(row: TrainingRow) -> float:
    """A number in [0, 1) that is the same for equal prompts; not that of the split of exports."""
    text = json.dumps(as_dicts(prompt_of(row.unit).messages), ensure_ascii=True)
    digest = hashlib.blake2b(text.encode(), digest_size=6, person=b"cai-evaluation").digest()
    return int.from_bytes(digest, "big") / 2**48


def _above(place: float) -> float:
    return place + 2**-48
