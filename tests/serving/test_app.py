"""The app over HTTP: what it answers, to whom, and what it says when it cannot."""

import asyncio
import json
import socket
import urllib.error
import urllib.request
from contextlib import suppress
from typing import Any

import httpx
import pytest
from arithmetic_judge import arithmetic_judge
from service_clients import client_of, served
from tiny import CHATML, make_tokenizer

from cai.serving import schema, server
from cai.serving.app import MAX_BYTES_IN_FLIGHT, Service
from cai.serving.chat_format import chat_format_of
from cai.serving.schema import CompareResult, Health, ScoreResult
from cai.types import Prompt

MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hello?"},
    {"role": "assistant", "content": "Yes?"},
    {"role": "user", "content": "How are you?"},
]
ITEM = {"prompt": "Hi.", "response": "mark 10"}


async def call(
    client: httpx.AsyncClient, path: str, body: Any = None, **headers: str
) -> tuple[int, Any]:
    """Status and JSON of the answer, which is checked against the server's OpenAPI document."""
    method = "GET" if body is None else "POST"
    content = body if isinstance(body, str | bytes | None) else json.dumps(body)
    headers = {"Content-Type": "application/json", **headers}
    response = await client.request(method, path, content=content, headers=headers)
    assert response.headers["X-Request-ID"]
    documented = await client.get("/openapi.json", headers=headers)
    if documented.status_code == 200:
        responses = documented.json()["paths"][path][method.lower()]["responses"]
        reference = responses[str(response.status_code)]["content"]["application/json"]["schema"]
        name = reference["$ref"].rpartition("/")[2]
        assert getattr(schema, name).model_validate(response.json())
    return response.status_code, response.json()


async def test_scores_are_in_the_order_of_the_items_and_one_failure_harms_no_other():
    """Marks 10 and 1 are the rewards 1 and −1."""
    judge, model = arithmetic_judge()
    responses = ["mark 10", "refuse me", "mark 1"]
    items = [{"prompt": MESSAGES, "response": each} for each in responses]
    async with client_of(Service(judge)) as client:
        status, body = await call(client, "/score", {"items": items})
    assert status == 200
    assert [each["outcome"] for each in body["scores"]] == ["scored", "failed", "scored"]
    first, failed, last = [each["reward"] for each in body["scores"]]
    assert (first, failed, last) == (pytest.approx(1.0), None, pytest.approx(-1.0))
    assert all("Be brief." in each.text and "Yes?" in each.text for each in model.requests)


async def test_comparisons_are_in_the_order_of_the_items():
    judge, _ = arithmetic_judge()
    pairs = [
        ("A longer one.", "A long one."),
        ("A long one.", "A longer one."),
        ("refuse me", "No."),
    ]
    items = [{"prompt": "Hi.", "response_a": a, "response_b": b} for a, b in pairs]
    async with client_of(Service(judge)) as client:
        status, body = await call(client, "/compare", {"items": items})
    assert status == 200
    assert [each["outcome"] for each in body["comparisons"]] == ["a", "b", "failed"]
    assert body["comparisons"][2]["p_a"] is None


async def test_concurrent_requests_get_their_own_answers():
    judge, _ = arithmetic_judge()
    marks = [1 + number % 10 for number in range(40)]
    async with client_of(Service(judge)) as client:
        answers = await asyncio.gather(
            *(
                call(client, "/score", {"items": [{"prompt": "Hi.", "response": f"mark {mark}"}]})
                for mark in marks
            )
        )
    rewards = [body["scores"][0]["reward"] for _, body in answers]
    assert rewards == pytest.approx([2 * (mark - 1) / 9 - 1 for mark in marks])


