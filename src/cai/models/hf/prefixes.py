"""Keys and values of beginnings of rows, computed once and seen by every row that begins so.

They are repeated layer by layer while a pass runs, so that the repetition of one layer at a time is
in memory, unless the pass is to keep what it saw and added.
"""

from collections.abc import Sequence
from dataclasses import dataclass

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
    return Cache(layers=[_Layer(list(rows), n_columns, keeps) for rows in by_layer])


class _Layer(DynamicLayer):
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
