"""Prices, the ledger of a run's calls, tokens and dollars, and the budget that enforces its caps.

A cap limits the whole run, including what earlier processes spent. A call passes only if it fits
under the cap together with all calls in flight, each counted with the most that it may take; if
not, it waits for those in flight, which mostly take less. If none is in flight and it still does
not fit, or hardly anything is left, the budget closes: no new call starts, those in flight are
finished and stored.

Example:
    ledger = Ledger.of(run.database, load_prices(Path("prices.yaml")))
    budget = Budget(ledger, Caps(cost_usd=5.0))
    answer = await budget.answer(call, lambda: call_model(model, call))
    print(ledger.cost_usd, ledger.by_role()["judge"].usage)
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cai.constitution.yaml import MAX_BYTES, read_plain
from cai.engine.calls import Answer, Call, CallNext
from cai.engine.database import Database
from cai.errors import ConstitutionError, RunStopped, UsageError
from cai.models.base import Usage

SHIPPED = Path(__file__).with_name("prices.yaml")

_TOKENS_A_BYTE = 0.5  # more than texts of any language take with usual tokenizers
_TOKENS_A_MESSAGE = 16
_NEARLY = 0.98  # of a cap; the rest is not worth one call at a time

_TOTALS = """SELECT role, model, count(*), sum(prompt_tokens + completion_tokens = 0),
    sum(prompt_tokens), sum(completion_tokens) FROM calls GROUP BY role, model"""

_Usd = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Price(BaseModel):
    """US dollars per million tokens, of prompts and of completions."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    million_in_usd: _Usd
    million_out_usd: _Usd

    def of(self, usage: Usage) -> float:
        """US dollars for so many tokens."""
        prompts = usage.prompt_tokens * self.million_in_usd
        return (prompts + usage.completion_tokens * self.million_out_usd) / 1e6


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    as_of: str = ""
    models: Mapping[str, Price]


@dataclass(frozen=True, slots=True)
class PriceList:
    """Prices by pattern of model names, such as `openai:gpt-4.1-mini@api.openai.com*`.

    The pattern contains the host, so a model of that name on one's own server is not billed as the
    hosted one. An earlier table goes before a later one; within a table the longest pattern that
    fits wins. A model without a price has an unknown cost, which is never counted as free.
    """

    tables: tuple[Mapping[str, Price], ...] = ()

    def find(self, model: str) -> Price | None:
        """The price of the model of that name; None if unknown."""
        for table in self.tables:
            matching = [pattern for pattern in table if fnmatchcase(model, pattern)]
            if matching:
                return table[max(matching, key=len)]
        return None


def load_prices(own: Path | None = None) -> PriceList:
    """The shipped prices, and before them the user's own.

    Raises:
        UsageError: The file cannot be read, or is not a table of prices.
    """
    tables = [_read(SHIPPED).models]
    if own is not None:
        tables.insert(0, _read(own).models)
    return PriceList(tuple(tables))


def _read(path: Path) -> _Table:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        return _Table.model_validate(read_plain(data, str(path)))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}. Name a file of prices.") from error
    except ConstitutionError as error:  # the reader is that of constitutions
        raise UsageError(str(error)) from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part)[:60] for part in first["loc"]) or "the file"
        raise UsageError(
            f"{path}: {where}: {first['msg']}. Write it as\n"
            "models:\n  'openai:MODEL@HOST*': {million_in_usd: 0.40, million_out_usd: 1.60}"
        ) from error


@dataclass(frozen=True, slots=True)
class Account:
    """The calls and tokens of one role with one model, of answered calls only.

    Failed calls are not counted, since no server reports their tokens. `n_uncounted` is the number
    of answers that came without a count of tokens.
    """

    n_calls: int = 0
    n_uncounted: int = 0
    usage: Usage = Usage()

    def plus(self, n_calls: int, n_uncounted: int, usage: Usage) -> "Account":
        return Account(self.n_calls + n_calls, self.n_uncounted + n_uncounted, self.usage + usage)


