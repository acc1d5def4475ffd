"""`HttpModel` against a local server: bodies, answers, log-probs, errors, keys, balance."""

import asyncio
import math
import socket
import time
import traceback
from email.utils import formatdate

import pytest
from aiohttp import web
from openai_server import LocalServer, chat, chat_logprobs, chat_tokens, refusal, text

from cai.errors import ContextLengthError, ModelError, ModelUnavailable, NoLogprobs, UsageError
from cai.models.base import ChoiceModel, Completion, Limits, Sampling, Usage
from cai.models.openai.client import HttpModel
from cai.types import Message

KEY = "sk-test-4f1d8a77c0ffee"
ASKED = (Message("system", "Be brief."), Message("user", "Hello?"))
RAW = (Message("text", "\n\nHuman: Hello?\n\nAssistant:"),)
SAMPLING = Sampling()


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


class opened:
    """A model on a local server that gives that reply; both closed at the end."""

    def __init__(self, reply, **options):
        models = options.pop("models", ("tiny",))
        self.server = LocalServer(reply, models)
        self.options = options

    async def __aenter__(self):
        await self.server.__aenter__()
        self.model = HttpModel("tiny", [self.server.url], **self.options)
        return self.model, self.server

    async def __aexit__(self, *_):
        await self.model.close()
        await self.server.__aexit__()


async def completed(reply, sampling=SAMPLING, messages=ASKED) -> Completion:
    async with opened(reply) as (model, _):
        return await model.complete(messages, sampling)


async def failed(reply, **options) -> ModelError:
    async with opened(reply, **options) as (model, _):
        with pytest.raises(ModelError) as raised:
            await model.complete(ASKED, SAMPLING)
    return raised.value


async def chosen(reply, messages=ASKED, options=("A", "B")) -> list[float]:
    async with opened(reply) as (model, _):
        choice = await model.choose(messages, options)
    return [math.exp(value) for value in choice.logprobs]


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


# What is sent


async def test_a_conversation_goes_to_chat_completions():
    sampling = Sampling(0.7, top_p=0.9, top_k=40, max_tokens=64, stop=("\n\n",), seed=11)
    async with opened(chat("Hi.")) as (model, server):
        await model.complete(ASKED, sampling)
    assert server.received[0].path == "/v1/chat/completions"
    assert server.bodies[0] == {
        "model": "tiny",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hello?"},
        ],
        "temperature": 0.7,
        "top_p": 0.9,
        "top_k": 40,
        "max_tokens": 64,
        "stop": ["\n\n"],
        "seed": 11,
        "stream": False,
    }


async def test_a_raw_text_goes_to_completions():
    async with opened(text(" Hi."), is_chat=False) as (model, server):
        completion = await model.complete(RAW, Sampling(0))
    assert server.received[0].path == "/v1/completions"
    assert server.bodies[0]["prompt"] == RAW[0].content
    assert "messages" not in server.bodies[0]
    assert completion == Completion(" Hi.")


async def test_filters_that_are_off_are_said_to_be_off():
    """Servers fill missing fields from the model's own settings."""
    async with opened(chat("Hi.")) as (model, server):
        await model.complete(ASKED, Sampling(seed=None))
    assert (server.bodies[0]["top_p"], server.bodies[0]["top_k"]) == (1, -1)
    assert not {"seed", "stop"} & set(server.bodies[0])


@pytest.mark.parametrize(
    ("field", "complaint"),
    [
        ("top_k", "Unexpected fields in the request: {'top_k'}; known are seed, max_tokens, top_p"),
        ("top_p", "`temperature` and `top_p` cannot both be specified for this model."),
        ("seed", "Extra inputs are not permitted: seed"),
        ("max_tokens", "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."),
    ],
)
async def test_a_refused_field_is_dropped_once_and_for_all(field, complaint):
    def reply(received):
        return refusal(400, complaint) if field in received.body else chat("Hi.")

    sampling = Sampling(max_tokens=9, seed=3)
    async with opened(reply) as (model, server):
        assert (await model.complete(ASKED, sampling)).text == "Hi."
        assert (await model.complete(ASKED, sampling)).text == "Hi."
    assert [field in body for body in server.bodies] == [True, False, False]
    limits = {"max_tokens", "max_completion_tokens"} & set(server.bodies[2])
    assert [server.bodies[2][limit] for limit in limits] == [9]


