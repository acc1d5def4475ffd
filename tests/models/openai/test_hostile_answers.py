"""Answers that are odd or hostile: streams, errors as 200, refusals, wild counts, bombs, echoes."""

import gzip
import json

import pytest
from aiohttp import web
from openai_server import LocalServer, Received, chat, refusal

from cai.errors import ModelError, ModelUnavailable
from cai.models.base import Completion, Sampling, Usage
from cai.models.registry import open_model
from cai.types import Message

KEY = "hunter22/4f1d8a77"
SYSTEM = (Message("system", "Be brief."), Message("user", "Hello?"))


async def completed(reply, options: str = "", messages=SYSTEM) -> Completion:
    async with LocalServer(reply) as server:
        model = open_model(f"openai:tiny@{server.url}?{options}")
        try:
            return await model.complete(messages, Sampling())
        finally:
            await model.close()


async def failed(reply, options: str = "") -> ModelError:
    with pytest.raises(ModelError) as raised:
        await completed(reply, options)
    return raised.value


def streamed(*events: object) -> web.Response:
    lines = [f"data: {each if isinstance(each, str) else json.dumps(each)}\n\n" for each in events]
    return web.Response(text=": ping\n\n" + "".join(lines), content_type="text/event-stream")


def piece(finish_reason: str | None = None, **delta: object) -> object:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]}


async def test_a_stream_that_nobody_asked_for_is_read_as_one_answer():
    usage = {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}
    events = (
        piece(role="assistant", content="Hi"),
        piece(reasoning_content="They greet."),
        piece(content=" there."),
        piece("length"),
        usage,
        "[DONE]",
    )
    assert await completed(streamed(*events)) == Completion(
        "Hi there.", "length", Usage(7, 3), "They greet."
    )


async def test_a_stream_that_breaks_off_may_pass_and_its_error_counts():
    assert isinstance(await failed(streamed(piece(content="Hi"))), ModelUnavailable)
    error = {"error": {"code": 402, "message": "no credit"}}
    assert (await failed(streamed(piece(content="Hi"), error))).cause == "no credit"


@pytest.mark.parametrize(
    ("body", "cause", "may_pass"),
    [
        ({"error": {"code": 429, "message": "slow down"}}, "rate limit", True),
        ({"error": {"code": 403, "message": "Input was flagged"}}, "refused content", False),
        ({"error": {"code": 502, "message": "Provider error"}}, "server error", True),
        ({"error": "overloaded"}, "server error", True),
        ({"choices": []}, "refused content", False),
        ({"choices": None}, "refused content", False),
    ],
)
async def test_an_error_that_comes_as_200_is_one(body, cause, may_pass):
    error = await failed(body)
    assert (error.cause, error.retryable) == (cause, may_pass)


@pytest.mark.parametrize(
    "reply",
    [
        chat(None, refusal="I cannot."),
        chat("I cannot.", "SAFETY"),
        chat("I cannot.", "content_filter: PROHIBITED_CONTENT"),
        chat("I cannot.", "refusal"),
    ],
)
async def test_a_refusal_in_a_field_or_a_finish_reason_is_filtered(reply):
    completion = await completed(reply)
    assert (completion.text, completion.stop_reason) == ("I cannot.", "filtered")


async def test_a_filtered_choice_without_a_message_is_an_empty_answer():
    reply = {"choices": [{"index": 0, "finish_reason": "content_filter"}]}
    assert await completed(reply) == Completion("", "filtered")


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": -1, "completion_tokens": 3},
        {"prompt_tokens": 7, "completion_tokens": 2**63},
        {"prompt_tokens": 10**300, "completion_tokens": 3},
        {"prompt_tokens": 7.5, "completion_tokens": 3},
        {"prompt_tokens": "7", "completion_tokens": 3},
        {"prompt_tokens": True, "completion_tokens": [3]},
        {"prompt_tokens": None},
        "many",
        [],
        None,
    ],
)
async def test_a_count_of_tokens_that_cannot_be_is_none(usage):
    assert (await completed(chat("Hi.") | {"usage": usage})).usage == Usage()


async def test_a_small_body_that_unpacks_to_a_large_one_is_refused():
    packed = gzip.compress(json.dumps(chat("A" * 3 * 2**20)).encode())
    reply = web.Response(body=packed, headers={"Content-Encoding": "gzip"})
    error = await failed(reply, "max-mib=2")
    assert "more than 2 MiB" in str(error)
    assert not error.retryable
    assert len((await completed(reply, "max-mib=4")).text) == 3 * 2**20


async def test_a_key_that_a_server_echoes_in_an_answer_is_hidden(monkeypatch: pytest.MonkeyPatch):
    """Plainly and as JSON may escape it, in the text and in the reasoning."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    text = json.dumps(chat(f"It is {KEY}.", reasoning=f"{KEY}?"))
    for said in (text, text.replace("/", "\\/"), text.replace("hunter", "\\u0068unter")):
        reply = web.Response(text=said, content_type="application/json")
        completion = await completed(reply)
        assert (completion.text, completion.reasoning) == ("It is [key].", "[key]?")


def without_system(status: int, words: str):
    def reply(received: Received):
        has_system = any(turn["role"] == "system" for turn in received.body["messages"])
        return (
            refusal(status, words) if has_system else chat(received.body["messages"][0]["content"])
        )

    return reply


@pytest.mark.parametrize("status", [400, 422, 500])
@pytest.mark.parametrize(
    "words", ["System role not supported", "Jinja Exception: roles must alternate user/assistant"]
)
async def test_a_refused_system_turn_is_folded_and_said_once(status, words, caplog):
    async with LocalServer(without_system(status, words)) as server:
        model = open_model(f"openai:tiny@{server.url}")
        for _ in range(2):
            assert (await model.complete(SYSTEM, Sampling())).text == "Be brief.\n\nHello?"
        await model.close()
    assert len(server.bodies) == 3
    assert ["system turn" in record.getMessage() for record in caplog.records] == [True]


async def test_system_turns_are_kept_or_folded_where_the_spec_says_so():
    reply = without_system(400, "System role not supported")
    assert (await failed(reply, "system=keep")).cause == "chat template"
    assert (await completed(reply, "system=fold")).text == "Be brief.\n\nHello?"


async def test_what_did_not_help_is_not_kept(caplog):
    """Folding does not help a server that refuses every request; the next one has its turn."""
    async with LocalServer(refusal(400, "roles must alternate")) as server:
        model = open_model(f"openai:tiny@{server.url}")
        for _ in range(2):
            with pytest.raises(ModelError):
                await model.complete(SYSTEM, Sampling())
        await model.close()
    assert [len(body["messages"]) for body in server.bodies] == [2, 1, 2, 1]
    assert caplog.records == []


async def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch):
    async with LocalServer(chat("Hi.")) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.removesuffix("/v1"))
        monkeypatch.setenv("no_proxy", "")
        model = open_model("openai:tiny@http://judge.example.test/v1")
        assert (await model.complete(SYSTEM, Sampling())).text == "Hi."
        await model.close()
    assert proxy.received[0].headers["Host"] == "judge.example.test"


async def test_refused_log_probabilities_in_a_403_are_no_refused_key():
    words = "You are not allowed to request logprobs from this model."
    async with LocalServer(refusal(403, words)) as server:
        model = open_model(f"openai:tiny@{server.url}")
        with pytest.raises(ModelError) as raised:
            await model.choose(SYSTEM, ("A", "B"))
        await model.close()
    assert raised.value.cause == "no log-probabilities"
