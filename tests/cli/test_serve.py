"""`cai serve` as a process: what it serves, how it stops, and what it says of wrong options."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from openai_server import Json, Received, chat
from reward_server import MAIN, CallCai, assert_refused, serving, spec, told_by_request
from tiny_rewards import save_conditioned, save_reward_model


@contextmanager
def served(*options: object, **environment: str) -> Generator[tuple[str, subprocess.Popen[str]]]:
    """The address of a `cai serve` with these options, and its process."""
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, "serve", "--port", "0", *map(str, options)],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if found := re.search(r"at (http://\S+);", line):
                yield found.group(1), process
                return
        pytest.fail(f"It ended with {process.wait()}.")
    finally:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


def post(url: str, path: str, body: object, **headers: str) -> Any:
    headers = {"Content-Type": "application/json", **headers}
    request = urllib.request.Request(url + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def test_the_embedded_judge_tells_help_with_harm_from_a_kind_refusal():
    harm = "How do I break the baker's lamp at dawn?"
    helps = "First, put the lamp on a hard stone. Then drop the lamp from the roof."
    declines = "I will not help with that, because it would harm the baker."
    items = [{"prompt": harm, "response": helps}, {"prompt": harm, "response": declines}]
    pair = {"prompt": harm, "response_a": declines, "response_b": helps}
    with served("-m", "embedded", "-c", "testbed", "--kind", "check", "--tag", "harm") as (
        url,
        process,
    ):
        scores = post(url, "/score", {"items": items})["scores"]
        compared = post(url, "/compare", {"items": [pair]})["comparisons"][0]
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert [each["outcome"] for each in scores] == ["scored", "scored"]
    assert scores[0]["reward"] < 0 < scores[1]["reward"]
    assert compared["p_a"] > 0.5


def test_a_conditioned_model_is_served_under_the_principles_that_are_named(tmp_path: Path):
    folder = save_conditioned(tmp_path / "reward")
    body = {"items": [{"prompt": "Hi.", "response": "Hello."}]}
    rewards: list[float] = []
    for principle in ("kind", "not:kind"):
        key = {"SERVE_KEY": "a-secret-word"}
        options = ("--reward-model", folder, "--principle", principle, "--key-env", "SERVE_KEY")
        with served(*options, **key) as (url, process):
            found = post(url, "/score", body, Authorization="Bearer a-secret-word")
            rewards.append(found["scores"][0]["reward"])
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
            assert process.stderr is not None
            assert "a-secret-word" not in process.stderr.read()
    assert rewards[0] != rewards[1]


def test_a_folder_keeps_the_answers_so_that_nothing_is_asked_twice(tmp_path: Path):
    body = {"items": [{"prompt": "Hi.", "response": f"Hello {number}."} for number in range(5)]}
    with serving(told_by_request) as judge:
        options = (
            "-m",
            spec(judge),
            "-c",
            "testbed",
            "--verdicts",
            "parsed",
            "-o",
            tmp_path / "run",
        )
        answers: list[Any] = []
        counts: list[int] = []
        for _ in range(2):
            with served(*options) as (url, process):
                answers.append(post(url, "/score", body))
                process.send_signal(signal.SIGTERM)
                assert process.wait(60) == 0
            counts.append(len(judge.received))
    assert answers[0] == answers[1]
    assert counts[0] == counts[1] > 0
    assert [each["outcome"] for each in answers[0]["scores"]] == ["unparsed"] * 5


@dataclass
class HeldJudge:
    """A judge that begins every answer at once and finishes it when it is released."""

    url: str
    is_asked: threading.Event
    release: Callable[[], None]


@pytest.fixture
def held_judge() -> Generator[HeldJudge]:
    is_asked = threading.Event()
    is_released = asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def reply(received: Received) -> Json:
        loops.append(asyncio.get_running_loop())
        is_asked.set()
        await is_released.wait()
        return chat("7")

    def release() -> None:
        for loop in loops[:1]:
            loop.call_soon_threadsafe(is_released.set)

    with serving(reply) as server:
        yield HeldJudge(spec(server), is_asked, release)
        release()


@contextmanager
def stopping_in_mid_request(
    judge: HeldJudge,
) -> Generator[tuple[Future[Any], subprocess.Popen[str]]]:
    """A `cai serve` that got its first SIGTERM and said so, and the answer that it still owes."""
    options = ("-m", judge.url, "-c", "testbed", "--verdicts", "parsed", "--tag", "harm")
    body = {"items": [{"prompt": "Hi.", "response": "Hello."}]}
    with served(*options) as (url, process), ThreadPoolExecutor() as threads:
        answer = threads.submit(post, url, "/score", body)
        assert judge.is_asked.wait(60)
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        assert any("stopping: finishing 1 requests" in line for line in process.stderr)
        yield answer, process


def test_a_request_in_flight_is_answered_after_the_signal(held_judge: HeldJudge):
    """The mark 7 is the reward 2 (7 − 1) / 9 − 1 = 1/3."""
    with stopping_in_mid_request(held_judge) as (answer, process):
        held_judge.release()
        (score,) = answer.result()["scores"]
        assert process.wait(60) == 0
    assert score["reward"] == pytest.approx(1 / 3)


def test_a_second_signal_ends_at_once_and_tells_the_client(held_judge: HeldJudge):
    with stopping_in_mid_request(held_judge) as (answer, process):
        process.send_signal(signal.SIGTERM)
        with pytest.raises(urllib.error.HTTPError) as raised:
            answer.result()
        with raised.value as response:
            assert response.code == 503
            assert "stopping" in json.load(response)["error"]
        assert process.wait(60) == 130
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "neither is given"),
        (("--reward-model", "x", "-m", "embedded"), "both are given"),
        (("-m", "embedded"), "none is given. Name one with -c"),
        (("-m", "embedded", "-c", "testbed", "--principle", "x"), "conditioned reward models"),
        (("-m", "embedded", "-c", "no-such"), "no-such"),
        (("-m", "embedded", "-c", "testbed", "--tag", "no-such"), "tag of no-such"),
        (("-m", "embedded", "-c", "testbed", "--key-env", "NO_SUCH_KEY"), "NO_SUCH_KEY"),
        (("-m", "embedded", "-c", "testbed", "--policy", "/nowhere"), "/nowhere"),
        (("-m", "embedded", "-c", "testbed", "--unscored", "nan"), "finite number"),
        (("-m", "embedded", "-c", "testbed", "--host", "256.1.1.1"), "Cannot listen on 256.1.1.1"),
        (("--reward-model", "/nowhere"), "no such folder"),
        (("--reward-model", "nowhere"), "hf:OWNER/NAME"),
        (("--reward-model", "no/where"), "hf:OWNER/NAME"),
        (("--reward-model", "hf:nowhere"), "OWNER/NAME"),
        (("--reward-model", "hf:no/whe re"), "no/whe re"),
        (("--reward-model", "/nowhere", "-o", "x"), "-o stores the calls of judges"),
    ],
)
def test_a_wrong_option_is_one_sentence_and_exit_code_2(
    call_cai: CallCai, options: tuple[str, ...], message: str
):
    assert_refused(call_cai("serve", "--port", "0", *options), message)


def test_a_port_in_use_is_said_before_a_model_is_loaded(call_cai: CallCai):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = call_cai("serve", "--reward-model", "/nowhere", "--port", port)
    assert_refused(ended, f"127.0.0.1:{port}: Address already in use")


def test_principles_for_a_model_that_reads_none_or_others_are_refused(
    call_cai: CallCai, tmp_path: Path
):
    folder = save_reward_model(tmp_path / "reward")
    options = ("serve", "--port", "0", "--reward-model", folder)
    assert_refused(call_cai(*options, "--principle", "kind"), "does not read principles")
    save_conditioned(folder)
    said = "no principle 'cruel'. It has: kind"
    assert_refused(call_cai(*options, "--principle", "cruel"), said)
    save_conditioned(folder, None)
    assert_refused(call_cai(*options), "Name a constitution with -c")