async def test_a_filter_that_was_asked_for_is_dropped_with_a_word(caplog):
    def reply(received):
        is_refused = "top_k" in received.body
        return refusal(400, "Unexpected field: top_k") if is_refused else chat("Hi.")

    async with opened(reply) as (model, server):
        for _ in range(3):
            await model.complete(ASKED, Sampling(top_k=20))
    assert len(server.bodies) == 4
    assert [record.getMessage() for record in caplog.records] == [
        f"{server.url} does not take 'top_k' (top_k is the server's own)."
    ]


async def test_many_calls_in_flight_all_survive_a_refused_field():
    def reply(received):
        refused = [name for name in ("top_k", "seed", "top_p") if name in received.body]
        return refusal(422, f"unknown field {refused[0]}") if refused else chat("Hi.")

    async with opened(reply) as (model, _):
        calls = [model.complete(ASKED, Sampling(seed=seed)) for seed in range(20)]
        assert {completion.text for completion in await asyncio.gather(*calls)} == {"Hi."}


async def test_a_lone_surrogate_is_named():
    async with opened(chat("Hi.")) as (model, server):
        with pytest.raises(ModelError, match=r"Message 2 \(user\): character 4 is U\+D83D"):
            await model.complete((*ASKED[:1], Message("user", "abc\ud83d")), SAMPLING)
    assert server.received == []


# What comes back


async def test_text_usage_and_stop_reason_are_read():
    assert await completed(chat("Hi.")) == Completion("Hi.", "stop", Usage(7, 3))
    assert (await completed(chat("Hi", "length"))).stop_reason == "length"
    assert (await completed(chat("", "content_filter"))).stop_reason == "filtered"
    assert (await completed(chat("Hi", None))).stop_reason == "stop"


async def test_empty_and_parted_contents_are_texts():
    assert (await completed(chat(None))).text == ""
    parts = [{"type": "text", "text": "One, "}, {"type": "text", "text": "two."}]
    assert (await completed(chat(parts))).text == "One, two."


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
async def test_reasoning_fields_are_kept_apart(field):
    completion = await completed(chat("Hi.", **{field: "They greet."}))
    assert (completion.text, completion.reasoning) == ("Hi.", "They greet.")


@pytest.mark.parametrize(
    ("content", "answer", "reasoning"),
    [
        ("<think>\nThey greet.\n</think>\n\nHi.", "Hi.", "They greet."),
        ("They greet.\n</think>\n\nHi.", "Hi.", "They greet."),
        ("<think></think>Hi.", "Hi.", ""),
        ("<think>They greet, so", "", "They greet, so"),
        ("The tags <think> and </think> mark it.", "The tags <think> and </think> mark it.", ""),
    ],
)
async def test_a_think_block_is_split_off(content, answer, reasoning):
    completion = await completed(chat(content, "length"))
    assert (completion.text, completion.reasoning) == (answer, reasoning)


async def test_a_stop_string_that_the_server_ignored_ends_the_text():
    sampling = Sampling(stop=("\n\nHuman:", "###"))
    completion = await completed(text(" Hi.### More\n\nHuman: x", "length"), sampling, RAW)
    assert (completion.text, completion.stop_reason) == (" Hi.", "stop")


async def test_an_answer_that_the_server_broke_off_may_be_asked_again():
    error = await failed(chat("Hi", "abort"))
    assert isinstance(error, ModelUnavailable)
    assert "broke its answer off" in str(error)


