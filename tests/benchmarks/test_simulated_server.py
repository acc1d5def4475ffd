"""The simulated server of the benchmarks, over a real socket: answers, queue, faults and counts."""

import json
import math
import subprocess
import sys
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection, IncompleteRead
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

SERVER = Path(__file__).parents[2] / "benchmarks" / "engine" / "server.py"
FAULTS = ("rate", "error", "cut", "truncated", "hang")


class Client:
    """Asks the server at that port, over a new connection each time."""

    def __init__(self, port: int) -> None:
        self._port = port

    def send(self, method: str, path: str, body: Any = None, timeout_s: float = 5) -> Any:
        """The status, the headers and the text of the answer."""
        connection = HTTPConnection("127.0.0.1", self._port, timeout=timeout_s)
        try:
            connection.request(method, path, json.dumps(body) if body else None)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read().decode()
        finally:
            connection.close()

    def ask(self, text: str = "How do I mend a lamp?", timeout_s: float = 5, **fields: Any) -> Any:
        body = {"model": "sim", "messages": [{"role": "user", "content": text}], **fields}
        return self.send("POST", "/v1/chat/completions", body, timeout_s)

    def complete(self, text: str, **fields: Any) -> Any:
        status, _, answer = self.ask(text, **fields)
        assert status == 200
        return json.loads(answer)

    @property
    def stats(self) -> Any:
        return json.loads(self.send("GET", "/stats")[2])


