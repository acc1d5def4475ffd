"""Keys and values of all rows that are decoded together, in one buffer per layer.

The rows end at the same column and begin where their length says, so a step writes one column and
copies nothing: transformers' own cache copies all of it at every step. A row that leaves is
overwritten by the last row. Columns before a row's beginning hold rubbish that the mask hides.
Memory is touched where it is in use only: a new page costs more than what is written to it.

Keys and values of beginnings of rows, computed once and seen by every row that begins so.

They are repeated layer by layer while a pass runs, so that the repetition of one layer at a time is
in memory, unless the pass is to keep what it saw and added.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

Layers = Sequence[tuple[Tensor, Tensor]]


@dataclass(frozen=True, slots=True)
class Prefix:
    """Each layer's keys and values (heads × tokens × size) of the tokens that a row begins with."""

    layers: Layers

    @property
    def n_tokens(self) -> int:
        return self.layers[0][0].shape[1]

    def first(self, n_tokens: int) -> "Prefix":
        """So many of its tokens, in the same memory; none where the number is negative."""
        seen = slice(max(n_tokens, 0))
        return Prefix([(keys[:, seen], values[:, seen]) for keys, values in self.layers])

    def copied(self) -> "Prefix":
        """The same in memory of its own."""
        return Prefix([(keys.clone(), values.clone()) for keys, values in self.layers])


def prefix_of(layers: Layers, row: int, n_tokens: int) -> Prefix:
    """A row among keys and values of rows × heads × columns × size.

    The row ends at the last column and has so many tokens.
    """
    seen = slice(layers[0][0].shape[2] - n_tokens, None)
    return Prefix([(keys[row, :, seen], values[row, :, seen]) for keys, values in layers])


def before(prefixes: Sequence[Prefix], n_columns: int, *, keeps: bool) -> Cache:
    """The cache of a pass whose rows begin with these prefixes, one a row.

    They stand at the end of `n_columns`; the columns before them are for the mask to hide. `keeps`
    leaves keys and values of the whole rows in the cache, ends aligned.
    """
    by_layer = zip(*(prefix.layers for prefix in prefixes), strict=True)
    return Cache(layers=[_PrefixLayer(list(rows), n_columns, keeps) for rows in by_layer])


class _PrefixLayer(DynamicLayer):
    """One layer's prefixes, as the rows of a pass see them.

    A subclass because the models of transformers take no cache layer but their own.
    """

    def __init__(self, rows: Layers, n_columns: int, keeps: bool) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]
        self.lazy_initialization(*rows[0])
        self._rows = rows
        self._n_columns = n_columns
        self._keeps = keeps

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """The rows' prefixes with the new columns after them."""
        keys = self._followed([keys for keys, _ in self._rows], key_states)
        values = self._followed([values for _, values in self._rows], value_states)
        if self._keeps:
            self.keys, self.values = keys, values
        return keys, values

    def get_seq_length(self) -> int:
        return self._n_columns

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self._n_columns + query_length, 0

    def _followed(self, prefixes: Sequence[Tensor], new: Tensor) -> Tensor:
        n_rows, n_heads, n_new, size = new.shape
        whole = new.new_empty(n_rows, n_heads, self._n_columns + n_new, size)
        for row, prefix in enumerate(prefixes):
            begin = self._n_columns - prefix.shape[1]
            whole[row, :, :begin] = 0  # rubbish may be no number, and no mask hides that
            whole[row, :, begin : self._n_columns] = prefix
        whole[:, :, self._n_columns :] = new
        return whole


_SPARE_COLUMNS = 64


@dataclass(slots=True)
class _Window:
    """The part of the buffers in use: the first rows, and columns from start up to stop."""

    rows: int = 0
    start: int = 0
    stop: int = 0