@pytest.mark.parametrize(
    "reply",
    [
        {"answer": "Hi."},
        {"choices": [{"message": "Hi."}]},
        {"choices": [{"text": "Hi."}]},
        web.Response(text="<html>\x1b[31mwelcome</html>", content_type="text/html"),
        web.json_response([1]),
    ],
)
async def test_another_shape_is_an_error_that_shows_it_and_may_pass(reply):
    error = await failed(reply)
    assert "/v1 answers with something else than a completion" in str(error)
    assert "OpenAI-compatible" in str(error)
    assert str(error).isprintable()
    assert (error.retryable, error.cause) == (True, "invalid answer")


async def test_an_answer_that_is_cut_short_may_pass():
    error = await failed(web.Response(text='{"choices": [{"mess', content_type="application/json"))
    assert (error.retryable, error.cause) == (True, "invalid answer")


# Choosing


async def test_choices_come_from_the_likeliest_first_tokens():
    """A has e^-1 twice over, B e^-1: two to one."""
    async with opened(chat_logprobs(**{"A": -1.0, " A": -1.0, "(B": -1.0})) as (model, server):
        choice = await model.choose(ASKED, ("A", "B"))
    assert [math.exp(value) for value in choice.logprobs] == pytest.approx([2 / 3, 1 / 3])
    assert choice.usage == Usage(7, 3)
    wanted = {"logprobs": True, "top_logprobs": 20, "max_tokens": 1, "temperature": 1, "top_k": -1}
    assert wanted.items() <= server.bodies[0].items()


async def test_a_raw_text_is_chosen_after_by_completions():
    """20 tokens are asked for; the 21st is one that was drawn, and bounds nothing."""
    likeliest = {" A": math.log(0.5)} | {f"x{number}": math.log(0.02) for number in range(19)}
    top = likeliest | {"drawn": math.log(1e-6)}
    async with opened(text(" A", logprobs={"top_logprobs": [top]})) as (model, server):
        choice = await model.choose(RAW, ("A", "B"))
    assert server.bodies[0]["logprobs"] == 20
    assert math.exp(choice.logprobs[1]) == pytest.approx(0.02 / 0.52)


async def test_a_raw_text_may_be_answered_in_the_form_of_chat():
    logprobs = chat_logprobs(A=-1.0, B=-1.0)["choices"][0]["logprobs"]
    assert await chosen(text("A", logprobs=logprobs), RAW) == pytest.approx([0.5, 0.5])


async def test_fewer_logprobs_are_asked_for_when_twenty_are_too_many():
    def reply(received):
        if received.body["top_logprobs"] > 5:
            return refusal(400, "top_logprobs must be at most 5")
        return chat_logprobs(A=-1.0, B=-1.0)

    async with opened(reply) as (model, server):
        await model.choose(ASKED, ("A", "B"))
        await model.choose(ASKED, ("A", "B"))
    assert [body["top_logprobs"] for body in server.bodies] == [20, 5, 5]


def with_logprobs(logprobs, content: str = "A"):
    return {"choices": [{"message": {"content": content}, "logprobs": logprobs}]}


DRAWN = {"token": "A", "logprob": -0.1}


@pytest.mark.parametrize(
    "reply",
    [
        chat("A"),
        with_logprobs(None),
        with_logprobs({}),
        with_logprobs({"content": None}),
        with_logprobs({"content": []}),
        with_logprobs({"content": [{**DRAWN, "top_logprobs": []}]}),
        with_logprobs({"content": [{**DRAWN, "top_logprobs": None}]}),
        with_logprobs({"content": [DRAWN]}),
        with_logprobs({"content": [{**DRAWN, "top_logprobs": [{"token": "A", "logprob": None}]}]}),
        refusal(400, "logprobs is not supported with this model"),
    ],
)
async def test_a_server_without_logprobs_is_told_by_type(reply):
    """The drawn token alone says nothing of the other options."""
    with pytest.raises(NoLogprobs, match=r"log-probabilities.*parsed verdicts"):
        await chosen(reply)


