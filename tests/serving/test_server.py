"""The server as a process: what a signal does while requests are in flight."""

import asyncio
import io
import signal

import httpx
import pytest
from rich.console import Console

from cai.serving.app import Service
from cai.serving.schema import CompareResult, Health, ScoreResult
from cai.serving.server import bind, serve, url_of
from cai.types import Prompt


class HeldRewarder:
    """A rewarder that finishes its scores when it is released."""

    chat_format = None
    health = Health(status="ok", kind="judge", name="held", version="0")

    def __init__(self) -> None:
        self.is_asked, self.is_released = asyncio.Event(), asyncio.Event()

    async def score(self, prompt: Prompt, response: str) -> ScoreResult:
        self.is_asked.set()
        await self.is_released.wait()
        return ScoreResult(reward=0.5, outcome="scored")

    async def compare(self, prompt: Prompt, response_a: str, response_b: str) -> CompareResult:
        return CompareResult(p_a=0.5, outcome="tie")


class Output(io.StringIO):
    """What a console prints, with an event for the announcement of the shutdown."""

    def __init__(self) -> None:
        super().__init__()
        self.is_stopping = asyncio.Event()

    def write(self, text: str, /) -> int:
        if "stopping: finishing 1 requests" in text:
            self.is_stopping.set()
        return super().write(text)


async def test_a_signal_lets_the_requests_in_flight_finish():
    rewarder, output = HeldRewarder(), Output()
    listening = bind("127.0.0.1", 0)
    url = url_of(listening)
    serving = asyncio.create_task(serve(Service(rewarder), listening, Console(file=output)))
    async with httpx.AsyncClient(base_url=url) as client:
        answer = asyncio.create_task(
            client.post("/score", json={"items": [{"prompt": "Hi.", "response": "Yes?"}]})
        )
        await rewarder.is_asked.wait()
        signal.raise_signal(signal.SIGTERM)
        await output.is_stopping.wait()
        rewarder.is_released.set()
        assert (await answer).json()["scores"][0]["reward"] == 0.5
        await serving
        with pytest.raises(httpx.ConnectError):
            await client.get("/health")
    assert f"serving held at {url};" in output.getvalue()
