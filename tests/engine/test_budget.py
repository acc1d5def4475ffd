"""The gate: caps that are never exceeded, what waits for what, and what closing does."""

import asyncio
import random

import pytest
from slow_servers import call_of
from virtual_time import in_virtual_time, now_s

from cai.engine.budget import Budget, Caps, Ledger, Price, PriceList
from cai.engine.calls import Answer, CallNext
from cai.errors import ModelUnavailable, RunStopped, UsageError
from cai.models.base import Completion, Usage

PRICES = PriceList(({"server": Price(million_in_usd=100, million_out_usd=1000)},))
SHORT = "0123456789"
"""Ten bytes count as 5 tokens, and a message as 16 more: 21 at most are read."""


def gate_of(caps: Caps) -> Budget:
    return Budget(Ledger(PRICES), caps)


def takes(read: int, written: int, seconds: float = 0.0) -> CallNext:
    async def ask() -> Answer:
        await asyncio.sleep(seconds)
        return Completion("Left.", usage=Usage(read, written))

    return ask


async def asked(gate: Budget, n: int, ask: CallNext, max_tokens: int) -> list[object]:
    call = call_of(SHORT, max_tokens)
    return await asyncio.gather(*(gate.answer(call, ask) for _ in range(n)), return_exceptions=True)


def n_answered(results: list[object]) -> int:
    return sum(isinstance(each, Completion) for each in results)


@in_virtual_time
async def test_without_a_cap_everything_passes():
    gate = gate_of(Caps())
    assert n_answered(await asked(gate, 500, takes(10**6, 10**6), 8)) == 500
    assert gate.ledger.n_calls == 500
    assert gate.closed is None


@in_virtual_time
async def test_calls_that_do_not_fit_wait_for_those_in_flight():
    """Each may take 21 + 79 = 100 tokens and takes 20 + 5 in a second.

    Under 300 there go 3 at once. They leave 225, and the other 2 go a second later.
    """
    gate = gate_of(Caps(tokens=300))
    spent = await asked(gate, 5, takes(20, 5, seconds=1.0), max_tokens=79)
    assert n_answered(spent) == 5
    assert gate.ledger.n_tokens == 125
    assert now_s() == 1002.0
    assert gate.closed is None


@in_virtual_time
async def test_when_nothing_is_in_flight_and_the_next_does_not_fit_the_gate_closes():
    """25 a call: after 9 calls 225 are spent, and 225 + 100 > 300."""
    gate = gate_of(Caps(tokens=300))
    results = await asked(gate, 50, takes(20, 5), max_tokens=79)
    assert n_answered(results) == 9
    (stopped,) = {each for each in results if isinstance(each, BaseException)}
    assert stopped is gate.closed
    for part in ("cap of 300 tokens", "225 are spent", "may take 100", "--max-total-tokens"):
        assert part in str(stopped)
    with pytest.raises(RunStopped):
        await gate.answer(call_of(max_tokens=1), takes(1, 1))


@in_virtual_time
async def test_what_calls_in_flight_may_take_is_told_where_hardly_anything_is_left():
    """1,960 of 2,000 are spent; each call may take 21 + 9 = 30, so the second does not fit."""
    ledger = Ledger(PRICES)
    ledger.add("judge", "server", Usage(1000, 960))
    gate = Budget(ledger, Caps(tokens=2000))
    results = await asked(gate, 2, takes(1, 1, seconds=1.0), max_tokens=9)
    assert n_answered(results) == 1
    assert "1,960 are spent, 1 call in flight may take 30 more, and the next" in str(gate.closed)


@pytest.mark.parametrize("seed", range(5))
def test_a_cap_is_never_exceeded_by_calls_that_keep_to_their_most(seed: int):
    """Whatever they take of it, how long, and how many are in flight; and most of it is used."""
    rng = random.Random(seed)
    caps = (Caps(tokens=5000), Caps(cost_usd=1.0))[seed % 2]

    @in_virtual_time
    async def spends() -> None:
        gate = gate_of(caps)
        calls = []
        for _ in range(300):
            most = rng.randint(1, 200)
            ask = takes(rng.randint(0, 21), rng.randint(1, most), rng.random())
            calls.append(gate.answer(call_of(SHORT, most), ask))
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert 10 < n_answered(results) < 300
        if caps.tokens:
            assert caps.tokens - 221 < gate.ledger.n_tokens <= caps.tokens
        if caps.cost_usd:
            cost_usd = gate.ledger.cost_usd
            assert cost_usd is not None and caps.cost_usd - 0.21 < cost_usd <= caps.cost_usd
        assert gate.closed is not None

    spends()


