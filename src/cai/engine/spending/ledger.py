"""The accounts of a run: calls, tokens and dollars by the role and the model that took them.

They begin with what the journal holds, so they are those of the whole run and not of one process.
Calls that failed are not in them: no server says what a failure took.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cai.engine.spending.prices import PriceList
from cai.engine.storage.database import Database
from cai.models.protocol import Usage


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
