"""The engine: the order in which a call passes its parts, what a stop does, how much room is."""

import asyncio
import gc

import pytest
from slow_servers import SlowServer, Spread

from cai.engine.budget import Account, Caps, Ledger
from cai.engine.calls import EXAMPLE, ExampleInFlight, Retry
from cai.engine.database import Database
from cai.engine.engine import Engine, Scheduling, run_async
from cai.engine.journal import Journal
from cai.engine.writer import Writer
from cai.errors import ModelError, ModelUnavailable, RunStopped, UsageError
from cai.models.base import ChoiceModel, Completion, Limits, Model, Sampling, Usage
from cai.models.scripted import ScriptedModel
from cai.types import Message

STOP = RunStopped("Enough.")


@pytest.fixture
def journal(database: Database, writer: Writer) -> Journal:
    return Journal(database, writer)


async def ask(model: Model, text: str = "Which gate?") -> Completion:
    return await model.complete((Message("user", text),), Sampling(max_tokens=8))


async def reached(server: SlowServer, n: int) -> None:
    """Waits until so many calls have come to the server."""
    while len(server.texts) < n:
        await asyncio.sleep(0.001)


async def test_a_call_that_the_journal_answers_passes_no_gate_and_no_server(journal: Journal):
    server = SlowServer()
    engine = Engine(journal, Ledger())
    model = engine.wrap(server, "respond")
    assert await ask(model) == await ask(model)
    engine.stop(STOP)
    assert (await ask(model)).text == "Left."
    with pytest.raises(RunStopped) as caught:
        await ask(model, "Another?")
    assert caught.value is STOP
    assert server.texts == ["Which gate?"]
    assert (journal.calls, journal.hits, engine.budget.ledger.n_calls) == (1, 2, 1)


async def test_a_call_that_does_not_fit_under_a_cap_comes_to_no_server(journal: Journal):
    server = SlowServer()
    engine = Engine(journal, Ledger(), Caps(tokens=20))
    with pytest.raises(RunStopped, match="cap of 20 tokens"):
        await ask(engine.wrap(server, "respond"))
    assert server.texts == []
    assert journal.n_stored == 0


async def test_a_call_that_fails_is_asked_again_and_entered_once(journal: Journal):
    busy = ModelUnavailable("Busy.", cause="rate limit")
    model = ScriptedModel([busy, busy, Completion("Left.", usage=Usage(5, 3))])
    engine = Engine(journal, Ledger(), retry=Retry(first_delay_s=0.001))
    assert (await ask(engine.wrap(model, "judge"))).text == "Left."
    assert len(model.requests) == 3
    assert engine.retry.counts == {"rate limit": 2}
    assert engine.budget.ledger.accounts == {("judge", "scripted"): Account(1, 0, Usage(5, 3))}


async def test_an_account_without_credit_ends_the_run_and_no_more_is_asked(journal: Journal):
    model = ScriptedModel([ModelError("402: pay first.", "no credit"), "Left."])
    engine = Engine(journal, Ledger())
    asked = engine.wrap(model, "judge")
    for text in ("Which gate?", "Another?"):
        with pytest.raises(RunStopped, match=r"402: pay first\..*same command"):
            await ask(asked, text)
    assert len(model.requests) == 1


async def test_few_examples_are_begun_before_the_first_answer(journal: Journal):
    engine = Engine(journal, Ledger())
    model = engine.wrap(ScriptedModel(["Left."]), "judge")
    engine.watch(lambda: None)
    assert (engine.n_more(0, 40), engine.n_more(8, 32)) == (8, 0)
    await ask(model)
    assert engine.n_more(8, 32) == 32


async def test_each_role_has_its_account_and_all_share_the_seats_of_the_model(journal: Journal):
    server = SlowServer(limits=Limits(1, 1))
    engine = Engine(journal, Ledger())
    critic, reviser = engine.wrap(server, "critique"), engine.wrap(server, "revise")
    await asyncio.gather(*(ask(critic, f"C{i}?") for i in range(2)), ask(reviser, "R?"))
    assert server.most == 1
    assert [view.name for view in engine.endpoints()] == ["server"]
    assert engine.budget.ledger.by_role() == {
        "critique": Account(2, 0, Usage(10, 6)),
        "revise": Account(1, 0, Usage(5, 3)),
    }


async def test_a_model_that_can_choose_still_can(journal: Journal):
    engine = Engine(journal, Ledger())
    judge = engine.wrap(ScriptedModel(choices=[[0.0, 0.0]]), "judge")
    assert isinstance(judge, ChoiceModel)
    assert len((await judge.choose((Message("user", "A or B?"),), ["A", "B"])).logprobs) == 2
    assert list(engine.budget.ledger.by_role()) == ["judge"]
    assert not isinstance(engine.wrap(SlowServer(), "judge"), ChoiceModel)


async def test_a_stop_lets_those_in_flight_finish_and_all_others_go(journal: Journal):
    server = SlowServer(limits=Limits(2, 2))
    server.open.clear()
    engine = Engine(journal, Ledger())
    model = engine.wrap(server, "respond")
    tasks = [asyncio.create_task(ask(model, f"{i}?")) for i in range(5)]
    await reached(server, 2)
    assert engine.n_waiting == 3
    engine.stop(STOP)
    done, _ = await asyncio.wait(tasks[2:])
    assert {task.exception() for task in done} == {STOP}
    server.open.set()
    assert [(await task).text for task in tasks[:2]] == ["Left.", "Left."]
    assert server.texts == ["0?", "1?"]
    assert journal.n_stored == 2
    with pytest.raises(RunStopped):
        await ask(model, "Later?")