@in_virtual_time
async def test_a_cap_on_money_says_how_to_go_on():
    """At most 21 · $100 + 79 · $1000 a million = $0.0811; taken: 20 · 100 + 50 · 1000 = $0.052."""
    gate = gate_of(Caps(cost_usd=0.10))
    results = await asked(gate, 3, takes(20, 50), max_tokens=79)
    assert n_answered(results) == 1
    for part in ("cap of $0.1", "$0.0520 are spent", "may take $0.0811", "--max-cost-usd"):
        assert part in str(gate.closed)


@in_virtual_time
async def test_what_earlier_processes_spent_counts():
    ledger = Ledger(PRICES)
    ledger.add("judge", "server", Usage(100, 150))
    gate = Budget(ledger, Caps(tokens=300))
    results = await asked(gate, 3, takes(20, 5), max_tokens=79)
    assert n_answered(results) == 0
    assert "250 are spent" in str(gate.closed)


@pytest.mark.parametrize("caps", [Caps(tokens=300), Caps(cost_usd=0.3)])
async def test_calls_that_a_server_does_not_count_count_with_the_most(caps: Caps):
    """100 tokens a call, 3 of them. In dollars 0.0811 a call, and 3 · 0.0811 = 0.2433."""
    gate = gate_of(caps)
    assert n_answered(await asked(gate, 10, takes(0, 0), max_tokens=79)) == 3


async def test_a_call_that_fails_takes_nothing_and_frees_its_room():
    gate = gate_of(Caps(tokens=100))

    async def fails() -> Answer:
        raise ModelUnavailable("Busy.")

    for _ in range(5):
        with pytest.raises(ModelUnavailable):
            await gate.answer(call_of(SHORT, 79), fails)
    assert gate.ledger.n_calls == 0
    assert n_answered(await asked(gate, 1, takes(21, 79), max_tokens=79)) == 1


@in_virtual_time
async def test_a_caller_that_is_cancelled_frees_its_room():
    gate = gate_of(Caps(tokens=100))
    inside = asyncio.create_task(gate.answer(call_of(SHORT, 79), takes(0, 0, 60.0)))
    waiting = asyncio.create_task(gate.answer(call_of(SHORT, 79), takes(21, 79)))
    await asyncio.sleep(1.0)
    inside.cancel()
    await waiting
    assert now_s() == 1001.0
    assert (gate.ledger.n_tokens, gate.closed) == (100, None)


@in_virtual_time
async def test_closing_lets_those_inside_finish_and_stops_those_that_wait():
    gate, told = gate_of(Caps(tokens=100)), []
    gate.on_close = told.append
    calls = asyncio.create_task(asked(gate, 3, takes(20, 5, seconds=5.0), max_tokens=79))
    await asyncio.sleep(1.0)
    first, second = RunStopped("Enough."), RunStopped("Once more.")
    gate.close(first)
    gate.close(second)
    results = await calls
    assert results[1:] == [first, first]
    assert (n_answered(results), gate.ledger.n_calls, now_s()) == (1, 1, 1005.0)
    assert told == [first]


@in_virtual_time
async def test_a_pause_ends_when_the_gate_closes():
    gate = gate_of(Caps())
    await gate.pause(2.0)
    assert now_s() == 1002.0
    pausing = asyncio.create_task(gate.pause(60.0))
    await asyncio.sleep(1.0)
    gate.close(RunStopped("Enough."))
    await pausing
    await gate.pause(60.0)
    assert now_s() == 1003.0


def test_a_cap_on_money_needs_the_price_of_every_model():
    caps, ledger = Caps(cost_usd=5), Ledger(PRICES)
    caps.check(ledger, ["server"])
    with pytest.raises(UsageError) as caught:
        caps.check(ledger, ["server", "odd", "even"])
    assert str(caught.value).startswith(
        "There is a cap of $5, and no price of even, odd. Give it in a file: --prices prices.yaml"
    )
    Caps(tokens=5).check(ledger, ["odd"])


def test_it_needs_those_of_models_that_the_run_asked_before_too():
    ledger = Ledger(PRICES)
    ledger.add("judge", "odd", Usage(1, 1))
    with pytest.raises(UsageError, match="no price of odd"):
        Caps(cost_usd=5).check(ledger, ["server"])