class _Layer(DynamicLayer):
    """One layer's buffers, seen by the model through the window.

    A subclass because the models of transformers take no cache layer but their own.
    """

    def __init__(self, window: _Window, like: Tensor, values_like: Tensor) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]
        self.window = window
        self.lazy_initialization(like, values_like)
        self.room_k = like.new_empty(0, like.shape[1], 0, like.shape[3])
        self.room_v = values_like.new_empty(0, values_like.shape[1], 0, values_like.shape[3])

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Writes the next column and gives all columns in use with it."""
        w = self.window
        self.room_k[: w.rows, :, w.stop : w.stop + 1] = key_states
        self.room_v[: w.rows, :, w.stop : w.stop + 1] = value_states
        seen = slice(w.start, w.stop + 1)
        return self.room_k[: w.rows, :, seen], self.room_v[: w.rows, :, seen]

    def get_seq_length(self) -> int:
        return self.window.stop - self.window.start

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.get_seq_length() + query_length, 0

    def move(self, rows: int, columns: int, stop: int) -> None:
        """New buffers of that size, with what is in use ending at column `stop`."""
        keys, values = self.room_k, self.room_v
        new_k = keys.new_empty(rows, keys.shape[1], columns, keys.shape[3])
        self.room_k = self._moved(keys, new_k, stop)
        new_v = values.new_empty(rows, values.shape[1], columns, values.shape[3])
        self.room_v = self._moved(values, new_v, stop)

    def shift(self, spare: tuple[Tensor, Tensor], stop: int) -> tuple[Tensor, Tensor]:
        """Moves what is in use into the spare buffers where they fit; gives up its own."""
        own = self.room_k, self.room_v
        spare_k, spare_v = (
            order_ab if order_ab.shape == here.shape else torch.empty_like(here)
            for order_ab, here in zip(spare, own, strict=True)
        )
        self.room_k = self._moved(self.room_k, spare_k, stop)
        self.room_v = self._moved(self.room_v, spare_v, stop)
        return own

    def zero(self, rows: slice, columns: slice) -> None:
        """Makes numbers of what is there: rubbish may be none, and no mask hides that."""
        self.room_k[rows, :, columns] = 0
        self.room_v[rows, :, columns] = 0

    def _moved(self, room: Tensor, to: Tensor, stop: int) -> Tensor:
        w = self.window
        start = stop - (w.stop - w.start)
        to[: w.rows, :, start:stop] = room[: w.rows, :, w.start : w.stop]
        return to


class Slab:
    """The growing cache of a batch. `cache` is what a model's forward takes for the next token."""

    def __init__(self, like: Layers) -> None:
        """An empty slab whose layers have the heads, sizes, dtype and device of these tensors."""
        self._window = _Window()
        self._layers = [_Layer(self._window, keys, values) for keys, values in like]
        self.cache = Cache(layers=list(self._layers))

    def append(self, layers: Layers) -> None:
        """Adds rows with their keys and values (rows × heads × columns × size), ends aligned."""
        n_rows, columns = layers[0][0].shape[0], layers[0][0].shape[2]
        self.reserve(n_rows, columns)
        w = self._window
        begin, start = w.stop - columns, min(w.start, w.stop - columns)
        rows, seen = slice(w.rows, w.rows + n_rows), slice(begin, w.stop)
        for layer, (keys, values) in zip(self._layers, layers, strict=True):
            layer.zero(slice(w.rows), slice(start, w.start))
            layer.zero(rows, slice(start, begin))
            layer.room_k[rows, :, seen] = keys
            layer.room_v[rows, :, seen] = values
        w.rows += n_rows
        w.start = start

    def reserve(self, n_rows: int, columns: int) -> None:
        """Room for more rows, for `columns` before the common end, and for one column after it."""
        w = self._window
        has_rows, _, has_columns, _ = self._layers[0].room_k.shape
        if not w.rows:
            w.start = w.stop = min(columns, has_columns)
        if w.rows + n_rows <= has_rows and columns <= w.stop < has_columns:
            return
        width = max(w.stop - w.start, columns)
        if w.rows + n_rows <= has_rows and width + _SPARE_COLUMNS <= has_columns:
            self._shift(width)
        else:
            rows = max(w.rows + n_rows, has_rows)
            for layer in self._layers:
                layer.move(rows, width + width // 4 + _SPARE_COLUMNS, width)
        w.start, w.stop = width - (w.stop - w.start), width

    def prefix(self, row: int, n_tokens: int) -> Prefix:
        """A copy of a row's keys and values."""
        w = self._window
        seen = slice(w.stop - n_tokens, w.stop)
        return Prefix(
            [
                (layer.room_k[row, :, seen].clone(), layer.room_v[row, :, seen].clone())
                for layer in self._layers
            ]
        )

    def drop(self, row: int) -> None:
        """Removes a row; the last one takes its place."""
        w = self._window
        w.rows -= 1
        if row == w.rows:
            return
        seen = slice(w.start, w.stop)
        for layer in self._layers:
            layer.room_k[row, :, seen] = layer.room_k[w.rows, :, seen]
            layer.room_v[row, :, seen] = layer.room_v[w.rows, :, seen]

    def fit(self, width: int) -> None:
        """Shows the model only the last `width` columns, and makes room for one more."""
        self._window.start = self._window.stop - width
        self.reserve(0, width)

    def advance(self) -> None:
        """Keeps the column that the model has just written."""
        self._window.stop += 1

    def _shift(self, stop: int) -> None:
        """Moves what is in use to end at that column, every layer into the buffers of the last."""
        first = self._layers[0]
        spare = torch.empty_like(first.room_k), torch.empty_like(first.room_v)
        for layer in self._layers:
            spare = layer.shift(spare, stop)