async def test_openrlhf_gets_the_rewards_of_its_queries_without_their_template():
    judge, model = arithmetic_judge()
    prompt = "<|im_start|>user\nHow are you?<|im_end|>\n<|im_start|>assistant\n"
    body = {"query": [f"{prompt}mark 10<|im_end|>"], "prompts": [prompt], "labels": ["x"]}
    chat_format = chat_format_of(make_tokenizer(CHATML))
    async with client_of(Service(judge, chat_format=chat_format)) as client:
        status, answer = await call(client, "/get_reward", body)
    assert status == 200
    assert answer["rewards"] == answer["scores"] == [pytest.approx(1.0)]
    assert answer["extra_logs"] == {"scored": [1.0]}
    assert not any("<|im_" in each.text for each in model.requests)


async def test_openrlhf_never_gets_a_number_that_nobody_chose():
    judge, _ = arithmetic_judge()
    body = {"query": ["Hi. refuse me", "Hi. mark 10"], "prompts": ["Hi. ", "Hi. "], "labels": None}
    async with client_of(Service(judge)) as client:
        status, answer = await call(client, "/get_reward", body)
    assert status == 503
    assert "failed. The server refused the request." in answer["error"]
    async with client_of(Service(judge, substitute=-1.5)) as client:
        status, answer = await call(client, "/get_reward", body)
    assert (status, answer["rewards"]) == (200, [-1.5, pytest.approx(1.0)])
    assert answer["extra_logs"] == {"scored": [0.0, 1.0]}


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/score", "{", "not JSON"),
        ("/score", "[" * 100_000, "not JSON"),
        ("/score", b"\xff", "not JSON"),
        ("/score", "", "The body: "),
        ("/score", "[]", "not a JSON object"),
        ("/score", {}, "items: "),
        ("/score", {"items": []}, "items: "),
        ("/score", {"items": [{"prompt": "Hi."}]}, "items.0.response: "),
        ("/score", {"items": [{"prompt": 3, "response": "x"}]}, "items.0.prompt"),
        ("/score", {"items": [{"prompt": MESSAGES[:3], "response": "x"}]}, "must be user's"),
        ("/score", {"items": [{"prompt": "\ud800", "response": "x"}]}, "items.0.prompt"),
        ("/score", {"items": [{**ITEM, "reponse": ""}]}, "items.0.reponse: "),
        ("/compare", {"items": [ITEM]}, "items.0.response_a: "),
        ("/get_reward", {"query": ["x"], "prompts": []}, "1 queries and 0 prompts"),
        ("/get_reward", {"query": ["x"], "prompts": ["y"]}, "does not contain its prompt"),
        ("/get_reward", {"query": ["<|im_start|>x"], "prompts": ["<|im_start|>"]}, "--policy"),
    ],
)
async def test_a_bad_request_is_answered_with_one_sentence(path: str, body: Any, message: str):
    judge, model = arithmetic_judge()
    async with client_of(Service(judge)) as client:
        status, answer = await call(client, path, body)
    assert status == 400
    assert message in answer["error"]
    assert "\n" not in answer["error"]
    assert model.requests == []


async def test_a_body_of_another_content_type_is_refused():
    """A page of another site can post a form or plain text to this machine, but no JSON."""
    judge, model = arithmetic_judge()
    async with client_of(Service(judge)) as client:
        body = {"items": [ITEM]}
        status, answer = await call(client, "/score", body, **{"Content-Type": "text/plain"})
    assert (status, "Content-Type: application/json" in answer["error"]) == (415, True)
    assert model.requests == []


async def test_a_wrong_path_or_method_points_to_the_document():
    judge, _ = arithmetic_judge()
    async with client_of(Service(judge)) as client:
        for path in ("/scores", "/score/", "/docs"):
            response = await client.get(path)
            assert (response.status_code, "/openapi.json" in response.json()["error"]) == (
                404,
                True,
            )
        response = await client.get("/score")
        assert (response.status_code, "/openapi.json" in response.json()["error"]) == (405, True)
        assert response.headers["Allow"] == "POST"


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_body_that_is_too_large_is_refused(is_chunked: bool):
    judge, model = arithmetic_judge()
    body = json.dumps({"items": [{"prompt": "x" * 3_000_000, "response": "x"}]}).encode()
    with served(Service(judge), max_body_bytes=1000) as url:
        content = iter([body]) if is_chunked else body
        request = urllib.request.Request(
            f"{url}/score", content, {"Content-Type": "application/json"}
        )
        with pytest.raises(urllib.error.HTTPError) as raised:
            urllib.request.urlopen(request)
        with raised.value as response:
            assert response.code == 413
            assert "Send fewer items" in json.load(response)["error"]
        with urllib.request.urlopen(f"{url}/health") as response:  # the server goes on
            assert response.status == 200
    assert model.requests == []


