"""The journal: what is in the key and what is not, what is asked and what is remembered."""

import asyncio
from contextlib import closing, contextmanager
from dataclasses import fields, replace
from pathlib import Path

import pytest

from cai.engine.calls import Answer, Call, CallNext, wrap_model
from cai.engine.database import Database
from cai.engine.journal import Journal, call_key, journaled
from cai.engine.writer import Writer
from cai.errors import ModelError
from cai.models.base import Choice, ChoiceModel, Completion, Model, Sampling, Usage
from cai.models.scripted import ScriptedModel
from cai.types import Message

ASKED = (Message("user", "Which gate is mine?"),)
SAMPLING = Sampling(temperature=0.7, max_tokens=64, seed=3)


class CompletesOnly:
    """A model without log-probabilities, over a scripted one."""

    name = "completes-only"
    is_chat = True

    def __init__(self, model: ScriptedModel) -> None:
        self.complete = model.complete
        self.close = model.close


@pytest.fixture
def journal(database: Database):
    with written(database) as journal:
        yield journal


@contextmanager
def written(database: Database):
    """A journal whose answers are committed by a writer of its own."""
    with closing(Writer(database)) as writer:
        yield Journal(database, writer)


async def test_a_call_is_asked_once_and_then_remembered(journal: Journal):
    full = Completion("The left one.", "length", Usage(5, 3), "Let me think.")
    inner = ScriptedModel([full])
    model = journaled(inner, journal)
    assert await model.complete(ASKED, SAMPLING) == full
    assert await model.complete(ASKED, SAMPLING) == full
    assert len(inner.requests) == 1
    assert (journal.calls, journal.hits, journal.usage) == (1, 1, Usage(5, 3))


async def test_what_one_journal_stored_the_next_one_finds(tmp_path: Path):
    path = tmp_path / "journal.sqlite"
    first = Database(path)
    with written(first) as journal:
        await journaled(ScriptedModel(["Left."]), journal).complete(ASKED, SAMPLING)
    first.close()
    second = Database(path)
    journal = Journal(second)
    answer = await journaled(ScriptedModel([]), journal).complete(ASKED, SAMPLING)
    assert answer.text == "Left."
    assert (journal.n_stored, journal.calls, journal.usage) == (1, 0, Usage())
    second.close()


async def test_a_choice_is_remembered_even_where_an_option_is_impossible(journal: Journal):
    inner = ScriptedModel(choices=[[0.0, float("-inf")]])
    model = journaled(inner, journal)
    assert isinstance(model, ChoiceModel)
    first = await model.choose(ASKED, ["A", "B"])
    assert await model.choose(ASKED, ["A", "B"]) == first == Choice((0.0, float("-inf")), mass=1.0)
    assert len(inner.requests) == 1


@pytest.mark.parametrize("mass", [None, 0.25])
async def test_a_choice_is_stored_whole(journal: Journal, mass: float | None):
    call = Call("choose", "small", ASKED, options=("A", "B"))
    await journal.store(call, Choice((-0.5, -1.0), Usage(3, 1), mass))
    assert journal.find(call) == Choice((-0.5, -1.0), Usage(3, 1), mass)


async def test_a_journaled_model_can_choose_exactly_when_the_inner_one_can(journal: Journal):
    assert isinstance(journaled(ScriptedModel([]), journal), ChoiceModel)
    assert not isinstance(journaled(CompletesOnly(ScriptedModel([])), journal), ChoiceModel)


async def test_a_journaled_model_has_the_name_and_kind_of_the_inner_one(journal: Journal):
    model = journaled(ScriptedModel([], name="small", is_chat=False), journal)
    assert (model.name, model.is_chat) == ("small", False)
    await model.close()


async def test_text_that_is_not_unicode_is_kept_as_it_came(journal: Journal):
    odd = "half a pair \ud83d, a zero \x00, a line \u2028 and an emoji 🙂"
    model = journaled(ScriptedModel([odd]), journal)
    asked = (Message("user", odd),)
    await model.complete(asked, SAMPLING)
    assert (await model.complete(asked, SAMPLING)).text == odd


async def test_equal_calls_in_flight_share_one_question(journal: Journal):
    inner = ScriptedModel(["Left."])
    model = journaled(slowed(inner), journal)
    answers = await asyncio.gather(*(model.complete(ASKED, SAMPLING) for _ in range(20)))
    assert {answer.text for answer in answers} == {"Left."}
    assert (len(inner.requests), journal.calls, journal.hits) == (1, 1, 19)


async def test_when_the_one_that_asks_fails_the_next_one_asks(journal: Journal):
    inner = ScriptedModel([ModelError("Refused."), "Left."])
    model = journaled(slowed(inner), journal)
    first, second, third = await asyncio.gather(
        *(model.complete(ASKED, SAMPLING) for _ in range(3)), return_exceptions=True
    )
    assert isinstance(first, ModelError)
    assert second == third == Completion("Left.")
    assert len(inner.requests) == 2


async def test_when_the_one_that_asks_is_cancelled_the_next_one_asks(journal: Journal):
    inner = ScriptedModel(["Left.", "Left again."])
    model = journaled(slowed(inner), journal)
    first = asyncio.create_task(model.complete(ASKED, SAMPLING))
    second = asyncio.create_task(model.complete(ASKED, SAMPLING))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).text in {"Left.", "Left again."}
    assert first.cancelled()


