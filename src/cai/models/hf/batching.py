"""Continuous batching: rows join and leave a running batch at any token, without barriers.

What is drawn for a row is a function of the row only, bit for bit, in float32: see `draws.py`. Rows
whose draw is unsure are decided from a forward pass of their own. In bfloat16 and float16 the noise
of batching is too large for this, and a response may depend on its neighbours.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from torch import Tensor

from cai.models.hf.draws import Draw, draw
from cai.models.hf.network import Network
from cai.models.protocol import Sampling

# How far a logit may move with the shape of the batch. Float32 noise is about 1e-5.
MARGIN = 3e-4
PREFILL_TOKENS = 16_384
_LEAST_FILL = 0.8
_T = TypeVar("_T")


@dataclass(slots=True, eq=False)
class Row:
    """A response being written: at most `limit` tokens after those of the prompt."""

    prompt: list[int]
    sampling: Sampling
    seed: int
    limit: int
    written: list[int] = field(default_factory=list[int])

    @property
    def n_cached(self) -> int:
        """Tokens whose keys and values are kept: all but the last."""
        return len(self.prompt) + len(self.written) - 1

    @property
    def n_at_most(self) -> int:
        return len(self.prompt) + self.limit


class Batch:
    """The rows in flight. At most `slots`, and at most `room` tokens of cache, padding included."""

    def __init__(self, network: Network, slots: int, room: int) -> None:
        self._network = network
        self._slab = network.slab()
        self.slots = slots
        self._room = room
        self.rows: list[Row] = []
        self.n_unsure = 0

    def fitting(self, waiting: Sequence[Row]) -> int:
        """How many of the first rows that wait can join now; one at least when the batch is empty.

        A row counts with all that it may still write, so that memory never runs out halfway.
        """
        longest = max((row.n_at_most for row in self.rows), default=0)
        tokens = 0
        for n, row in enumerate(waiting):
            n_rows = len(self.rows) + n + 1
            longest = max(longest, row.n_at_most)
            tokens += len(row.prompt)
            fits = n_rows <= self.slots and n_rows * longest <= self._room
            if n_rows > 1 and not (fits and (tokens <= PREFILL_TOKENS or n == 0)):
                return n
        return len(waiting)

    def join(self, rows: Sequence[Row]) -> None:
        """Adds rows and draws the first token of each."""
        for group in grouped(rows, lambda row: len(row.prompt)):
            logits, layers = self._network.prefill([row.prompt for row in group])
            self._slab.append(layers)
            self.rows += group
            self._write(group, logits)

    def step(self) -> None:
        """Draws one more token for every row."""
        logits = self._network.decode(
            [row.written[-1] for row in self.rows], [row.n_cached for row in self.rows], self._slab
        )
        self._write(self.rows, logits)

    def leave(self, is_over: Callable[[Row], bool]) -> list[Row]:
        """Removes the rows that are over."""
        over: list[Row] = []
        for index in reversed(range(len(self.rows))):
            if is_over(self.rows[index]):
                over.append(self.rows[index])
                self.rows[index] = self.rows[-1]
                self.rows.pop()
                self._slab.drop(index)
        return over

    def clear(self) -> None:
        """Drops all rows and the memory of their cache."""
        self.rows.clear()
        self._slab = self._network.slab()

    def _write(self, rows: Sequence[Row], logits: Tensor) -> None:
        draws = [Draw(row.sampling, row.seed, len(row.written)) for row in rows]
        margin = MARGIN if self._network.is_exact else 0.0
        tokens, unsure = draw(logits, draws, margin)
        for index, row in enumerate(rows):
            token = tokens[index]
            if unsure[index]:
                self.n_unsure += 1
                alone = self._network.alone(row.prompt + row.written)
                ((token,), _) = draw(alone, [draws[index]], 0.0)
            row.written.append(token)


def grouped(
    items: Sequence[_T],
    length: Callable[[_T], int],
    n_tokens: int = PREFILL_TOKENS,
    n_cached: int = 0,
) -> list[list[_T]]:
    """The items in groups of similar length that one padded pass takes, longest first.

    A pass takes `n_tokens`, of which each of its rows uses `n_cached` beside its own.
    """
    groups: list[list[_T]] = []
    for item in sorted(items, key=length, reverse=True):
        longest = length(groups[-1][0]) if groups else 0
        is_similar = bool(groups) and length(item) >= _LEAST_FILL * longest
        if is_similar and (len(groups[-1]) + 1) * (longest + n_cached) <= n_tokens:
            groups[-1].append(item)
        else:
            groups.append([item])
    return groups