async def test_without_the_key_nothing_is_scored_or_parsed():
    judge, model = arithmetic_judge()
    service = Service(judge, key="a-secret-word")
    async with client_of(service) as client:
        for authorization in ("", "Bearer a-secret", "Bearer é", "a-secret-word"):
            for content in (json.dumps({"items": [ITEM]}), "{"):
                headers = {"Authorization": authorization.encode()}
                response = await client.post("/score", content=content, headers=headers)
                assert response.status_code == 401
                assert response.headers["WWW-Authenticate"] == "Bearer"
                assert response.json()["error"] == "The key is missing or wrong."
        assert model.requests == []
        key = {"Authorization": "Bearer a-secret-word"}
        status, _ = await call(client, "/score", {"items": [ITEM]}, **key)
        assert status == 200
        document = (await client.get("/openapi.json", headers=key)).json()
        status, _ = await call(client, "/health")
        assert status == 200
    assert document["paths"]["/score"]["post"]["security"] == [{"HTTPBearer": []}]
    assert "security" not in document["paths"]["/health"]["get"]
    assert "a-secret-word" not in repr(service) + json.dumps(document)


async def test_a_request_keeps_its_id_or_gets_one():
    judge, _ = arithmetic_judge()
    async with client_of(Service(judge)) as client:
        response = await client.get("/health", headers={"X-Request-ID": "step-7"})
        assert response.headers["X-Request-ID"] == "step-7"
        response = await client.get("/health", headers={"X-Request-ID": "a b<c>"})
        assert len(response.headers["X-Request-ID"]) == 32
        response = await client.get("/nowhere", headers={"X-Request-ID": "s1"})
        assert response.json()["request_id"] == "s1"


class BrokenRewarder:
    """A rewarder with a programming error."""

    chat_format = None
    health = Health(status="ok", kind="judge", name="broken", version="0")

    async def score(self, prompt: Prompt, response: str) -> ScoreResult:
        raise ZeroDivisionError(f"of {prompt}")

    async def compare(self, prompt: Prompt, response_a: str, response_b: str) -> CompareResult:
        raise ZeroDivisionError(f"of {prompt}")


async def test_a_programming_error_is_logged_with_the_request_id_and_shown_to_nobody(
    caplog: pytest.LogCaptureFixture,
):
    service = Service(BrokenRewarder())
    async with client_of(service) as client:
        status, answer = await call(client, "/score", {"items": [ITEM]}, **{"X-Request-ID": "s1"})
    assert (status, answer["request_id"]) == (500, "s1")
    assert "ZeroDivisionError" not in answer["error"]
    (record,) = caplog.records
    assert "s1" in record.getMessage()
    assert record.exc_info is not None and record.exc_info[0] is ZeroDivisionError