@pytest.mark.parametrize(
    "logprobs",
    [
        None,
        {"tokens": ["A"], "token_logprobs": [-0.1], "top_logprobs": None},
        {"tokens": ["A"], "token_logprobs": [-0.1], "top_logprobs": []},
        {"tokens": ["A"], "token_logprobs": [-0.1], "top_logprobs": [None]},
        {"tokens": ["A"], "token_logprobs": [-0.1], "top_logprobs": [{}]},
    ],
)
async def test_a_text_server_without_logprobs_is_told_by_type(logprobs):
    with pytest.raises(NoLogprobs, match=r"log-probabilities.*parsed verdicts"):
        await chosen(text("A", logprobs=logprobs), RAW)


async def test_other_first_tokens_are_named():
    with pytest.raises(NoLogprobs, match=r"tiny at http.*none of the options A, B.*'<think>'"):
        await chosen(chat_logprobs(**{"<think>": -0.01, "I": -5.0}))


async def test_a_server_that_lacks_one_option_bounds_it():
    """A has 0.9, the rarest token shown 0.02: no more than that for B, and the mass is A's."""
    reply = chat_tokens([("A", math.log(0.9)), ("x", math.log(0.02))])
    async with opened(reply) as (model, _):
        choice = await model.choose(ASKED, ("A", "B"))
    assert math.exp(choice.logprobs[1]) == pytest.approx(0.02 / 0.92)
    assert choice.mass == pytest.approx(0.9)


async def test_an_option_that_may_begin_a_hidden_one_is_not_read():
    reply = chat_logprobs(**{"1": -1.0, "2": -2.0, "3": -3.0})
    with pytest.raises(NoLogprobs, match="'1' is an option and may also begin the option 10"):
        await chosen(reply, options=tuple(str(mark) for mark in range(1, 11)))


async def test_options_that_cannot_be_told_apart_are_not_asked():
    async with opened(chat_logprobs(A=-1.0)) as (model, server):
        with pytest.raises(UsageError, match="cannot be told apart"):
            await model.choose(ASKED, ("A", "A"))
    assert server.received == []


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e999", "0.5"])
async def test_a_log_probability_that_is_none_is_refused(value):
    """Also behind more tokens than were asked for, where sorting might cut it off."""
    tokens = ",".join(f'{{"token":"x{n}","logprob":-{n}.5}}' for n in range(30))
    broken = f'{{"token":"B","logprob":{value}}}'
    body = (
        '{"choices":[{"message":{"content":"A"},"logprobs":{"content":[{"top_logprobs":[%s]}]}}]}'
    )
    for shown in (f'{broken},{{"token":"A","logprob":-1.0}}', f"{tokens},{broken}"):
        reply = web.Response(text=body % shown, content_type="application/json")
        with pytest.raises(
            ModelError, match="for the token 'B' is not a log-probability"
        ) as raised:
            await chosen(reply)
        assert not isinstance(raised.value, NoLogprobs)


async def test_an_impossible_option_is_no_error():
    """Minus infinity, null in its place, and the -9999 of the hosted API are log-probabilities."""
    assert await chosen(chat_tokens([("A", -1.0), ("B", -9999.0)])) == pytest.approx([1.0, 0.0])
    body = (
        '{"choices":[{"message":{"content":"A"},"logprobs":{"content":[{"top_logprobs":[%s]}]}}]}'
    )
    for impossible in ("-Infinity", "null"):
        tokens = f'{{"token":"A","logprob":-0.01}},{{"token":"B","logprob":{impossible}}}'
        reply = web.Response(text=body % tokens, content_type="application/json")
        assert (await chosen(reply))[1] == pytest.approx(0.01, abs=1e-3)


# Structured output

SCHEMA = '{"type": "object", "properties": {"letter": {"enum": ["A", "B"]}}}'


