"""The budget before every new call: caps on money and tokens, and a run that is asked to end.

A cap is one on the whole run, with what earlier processes spent. A call passes only if it fits
under the cap together with all that is in flight, each counted with the most that it may write; if
not, it waits for those in flight, which mostly take less. When nothing is in flight and it still
does not fit, or hardly anything is left, the budget closes: no new call is made, those in flight
are finished, and all of it is kept.
A call of which the server does not tell the tokens counts with the most for good.

The accounts of a run: calls, tokens and dollars by the role and the model that took them.

They begin with what the journal holds, so they are those of the whole run and not of one process.
Calls that failed are not in them: no server says what a failure took.

What a model's tokens cost, from the table that ships and from the user's own.

A price belongs to a pattern of model names (`openai:gpt-4.1-mini@api.openai.com*`), so the same
name on one's own server is never billed as the hosted one. The user's table goes first; within a
table the longest pattern that fits does. What has no price is told as unknown, never as free.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cai.engine.calls import Answer, Ask, Call
from cai.engine.database import Database
from cai.errors import RunStopped, UsageError
from cai.models.base import Usage

SHIPPED = Path(__file__).with_name("prices.yaml")

_Usd = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Price(BaseModel):
    """US dollars for a million tokens read and written."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    million_in_usd: _Usd
    million_out_usd: _Usd

    def of(self, usage: Usage) -> float:
        """US dollars for so many tokens."""
        read = usage.prompt_tokens * self.million_in_usd
        return (read + usage.completion_tokens * self.million_out_usd) / 1e6


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    as_of: str = ""
    models: Mapping[str, Price]


@dataclass(frozen=True, slots=True)
class PriceList:
    """Tables of prices by pattern of name, those that go first before the others."""

    tables: tuple[Mapping[str, Price], ...] = ()

    def find(self, model: str) -> Price | None:
        """The price of the model of that name; None where nobody knows it."""
        for table in self.tables:
            fitting = [pattern for pattern in table if fnmatchcase(model, pattern)]
            if fitting:
                return table[max(fitting, key=len)]
        return None


def load_prices(own: Path | None = None) -> PriceList:
    """The shipped prices, and the user's own before them.

    Raises:
        UsageError: The file cannot be read, or is no table of prices.
    """
    tables = [_read(SHIPPED).models]
    if own is not None:
        tables.insert(0, _read(own).models)
    return PriceList(tuple(tables))


def _read(path: Path) -> _Table:
    try:
        return _Table.model_validate(yaml.safe_load(path.read_text("utf-8")))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}. Name a file of prices.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        line = " ".join(str(error).split())
        raise UsageError(f"{path}: is no YAML ({line}). Repair it.") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise UsageError(
            f"{path}: {where}: {first['msg']}. Write it as\n"
            "models:\n  'openai:MODEL@HOST*': {million_in_usd: 0.40, million_out_usd: 1.60}"
        ) from error


@dataclass(frozen=True, slots=True)
class Account:
    """What one role took of one model. `n_uncounted` calls came without numbers of tokens."""

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
        """The accounts of all calls that a journal holds."""
        ledger = cls(prices)
        for role, model, n_calls, n_uncounted, read, written in database.rows(_TOTALS):
            ledger.accounts[role, model] = Account(n_calls, n_uncounted, Usage(read, written))
        return ledger

    def add(self, role: str, model: str, usage: Usage) -> None:
        """Enters a call that was answered."""
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
        """Read and written, of all roles."""
        return self.usage.prompt_tokens + self.usage.completion_tokens

    @property
    def cost_usd(self) -> float | None:
        """US dollars; None where the price of a model that was asked is not known."""
        costs = [self.cost_of(model, each) for (_, model), each in self.accounts.items()]
        known = [cost for cost in costs if cost is not None]
        return sum(known) if len(known) == len(costs) else None

    @property
    def least_cost_usd(self) -> float:
        """US dollars of the tokens that were counted and have a price: no less was spent."""
        priced = ((self.prices.find(model), each) for (_, model), each in self.accounts.items())
        return sum(price.of(each.usage) for price, each in priced if price is not None)

    def cost_of(self, model: str, account: Account) -> float | None:
        """US dollars; None where the model's price is not known, or tokens were not counted."""
        price = self.prices.find(model)
        if price is None or (account.n_uncounted and price.of(Usage(1, 1))):
            return None
        return price.of(account.usage)

    def by_role(self) -> Mapping[str, Account]:
        """The accounts of each role over all models, in the order of their names."""
        found: dict[str, Account] = {}
        for (role, _), each in sorted(self.accounts.items()):
            before = found.get(role, Account())
            found[role] = before.plus(each.n_calls, each.n_uncounted, each.usage)
        return found


_TOTALS = """SELECT role, model, count(*), sum(prompt_tokens + completion_tokens = 0),
    sum(prompt_tokens), sum(completion_tokens) FROM calls GROUP BY role, model"""


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


class Budget:
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
        """Waits so long, or until the budget is closed: then there is nothing to wait for."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._is_closed.wait(), seconds)

    async def answer(self, call: Call, ask: Ask) -> Answer:
        """The answer of `ask`, once it may be asked.

        Raises:
            RunStopped: The budget is closed.
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