@dataclass(slots=True)
class Ledger:
    """Accounts by role and model."""

    prices: PriceList = PriceList()
    accounts: dict[tuple[str, str], Account] = field(default_factory=dict[tuple[str, str], Account])

    @classmethod
    def of(cls, database: Database, prices: PriceList) -> "Ledger":
        """The accounts of all calls in a journal, so of the whole run and not of one process."""
        ledger = cls(prices)
        for role, model, n_calls, n_uncounted, *tokens in database.rows(_TOTALS):
            ledger.accounts[role, model] = Account(n_calls, n_uncounted, Usage(*tokens))
        return ledger

    def add(self, role: str, model: str, usage: Usage) -> None:
        """Adds an answered call."""
        before = self.accounts.get((role, model), Account())
        self.accounts[role, model] = before.plus(1, int(usage == Usage()), usage)

    @property
    def n_calls(self) -> int:
        return sum(each.n_calls for each in self.accounts.values())

    @property
    def usage(self) -> Usage:
        return sum((each.usage for each in self.accounts.values()), Usage())

    @property
    def n_tokens(self) -> int:
        """Of prompts and completions, of all roles."""
        return _total(self.usage)

    @property
    def cost_usd(self) -> float | None:
        """US dollars; None if it is unknown for one of the accounts."""
        costs = [self.cost_of(model, each) for (_, model), each in self.accounts.items()]
        known = [cost for cost in costs if cost is not None]
        return sum(known) if len(known) == len(costs) else None

    @property
    def least_cost_usd(self) -> float:
        """US dollars of the tokens that were counted and have a price: a lower bound."""
        priced = ((self.prices.find(model), each) for (_, model), each in self.accounts.items())
        return sum(price.of(each.usage) for price, each in priced if price is not None)

    def cost_of(self, model: str, account: Account) -> float | None:
        """US dollars; None if the model's price is unknown, or tokens were not counted."""
        price = self.prices.find(model)
        # At a price of zero the missing counts do not matter.
        if price is None or (account.n_uncounted and price.of(Usage(1, 1))):
            return None
        return price.of(account.usage)

    def by_role(self) -> Mapping[str, Account]:
        """The accounts of each role over all models, in the order of their names."""
        by_role: dict[str, Account] = {}
        for (role, _), each in sorted(self.accounts.items()):
            before = by_role.get(role, Account())
            by_role[role] = before.plus(each.n_calls, each.n_uncounted, each.usage)
        return by_role


@dataclass(frozen=True, slots=True)
class Caps:
    """The most that a run may spend in total; None is no cap."""

    cost_usd: float | None = None
    tokens: int | None = None

    def after(self, ledger: Ledger) -> "Caps":
        """What is left of them after the calls in the ledger."""
        cost_usd, tokens = self.cost_usd, self.tokens
        return Caps(
            None if cost_usd is None else max(cost_usd - ledger.least_cost_usd, 0.0),
            None if tokens is None else max(tokens - ledger.n_tokens, 0),
        )

    def check(self, ledger: Ledger, models: Sequence[str]) -> None:
        """Checks before a run that the caps can be enforced.

        Raises:
            UsageError: There is a cap on money, and a model of the run or ledger has no price.
        """
        names = sorted({*models, *(model for _, model in ledger.accounts)})
        unknown = [name for name in names if ledger.prices.find(name) is None]
        if self.cost_usd is not None and unknown:
            raise UsageError(
                f"There is a cap of ${self.cost_usd:g}, and no price of {', '.join(unknown)}. Give "
                "it in a file: --prices prices.yaml."
            )


