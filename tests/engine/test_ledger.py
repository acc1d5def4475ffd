"""The accounts: by role and model, from a journal and live, and what is not known."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from slow_servers import call_of

from cai.engine.budget import Account, Ledger, Price, PriceList
from cai.engine.database import Database
from cai.engine.journal import Journal
from cai.engine.writer import Writer
from cai.models.base import Completion, Usage

PRICES = PriceList(
    (
        {
            "dear": Price(million_in_usd=10, million_out_usd=20),
            "free": Price(million_in_usd=0, million_out_usd=0),
        },
    )
)


def ledger_of(*entries: tuple[str, str, Usage]) -> Ledger:
    ledger = Ledger(PRICES)
    for role, model, usage in entries:
        ledger.add(role, model, usage)
    return ledger


def test_an_empty_ledger_has_spent_nothing():
    ledger = Ledger(PRICES)
    assert (ledger.n_calls, ledger.usage, ledger.n_tokens) == (0, Usage(), 0)
    assert (ledger.cost_usd, ledger.least_cost_usd) == (0, 0)
    assert ledger.by_role() == {}


def test_calls_tokens_and_dollars_add_up():
    """2 · (1000 · $10 + 500 · $20) / 10⁶ = $0.04; the free model adds tokens and no dollars."""
    ledger = ledger_of(
        ("judge", "dear", Usage(1000, 500)),
        ("judge", "dear", Usage(1000, 500)),
        ("respond", "free", Usage(7, 3)),
    )
    assert ledger.accounts["judge", "dear"] == Account(2, 0, Usage(2000, 1000))
    assert (ledger.n_calls, ledger.usage, ledger.n_tokens) == (3, Usage(2007, 1003), 3010)
    assert ledger.cost_usd == pytest.approx(0.04)
    assert ledger.least_cost_usd == pytest.approx(0.04)


def test_without_a_price_the_cost_is_unknown_and_not_nothing():
    ledger = ledger_of(("judge", "dear", Usage(1000, 500)), ("respond", "odd", Usage(7, 3)))
    assert ledger.cost_usd is None
    assert ledger.least_cost_usd == pytest.approx(0.02)


def test_where_tokens_were_not_counted_the_cost_is_unknown():
    ledger = ledger_of(("judge", "dear", Usage(1000, 500)), ("judge", "dear", Usage()))
    assert ledger.accounts["judge", "dear"] == Account(2, 1, Usage(1000, 500))
    assert ledger.cost_usd is None
    assert ledger.least_cost_usd == pytest.approx(0.02)


def test_where_tokens_are_free_nobody_needs_to_count_them():
    assert ledger_of(("judge", "free", Usage())).cost_usd == 0.0


def test_the_accounts_of_a_role_are_told_over_all_its_models_in_order():
    ledger = ledger_of(
        ("respond", "free", Usage(1, 1)),
        ("judge", "free", Usage(5, 3)),
        ("judge", "dear", Usage()),
    )
    assert list(ledger.by_role().items()) == [
        ("judge", Account(2, 1, Usage(5, 3))),
        ("respond", Account(1, 0, Usage(1, 1))),
    ]


async def test_accounts_from_a_journal_are_those_that_were_kept_live(tmp_path: Path):
    live = Ledger(PRICES)
    with closing(Database(tmp_path / "journal.sqlite")) as database:
        with closing(Writer(database)) as writer:
            journal = Journal(database, writer)
            for number, (role, model, usage) in enumerate(
                [
                    ("judge", "dear", Usage(1000, 500)),
                    ("judge", "dear", Usage()),
                    ("judge", "free", Usage(5, 3)),
                    ("respond", "dear", Usage(1, 0)),
                ]
            ):
                call = replace(call_of(f"Question {number}", model=model), role=role)
                await journal.store(call, Completion("Left.", usage=usage))
                live.add(role, model, usage)
        again = Ledger.of(database, PRICES)
    assert again == live
    assert again.accounts["judge", "dear"] == Account(2, 1, Usage(1000, 500))


def test_an_empty_journal_has_no_accounts(tmp_path: Path):
    with closing(Database(tmp_path / "journal.sqlite")) as database:
        assert Ledger.of(database, PRICES) == Ledger(PRICES)
