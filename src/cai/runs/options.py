"""How a run is executed, none of which changes a result, and the estimate of a whole run.

The estimate of calls, tokens, money and time comes from the examples that are done.

Example:
    >>> RunOptions(limit=10, part=Part(1, 2)).n_of(100)
    5
"""

import math
from dataclasses import dataclass
from pathlib import Path

from cai.engine.budget import Account, Caps, Ledger
from cai.engine.progress import ProgressListener, Snapshot
from cai.errors import UsageError
from cai.models.base import Usage


@dataclass(frozen=True, slots=True)
class Part:
    """The examples whose position leaves `number` − 1 when divided by `of`.

    The parts of a source share no example and together are the whole; each is a run of its own,
    made by any machine, and an export of all their folders is that of one run over the whole.
    """

    number: int
    of: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            raise UsageError(
                f"There is no part {self.number} of {self.of}. Write 1/4, 2/4, 3/4 and 4/4."
            )

    def has(self, position: int) -> bool:
        return position % self.of == self.number - 1


WHOLE = Part(1, 1)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What may differ between two starts of the same run.

    `concurrency` is the most calls at a time to each endpoint; with None the engine adapts it.
    `limit` takes only the first examples of the source, or of each of its `sets`, where it has
    several of these sizes; `sample` takes so many spread over it. A later start of the same run
    does the others. `retry_failed` repeats examples that failed for a lasting
    cause. `update` replaces a run with other settings; calls that both have in common are answered
    from the journal. `hedges` sends duplicates of the slowest calls. `whole` is the number of
    examples to estimate for, where the source is itself a sample. `prices` is a file of prices that
    take precedence over the shipped ones. `tell` receives every snapshot, and the console then
    shows no progress.
    """

    concurrency: int | None = None
    limit: int | None = None
    sets: tuple[int, ...] = ()
    sample: int | None = None
    part: Part = WHOLE
    retry_failed: bool = False
    update: bool = False
    hedges: bool = False
    whole: int | None = None
    caps: Caps = Caps()
    prices: Path | None = None
    tell: ProgressListener | None = None

    def check(self) -> None:
        """Finds out before a run whether its parts fit together.

        Raises:
            UsageError: There is a cap, and slow calls are to be sent twice.
        """
        if self.hedges and self.caps != Caps():
            raise UsageError(
                "A cap cannot be enforced with hedging: the cost of the duplicate that comes "
                "second stays unknown. Leave one of the two out."
            )

    def n_of(self, n_items: int) -> int:
        """How many of the source's `n_items` examples belong to this start, sampled or not."""
        return sum(map(self.has, range(min(n_items, self.end or n_items))))

    @property
    def end(self) -> int | None:
        """The position from which on there is no example of this start; None if unknown."""
        return None if self.sets else self.limit

    def has(self, position: int) -> bool:
        """Whether the example at that position belongs to this start, sampled or not."""
        start = 0
        for size in self.sets:
            if position < start + size:
                break
            start += size
        is_within = self.limit is None or position - start < self.limit
        return is_within and self.part.has(position)

    def is_sampled(self, index: int, n: int) -> bool:
        """Whether the example of that index among the `n` is one of the sample."""
        if self.sample is None or self.sample >= n:
            return True
        return index * self.sample // n != (index - 1) * self.sample // n


_NORMAL_95 = 1.96


@dataclass(slots=True)
class Spread:
    """The tokens of each of some examples: how many there are, their mean and how they differ."""

    n: int = 0
    _sum: float = 0.0
    _squares: float = 0.0

    def add(self, usage: Usage) -> None:
        tokens = usage.prompt_tokens + usage.completion_tokens
        self.n += 1
        self._sum += tokens
        self._squares += tokens * tokens

    @property
    def uncertainty(self) -> float | None:
        """Half of the 95 % interval of the mean as a share of it; None for fewer than two."""
        if self.n < 2 or not self._sum:
            return None
        mean = self._sum / self.n
        variance = max(self._squares / self.n - mean * mean, 0.0) * self.n / (self.n - 1)
        return _NORMAL_95 * math.sqrt(variance / self.n) / mean


@dataclass(frozen=True, slots=True)
class RoleEstimate:
    """One role of a whole run; `cost_usd` None: a price is not known."""

    role: str
    model: str
    n_calls: float
    prompt_tokens: float
    completion_tokens: float
    cost_usd: float | None


@dataclass(frozen=True, slots=True)
class RunEstimate:
    """A whole run of `n_total` examples as estimated from the `n_sample` that are done.

    `uncertainty` is half of the 95 % interval of the tokens, as a share of them. `seconds` is for
    what is left to do, with as many calls in flight as the endpoints are given now.
    """

    n_sample: int
    n_total: int
    roles: tuple[RoleEstimate, ...]
    uncertainty: float | None
    seconds: float | None

    @property
    def n_calls(self) -> float:
        return sum(each.n_calls for each in self.roles)

    @property
    def cost_usd(self) -> float | None:
        costs = [each.cost_usd for each in self.roles]
        known = [cost for cost in costs if cost is not None]
        return sum(known) if len(known) == len(costs) else None


def estimate(
    ledger: Ledger, spread: Spread, n_total: int, snapshot: Snapshot
) -> RunEstimate | None:
    """The estimate from what the run folder holds; None where no example is done."""
    if not spread.n:
        return None
    times = n_total / spread.n
    roles = tuple(
        _role(ledger, role, model, account, times)
        for (role, model), account in sorted(ledger.accounts.items())
    )
    seconds = _seconds(snapshot, sum(each.n_calls for each in roles), n_total - spread.n)
    uncertainty = spread.uncertainty
    # Finite population correction: what is done already is known exactly.
    if uncertainty is not None:
        uncertainty *= math.sqrt(max(1 - spread.n / n_total, 0.0))
    return RunEstimate(spread.n, n_total, roles, uncertainty, seconds)


def _role(ledger: Ledger, role: str, model: str, account: Account, times: float) -> RoleEstimate:
    cost = ledger.cost_of(model, account)
    return RoleEstimate(
        role,
        model,
        account.n_calls * times,
        account.usage.prompt_tokens * times,
        account.usage.completion_tokens * times,
        None if cost is None else cost * times,
    )


def _seconds(snapshot: Snapshot, n_calls: float, n_left: int) -> float | None:
    """By Little's law where the slots are known; else at the speed of the sample."""
    if not snapshot.done:
        return None
    known = [
        (each.limit, each.latency_s)
        for each in snapshot.endpoints
        if each.limit is not None and each.latency_s is not None
    ]
    if len(known) < len(snapshot.endpoints) or not known:
        return n_left * snapshot.elapsed_s / snapshot.done
    per_s = sum(limit / latency_s for limit, latency_s in known)
    share_left = n_left / max(n_left + snapshot.done + snapshot.n_before, 1)
    return n_calls * share_left / per_s
