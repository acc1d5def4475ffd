"""Keys and values of beginnings of rows, computed once and seen by every row that begins so.

They are repeated layer by layer while a pass runs, so that the repetition of one layer at a time is
in memory. What the pass adds is not kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer


@dataclass(frozen=True, slots=True)
class _Span:
    """The columns `start` to `stop` of a prefix, which a row sees."""

    prefix: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Prefixes:
    """Each layer's keys and values (prefixes × heads × columns × size), ends aligned."""

    layers: Sequence[tuple[Tensor, Tensor]]
    lengths: Sequence[int]

    def repeated(self, of: Sequence[int], used: Sequence[int], n_columns: int) -> Cache:
        """The cache of a pass whose row i begins with the first `used[i]` tokens of prefix `of[i]`.

        Those stand at the end of `n_columns`, none where `used` is negative; the columns before
        them are for the mask to hide.
        """
        width = self.layers[0][0].shape[2]
        spans: list[_Span] = []
        for prefix, n_used in zip(of, used, strict=True):
            start = width - self.lengths[prefix]
            spans.append(_Span(prefix, start, start + max(n_used, 0)))
        return Cache(layers=[_Layer(*layer, spans, n_columns) for layer in self.layers])


class _Layer(DynamicLayer):
    """One layer's prefixes, as the rows of a pass see them.

    A subclass because the models of transformers take no cache layer but their own.
    """

    def __init__(
        self, keys: Tensor, values: Tensor, spans: Sequence[_Span], n_columns: int
    ) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]
        self.lazy_initialization(keys, values)
        self._prefixes = keys, values
        self._spans = spans
        self._n_columns = n_columns

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """The rows' prefixes with the new columns after them."""
        keys, values = self._prefixes
        return self._followed(keys, key_states), self._followed(values, value_states)

    def get_seq_length(self) -> int:
        return self._n_columns

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self._n_columns + query_length, 0

    def _followed(self, prefixes: Tensor, new: Tensor) -> Tensor:
        n_rows, n_heads, n_new, size = new.shape
        whole = new.new_empty(n_rows, n_heads, self._n_columns + n_new, size)
        for row, span in enumerate(self._spans):
            begin = self._n_columns - (span.stop - span.start)
            whole[row, :, :begin] = 0  # rubbish may be no number, and no mask hides that
            whole[row, :, begin : self._n_columns] = prefixes[
                span.prefix, :, span.start : span.stop
            ]
        whole[:, :, self._n_columns :] = new
        return whole