async def test_a_schema_for_the_answer_is_sent_to_chat():
    async with opened(chat('{"letter": "A"}')) as (model, server):
        await model.complete(ASKED, Sampling(json_schema=SCHEMA))
        await model.complete(ASKED, Sampling())
    assert server.bodies[0]["response_format"] == {
        "type": "json_schema",
        "json_schema": {
            "name": "answer",
            "strict": True,
            "schema": {"type": "object", "properties": {"letter": {"enum": ["A", "B"]}}},
        },
    }
    assert "response_format" not in server.bodies[1]


async def test_a_schema_is_no_part_of_a_raw_text():
    async with opened(text("A")) as (model, server):
        await model.complete(RAW, Sampling(json_schema=SCHEMA))
    assert "response_format" not in server.bodies[0]


@pytest.mark.parametrize(
    "complaint",
    [
        "Invalid parameter: 'response_format' of type 'json_schema' is not supported.",
        "Unexpected fields in the request: {'response_format'}",
        "The provided JSON schema contains features not supported by xgrammar.",
        "failed to parse grammar",
    ],
)
async def test_a_server_that_refuses_a_schema_is_asked_without_it_from_then_on(complaint):
    def reply(received):
        is_refused = "response_format" in received.body
        return refusal(400, complaint) if is_refused else chat("I choose A.")

    sampling = Sampling(json_schema=SCHEMA, seed=3)
    async with opened(reply) as (model, server):
        for _ in range(2):
            assert (await model.complete(ASKED, sampling)).text == "I choose A."
    assert ["response_format" in body for body in server.bodies] == [True, False, False]
    assert all(body["seed"] == 3 for body in server.bodies)


async def test_a_schema_that_is_no_json_is_said_plainly():
    async with opened(chat("A")) as (model, server):
        with pytest.raises(UsageError, match="schema for the answer is not JSON"):
            await model.complete(ASKED, Sampling(json_schema="{type: object}"))
    assert server.received == []


# Errors


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (408, "time-out"),
        (409, "server error"),
        (425, "server error"),
        (429, "rate limit"),
        (500, "server error"),
        (502, "server error"),
        (503, "server error"),
        (529, "server error"),
    ],
)
async def test_what_may_pass_is_retryable_and_told_by_cause(status, cause):
    error = await failed(refusal(status, "busy"))
    assert isinstance(error, ModelUnavailable)
    assert error.cause == cause
    assert f"answers {status}: 'busy'" in str(error)
    assert error.retry_after_s is None


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "0.5"}, 0.5),
        ({"retry-after-ms": "1500", "Retry-After": "9"}, 1.5),
        ({"Retry-After": formatdate(time.time() + 9000, usegmt=True)}, 9000),
        ({"Retry-After": formatdate(0, usegmt=True)}, 0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-3"}, None),
    ],
)
async def test_the_servers_advice_to_wait_is_passed_on(headers, seconds):
    error = await failed(refusal(429, "slow down", **headers))
    assert isinstance(error, ModelUnavailable)
    assert error.retry_after_s == (None if seconds is None else pytest.approx(seconds, rel=0.1))


@pytest.mark.parametrize(
    "complaint",
    [
        "The response was filtered due to the prompt triggering the content management policy.",
        "Your request was rejected as a result of our safety system.",
    ],
)
async def test_refused_content_is_told_by_cause_and_not_asked_again(complaint):
    error = await failed(refusal(400, complaint))
    assert (error.retryable, error.cause) == (False, "refused content")
    assert "would again" in str(error)


@pytest.mark.parametrize(
    "complaint",
    [
        "This model's maximum context length is 512 tokens. However, you requested 900 tokens.",
        "'max_tokens' or 'max_completion_tokens' is too large: 9. Maximum context length is 8.",
        "The decoder prompt (length 900) is longer than the maximum model length of 512.",
        "the request exceeds the available context size, try increasing it",
        "The input (900 tokens) is longer than the model's context length (512 tokens).",
    ],
)
async def test_a_request_that_is_too_long_is_told_by_type(complaint):
    error = await failed(refusal(400, complaint))
    assert isinstance(error, ContextLengthError)
    assert "shorten it" in str(error)


