"""The counts of a run in progress, and snapshots of them at a steady beat."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

from cai.engine.engine import Engine
from cai.engine.telling.snapshot import Snapshot, State

BEAT_S = 0.5

Teller = Callable[[Snapshot], None]


class Progress:
    """What finishes, counted. `n_before` examples of `total` were done when this began."""

    def __init__(
        self,
        engine: Engine,
        total: int | None,
        n_before: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.done = self.flagged = 0
        self.failures = Counter[str]()
        self._engine = engine
        self._total = total
        self._n_before = n_before
        self._clock = clock
        self._began_s = clock()

    def add_done(self, is_flagged: bool) -> None:
        self.done += 1
        self.flagged += is_flagged

    def add_failed(self, cause: str) -> None:
        self.failures[cause] += 1

    def snapshot(self, state: State = "running") -> Snapshot:
        engine = self._engine
        return Snapshot(
            state=state,
            elapsed_s=self._clock() - self._began_s,
            total=self._total,
            n_before=self._n_before,
            done=self.done,
            failed=self.failures.total(),
            flagged=self.flagged,
            n_calls=engine.journal.calls,
            n_from_journal=engine.journal.hits,
            usage=engine.journal.usage,
            cost_usd=engine.gate.ledger.cost_usd,
            retries=dict(engine.retry.counts),
            failures=dict(self.failures),
            n_waiting=engine.n_waiting,
            n_hedged=engine.n_hedged,
            endpoints=tuple(engine.lanes()),
        )


@asynccontextmanager
async def told(
    progress: Progress, tellers: Sequence[Teller], beat_s: float = BEAT_S
) -> AsyncGenerator[None]:
    """While it is open, each teller gets a snapshot at every beat; and a last one at the end."""
    beating = asyncio.create_task(_beat(progress, tellers, beat_s))
    state: State = "stopped"
    try:
        yield
        state = "finished"
    finally:
        beating.cancel()
        with suppress(asyncio.CancelledError):
            await beating
        _tell(tellers, progress.snapshot(state))


async def _beat(progress: Progress, tellers: Sequence[Teller], beat_s: float) -> None:
    while True:
        _tell(tellers, progress.snapshot())
        await asyncio.sleep(beat_s)


def _tell(tellers: Sequence[Teller], snapshot: Snapshot) -> None:
    for tell in tellers:
        tell(snapshot)