async def test_traffic_is_counted():
    judge, _ = arithmetic_judge()
    service = Service(judge)
    async with client_of(service) as client:
        await call(client, "/score", {"items": [ITEM, {"prompt": "Hi.", "response": "refuse me"}]})
        await call(client, "/score", "{")
    traffic = service.traffic
    assert (traffic.n_scored, traffic.n_unscored, traffic.n_refused) == (1, 1, 1)
    assert traffic.n_in_flight == 0
    assert str(traffic) == "1 scored, 1 not scored, 0 requests in flight, 1 refused"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:8080"}, 200),
        ({"Host": "[::1]:8080"}, 200),
        ({"Host": "LOCALHOST"}, 200),
        ({"Host": "evil.example:8080"}, 403),
        ({"Host": "localhost.evil.example"}, 403),
        ({"Host": ""}, 403),
        ({"Host": "localhost:8080", "Origin": "http://localhost:8080"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Content-Type": "application/json; charset=utf-8"}, 200),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": "application/jsonp"}, 415),
        ({"Content-Type": ""}, 415),
        ({"X-Odd": "\xff\x80"}, 200),
    ],
    ids=str,
)
async def test_only_requests_meant_for_this_server_are_answered(
    headers: dict[str, str], status: int
):
    judge, model = arithmetic_judge()
    hosts = frozenset({"localhost", "::1", "server"})
    async with client_of(Service(judge, hosts=hosts)) as client:
        sent = {"Content-Type": "application/json", **headers}
        odd = {name: value.encode("latin-1") for name, value in sent.items()}
        response = await client.post("/score", content=json.dumps({"items": [ITEM]}), headers=odd)
    assert response.status_code == status
    assert bool(model.requests) == (status == 200)


class EvenRewarder:
    """A rewarder that finds everything equally good."""

    chat_format = None
    health = Health(status="ok", kind="judge", name="even", version="0")

    async def score(self, prompt: Prompt, response: str) -> ScoreResult:
        return ScoreResult(reward=0.5, outcome="scored")

    async def compare(self, prompt: Prompt, response_a: str, response_b: str) -> CompareResult:
        return CompareResult(p_a=0.5, outcome="tie")


PARTIAL_PAIRS = [
    {"prompt": "Hi.", "response_a": " ", "response_b": "Yes?"},
    {"prompt": "Hi.", "response_a": "No.", "response_b": "Yes", "is_truncated_b": True},
    {"prompt": "Hi.", "response_a": "No.", "response_b": "Yes?"},
]


@pytest.mark.parametrize("scores_partial", [False, True])
async def test_empty_and_cut_off_responses_are_unscored_unless_asked_for(scores_partial: bool):
    judge = EvenRewarder()
    cut = {**ITEM, "is_truncated": True}
    items = [cut, {**ITEM, "response": ""}, {**ITEM, "response": " \n\u3000"}, ITEM]
    async with client_of(Service(judge, scores_partial=scores_partial)) as client:
        _, body = await call(client, "/score", {"items": items})
        _, rewards = await call(client, "/get_reward", {"query": ["Hi."], "prompts": ["Hi."]})
        _, compared = await call(client, "/compare", {"items": PARTIAL_PAIRS})
    outcomes = [each["outcome"] for each in body["scores"]]
    if not scores_partial:
        assert outcomes == ["unscored", "unscored", "unscored", "scored"]
        assert "cut off" in body["scores"][0]["reason"] and "empty" in body["scores"][1]["reason"]
        assert "empty" in rewards["error"]
        reasons = [each["reason"] for each in compared["comparisons"]]
        assert "A is empty" in reasons[0] and "B is cut off" in reasons[1]
        assert [each["p_a"] for each in compared["comparisons"]] == [None, None, 0.5]
    else:
        assert [each["p_a"] for each in compared["comparisons"]] == [0.5, 0.5, 0.5]
        assert outcomes == ["scored"] * 4
        assert rewards["rewards"] == [0.5]


async def test_what_is_longer_than_any_context_is_not_even_read():
    judge, model = arithmetic_judge()
    long = {**ITEM, "response": "x" * 1_000_001}
    pair = {"prompt": "x" * 1_000_000, "response_a": "a", "response_b": "b"}
    async with client_of(Service(judge)) as client:
        _, scored = await call(client, "/score", {"items": [long]})
        _, compared = await call(client, "/compare", {"items": [pair]})
    assert scored["scores"][0]["outcome"] == "unscored"
    assert compared["comparisons"][0]["outcome"] == "unscored"
    assert "1,000,004 characters" in scored["scores"][0]["reason"]
    assert model.requests == []


