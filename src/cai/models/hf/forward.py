"""The forward passes of a causal language model: prefill, scoring, decoding of one more token.

Example:
    network = Network(model, torch.device("cpu"), context=2048)
    logits, layers = network.prefill([[5, 6, 7], [8, 9]])  # 2 × vocabulary; keys and values
    network.score([[5, 6, 7]], last=2)  # logits after each of the last 2 tokens: 1 × 2 × vocabulary
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from cai.errors import ModelError
from cai.models.hf.kv_cache import BatchCache, Layers, Prefix, cache_after

Filled = tuple[Tensor, Layers]  # logits of the next tokens; each layer's keys and values
_NO_LIMIT = 2**31


class ForwardOutput(Protocol):
    """The result of a forward pass: `logits` are rows × last tokens × vocabulary."""

    @property
    def logits(self) -> Tensor: ...


class CausalModel(Protocol):
    """What is used here of a transformers model."""

    def __call__(
        self,
        *,
        input_ids: Tensor,
        position_ids: Tensor,
        attention_mask: Tensor | None = None,
        past_key_values: Cache | None = None,
        use_cache: bool = False,
        logits_to_keep: int = 0,
    ) -> ForwardOutput: ...


class Network:
    """A model on its device. All rows of a pass are padded on the left, aligned at their ends.

    `context` is the greatest number of tokens the model reads; None where it has no limit.
    """

    def __init__(self, model: CausalModel, device: torch.device, context: int | None) -> None:
        self.model = model
        self.device = device
        self.context = context or _NO_LIMIT
        # One token shows what the configuration may not say or say wrongly: the size of the logits,
        # the heads, sizes and dtype of each layer's cache, and whether it has plain layers at all.
        with torch.inference_mode():
            logits, probe = self.prefill([[0]])
        self.n_tokens = logits.shape[-1]
        self._like = probe
        self.is_exact = probe[0][0].dtype == torch.float32
        self.bytes_per_token = sum(t.numel() * t.element_size() for pair in probe for t in pair)

    def new_cache(self) -> BatchCache:
        """An empty cache for `decode`."""
        return BatchCache(self._like)

    def prefill(self, rows: Sequence[list[int]]) -> Filled:
        """Logits of each row's next token (rows × vocabulary), and each layer's keys and values."""
        cache = DynamicCache()
        logits = self._forward(rows, 1, cache)[:, -1]
        return logits, _filled(cache)

    def prefill_after(self, prefixes: Sequence[Prefix], rows: Sequence[list[int]]) -> Filled:
        """As `prefill`, of rows that begin with these prefixes, one a row; see `score_after`."""
        cache, n_cached = self._prefix_cache(prefixes, rows, stores=True)
        logits = self._forward(rows, 1, cache, n_cached)[:, -1]
        return logits, _filled(cache)

    def score(self, rows: Sequence[list[int]], last: int) -> Tensor:
        """Logits after each of the `last` tokens of every row: rows × last × vocabulary."""
        return self._forward(rows, last, None)

    def score_after(
        self, prefixes: Sequence[Prefix], rows: Sequence[list[int]], last: int
    ) -> Tensor:
        """As `score`, of rows that begin with these prefixes, one a row, and are longer."""
        cache, n_cached = self._prefix_cache(prefixes, rows, stores=False)
        return self._forward(rows, last, cache, n_cached)

    def decode(self, tokens: Sequence[int], lengths: Sequence[int], cache: BatchCache) -> Tensor:
        """Logits after one more token per row, which `cache` then holds too: rows × vocabulary.

        `lengths` are the numbers of tokens that the cache holds of each row.
        """
        # longer rows may have left: less attention to compute, and room at the left again
        width = max(lengths)
        cache.fit(width)
        positions = torch.tensor(lengths, device=self.device)[:, None]
        columns = torch.arange(width + 1, device=self.device)
        output = self.model(
            input_ids=torch.tensor(tokens, device=self.device)[:, None],
            position_ids=positions,
            attention_mask=columns >= width - positions,
            past_key_values=cache.cache,
            use_cache=True,
        )
        cache.advance()
        return output.logits[:, -1]

    def alone(self, row: list[int]) -> Tensor:
        """Logits of the row's next token, as a function of its tokens only: 1 × vocabulary."""
        # No cache, no padding, no neighbours: the same bits in whatever batch the row is decoded.
        return self._forward([row], 1, None)[:, -1]

    def _prefix_cache(
        self, prefixes: Sequence[Prefix], rows: Sequence[list[int]], *, stores: bool
    ) -> tuple[Cache, int]:
        """The cache of a pass of rows that begin so, and how many of their columns it has."""
        # All rows read as many tokens anew as the one that has most after its prefix, so that no
        # padding comes between a prefix and the rest. Models with sliding windows count columns,
        # not positions, and would see too little of their row.
        n_new = max(len(row) - each.n_tokens for row, each in zip(rows, prefixes, strict=True))
        n_cached = max(map(len, rows)) - n_new
        used = [each.first(len(row) - n_new) for row, each in zip(rows, prefixes, strict=True)]
        return cache_after(used, n_cached, stores=stores), n_cached

    def _forward(
        self, rows: Sequence[list[int]], last: int, cache: Cache | None, n_cached: int = 0
    ) -> Tensor:
        """Logits after the `last` tokens; the first `n_cached` columns of the rows are cached."""
        width = max(len(row) for row in rows)
        padding = torch.tensor([width - len(row) for row in rows], device=self.device)[:, None]
        columns = torch.arange(width, device=self.device)
        output = self.model(
            input_ids=torch.tensor(
                [([0] * (width - len(row)) + row)[n_cached:] for row in rows], device=self.device
            ),
            # padding gets position 0, where any would do: the mask hides it
            position_ids=(columns - padding).clamp(min=0)[:, n_cached:],
            attention_mask=columns >= padding,
            past_key_values=cache,
            use_cache=cache is not None,
            logits_to_keep=last,
        )
        return output.logits


def _filled(cache: Cache) -> Layers:
    filled: list[tuple[Tensor, Tensor]] = []
    for layer in cache.layers:
        if not isinstance(layer, DynamicLayer) or layer.keys is None or layer.values is None:
            raise ModelError(
                "This architecture does not have plain keys and values in every layer, which "
                "decoding in batches needs. Serve it with vLLM or another server instead."
            )
        filled.append((layer.keys, layer.values))
    return filled
