"""The next token of each row: randomness without a generator, and detection of near ties.

A token is drawn as the largest of log-probability + Gumbel noise (Gumbel 1954; the "Gumbel-max
trick"). The noise is a hash of (seed, position, token), so a draw depends on nothing else: not on
the batch, the order, or earlier draws. The last bits of logits do depend on the batch. A draw is
therefore unsure when logits that move by up to `margin` could change it; the caller decides unsure
rows again from logits that are a function of the request only.
"""

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from cai.errors import ModelError
from cai.models.base import Sampling

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