@contextmanager
def simulated(*options: object) -> Generator[Client]:
    """A server with these options, as a process of its own."""
    command = [sys.executable, str(SERVER), "--mean-ms", "2", *map(str, options)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        url = urlsplit(process.stdout.readline().strip())
        assert url.path == "/v1" and url.port
        yield Client(url.port)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture(scope="module")
def client() -> Generator[Client]:
    with simulated("--slots", 8) as client:
        yield client


def text_of(answer: Any) -> str:
    return answer["choices"][0]["message"]["content"]


def test_equal_requests_get_equal_answers_and_others_get_others(client: Client):
    first = client.complete("What is a wick?")
    assert client.complete("What is a wick?") == first
    other = client.complete("What is a wick?", seed=1)
    assert text_of(other) != text_of(first)
    assert len(text_of(other).split()) == len(text_of(first).split())  # the same work


def test_another_process_gives_the_same_answers_and_another_seed_gives_others(client: Client):
    first = [client.complete(f"Lamp {i}?")["usage"] for i in range(5)]
    with simulated("--slots", 1) as again:
        assert [again.complete(f"Lamp {i}?")["usage"] for i in range(5)] == first
    with simulated("--slots", 1, "--seed", 1) as other:
        assert [other.complete(f"Lamp {i}?")["usage"] for i in range(5)] != first


def test_usage_counts_words_and_max_tokens_cuts(client: Client):
    answer = client.complete("one two three", max_tokens=4)
    assert answer["usage"] == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    assert answer["choices"][0]["finish_reason"] == "length"
    assert len(text_of(answer).split()) == 4


def test_the_model_is_listed_and_raw_text_is_completed(client: Client):
    assert json.loads(client.send("GET", "/v1/models")[2])["data"][0]["id"] == "sim"
    asked = {"model": "sim", "prompt": "Once there was a lamp", "logprobs": 5, "max_tokens": 1}
    choice = json.loads(client.send("POST", "/v1/completions", asked)[2])["choices"][0]
    assert choice["text"] in {"A", "B"}
    assert len(choice["logprobs"]["top_logprobs"][0]) == 5


def test_log_probabilities_of_letters_are_those_of_the_request(client: Client):
    def likeliest(text: str) -> dict[str, float]:
        answer = client.complete(text, max_tokens=1, logprobs=True, top_logprobs=20)
        top = answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
        assert text_of(answer) == top[0]["token"]
        return {token["token"]: math.exp(token["logprob"]) for token in top}

    first = likeliest("Which is better?")
    assert likeliest("Which is better?") == first
    assert first["A"] + first["B"] == pytest.approx(0.98, abs=1e-4)
    assert sum(first.values()) <= 1
    assert likeliest("Which is better, or worse?") != first


def test_what_is_no_request_is_refused(client: Client):
    assert client.send("POST", "/v1/chat/completions", {"messages": "Hello"})[0] == 400
    assert client.ask(stream=True)[0] == 400
    assert client.send("GET", "/v2/models")[0] == 404


def test_one_slot_answers_in_the_order_of_arrival_and_more_work_side_by_side():
    """By the server's own counts: how long it takes here also depends on what else is running."""
    for n_slots in (1, 6):
        with (
            simulated("--slots", n_slots, "--mean-ms", 60) as client,
            ThreadPoolExecutor(6) as threads,
        ):
            order: list[int] = []

            def ask(i: int, client: Client = client, order: list[int] = order) -> None:
                client.complete("Which lamp?", seed=i)
                order.append(i)

            asking = []
            for i in range(6):
                asking.append(threads.submit(ask, i))
                while client.stats["received"] <= i:
                    time.sleep(0.001)
            for asked in asking:
                asked.result()
            stats = client.stats
            assert stats["answered"] == 6
            assert stats["busy_slot_s"] <= n_slots * stats["window_s"] + 0.01
            if n_slots == 1:
                assert order == sorted(order)
                assert stats["longest_queue"] >= 4
                assert stats["busy_slot_s"] >= 0.9 * stats["window_s"]
            else:
                assert stats["longest_queue"] == 0


def test_equal_bodies_answered_whole_again_are_duplicates_and_reset_forgets(tmp_path: Path):
    log, asked_log = tmp_path / "answered.txt", tmp_path / "asked.txt"
    with simulated("--slots", 2, "--log", log, "--asked-log", asked_log) as client:
        answers = [client.complete(text) for text in ("a", "b", "a", "a")]
        stats = client.stats
        assert (stats["received"], stats["answered"], stats["duplicates"]) == (4, 4, 2)
        assert log.read_text().split() == [text_of(answer).split()[0] for answer in answers]
        assert asked_log.read_text() == log.read_text()
        client.send("POST", "/reset")
        assert client.stats["answered"] == 0
        client.complete("a")
        assert client.stats["duplicates"] == 0


def test_a_client_that_goes_away_gives_its_slot_back():
    with simulated("--slots", 1, "--mean-ms", 60_000) as client:
        for _ in range(2):
            with pytest.raises(TimeoutError):
                client.ask(timeout_s=0.1)
        while client.stats["abandoned"] < 2:
            time.sleep(0.005)
        stats = client.stats
        assert stats["in_flight"] == 0
        assert stats["answered"] == 0
        assert 0.05 < stats["busy_slot_s"] < 5


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_is_what_its_name_says(kind: str):
    with simulated("--slots", 1, "--faults", 1, "--fault-kinds", kind) as client:
        if kind == "rate":
            status, headers, _ = client.ask()
            assert (status, headers["Retry-After"]) == (429, "1")
        elif kind == "error":
            assert client.ask()[0] == 500
        elif kind == "cut":
            with pytest.raises(IncompleteRead):
                client.ask()
        elif kind == "truncated":
            status, _, text = client.ask()
            assert status == 200
            with pytest.raises(json.JSONDecodeError):
                json.loads(text)
        else:
            with pytest.raises(TimeoutError):
                client.ask(timeout_s=0.2)
        stats = client.stats
        assert stats["faults"] == {kind: 1}
        assert stats["answered"] == 0


def test_that_share_of_the_requests_meets_faults_and_asking_again_helps():
    with simulated("--slots", 8, "--faults", 0.5, "--fault-kinds", "rate,error") as client:
        statuses = [client.ask()[0] for _ in range(100)]
        assert 30 < statuses.count(200) < 70
        assert {*statuses} == {200, 429, 500}
        first, statuses = statuses, [client.ask()[0] for _ in range(100)]
        assert first != statuses
        client.send("POST", "/reset")
        assert [client.ask()[0] for _ in range(100)] == first


def test_a_server_that_went_down_comes_back_on_its_port(client: Client):
    client.send("POST", "/down?seconds=0.3")
    time.sleep(0.05)
    with pytest.raises(ConnectionRefusedError):
        client.ask()
    time.sleep(0.5)
    assert client.ask()[0] == 200


def test_garbage_is_a_page_with_status_200_for_a_while(client: Client):
    client.send("POST", "/garbage?seconds=0.2")
    status, headers, text = client.ask()
    assert (status, headers["Content-Type"]) == (200, "text/html")
    assert text.startswith("<html>")
    time.sleep(0.25)
    assert json.loads(client.ask()[2])["object"] == "chat.completion"
