"""Keys and values of all rows that are decoded together, in one buffer per layer.

The rows end at the same column and begin where their length says, so a step writes one column and
copies nothing: transformers' own cache copies all of it at every step. A row that leaves is
overwritten by the last row. Columns before a row's beginning hold rubbish that the mask hides.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

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
        self.room_k = like.new_zeros(0, like.shape[1], 0, like.shape[3])
        self.room_v = values_like.new_zeros(0, values_like.shape[1], 0, values_like.shape[3])

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
        self.room_k = self._moved(self.room_k, rows, columns, stop)
        self.room_v = self._moved(self.room_v, rows, columns, stop)

    def _moved(self, room: Tensor, rows: int, columns: int, stop: int) -> Tensor:
        w = self.window
        moved = room.new_zeros(rows, room.shape[1], columns, room.shape[3])
        start = stop - (w.stop - w.start)
        moved[: w.rows, :, start:stop] = room[: w.rows, :, w.start : w.stop]
        return moved


class Slab:
    """The growing cache of a batch. `cache` is what a model's forward takes for the next token."""

    def __init__(self, like: Sequence[tuple[Tensor, Tensor]]) -> None:
        """An empty slab whose layers have the heads, sizes, dtype and device of these tensors."""
        self._window = _Window()
        self._layers = [_Layer(self._window, keys, values) for keys, values in like]
        self.cache = Cache(layers=list(self._layers))

    def append(self, layers: Sequence[tuple[Tensor, Tensor]]) -> None:
        """Adds rows with their keys and values (rows × heads × columns × size), ends aligned."""
        n_rows, columns = layers[0][0].shape[0], layers[0][0].shape[2]
        self._reserve(n_rows, columns)
        w = self._window
        rows, seen = slice(w.rows, w.rows + n_rows), slice(w.stop - columns, w.stop)
        for layer, (keys, values) in zip(self._layers, layers, strict=True):
            layer.room_k[rows, :, seen] = keys
            layer.room_v[rows, :, seen] = values
        w.rows += n_rows
        w.start = min(w.start, w.stop - columns)

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
        self._reserve(0, width)

    def advance(self) -> None:
        """Keeps the column that the model has just written."""
        self._window.stop += 1

    def _reserve(self, n_rows: int, columns: int) -> None:
        """Room for more rows, for `columns` before the common end, and for one column after it."""
        w = self._window
        has_rows, _, has_columns, _ = self._layers[0].room_k.shape
        if not w.rows:
            w.start = w.stop = min(columns, has_columns)
        if w.rows + n_rows <= has_rows and columns <= w.stop < has_columns:
            return
        width = max(w.stop - w.start, columns)
        rows = max(w.rows + n_rows, has_rows)
        for layer in self._layers:
            layer.move(rows, width + width // 4 + _SPARE_COLUMNS, width)
        w.start, w.stop = width - (w.stop - w.start), width