@pytest.mark.parametrize(
    "complaint",
    ["stop: array too long, maximum length 4", "Maximum of 128 tools", "temperature is too large"],
)
async def test_other_refusals_are_not_taken_for_length(complaint):
    error = await failed(refusal(400, complaint))
    assert type(error) is ModelError
    assert complaint in str(error)


async def test_the_message_is_found_in_every_servers_form():
    for body in (
        {"error": "why"},
        {"message": "why"},
        {"detail": "why"},
        {"error": {"message": "why"}},
    ):
        assert "answers 418: 'why'." in str(await failed(web.json_response(body, status=418)))
    listed = {"detail": [{"loc": ["body", "n"], "msg": "why"}]}
    assert "why" in str(await failed(web.json_response(listed, status=418)))


async def test_a_missing_model_lists_those_there_are():
    error = await failed(refusal(404, "no model tiny"), models=tuple(f"m{n}" for n in range(12)))
    assert "no model tiny" in str(error)
    assert "The server has m0, m1," in str(error)
    assert "m9 and 2 more" in str(error)


async def test_a_wrong_path_points_to_the_url():
    error = await failed(refusal(404, "Not Found"), models=refusal(404, "Not Found"))
    assert "usually ends in /v1" in str(error)


async def test_a_redirect_is_not_followed_with_the_key():
    async with LocalServer(chat("Hi.")) as other:
        error = await failed(web.Response(status=307, headers={"Location": other.url}))
    assert "a redirect. Give the final URL" in str(error)
    assert other.received == []


async def test_a_refused_connection_is_said_plainly():
    port = closed_port()
    model = HttpModel("tiny", [f"http://127.0.0.1:{port}/v1"])
    with pytest.raises(ModelUnavailable, match=f":{port}/v1: connection refused; is the server"):
        await model.complete(ASKED, SAMPLING)
    await model.close()


async def test_an_unknown_host_is_said_plainly():
    model = HttpModel("tiny", ["http://nowhere.invalid/v1"])
    with pytest.raises(ModelUnavailable, match="its host name is not known"):
        await model.complete(ASKED, SAMPLING)
    await model.close()


async def test_a_server_without_a_certificate_is_no_https_server():
    async with LocalServer(chat("Hi.")) as server:
        model = HttpModel("tiny", [server.url.replace("http:", "https:")])
        with pytest.raises(ModelError, match="no safe connection") as raised:
            await model.complete(ASKED, SAMPLING)
        assert not raised.value.retryable
        await model.close()


