"""The gate before every new call: caps on money and tokens, and a run that is told to end.

A cap is one on the whole run, with what earlier processes spent. A call passes only if it fits
under the cap together with all that is in flight, each counted with the most that it may write; if
not, it waits for those in flight, which mostly take less. When nothing is in flight and it still
does not fit, or hardly anything is left, the gate closes: no new call is made, those in flight are
finished, and all of it is kept.
A call of which the server does not tell the tokens counts with the most for good.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from cai.engine.calls.call import Answer, Ask, Call
from cai.engine.spending.ledger import Ledger
from cai.errors import RunStopped, UsageError
from cai.models.protocol import Usage

_TOKENS_A_BYTE = 0.5  # more than texts of any language take with usual tokenizers
_TOKENS_A_MESSAGE = 16
_NEARLY = 0.98


@dataclass(frozen=True, slots=True)
class Caps:
    """The most that a run may take in all; None is no cap."""

    cost_usd: float | None = None
    tokens: int | None = None

    def after(self, ledger: Ledger) -> "Caps":
        """What the accounts leave of them."""
        cost_usd, tokens = self.cost_usd, self.tokens
        return Caps(
            None if cost_usd is None else max(cost_usd - ledger.least_cost_usd, 0.0),
            None if tokens is None else max(tokens - ledger.n_tokens, 0),
        )

    def check(self, ledger: Ledger, models: Sequence[str]) -> None:
        """Finds out before a run whether the caps can be kept.

        Raises:
            UsageError: There is a cap on money, and a model without a price, asked now or before.
        """
        names = sorted({*models, *(model for _, model in ledger.accounts)})
        unknown = [name for name in names if ledger.prices.find(name) is None]
        if self.cost_usd is not None and unknown:
            raise UsageError(
                f"There is a cap of ${self.cost_usd:g}, and no price of {', '.join(unknown)}. Give "
                "it in a file: --prices prices.yaml."
            )


class Gate:
    """Lets calls pass while the caps allow, and enters what they took in the ledger."""

    def __init__(self, ledger: Ledger, caps: Caps = Caps()) -> None:
        self.ledger = ledger
        self.caps = caps
        self.closed: RunStopped | None = None
        self.on_close: Callable[[RunStopped], None] = lambda error: None
        self._n_inside = 0
        self._reserved = Usage()
        self._reserved_usd = 0.0
        self._uncounted = Usage()  # the most that calls took of which no server told the tokens
        self._uncounted_usd = 0.0
        self._left: asyncio.Event | None = None
        self._is_closed = asyncio.Event()

    def close(self, error: RunStopped) -> None:
        """Lets no new call pass; those inside are finished. The first reason stays."""
        if self.closed is None:
            self.closed = error
            self._is_closed.set()
            self.on_close(error)
            self._wake()

    async def pause(self, seconds: float) -> None:
        """Waits so long, or until the gate is closed: then there is nothing to wait for."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._is_closed.wait(), seconds)

    async def answer(self, call: Call, ask: Ask) -> Answer:
        """The answer of `ask`, once it may be asked.

        Raises:
            RunStopped: The gate is closed.
        """
        most = _most(call)
        most_usd = self._usd(call, most)
        await self._enter(most, most_usd)
        try:
            answer = await ask()
            self.ledger.add(call.role, call.model, answer.usage)
            if answer.usage == Usage():
                self._uncounted += most
                self._uncounted_usd += most_usd
            return answer
        finally:
            self._n_inside -= 1
            self._reserved = Usage(
                self._reserved.prompt_tokens - most.prompt_tokens,
                self._reserved.completion_tokens - most.completion_tokens,
            )
            self._reserved_usd -= most_usd
            self._wake()

    async def _enter(self, most: Usage, most_usd: float) -> None:
        while True:
            if self.closed is not None:
                raise self.closed
            reached = self._reached(most, most_usd)
            if reached is None:
                break
            if not self._n_inside or self._is_nearly_spent():
                self.close(RunStopped(reached))
                continue
            self._left = self._left or asyncio.Event()
            await self._left.wait()
        self._n_inside += 1
        self._reserved += most
        self._reserved_usd += most_usd

    def _reached(self, most: Usage, most_usd: float) -> str | None:
        """What to say where the call does not fit under a cap."""
        caps = self.caps
        if caps.cost_usd is not None:
            spent = self.ledger.least_cost_usd + self._uncounted_usd
            if spent + self._reserved_usd + most_usd > caps.cost_usd:
                flying = _in_flight(f"${self._reserved_usd:.4f}", self._n_inside)
                return (
                    f"The cap of ${caps.cost_usd:g} is reached: ${spent:.4f} are spent{flying}, "
                    f"and the next call may take ${most_usd:.4f}. Raise --max-cost-usd and give "
                    "the same command again; nothing that is finished is asked twice."
                )
        if caps.tokens is not None:
            spent_tokens = self.ledger.n_tokens + _total(self._uncounted)
            reserved = _total(self._reserved)
            if spent_tokens + reserved + _total(most) > caps.tokens:
                flying = _in_flight(f"{reserved:,}", self._n_inside)
                return (
                    f"The cap of {caps.tokens:,} tokens is reached: {spent_tokens:,} are "
                    f"spent{flying}, and the next call may take {_total(most):,}. Raise "
                    "--max-total-tokens and give the same command again; nothing that is finished "
                    "is asked twice."
                )
        return None

    def _is_nearly_spent(self) -> bool:
        """Whether what is left is not worth asking for one call at a time."""
        money, tokens = self.caps.cost_usd, self.caps.tokens
        return (
            money is not None
            and self.ledger.least_cost_usd + self._uncounted_usd >= _NEARLY * money
        ) or (
            tokens is not None
            and self.ledger.n_tokens + _total(self._uncounted) >= _NEARLY * tokens
        )

    def _usd(self, call: Call, most: Usage) -> float:
        if self.caps.cost_usd is None:
            return 0.0
        price = self.ledger.prices.find(call.model)
        return price.of(most) if price else 0.0

    def _wake(self) -> None:
        if self._left is not None:
            left, self._left = self._left, None
            left.set()


def _in_flight(most: str, n_calls: int) -> str:
    calls = "1 call" if n_calls == 1 else f"{n_calls} calls"
    return f", {calls} in flight may take {most} more" if n_calls else ""


def _most(call: Call) -> Usage:
    """The most tokens that the call may take, as far as that can be told before it."""
    n_bytes = sum(len(message.content.encode("utf-8", "replace")) for message in call.messages)
    read = int(n_bytes * _TOKENS_A_BYTE) + _TOKENS_A_MESSAGE * len(call.messages)
    return Usage(read, call.sampling.max_tokens if call.sampling else 1)


def _total(usage: Usage) -> int:
    return usage.prompt_tokens + usage.completion_tokens
