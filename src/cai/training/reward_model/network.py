"""The forward passes of a reward model: rows of token ids → one number each."""

import logging
from collections.abc import Sequence
from itertools import count
from typing import Protocol, cast

import torch
from torch import Tensor

from cai.errors import ModelError
from cai.models.hf.loading import is_out_of_memory

logger = logging.getLogger(__name__)

_NO_LIMIT = 2**31
_LEAST_TOKENS = 256


class Output(Protocol):
    @property
    def logits(self) -> Tensor: ...


class TextSettings(Protocol):
    """`pad_token_id` shows the model where a padded row ends."""

    pad_token_id: int | None
    use_cache: bool


class ModelConfig(Protocol):
    def get_text_config(self) -> TextSettings: ...


class Classifier(Protocol):
    """What is used here of a transformers model for sequence classification, with one output."""

    @property
    def config(self) -> ModelConfig: ...

    def __call__(self, *, input_ids: Tensor, attention_mask: Tensor) -> Output: ...

    def to(self, device: torch.device) -> "Classifier": ...

    def eval(self) -> "Classifier": ...


class RewardNetwork:
    """A reward model on its device; `context` is the greatest number of tokens that it reads."""

    def __init__(self, model: Classifier, device: torch.device, context: int | None) -> None:
        self._model = model.to(device).eval()
        self._device = device
        self._settings = model.config.get_text_config()
        # every row is read once, so that keys and values would be stored for nothing
        self._settings.use_cache = False
        self._pad = self._settings.pad_token_id
        self.context = context or _NO_LIMIT

    def rewards(self, rows: Sequence[list[int]], batch_tokens: int) -> list[float]:
        """The reward of each row, in order; NaN where the model gives none.

        Rows of similar length go together, at most `batch_tokens` tokens at a time with their
        padding, or one row. When memory runs out, passes of half as many tokens are tried.

        Raises:
            ModelError: Memory is not enough for one row, or the model fails.
        """
        rewards = [float("nan")] * len(rows)
        # the longest come first, so that memory runs out at once or not at all
        waiting = sorted(range(len(rows)), key=lambda index: len(rows[index]))
        while waiting:
            longest = max(len(rows[waiting[-1]]), 1)
            batch = waiting[-max(1, batch_tokens // longest) :]
            try:
                values = self._forward([rows[index] for index in batch])
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise model_failure(error) from error
                if len(batch) == 1 or batch_tokens <= _LEAST_TOKENS:
                    raise ModelError(
                        "There is not enough memory to reward one conversation. Use dtype "
                        "bfloat16, a smaller reward model, or another device."
                    ) from error
                batch_tokens //= 2
                logger.warning("Out of memory: %d tokens at a time from now on.", batch_tokens)
                continue
            # only now are they done: after an error the same rows are tried again in smaller passes
            for index, value in zip(batch, values, strict=True):
                rewards[index] = value
            del waiting[-len(batch) :]
        return rewards

    def _forward(self, rows: Sequence[list[int]]) -> list[float]:
        width = max(map(len, rows))
        pad = self._pad
        if pad is None:
            # the model finds the end of a row by its padding token: one that no row here has
            used = {id for row in rows for id in row}
            pad = next(id for id in count() if id not in used)
            self._settings.pad_token_id = pad
        ids = [row + [pad] * (width - len(row)) for row in rows]
        mask = [[1] * len(row) + [0] * (width - len(row)) for row in rows]
        with torch.inference_mode():
            logits = self._model(
                input_ids=torch.tensor(ids, device=self._device),
                attention_mask=torch.tensor(mask, device=self._device),
            ).logits
        return cast(list[float], logits[:, 0].float().tolist())  # pyright: ignore[reportUnknownMemberType]


def model_failure(error: Exception) -> ModelError:
    """One sentence about an error of the libraries."""
    reason = str(error).partition("\n")[0]
    return ModelError(f"The reward model failed: {type(error).__name__}: {reason}.")
