"""Asking again: the only place that does.

Clients raise typed errors; what says `retryable` is asked again after an exponentially growing
pause with jitter, so that many examples in flight do not come back all at once. A rate limit, an
error of the server, a broken connection, a time-out and an answer that cannot be read may pass. A
request that is refused, for its form, its content or its length, is the same the next time.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from cai.engine.calls.call import Answer, Ask, Call, wrapped
from cai.errors import CaiError, ModelUnavailable
from cai.models.protocol import Model

LONGEST_ADVICE_S = (
    600.0  # a server that asks for a longer pause (a daily quota) is given up at once
)


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and how patiently a call is asked. `jitter` gives numbers in [0, 1).

    Of a server at which three calls in ten fail, ten attempts leave six calls in a million. One
    that answers with something else than the protocol does so for good more often than by chance,
    so it is asked `attempts_unreadable` times. `counts` says how often was asked again, by cause.
    """

    attempts: int = 10
    attempts_unreadable: int = 6
    first_delay_s: float = 0.5
    max_delay_s: float = 60.0
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    jitter: Callable[[], float] = random.random
    counts: Counter[str] = field(default_factory=Counter[str])

    async def answer(self, call: Call, ask: Ask) -> Answer:
        """The first answer that comes.

        Raises:
            ModelUnavailable: None came; the message says how often it was asked.
            CaiError: The first error that is not retryable, as it was.
        """
        attempt = n_unreadable = 0
        while True:
            attempt += 1
            try:
                return await ask()
            except CaiError as error:
                if not error.retryable:
                    raise
                advice_s = _advice_s(error)
                n_unreadable += error.cause == "invalid answer"
                is_last = attempt >= self.attempts or n_unreadable >= self.attempts_unreadable
                if is_last or advice_s > LONGEST_ADVICE_S:
                    raise _given_up(call, error, attempt) from error
                self.counts[error.cause] += 1
            await self.sleep(self._delay_s(attempt, advice_s))

    def _delay_s(self, attempt: int, advice_s: float) -> float:
        """Half to all of the doubled pause; never less than the server's own advice."""
        pause_s = min(self.max_delay_s, self.first_delay_s * 2 ** (attempt - 1))
        jitter = self.jitter()
        if advice_s >= pause_s:
            return advice_s + jitter * self.first_delay_s
        return max(advice_s, pause_s * (0.5 + 0.5 * jitter))


def retrying(model: Model, retry: Retry | None = None) -> Model:
    """The model, asked again when a failure may pass."""
    return wrapped(model, (retry or Retry()).answer)


def _advice_s(error: CaiError) -> float:
    return (error.retry_after_s or 0.0) if isinstance(error, ModelUnavailable) else 0.0


def _given_up(call: Call, error: CaiError, attempts: int) -> ModelUnavailable:
    times = "once" if attempts == 1 else f"{attempts} times"
    message = f"{error} ({call.model} was asked {times}.)"
    return ModelUnavailable(message, _advice_s(error) or None, error.cause)