async def test_a_silent_server_times_out():
    async def silent(_):
        await asyncio.sleep(30)

    error = await failed(silent, limits=Limits(timeout_s=0.1))
    assert isinstance(error, ModelUnavailable)
    assert "no answer within 0.1 s" in str(error)


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"", "it closed the connection"),
        (None, "connection reset"),
        (b"SSH-2.0\r\n", "HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}", "cut off"),
    ],
)
async def test_a_server_that_hangs_up_or_speaks_no_http_is_unavailable(sent, reason):
    async def answer(reader, writer):
        if sent is None:  # closing with the request unread resets the connection
            writer.transport.pause_reading()
            await asyncio.sleep(0.05)
            writer.transport.abort()
            return
        await reader.readuntil(b"}")
        writer.write(sent)
        writer.close()
        await writer.wait_closed()

    listener = await asyncio.start_server(answer, "127.0.0.1", 0)
    model = HttpModel("tiny", [f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1"])
    with pytest.raises(ModelUnavailable, match=reason):
        await model.complete(ASKED, SAMPLING)
    await model.close()
    listener.close()
    await listener.wait_closed()


# The key


async def test_the_key_is_sent_and_never_shown():
    """Whatever the server says of it, in whatever status, chained causes included."""
    said = f"Bearer {KEY} or {KEY[:12]}*** is wrong"
    replies = [refusal(status, said) for status in (400, 401, 403, 404, 418, 429, 500)]
    for reply in [*replies, web.Response(text=said), chat("x") | {"choices": [{"text": said}]}]:
        async with opened(reply, models=refusal(401, said)) as (model, server):
            with pytest.raises(ModelError) as completing:
                await model.complete(ASKED, SAMPLING)
            with pytest.raises(ModelError) as choosing:
                await model.choose(ASKED, ("A", "B"))
            with pytest.raises(ModelError) as checking:
                await model.check()
        assert server.received[0].headers["Authorization"] == f"Bearer {KEY}"
        for raised in (completing, choosing, checking):
            shown = "".join(traceback.format_exception(raised.value)) + repr(raised.value)
            assert KEY[:12] not in shown
        assert KEY not in repr(model) + model.name


async def test_a_refused_key_names_its_variable():
    error = await failed(refusal(401, "bad key"))
    assert "the key in OPENAI_API_KEY was refused: 'bad key'" in str(error)
    assert not error.retryable


async def test_a_local_server_needs_no_key(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    async with opened(chat("Hi.")) as (model, server):
        await model.complete(ASKED, SAMPLING)
    assert "Authorization" not in server.received[0].headers
    assert "Set the environment variable OPENAI_API_KEY" in str(await failed(refusal(401, "who?")))


async def test_the_key_may_stand_in_another_variable(monkeypatch):
    monkeypatch.setenv("LOCAL_KEY", f" {KEY[::-1]}\n")
    async with opened(chat("Hi."), key_env="LOCAL_KEY") as (model, server):
        await model.complete(ASKED, SAMPLING)
    assert server.received[0].headers["Authorization"] == f"Bearer {KEY[::-1]}"


def test_the_hosted_api_wants_a_key(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ModelError, match="variable OPENAI_API_KEY is not set"):
        HttpModel("gpt-x")
    monkeypatch.setenv("OPENAI_API_KEY", "two words")
    with pytest.raises(ModelError, match="OPENAI_API_KEY") as raised:
        HttpModel("gpt-x")
    assert "two words" not in str(raised.value)


# Names and URLs


def test_the_name_says_model_and_endpoints():
    urls = ["http://two:81/v1/", "https://one/v1", "http://two:81/v1/"]
    assert HttpModel("tiny", urls).name == "openai:tiny@one/v1,two:81/v1"
    assert HttpModel("tiny", urls).name == HttpModel("tiny", urls[::-1]).name
    assert HttpModel("gpt-x").name == "openai:gpt-x@api.openai.com/v1"
    assert repr(HttpModel("tiny", urls[1:2])) == "HttpModel('openai:tiny@one/v1')"


def test_it_is_a_choice_model():
    model: ChoiceModel = HttpModel("tiny", ["http://one/v1"])
    assert isinstance(model, ChoiceModel)


def test_the_base_url_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://one:8000/v1")
    assert HttpModel("tiny").name == "openai:tiny@one:8000/v1"


@pytest.mark.parametrize(
    "url",
    [
        "http://me:hunter22@one/v1",
        "http://one/v1?key=hunter22",
        "me:hunter22@one",
        "http://a:b@c:d/",
    ],
)
def test_a_url_with_credentials_is_refused_unshown(url):
    with pytest.raises(UsageError, match="the key in the environment variable OPENAI_API_KEY") as r:
        HttpModel("tiny", [url])
    assert "hunter22" not in str(r.value)


@pytest.mark.parametrize(
    "url", ["one:8000/v1", "ftp://one/v1", "http://", "http://one:port/v1", ""]
)
def test_what_is_no_url_is_refused(url):
    with pytest.raises(UsageError, match="is not the URL of a server"):
        HttpModel("tiny", [url])


# Checking before a run


async def test_check_passes_when_the_model_is_listed():
    async with opened(chat("Hi.")) as (model, server):
        await model.check()
    assert server.received == []


@pytest.mark.parametrize("status", [404, 405, 500])
async def test_check_passes_where_models_are_not_listed(status):
    async with opened(chat("Hi."), models=refusal(status, "no")) as (model, _):
        await model.check()


async def test_check_names_the_models_when_ours_is_missing():
    async with opened(refusal(404, "no"), models=("big", "small")) as (model, _):
        with pytest.raises(ModelError, match=r"has no model 'tiny'\. It has big, small;"):
            await model.check()


@pytest.mark.parametrize(
    "reply", [chat("Hi."), refusal(503, "loading"), refusal(422, "unexpected: top_k")]
)
async def test_check_lets_a_server_load_an_unlisted_model_and_leaves_what_may_pass(reply):
    async with opened(reply, models=("cached",)) as (model, server):
        await model.check()
    assert len(server.received) == 1


async def test_check_says_that_a_server_cannot_be_reached():
    async with LocalServer(chat("Hi.")) as server:
        model = HttpModel("tiny", [server.url, f"http://127.0.0.1:{closed_port()}/v1"])
        with pytest.raises(ModelError, match="connection refused; is the server run") as raised:
            await model.check()
        assert not raised.value.retryable
        await model.close()


async def test_check_says_that_the_key_is_refused():
    async with opened(chat("Hi."), models=refusal(403, "no")) as (model, _):
        with pytest.raises(ModelError, match="the key in OPENAI_API_KEY was refused"):
            await model.check()


# Many calls, many servers


async def slowly(_):
    await asyncio.sleep(0.02)
    return chat("Hi.")


async def test_300_calls_share_the_connections():
    async with opened(slowly, limits=Limits(calls=64)) as (model, server):
        answers = await asyncio.gather(*(model.complete(ASKED, SAMPLING) for _ in range(300)))
    assert len(answers) == len(server.received) == 300
    assert 32 < server.most_open <= 64


async def test_waiting_for_a_connection_is_not_part_of_the_time_limit():
    async with opened(slowly, limits=Limits(calls=1, timeout_s=0.4)) as (model, _):
        await asyncio.gather(*(model.complete(ASKED, SAMPLING) for _ in range(30)))


async def test_servers_are_balanced_by_what_is_in_flight():
    async with LocalServer(slowly) as one, LocalServer(slowly) as two:
        model = HttpModel("tiny", [one.url, two.url])
        await asyncio.gather(*(model.complete(ASKED, SAMPLING) for _ in range(20)))
        await model.close()
    assert (len(one.received), len(two.received)) == (10, 10)


async def test_a_dead_server_is_left_alone_for_a_while():
    async with LocalServer(slowly) as server:
        model = HttpModel("tiny", [f"http://127.0.0.1:{closed_port()}/v1", server.url])
        with pytest.raises(ModelUnavailable):
            await model.complete(ASKED, SAMPLING)
        await asyncio.gather(*(model.complete(ASKED, SAMPLING) for _ in range(8)))
        await model.close()
    assert len(server.received) == 8


async def test_cancelled_calls_leave_nothing_behind():
    async def never(_):
        await asyncio.Event().wait()

    async with opened(never) as (model, server):
        calls = [asyncio.create_task(model.complete(ASKED, SAMPLING)) for _ in range(5)]
        while server.n_open < 5:
            await asyncio.sleep(0.01)
        for call in calls:
            call.cancel()
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(result, asyncio.CancelledError) for result in results)
        while server.n_broken_off < 5:
            await asyncio.sleep(0.01)
        server.reply = chat("Hi.")
        assert (await model.complete(ASKED, SAMPLING)).text == "Hi."


def test_a_closed_model_opens_again_in_another_loop():
    model = HttpModel("tiny", [f"http://127.0.0.1:{closed_port()}/v1"])

    async def ask() -> None:
        with pytest.raises(ModelUnavailable, match="connection refused"):
            await model.complete(ASKED, SAMPLING)
        await model.close()
        await model.close()

    asyncio.run(ask())
    asyncio.run(ask())