class Budget:
    """Lets calls pass while the caps allow, and adds what they took to the ledger.

    An answer without a count of tokens counts with the most that its call may take, for good.
    """

    def __init__(self, ledger: Ledger, caps: Caps = Caps()) -> None:
        self.ledger = ledger
        self.caps = caps
        self.closed: RunStopped | None = None
        self.on_close: Callable[[RunStopped], None] = lambda error: None
        self._n_in_flight = 0
        self._reserved = Usage()
        self._reserved_usd = 0.0
        self._uncounted = Usage()  # the most that the answers without a count of tokens took
        self._uncounted_usd = 0.0
        self._one_ended: asyncio.Event | None = None
        self._is_closed = asyncio.Event()

    def close(self, error: RunStopped) -> None:
        """Lets no new call pass; those in flight are finished. The first reason stays."""
        if self.closed is None:
            self.closed = error
            self._is_closed.set()
            self.on_close(error)
            self._wake()

    async def pause(self, seconds: float) -> None:
        """Waits so long, or until the budget is closed: then no pause before a retry has a use."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._is_closed.wait(), seconds)

    async def answer(self, call: Call, call_next: CallNext) -> Answer:
        """The answer of `call_next`, once the caps allow the call.

        Raises:
            RunStopped: The budget is closed.
        """
        n_bytes = sum(len(message.content.encode("utf-8", "replace")) for message in call.messages)
        prompt_tokens = int(n_bytes * _TOKENS_A_BYTE) + _TOKENS_A_MESSAGE * len(call.messages)
        most = Usage(prompt_tokens, call.sampling.max_tokens if call.sampling else 1)
        most_usd = 0.0
        if self.caps.cost_usd is not None and (price := self.ledger.prices.find(call.model)):
            most_usd = price.of(most)
        while True:
            if self.closed is not None:
                raise self.closed
            reached = self._reached_cap(most, most_usd)
            if reached is None:
                break
            # Close early when the rest is small: otherwise the run would crawl on for long with one
            # call in flight at a time.
            cap_usd, cap_tokens = self.caps.cost_usd, self.caps.tokens
            is_nearly_spent = (cap_usd is not None and self._spent_usd >= _NEARLY * cap_usd) or (
                cap_tokens is not None and self._spent_tokens >= _NEARLY * cap_tokens
            )
            if not self._n_in_flight or is_nearly_spent:
                self.close(RunStopped(reached))
                continue
            self._one_ended = self._one_ended or asyncio.Event()
            await self._one_ended.wait()
        # No await between the check and here, or two calls could pass on the same money.
        self._n_in_flight += 1
        self._reserved += most
        self._reserved_usd += most_usd
        try:
            answer = await call_next()
            self.ledger.add(call.role, call.model, answer.usage)
            if answer.usage == Usage():
                self._uncounted += most
                self._uncounted_usd += most_usd
            return answer
        finally:
            self._n_in_flight -= 1
            self._reserved = Usage(
                self._reserved.prompt_tokens - most.prompt_tokens,
                self._reserved.completion_tokens - most.completion_tokens,
            )
            self._reserved_usd -= most_usd
            self._wake()

    @property
    def _spent_usd(self) -> float:
        return self.ledger.least_cost_usd + self._uncounted_usd

    @property
    def _spent_tokens(self) -> int:
        return self.ledger.n_tokens + _total(self._uncounted)

    def _reached_cap(self, most: Usage, most_usd: float) -> str | None:
        """The message about the cap that a call of so much does not fit under; None if it fits."""
        caps = self.caps
        if caps.cost_usd is not None:
            spent_usd, reserved_usd = self._spent_usd, self._reserved_usd
            if spent_usd + reserved_usd + most_usd > caps.cost_usd:
                parts = (f"${each:.4f}" for each in (spent_usd, reserved_usd, most_usd))
                return self._message(f"${caps.cost_usd:g}", *parts, option="--max-cost-usd")
        if caps.tokens is not None:
            spent, reserved, needed = self._spent_tokens, _total(self._reserved), _total(most)
            if spent + reserved + needed > caps.tokens:
                parts = (f"{each:,}" for each in (spent, reserved, needed))
                return self._message(f"{caps.tokens:,} tokens", *parts, option="--max-total-tokens")
        return None

    def _message(self, cap: str, spent: str, reserved: str, needed: str, *, option: str) -> str:
        n = self._n_in_flight
        in_flight = f", {n} call{'s' if n > 1 else ''} in flight may take {reserved} more"
        return (
            f"The cap of {cap} is reached: {spent} are spent{in_flight if n else ''}, and the next "
            f"call may take {needed}. Raise {option} and give the same command again; no finished "
            "call is repeated."
        )

    def _wake(self) -> None:
        if self._one_ended is not None:
            ended, self._one_ended = self._one_ended, None
            ended.set()


def _total(usage: Usage) -> int:
    return usage.prompt_tokens + usage.completion_tokens