async def test_bodies_in_flight_share_one_limit_and_give_it_back():
    judge, _ = arithmetic_judge()
    service = Service(judge)
    service.traffic.n_bytes = MAX_BYTES_IN_FLIGHT - 10
    async with client_of(service) as client:
        status, answer = await call(client, "/score", {"items": [ITEM]})
        assert (status, "in flight" in answer["error"]) == (503, True)
        service.traffic.n_bytes = 0
        status, _ = await call(client, "/score", {"items": [ITEM]})
    assert (status, service.traffic.n_bytes) == (200, 0)


ODD = [
    b"\xff\xfe\x00\x01\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"POST /score HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b"Content-Length: 100\r\n\r\n{",
    b"POST /\xff%ff%00 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b"Content-Length: 2\r\n\r\n{}",
    b"GET /health HTTP/1.1\r\nHost: x\r\nX-Request-ID: \xff\r\n\r\n",
    b"GET /health HTTP/1.1\r\n" + b"X: " + b"y" * 200_000 + b"\r\n\r\n",
    b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b"Content-Length: 6000\r\n\r\n" + b"9" * 6000,
]


def test_odd_bytes_and_clients_that_go_leave_no_traceback(caplog: pytest.LogCaptureFixture):
    judge, _ = arithmetic_judge()
    with served(Service(judge)) as url:
        port = int(url.rpartition(":")[2])
        for content in ODD:
            for is_reading in (False, True):
                with socket.create_connection(("127.0.0.1", port)) as client:
                    client.sendall(content)
                    client.shutdown(socket.SHUT_WR)
                    with suppress(ConnectionResetError):
                        while is_reading and client.recv(65536):
                            pass
        with urllib.request.urlopen(f"{url}/health") as response:
            assert response.status == 200
    assert [record for record in caplog.records if record.exc_info] == []


def test_a_body_that_takes_too_long_is_given_up():
    judge, _ = arithmetic_judge()
    with served(Service(judge), body_s=0.05) as url:
        port = int(url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(
                b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                b"Content-Length: 100\r\n\r\n{"
            )
            answer = b"".join(iter(lambda: client.recv(65536), b""))  # until the server closes it
    assert b" 408 " in answer and b"took too long" in answer


def test_a_connection_without_a_request_is_closed(monkeypatch: pytest.MonkeyPatch):
    judge, _ = arithmetic_judge()
    monkeypatch.setattr(server, "HEADERS_S", 0.05)
    with served(Service(judge)) as url:
        port = int(url.rpartition(":")[2])
        for beginning in (b"", b"GET /hea", b"GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET /h"):
            with socket.create_connection(("127.0.0.1", port)) as client:
                client.sendall(beginning)
                with suppress(ConnectionResetError):
                    while client.recv(65536):
                        pass


def test_a_client_that_does_not_read_its_answer_is_dropped(monkeypatch: pytest.MonkeyPatch):
    """The server resets the connection; the client notices when it sends again."""
    monkeypatch.setattr(server, "READING_S", 0.05)
    body = json.dumps({"items": [ITEM] * 4000}).encode()
    head = "POST /score HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: "
    with served(Service(EvenRewarder())) as url:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.settimeout(60)
            client.connect(("127.0.0.1", int(url.rpartition(":")[2])))
            with pytest.raises(ConnectionError):
                while True:
                    client.sendall(f"{head}{len(body)}\r\n\r\n".encode() + body)
        with urllib.request.urlopen(f"{url}/health") as response:
            assert response.status == 200


class UnhurriedRewarder(EvenRewarder):
    """As EvenRewarder, after other tasks have had their turn."""

    async def score(self, prompt: Prompt, response: str) -> ScoreResult:
        await asyncio.sleep(0)
        return ScoreResult(reward=0.5, outcome="scored")


async def test_a_small_request_does_not_wait_for_all_of_a_large_one():
    answered: list[str] = []
    async with client_of(Service(UnhurriedRewarder())) as client:

        async def ask(name: str, n_items: int) -> None:
            await call(client, "/score", {"items": [ITEM] * n_items})
            answered.append(name)

        await asyncio.gather(ask("large", 4000), ask("small", 1))
    assert answered == ["small", "large"]
