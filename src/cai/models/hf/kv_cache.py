"""Keys and values (the KV cache) of rows that are decoded together, and of prefixes of rows.

`BatchCache` has one buffer per layer for all rows of a batch. The rows end at the same column and
begin where their length says, so a step writes one column and copies nothing; the cache of
transformers copies all of it at every step. `cache_after` makes the cache of a pass whose rows
begin with prefixes that were computed before.

Example:
    cache = network.new_cache()
    cache.append(layers)  # of `network.prefill(rows)`
    logits = network.decode(tokens, [len(row) for row in rows], cache)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

Layers = Sequence[tuple[Tensor, Tensor]]
_SPARE_COLUMNS = 64


@dataclass(frozen=True, slots=True)
class Prefix:
    """Each layer's keys and values (heads × tokens × size) of the tokens that a row begins with."""

    layers: Layers

    @property
    def n_tokens(self) -> int:
        return self.layers[0][0].shape[1]

    def first(self, n_tokens: int) -> "Prefix":
        """So many of its tokens, in the same memory; none where the number is negative."""
        used = slice(max(n_tokens, 0))
        return Prefix([(keys[:, used], values[:, used]) for keys, values in self.layers])

    def copied(self) -> "Prefix":
        """The same in memory of its own."""
        return Prefix([(keys.clone(), values.clone()) for keys, values in self.layers])


def prefix_of(layers: Layers, row: int, n_tokens: int) -> Prefix:
    """The last `n_tokens` columns of a row of `layers` (rows × heads × columns × size)."""
    used = slice(layers[0][0].shape[2] - n_tokens, None)
    return Prefix([(keys[row, :, used], values[row, :, used]) for keys, values in layers])


def cache_after(prefixes: Sequence[Prefix], n_columns: int, *, stores: bool) -> Cache:
    """The cache of a pass whose rows begin with these prefixes, one a row.

    They stand at the end of `n_columns`; the mask has to hide the columns before them. With
    `stores` the cache has keys and values of the whole rows after the pass, ends aligned.
    """
    by_layer = zip(*(prefix.layers for prefix in prefixes), strict=True)
    return Cache(layers=[_PrefixLayer(list(rows), n_columns, stores) for rows in by_layer])


class _PrefixLayer(DynamicLayer):
    """One layer's prefixes, as the rows of a pass see them.

    A subclass because the models of transformers take no cache layer but their own.
    """

    def __init__(self, rows: Layers, n_columns: int, stores: bool) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]
        self.lazy_initialization(*rows[0])
        self._rows = rows
        self._n_columns = n_columns
        self._stores = stores

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """The rows' prefixes with the new columns after them."""
        # The prefixes are repeated for their rows here, in the pass, one layer at a time: repeating
        # all layers before it would need as many times the memory as there are layers.
        keys = self._concatenated([keys for keys, _ in self._rows], key_states)
        values = self._concatenated([values for _, values in self._rows], value_states)
        if self._stores:
            self.keys, self.values = keys, values
        return keys, values

    def get_seq_length(self) -> int:
        return self._n_columns

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self._n_columns + query_length, 0

    def _concatenated(self, prefixes: Sequence[Tensor], new: Tensor) -> Tensor:
        n_rows, n_heads, n_new, size = new.shape
        whole = new.new_empty(n_rows, n_heads, self._n_columns + n_new, size)
        for row, prefix in enumerate(prefixes):
            begin = self._n_columns - prefix.shape[1]
            # Uninitialised memory may hold nan, and no mask hides that: 0 · nan is nan.
            whole[row, :, :begin] = 0
            whole[row, :, begin : self._n_columns] = prefix
        whole[:, :, self._n_columns :] = new
        return whole


@dataclass(slots=True)
class _UsedRange:
    """The part of the buffers in use: the first rows, and columns from start up to stop."""

    rows: int = 0
    start: int = 0
    stop: int = 0


