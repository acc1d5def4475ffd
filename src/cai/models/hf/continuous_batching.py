"""Continuous batching: rows join and leave a running batch at any token, without barriers.

What is drawn for a row is a function of the row only, bit for bit, in float32: see `draws.py`. Rows
whose draw is unsure are decided from a forward pass of their own. In bfloat16 and float16 the noise
of batching is too large for this, and a response may depend on its neighbours. A row that leaves is
kept, and what it shares with a later one is not read again: see `kept.py`.

Transformers has a continuous batching of its own, which cannot promise this: one generator draws
for all requests, so that another order of submission gives other tokens. The two are compared in
`benchmarks/local_model.py`.

When a response is over, and the text that its tokens become.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from torch import Tensor

from cai.models.base import OPENING, Completion, Sampling, Usage, split_reasoning
from cai.models.hf.forward import Network
from cai.models.hf.prefix_cache import PREFILL_TOKENS, Kept, read, read_shared
from cai.models.hf.sampler import SamplerState, draw
from cai.models.hf.tokenizer import Tokenizer, decode

# How far a logit may move with the shape of the batch. Float32 noise is about 1e-5.
MARGIN = 3e-4
_KEPT_SHARE = 4


@dataclass(slots=True, eq=False)
class DecodeRow:
    """A response being written: at most `limit` tokens after those of the prompt.

    Of rows that wait, the lowest `rank` joins first.
    """

    prompt: list[int]
    sampling: Sampling
    seed: int
    limit: int
    rank: int = 0
    written: list[int] = field(default_factory=list[int])

    @property
    def n_cached(self) -> int:
        """Tokens whose keys and values are kept: all but the last."""
        return len(self.prompt) + len(self.written) - 1

    @property
    def n_at_most(self) -> int:
        return len(self.prompt) + self.limit


class DecodeBatch:
    """The rows in flight, and those kept of the past.

    At most `slots` rows, and at most `room` tokens of cache, padding and what is kept included.
    """

    def __init__(self, network: Network, slots: int, room: int) -> None:
        self._network = network
        self._slab = network.slab()
        self.slots = slots
        self.kept = Kept(room // _KEPT_SHARE)
        self._room = room - self.kept.room
        self.rows: list[DecodeRow] = []
        self.n_unsure = 0

    def fitting(self, waiting: Sequence[DecodeRow]) -> int:
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

    def join(self, rows: Sequence[DecodeRow]) -> None:
        """Adds rows and draws the first token of each."""
        prompts = [row.prompt for row in rows]
        read_shared(self._network, self.kept, prompts)
        self._slab.reserve(len(rows), max(map(len, prompts)))
        for numbers, (logits, layers) in read(self._network, self.kept, prompts):
            group = [rows[number] for number in numbers]
            self._slab.append(layers)
            self.rows += group
            self._write(group, logits)

    def step(self) -> None:
        """Draws one more token for every row."""
        logits = self._network.decode(
            [row.written[-1] for row in self.rows], [row.n_cached for row in self.rows], self._slab
        )
        self._write(self.rows, logits)

    def leave(self, is_over: Callable[[DecodeRow], bool]) -> list[DecodeRow]:
        """Removes the rows that are over, and keeps what was computed for them."""
        over: list[DecodeRow] = []
        for index in reversed(range(len(self.rows))):
            row = self.rows[index]
            if is_over(row):
                over.append(row)
                cached = (row.prompt + row.written)[:-1]
                self.kept.keep(cached, partial(self._slab.prefix, index, len(cached)))
                self.rows[index] = self.rows[-1]
                self.rows.pop()
                self._slab.drop(index)
        return over

    def clear(self) -> None:
        """Drops all rows, what is kept, and the memory of both."""
        self.rows.clear()
        self.kept.clear()
        self._slab = self._network.slab()

    def shrink(self) -> bool:
        """Halves what is in memory at a time; False where that is the least already."""
        if self.slots == 1 and not self.kept.room:
            return False
        self.kept.room = self.kept.room // 2 if self.slots > 1 else 0
        self.slots = max(1, self.slots // 2)
        return True

    def _write(self, rows: Sequence[DecodeRow], logits: Tensor) -> None:
        draws = [SamplerState(row.sampling, row.seed, len(row.written)) for row in rows]
        margin = MARGIN if self._network.is_exact else 0.0
        tokens, unsure = draw(logits, draws, margin)
        for index, row in enumerate(rows):
            token = tokens[index]
            if unsure[index]:
                self.n_unsure += 1
                alone = self._network.alone(row.prompt + row.written)
                ((token,), _) = draw(alone, [draws[index]], 0.0)
            row.written.append(token)


_OPENING_TOKENS = 12
_SPARE_TOKENS = 4


class Ending:
    """Reads rows with the tokenizer. `stop_ids` are the tokens by which the model ends a turn."""

    def __init__(self, tokenizer: Tokenizer, stop_ids: frozenset[int]) -> None:
        self._tokenizer = tokenizer
        self._stop_ids = stop_ids

    def is_over(self, row: DecodeRow) -> bool:
        """Whether the model has ended its turn, a stop string has come, or the limit is reached."""
        return (
            row.written[-1] in self._stop_ids
            or len(row.written) >= row.limit
            or (bool(row.sampling.stop) and self._has_stopped(row))
        )

    def completion(self, row: DecodeRow) -> Completion:
        """The response, up to the first stop string, its reasoning apart."""
        has_ended = row.written[-1] in self._stop_ids
        text = decode(self._tokenizer, row.written[:-1] if has_ended else row.written)
        cut = _cut(text, row.sampling.stop)
        is_stopped = has_ended or len(cut) < len(text)
        reasoning, answer = split_reasoning(self._opening(row) + cut)
        return Completion(
            text=answer,
            stop_reason="stop" if is_stopped else "length",
            usage=Usage(len(row.prompt), len(row.written)),
            reasoning=reasoning,
        )

    def _has_stopped(self, row: DecodeRow) -> bool:
        # A token is a byte or more, so a stop string lies within as many tokens as it has bytes.
        # Those are looked at first: decoding everything at each token would be quadratic.
        longest = max(len(stop.encode()) for stop in row.sampling.stop) + _SPARE_TOKENS
        for written in (row.written[-longest:], row.written):
            text = decode(self._tokenizer, written)
            if len(_cut(text, row.sampling.stop)) == len(text):
                return False
        return True

    def _opening(self, row: DecodeRow) -> str:
        """`<think>` when the chat template wrote it, so that the response begins inside of it."""
        end = self._tokenizer.decode(
            row.prompt[-_OPENING_TOKENS:],
            skip_special_tokens=False,
            clean_up_tokenization_spaces=False,
        )
        return OPENING if end.rstrip().endswith(OPENING) else ""


def _cut(text: str, stops: Sequence[str]) -> str:
    found = [text.find(stop) for stop in stops if stop]
    return text[: min((place for place in found if place >= 0), default=len(text))]
