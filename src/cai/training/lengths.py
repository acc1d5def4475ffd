"""Rows that are too long for `max_length`: counted, and an error where none is left.

TRL leaves them out without a word. With no row left KTO ends after 0 steps, and the other trainers
fail somewhere inside.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# TRL leaves some of its types open: what is unknown stays in this file

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, cast

from rich.console import Console
from transformers import Trainer

from cai.errors import TrainingError
from cai.training.data.loading import TrainingData


def check_lengths(trainer: Trainer, data: TrainingData, console: Console) -> None:
    """Says how many rows TRL left out. Packed rows are no longer rows, and are not counted.

    Raises:
        TrainingError: None is left to train on, or of those held out.
    """
    args = cast(Any, trainer.args)
    limit = getattr(args, "max_length", None)  # GRPO and RLOO have none
    if limit is None:
        return
    parts = (
        ("to train on", trainer.train_dataset, len(data.train), bool(getattr(args, "packing", 0))),
        ("held out", trainer.eval_dataset, len(data.evaluation), bool(_packs_evaluation(args))),
    )
    for name, dataset, n_before, is_packed in parts:
        if dataset is None:
            continue
        n = len(cast(Any, dataset))
        if n == 0:
            raise _too_long(name, limit)
        if n < n_before and not is_packed:
            console.print(
                f"left out: {n_before - n} of {n_before} rows {name}, over {limit} tokens"
            )


@contextmanager
def precomputing(max_length: int | None) -> Generator[None]:
    """While DPO takes the reference's log-probabilities, which of no rows there are none.

    Raises:
        TrainingError: No row is left.
    """
    try:
        yield
    except ValueError as error:
        if "expected a non-empty list of Tensors" in str(error):
            raise _too_long("to train on, or held out,", max_length) from error
        raise


def _packs_evaluation(args: Any) -> bool:
    wanted = getattr(args, "eval_packing", None)
    return bool(getattr(args, "packing", False) if wanted is None else wanted)


def _too_long(name: str, limit: int | None) -> TrainingError:
    return TrainingError(
        f"No row {name} is short enough for max_length, {limit} tokens. Set a larger max_length."
    )