class _BufferLayer(DynamicLayer):
    """One layer's buffers, of which the model sees the used range.

    A subclass because the models of transformers take no cache layer but their own.
    """

    def __init__(self, used: _UsedRange, like: Tensor, values_like: Tensor) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]
        self.used = used
        self.lazy_initialization(like, values_like)
        # of keys and of values, whose heads may differ in size
        self.buffers = [
            each.new_empty(0, each.shape[1], 0, each.shape[3]) for each in (like, values_like)
        ]

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Writes the next column and gives all used columns with it."""
        used = self.used
        for buffer, new in zip(self.buffers, (key_states, value_states), strict=True):
            buffer[: used.rows, :, used.stop : used.stop + 1] = new
        columns = slice(used.start, used.stop + 1)
        keys, values = (buffer[: used.rows, :, columns] for buffer in self.buffers)
        return keys, values

    def get_seq_length(self) -> int:
        return self.used.stop - self.used.start

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.get_seq_length() + query_length, 0

    def resize(self, rows: int, columns: int, stop: int) -> None:
        """New buffers of that size, whose used columns end at `stop`."""
        # One after the other: the old keys are freed before the new values are made.
        for at, old in enumerate(self.buffers):
            self._move(at, old.new_empty(rows, old.shape[1], columns, old.shape[3]), stop)

    def shift(self, spare: list[Tensor], stop: int) -> list[Tensor]:
        """Moves the used range into the spare buffers if their shape fits; gives up its own."""
        own = list(self.buffers)
        for at, (other, old) in enumerate(zip(spare, own, strict=True)):
            self._move(at, other if other.shape == old.shape else torch.empty_like(old), stop)
        return own

    def zero(self, rows: slice, columns: slice) -> None:
        """Zeros that range: uninitialised memory may hold nan, and no mask hides that."""
        for buffer in self.buffers:
            buffer[rows, :, columns] = 0

    def _move(self, at: int, to: Tensor, stop: int) -> None:
        used = self.used
        start = stop - (used.stop - used.start)
        to[: used.rows, :, start:stop] = self.buffers[at][: used.rows, :, used.start : used.stop]
        self.buffers[at] = to


class BatchCache:
    """The growing cache of a batch. `cache` is what a model's forward takes for the next token.

    Columns before a row's first token hold numbers that the mask has to hide.
    """

    def __init__(self, like: Layers) -> None:
        """An empty cache whose layers have the heads, sizes, dtype and device of these tensors."""
        self._used = _UsedRange()
        self._layers = [_BufferLayer(self._used, keys, values) for keys, values in like]
        self.cache = Cache(layers=list(self._layers))

    def append(self, layers: Layers) -> None:
        """Adds rows with their keys and values (rows × heads × columns × size), ends aligned."""
        n_rows, columns = layers[0][0].shape[0], layers[0][0].shape[2]
        self.reserve(n_rows, columns)
        used = self._used
        begin, start = used.stop - columns, min(used.start, used.stop - columns)
        rows, seen = slice(used.rows, used.rows + n_rows), slice(begin, used.stop)
        for layer, pair in zip(self._layers, layers, strict=True):
            layer.zero(slice(used.rows), slice(start, used.start))
            layer.zero(rows, slice(start, begin))
            for buffer, new in zip(layer.buffers, pair, strict=True):
                buffer[rows, :, seen] = new
        used.rows += n_rows
        used.start = start

    def reserve(self, n_rows: int, columns: int) -> None:
        """Makes space for more rows, `columns` up to the common end, and one column after it."""
        used = self._used
        has_rows, _, has_columns, _ = self._layers[0].buffers[0].shape
        if not used.rows:  # nothing has to stay in its place: the new rows begin at the left
            used.start = used.stop = min(columns, has_columns)
        if used.rows + n_rows <= has_rows and columns <= used.stop < has_columns:
            return
        width = max(used.stop - used.start, columns)
        if used.rows + n_rows <= has_rows and width + _SPARE_COLUMNS <= has_columns:
            # Large enough, but used up to its end: moved to the left. Every layer moves into the
            # buffers of the last, since a page that was never touched costs more than the copy.
            spare = [torch.empty_like(each) for each in self._layers[0].buffers]
            for layer in self._layers:
                spare = layer.shift(spare, width)
        else:
            rows = max(used.rows + n_rows, has_rows)
            for layer in self._layers:
                layer.resize(rows, width + width // 4 + _SPARE_COLUMNS, width)
        used.start, used.stop = width - (used.stop - used.start), width

    def prefix(self, row: int, n_tokens: int) -> Prefix:
        """A copy of a row's keys and values."""
        columns = slice(self._used.stop - n_tokens, self._used.stop)
        pairs = [[each[row, :, columns].clone() for each in one.buffers] for one in self._layers]
        return Prefix([(keys, values) for keys, values in pairs])

    def drop(self, row: int) -> None:
        """Removes a row; the last one takes its place."""
        used = self._used
        used.rows -= 1
        if row == used.rows:
            return
        columns = slice(used.start, used.stop)
        for buffer in chain.from_iterable(layer.buffers for layer in self._layers):
            buffer[row, :, columns] = buffer[used.rows, :, columns]

    def fit(self, width: int) -> None:
        """Shows the model only the last `width` columns, and makes space for one more."""
        self._used.start = self._used.stop - width
        self.reserve(0, width)

    def advance(self) -> None:
        """Adds the column that the model has just written to those in use."""
        self._used.stop += 1
