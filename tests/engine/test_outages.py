"""Endpoints that are away: who answers meanwhile, who tries them, and how long calls wait."""

import asyncio
from collections.abc import Sequence

import pytest
from pooled_calls import CALL, CancelOnce, asked, begun, pool_of, settled
from slow_servers import AWAY, SlowServer, call_of
from virtual_time import in_virtual_time, now_s

from cai.engine.calls import EXAMPLE, LONGEST_ADVICE_S, Answer, ExampleInFlight, Retry
from cai.engine.scheduler import PATIENCE_S
from cai.errors import ModelError, ModelUnavailable
from cai.models.base import Completion, Limits, Sampling
from cai.types import Message


@in_virtual_time
async def test_when_one_of_two_endpoints_dies_the_other_answers_all_calls():
    dead, alive = SlowServer("a", takes_s=1.0), SlowServer("b", takes_s=1.0)
    pool = pool_of(dead, alive)
    first = asyncio.create_task(asked(pool, 20))
    await asyncio.sleep(1.5)
    dead.error = AWAY
    assert not [each for each in await first if isinstance(each, BaseException)]
    n_tries, n_seconds = len(dead.texts), now_s()
    assert not [each for each in await asked(pool, 40) if isinstance(each, BaseException)]
    assert len(dead.texts) - n_tries <= (now_s() - n_seconds) / 2  # it is tried, now and then
    assert pool.views()[0].down_for_s is not None


@in_virtual_time
async def test_an_endpoint_that_is_back_is_found_by_one_call_and_gets_its_share_again():
    revived, other = SlowServer("a", error=AWAY), SlowServer("b", takes_s=1.0)
    pool = pool_of(revived, other)
    await asked(pool, 4)
    revived.error, revived.takes_s, revived.texts = None, 1.0, []
    assert not [each for each in await asked(pool, 40) if isinstance(each, BaseException)]
    assert pool.views()[0].down_for_s is None
    assert len(revived.texts) > 10 and revived.most == 2


@in_virtual_time
async def test_when_all_are_away_calls_wait_and_go_on_when_one_is_back():
    """Nobody's attempts are used up: nine minutes outlast the ten of `Retry`, about three."""
    servers = SlowServer("a", error=AWAY), SlowServer("b", error=AWAY)
    pool = pool_of(*servers)
    calls = asyncio.create_task(asked(pool, 30))
    await asyncio.sleep(545.0)
    assert not calls.done()
    assert pool.n_waiting == 30
    # one before it is known; then at 1, 3, 7 and 15 s, and each 15 s from 30 to 540 s: 4 + 35
    assert [len(server.texts) for server in servers] == [1 + 4 + 35] * 2
    servers[1].error = None
    assert not [each for each in await calls if isinstance(each, BaseException)]
    assert now_s() <= 1000.0 + 545.0 + 15.0


@in_virtual_time
async def test_after_ten_minutes_away_those_that_wait_are_told_so():
    pool = pool_of(SlowServer("a", error=AWAY))
    with pytest.raises(ModelUnavailable) as first:
        await pool.answer(CALL)
    assert first.value is AWAY
    errors = await settled(*(begun(pool) for _ in range(50)))
    assert PATIENCE_S < now_s() - 1000.0 <= PATIENCE_S + 15.0
    assert pool.n_waiting == 0
    for error in errors:
        assert isinstance(error, ModelUnavailable) and error.retryable
        assert error.retry_after_s is not None and error.retry_after_s > LONGEST_ADVICE_S
        assert str(error).startswith("a could not be reached for 10 minutes. Start it again")


@in_virtual_time
async def test_calls_that_break_their_server_do_not_keep_it_down():
    """Twelve take it down. They are the oldest, and still another one's try finds it well."""
    crash = ModelUnavailable("Crashed.", cause="server error")

    class Breaking(SlowServer):
        async def complete(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
            self.error = crash if messages[-1].content == "bad" else None
            return await super().complete(messages, sampling)

    pool = pool_of(Breaking(limits=Limits(12, 12)))
    retry = Retry(jitter=lambda: 0.0)

    async def ask(text: str, number: int) -> Answer:
        EXAMPLE.set(ExampleInFlight(number))
        return await retry.answer(CALL, lambda: pool.answer(call_of(text)))

    bad = [asyncio.create_task(ask("bad", 1 + i)) for i in range(12)]
    good = await settled(*(ask("good", 100 + i) for i in range(20)))
    assert not [each for each in good if isinstance(each, BaseException)]
    assert now_s() == 1001.0
    assert all(isinstance(each, ModelError) for each in await settled(*bad))


@in_virtual_time
async def test_a_try_whose_caller_is_cancelled_as_it_gets_its_seat_is_made_by_another():
    server, cancel = SlowServer(error=AWAY), CancelOnce()
    pool = pool_of(server, on_room=cancel)
    await settled(begun(pool))
    server.error = None
    first, second = begun(pool, "1", 1), begun(pool, "2", 2)
    await asyncio.sleep(0.5)
    cancel.append(first)
    await settled(first, second)
    assert first.cancelled()
    assert server.texts[1:] == ["2"]
    assert pool.views()[0].down_for_s is None
