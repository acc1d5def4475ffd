"""What is said when memory runs out in a training, with the advice that helps."""

from collections.abc import Generator
from contextlib import contextmanager

import torch

from cai.errors import TrainingError

_SAID = ("out of memory", "can't allocate memory", "not enough memory")
"""Of a GPU; and of a CPU by torch, on Linux and elsewhere."""


@contextmanager
def memory_errors() -> Generator[None]:
    """Makes one sentence of what the libraries raise.

    Raises:
        TrainingError: Memory ran out.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise _out_of_memory() from error
    except RuntimeError as error:
        if any(said in str(error) for said in _SAID):
            raise _out_of_memory() from error
        raise


def _out_of_memory() -> TrainingError:
    return TrainingError(
        "Memory ran out. Halve per_device_train_batch_size and double "
        "gradient_accumulation_steps, which trains the same; or set a smaller max_length, "
        "activation_checkpointing: true, or --lora. Train so into another folder."
    )