async def test_one_that_waits_can_be_cancelled_without_harm_to_the_one_that_asks(
    journal: Journal,
):
    model = journaled(slowed(ScriptedModel(["Left."])), journal)
    first = asyncio.create_task(model.complete(ASKED, SAMPLING))
    second = asyncio.create_task(model.complete(ASKED, SAMPLING))
    await asyncio.sleep(0)
    second.cancel()
    assert (await first).text == "Left."


async def test_a_failed_call_is_not_stored(journal: Journal):
    model = journaled(ScriptedModel([ModelError("Refused."), "Left."]), journal)
    with pytest.raises(ModelError, match="Refused"):
        await model.complete(ASKED, SAMPLING)
    assert journal.n_stored == 0
    assert (await model.complete(ASKED, SAMPLING)).text == "Left."


CALL = Call("complete", "small", ASKED, Sampling(stop=("\n",), seed=1))
CHANGED_SAMPLING = {
    "temperature": 0.5,
    "top_p": 0.9,
    "top_k": 40,
    "max_tokens": 7,
    "stop": ("\n\n",),
    "seed": 2,
    "json_schema": '{"type": "object"}',
}


def test_every_field_of_the_sampling_is_in_the_key():
    assert set(CHANGED_SAMPLING) == {field.name for field in fields(Sampling)}
    keys = {call_key(CALL)}
    for name, value in CHANGED_SAMPLING.items():
        keys.add(call_key(replace(CALL, sampling=replace(CALL.sampling, **{name: value}))))
    assert len(keys) == 1 + len(CHANGED_SAMPLING)


@pytest.mark.parametrize(
    "other",
    [
        replace(CALL, model="large"),
        replace(CALL, messages=(Message("system", ASKED[0].content),)),
        replace(CALL, messages=(Message("user", "Which?"),)),
        replace(CALL, messages=(*ASKED, Message("assistant", ""))),
        replace(CALL, options=("A",)),
        replace(CALL, kind="choose"),
        replace(CALL, sampling=None),
    ],
)
def test_all_else_that_changes_the_answer_is_in_the_key(other: Call):
    assert call_key(other) != call_key(CALL)


def test_options_are_in_the_key_with_their_order_and_their_bounds():
    lists = [("A", "B"), ("B", "A"), ("AB",), ("A", "B", ""), ('A", "B',)]
    keys = {call_key(Call("choose", "small", ASKED, options=options)) for options in lists}
    assert len(keys) == len(lists)


def test_one_number_written_in_two_ways_is_one_key():
    whole, real = Sampling(temperature=1, top_p=1), Sampling(temperature=1.0, top_p=1.0)
    assert call_key(replace(CALL, sampling=whole)) == call_key(replace(CALL, sampling=real))


def test_the_key_is_the_same_in_every_version_of_cai():
    """A changed key would make every user pay again for what stands in a journal."""
    assert call_key(CALL).hex() == "83de9b7f599d9c13eb27754a4486632e"


async def test_the_first_answer_stays(journal: Journal):
    await journal.store(CALL, Completion("Left."))
    await journal.store(CALL, Completion("Right."))
    assert journal.find(CALL) == Completion("Left.")
    assert journal.n_stored == 1


@pytest.mark.parametrize("damaged", ["", "[1]", "null", '{"text": "x"}', '{"usage": 3}'])
async def test_a_damaged_answer_is_no_answer_and_is_asked_again(
    database: Database, journal: Journal, damaged: str, caplog: pytest.LogCaptureFixture
):
    await journal.store(CALL, Completion("Left."))
    database.write("UPDATE calls SET answer = ?", damaged)
    assert journal.find(CALL) is None
    assert "is damaged; the call is repeated" in caplog.text
    await journal.store(CALL, Completion("Right."))
    assert journal.find(CALL) == Completion("Right.")


async def test_an_answer_remembers_the_last_records_that_used_it(tmp_path: Path):
    path = tmp_path / "journal.sqlite"
    database = Database(path)
    with written(database) as journal:
        await journal.store(CALL, Completion("Left."))
        await journal.store(replace(CALL, model="large"), Completion("Right."))
    database.write("UPDATE state SET value = 2 WHERE name = 'generation'")
    with written(database) as journal:
        journal.find(CALL)
    assert database.rows("SELECT model, generation FROM calls ORDER BY model") == [
        ("large", 1),
        ("small", 2),
    ]
    database.close()


async def test_the_role_is_kept_for_the_accounts_and_no_part_of_the_key(
    database: Database, journal: Journal
):
    assert call_key(replace(CALL, role="judge")) == call_key(CALL)
    await journal.store(replace(CALL, role="judge"), Completion("Left.", usage=Usage(5, 3)))
    found = database.rows("SELECT role, prompt_tokens, completion_tokens FROM calls")
    assert found == [("judge", 5, 3)]


def slowed(model: Model) -> Model:
    async def later(call: Call, ask: CallNext) -> Answer:
        await asyncio.sleep(0.01)
        return await ask()

    return wrap_model(model, later)
