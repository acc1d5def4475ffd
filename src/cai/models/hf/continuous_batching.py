"""Continuous batching: rows join and leave a running batch at any token, without barriers.

As in Orca (Yu et al. 2022, OSDI) and vLLM, but exact in float32: what is drawn for a row is a
function of the row only, bit for bit. A token is drawn as the largest of log-probability + Gumbel
noise (Gumbel 1954), and the noise is a hash of (seed, position, token): it depends neither on the
batch nor on earlier draws. The last bits of logits do depend on the batch, so a draw is unsure when
logits that move by up to `margin` could change it; unsure draws are decided from a forward pass of
the row alone. In bfloat16 and float16 the noise of batching is too large for this, and a response
may depend on its neighbours. Transformers has a continuous batching of its own, which draws for all
requests from one generator, so that another order of submission gives other tokens;
`benchmarks/local_model.py` compares the two.

Example:
    batch = DecodeBatch(network, slots=64, capacity=100_000)
    batch.join(waiting[: batch.fitting(waiting)])
    while batch.rows:
        batch.step()
        responses = [criteria.completion(row) for row in batch.leave(criteria.is_over)]
"""

import hashlib
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import cast

import torch
from torch import Tensor

from cai.errors import ModelError
from cai.models.base import (
    Completion,
    Sampling,
    Usage,
    opening_at_end,
    split_reasoning,
    until_stop,
)
from cai.models.hf.forward import Network
from cai.models.hf.prefix_cache import PREFILL_TOKENS, PrefixCache, cache_shared_prefixes, read
from cai.models.hf.tokenizer import Tokenizer, decode

MARGIN = 3e-4
"""How far a logit may move with the shape of the batch; the noise of float32 is about 1e-5."""

_PREFIX_SHARE = 4  # one part in four of the cache is for prefixes
_OPENING_TOKENS = 12
_SPARE_TOKENS = 4


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
        """The number of tokens whose keys and values are cached: all but the last."""
        return len(self.prompt) + len(self.written) - 1

    @property
    def max_length(self) -> int:
        return len(self.prompt) + self.limit