async def test_a_stop_ends_the_pauses_of_calls_that_are_to_be_asked_again(journal: Journal):
    server = SlowServer(error=ModelUnavailable("Busy.", retry_after_s=300, cause="rate limit"))
    engine = Engine(journal, Ledger())
    task = asyncio.create_task(ask(engine.wrap(server, "respond")))
    await reached(server, 1)
    engine.stop(STOP)
    with pytest.raises(RunStopped):
        await asyncio.wait_for(task, 5.0)
    assert len(server.texts) == 1


async def test_a_cap_that_is_reached_stops_those_that_wait_for_a_seat(journal: Journal):
    """Each may take 16 + 1 + 8 = 25 tokens and takes 15: 15 k + 25 ≤ 100 for k = 0 … 5."""
    server = SlowServer(limits=Limits(1, 1), usage=Usage(10, 5))
    engine = Engine(journal, Ledger(), Caps(tokens=100))
    model = engine.wrap(server, "respond")
    results = await asyncio.gather(*(ask(model, f"{i}?") for i in range(9)), return_exceptions=True)
    assert sum(isinstance(each, Completion) for each in results) == len(server.texts) == 6
    assert {str(each)[:21] for each in results if isinstance(each, BaseException)} == {
        "The cap of 100 tokens"
    }


def test_caps_are_checked_against_all_models_that_were_put_through(journal: Journal):
    engine = Engine(journal, Ledger(), Caps(cost_usd=1))
    engine.check_caps()
    engine.wrap(SlowServer("one"), "respond")
    engine.wrap(SlowServer("two"), "judge")
    with pytest.raises(UsageError, match="no price of one, two"):
        engine.check_caps()


def test_before_any_model_is_asked_there_is_room_for_four(journal: Journal):
    assert Engine(journal, Ledger()).n_more(0, None) == 4


async def test_there_is_room_while_every_model_has_some(journal: Journal):
    """2 seats and 1 + 2 // 8 that may wait leave 3; 64 and 1 + 64 // 8 = 9 leave 73."""
    small, large = SlowServer("small"), SlowServer("large", Limits(64, 64))
    engine = Engine(journal, Ledger())
    judge = engine.wrap(large, "judge")
    assert engine.n_more(0, None) == 73
    respond = engine.wrap(small, "respond")
    assert engine.n_more(0, None) == 3
    small.open.clear()
    tasks = [asyncio.create_task(ask(respond, f"{i}?")) for i in range(3)]
    await reached(small, 2)
    assert engine.n_more(3, None) == 0
    assert (await ask(judge)).text == "Left."
    small.open.set()
    await asyncio.gather(*tasks)
    assert engine.n_more(3, None) == 3


async def test_no_more_than_four_times_the_seats_are_under_way(journal: Journal):
    """Where examples pause, seats look free: of 4 · 2 there are 7 under way, so one more is."""
    engine = Engine(journal, Ledger())
    engine.wrap(SlowServer(), "respond")
    assert engine.n_more(7, None) == 1
    assert engine.n_more(8, None) == 0


async def test_the_last_examples_are_begun_together_and_levelled_out(journal: Journal):
    """2 seats: the last 6 are the last ones, those under way included."""
    server = SlowServer(limits=Limits(2, 2))
    server.open.clear()
    engine = Engine(journal, Ledger())
    model = engine.wrap(server, "respond")

    async def ask_as(number: int, n_answered: int) -> Completion:
        EXAMPLE.set(ExampleInFlight(number, n_answered))
        return await ask(model, f"{number}?")

    tasks = [asyncio.create_task(ask_as(i, 10 - i)) for i in range(5)]
    await reached(server, 2)
    assert engine.n_more(2, 5) < 5  # 7 are not the last yet, and the older ones go first
    assert engine.n_more(2, 4) == 4
    assert engine.n_more(6, 0) == 0
    server.open.set()
    await asyncio.gather(*tasks)
    assert server.texts == ["0?", "1?", "4?", "3?", "2?"]


async def test_under_a_cap_the_last_examples_are_not_begun_together(journal: Journal):
    engine = Engine(journal, Ledger(), Caps(tokens=10_000))
    engine.wrap(SlowServer(limits=Limits(2, 2)), "respond")
    assert engine.n_more(2, 2) <= 3  # two free seats and one call ahead
    assert engine.n_more(0, 4) == 3


async def test_who_watches_is_told_when_a_seat_falls_free(journal: Journal):
    server = SlowServer(limits=Limits(1, 1))
    server.open.clear()
    engine = Engine(journal, Ledger())
    model = engine.wrap(server, "respond")  # before there is anybody to tell
    told: list[int] = []
    engine.watch(lambda: told.append(server.now))
    task = asyncio.create_task(ask(model))
    await reached(server, 1)
    assert told == []
    server.open.set()
    await task
    assert told == [0]


async def test_scheduling_caps_each_endpoint_and_hedges(journal: Journal):
    servers = SlowServer("a", Limits(8, 8)), SlowServer("b", Limits(8, 8))
    engine = Engine(journal, Ledger(), scheduling=Scheduling(cap=3, hedges=True))
    model = engine.wrap(Spread(*servers), "respond")
    await asyncio.gather(*(ask(model, f"{i}?") for i in range(40)))
    assert [server.most for server in servers] == [3, 3]
    assert [view.limit for view in engine.endpoints()] == [3, 3]
    assert engine.n_hedged == 0


def test_garbage_is_collected_as_often_after_a_run_as_before():
    async def fails() -> None:
        raise STOP

    before = gc.get_threshold()
    with pytest.raises(RunStopped):
        run_async(fails())
    assert gc.get_threshold() == before