class DecodeBatch:
    """The rows in flight, and the prefix cache of earlier ones.

    At most `slots` rows, and at most `capacity` tokens of both caches, padding included.
    """

    def __init__(self, network: Network, slots: int, capacity: int) -> None:
        self._network = network
        self._cache = network.new_cache()
        self.slots = slots
        self.prefix_cache = PrefixCache(capacity // _PREFIX_SHARE)
        self._capacity = capacity - self.prefix_cache.capacity
        self.rows: list[DecodeRow] = []
        self.n_unsure = 0

    def fitting(self, waiting: Sequence[DecodeRow]) -> int:
        """The number of first waiting rows that can join now; at least 1 in an empty batch."""
        # A row counts with its full length, so that memory never runs out halfway; and what is read
        # for rows that join is limited, so that those in flight do not pause for long.
        longest = max((row.max_length for row in self.rows), default=0)
        tokens = 0
        for n, row in enumerate(waiting):
            n_rows = len(self.rows) + n + 1
            longest = max(longest, row.max_length)
            tokens += len(row.prompt)
            fits = n_rows <= self.slots and n_rows * longest <= self._capacity
            if n_rows > 1 and not (fits and (tokens <= PREFILL_TOKENS or n == 0)):
                return n
        return len(waiting)

    def join(self, rows: Sequence[DecodeRow]) -> None:
        """Adds rows and draws the first token of each."""
        prompts = [row.prompt for row in rows]
        cache_shared_prefixes(self._network, self.prefix_cache, prompts)
        # for all passes at once: each would enlarge the buffers again, and copy them
        self._cache.reserve(len(rows), max(map(len, prompts)))
        for numbers, (logits, layers) in read(self._network, self.prefix_cache, prompts):
            group = [rows[number] for number in numbers]
            self._cache.append(layers)
            self.rows += group
            self._write(group, logits)

    def step(self) -> None:
        """Draws one more token for every row."""
        logits = self._network.decode(
            [row.written[-1] for row in self.rows], [row.n_cached for row in self.rows], self._cache
        )
        self._write(self.rows, logits)

    def leave(self, is_over: Callable[[DecodeRow], bool]) -> list[DecodeRow]:
        """Removes the rows that are over, and stores their keys and values as prefixes."""
        over: list[DecodeRow] = []
        # From the end: the last row, which takes the place of one that leaves, was seen by then.
        for index in reversed(range(len(self.rows))):
            row = self.rows[index]
            if is_over(row):
                over.append(row)
                cached = (row.prompt + row.written)[:-1]
                self.prefix_cache.store(cached, partial(self._cache.prefix, index, len(cached)))
                self.rows[index] = self.rows[-1]
                self.rows.pop()
                self._cache.drop(index)
        return over

    def clear(self) -> None:
        """Drops all rows and prefixes, and the memory of both."""
        self.rows.clear()
        self.prefix_cache.clear()
        self._cache = self._network.new_cache()

    def shrink(self) -> bool:
        """Halves what is in memory at a time; False where that is the least already."""
        if self.slots == 1 and not self.prefix_cache.capacity:
            return False
        self.prefix_cache.capacity = self.prefix_cache.capacity // 2 if self.slots > 1 else 0
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
                # Margin 0 decides in any case, and from logits that no neighbour has touched.
                alone = self._network.alone(row.prompt + row.written)
                ((token,), _) = draw(alone, [draws[index]], 0.0)
            row.written.append(token)


class StopCriteria:
    """When a response ends, and its text. `stop_ids` are the tokens that end a turn."""

    def __init__(self, tokenizer: Tokenizer, stop_ids: frozenset[int]) -> None:
        self._tokenizer = tokenizer
        self._stop_ids = stop_ids

    def is_over(self, row: DecodeRow) -> bool:
        """Whether the turn has ended, a stop string was written, or the limit is reached."""
        if row.written[-1] in self._stop_ids or len(row.written) >= row.limit:
            return True
        stops = row.sampling.stop
        if not stops:
            return False
        # A token is a byte or more, so a stop string lies within as many tokens as it has bytes.
        # Those are decoded first: decoding everything at each token would be quadratic.
        longest = max(len(stop.encode()) for stop in stops) + _SPARE_TOKENS
        # Then everything: decoded from the middle, the same tokens may give another text.
        for written in (row.written[-longest:], row.written):
            text = decode(self._tokenizer, written)
            if len(until_stop(text, stops)) == len(text):
                return False
        return True

    def completion(self, row: DecodeRow) -> Completion:
        """The response up to the first stop string, with its reasoning in a field of its own."""
        has_ended = row.written[-1] in self._stop_ids
        text = decode(self._tokenizer, row.written[:-1] if has_ended else row.written)
        cut = until_stop(text, row.sampling.stop)
        is_stopped = has_ended or len(cut) < len(text)
        # A chat template may end with `<think>`: then the response begins inside of the block.
        end = self._tokenizer.decode(
            row.prompt[-_OPENING_TOKENS:],
            skip_special_tokens=False,
            clean_up_tokenization_spaces=False,
        )
        reasoning, answer = split_reasoning(opening_at_end(end) + cut)
        return Completion(
            text=answer,
            stop_reason="stop" if is_stopped else "length",
            usage=Usage(len(row.prompt), len(row.written)),
            reasoning=reasoning,
        )


_UNFILTERED = Sampling()


@dataclass(frozen=True, slots=True)
class SamplerState:
    """One token to be drawn: the `position`-th of a response under `seed`."""

    sampling: Sampling
    seed: int
    position: int

    @property
    def key(self) -> tuple[int, int]:
        """Two signed 32-bit numbers that decide the noise."""
        name = f"{self.seed}:{self.position}".encode()
        first, second = struct.unpack("<ii", hashlib.blake2b(name, digest_size=8).digest())
        return first, second


def draw(
    logits: Tensor, draws: Sequence[SamplerState], margin: float
) -> tuple[list[int], list[bool]]:
    """The token id of each row of `logits` (rows × vocabulary), and whether the row is unsure.

    Temperature 0 takes the most probable token. `top_k` and `top_p` both look at the whole
    distribution, and a token must pass both; equal logits pass or fail together. With margin 0 no
    row is unsure.

    Raises:
        ModelError: The logits are not numbers.
    """
    # Gumbel-max, unlike the inverse of a cumulative sum, is unsure at a rate of at most about
    # 2·margin/temperature, however flat the distribution is.
    temperature = _column([d.sampling.temperature or 1.0 for d in draws], logits)
    slack = 2 * margin / temperature
    scaled = logits.double() / temperature
    scores, sure = scaled, -torch.inf
    if any(d.sampling.temperature for d in draws):
        keys = torch.tensor([d.key for d in draws], dtype=torch.int32, device=logits.device)
        is_sampled = _column([d.sampling.temperature > 0 for d in draws], logits)
        scores = scaled + gumbel_noise(keys, logits.shape[1]) * is_sampled
    if any(_is_filtered(d.sampling) for d in draws):
        least, sure = _thresholds(scaled, [d.sampling for d in draws], slack)
        scores = scores.masked_fill(scaled < least, -torch.inf)
    best, chosen = scores.max(1, keepdim=True)
    second = scores.scatter(1, chosen, -torch.inf).amax(1, keepdim=True)
    # A token with no rival above the lower threshold wins even if it is below the upper one.
    certain = (scaled.gather(1, chosen) >= sure) | (second == -torch.inf)
    unsure = ~certain | (best - second < slack)
    # One transfer for all three: each would wait for the GPU.
    columns = torch.cat([chosen, unsure.long(), best.isfinite().long()], dim=1)
    table = cast(list[list[int]], columns.tolist())  # pyright: ignore[reportUnknownMemberType]
    if not all(is_finite for _, _, is_finite in table):
        raise ModelError(
            "The model's logits are not finite numbers. Its weights may be damaged, or its "
            "dtype too narrow: load it with dtype float32."
        )
    return [token for token, _, _ in table], [bool(flag) for _, flag, _ in table]


def gumbel_noise(keys: Tensor, n_tokens: int) -> Tensor:
    """Standard Gumbel noise (rows × n_tokens, float64), a function of each row's key alone.

    `keys` is rows × 2 of int32. Each token's number is scrambled once, spread by one half of the
    key and scrambled again with the other, which gives 32 random bits, then one value.
    """
    # Integers wrap around at 32 bits on every device alike, and the rest is float64, so the noise
    # has the same bits on a CPU and on a GPU. The constants are odd and spread bits well
    # (−1640531527 is 2³² divided by the golden ratio, as a signed number).
    tokens = torch.arange(1, n_tokens + 1, dtype=torch.int32, device=keys.device)
    spread = _scramble(tokens * -1640531527)[None] * (keys[:, :1] | 1)
    bits = _scramble(spread.add_(keys[:, 1:]))
    uniform = bits.double().add_(2**31 + 0.5).mul_(2**-32)
    return uniform.log_().neg_().log_().neg_()


def _scramble(x: Tensor) -> Tensor:
    """Every bit of the int32 values made to depend on all of their bits, one to one; in place.

    Two rounds of shift, xor and odd multiplication. The mask makes `>>` shift zeros in.
    """
    x ^= (x >> 16) & 0xFFFF
    x *= 0x7FEB352D
    x ^= (x >> 15) & 0x1FFFF
    x *= -2073254261
    x ^= (x >> 16) & 0xFFFF
    return x


def _column(values: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, device=like.device)[:, None]


def _is_filtered(sampling: Sampling) -> bool:
    return sampling.temperature > 0 and (sampling.top_k > 0 or sampling.top_p < 1)


def _thresholds(
    scaled: Tensor, samplings: Sequence[Sampling], slack: Tensor
) -> tuple[Tensor, Tensor]:
    """Two scaled logits per row: below the first no token passes, from the second on all do."""
    # Without slack both are the value of the last token that passes. When each logit moves by up to
    # slack/2, a token's rank can change with those within `slack` of it, and the log-odds of any
    # set of tokens move by up to `slack`; the two bounds follow from that.
    n_tokens = scaled.shape[1]
    ordered = scaled.sort(dim=1, descending=True).values
    mass = ordered.softmax(1).cumsum(1)
    active = [s if _is_filtered(s) else _UNFILTERED for s in samplings]
    rank = _column([min(s.top_k or n_tokens, n_tokens) for s in active], scaled).long()
    share = _column([s.top_p for s in active], scaled)
    by_rank = ordered.gather(1, rank - 1)

    def by_share(shift: Tensor) -> Tensor:
        least_mass = torch.sigmoid(torch.logit(share) + shift)
        last = (mass < least_mass).sum(1, keepdim=True).clamp(max=n_tokens - 1)
        return torch.where(share < 1, ordered.gather(1, last), -torch.inf)

    least = torch.maximum(by_rank, by_share(slack)) - slack
    sure = torch.maximum(by_rank, by_share(-slack)) + slack
    return least, sure
