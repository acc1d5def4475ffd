"""Hostile requests to `cai serve` over sockets: it answers each, or drops it, and stays up."""

import json
import random
import socket
import threading
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from harness import Attempt, Silent, mutated

from cai.serving.app import Service, create_app
from cai.serving.schema import CompareResult, Health, ScoreResult
from cai.serving.server import HttpServer, bind
from cai.types import Prompt

PATHS = (*("/score", "/compare", "/get_reward") * 3, "/health", "/openapi.json", "/" + "x" * 5000)
BODIES: tuple[object, ...] = (
    {"items": [{"prompt": "Hi.", "response": "Yes?"}]},
    {"items": [{"prompt": "Hi.", "response_a": "Yes?", "response_b": "No."}]},
    {"query": ["Hi. Yes?"], "prompts": ["Hi. "]},
    {"items": [{"prompt": "x" * 1_000_000, "response": "Yes?"}]},
    {"items": [{"prompt": "Hi.", "response": "Yes?"}] * 4096},
    {"items": [{"prompt": [{"role": "user", "content": "Hi."}] * 2000, "response": ""}]},
    {"items": [{}] * 300_000},
    [[]] * 300_000,
    {"items": [{"prompt": "\ud800", "response": "\x00"}]},
)


class EvenRewarder:
    """A rewarder that finds everything equally good."""

    chat_format = None
    health = Health(status="ok", kind="judge", name="even", version="0")

    async def score(self, prompt: Prompt, response: str) -> ScoreResult:
        return ScoreResult(reward=0.5, outcome="scored")

    async def compare(self, prompt: Prompt, response_a: str, response_b: str) -> CompareResult:
        return CompareResult(p_a=0.5, outcome="tie")


@contextmanager
def _served(service: Service) -> Generator[int]:
    server, listening = HttpServer(create_app(service, body_s=1)), bind("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


def _request(chance: random.Random) -> bytes:
    body = json.dumps(chance.choice(BODIES)).encode()
    if chance.random() < 0.5 and len(body) < 100_000:
        body = mutated(chance, body)
    lengths, kinds = (0, -1, 10**12, len(body) + 50), ("text/plain", "", "x" * 9000)
    length = len(body) if chance.random() < 0.8 else chance.choice(lengths)
    kind = "application/json" if chance.random() < 0.9 else chance.choice(kinds)
    head = (
        f"POST {chance.choice(PATHS)} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Content-Type: {kind}\r\n"
    )
    request = f"{head}Content-Length: {length}\r\n\r\n".encode() + body
    return mutated(chance, request[:3000]) + request[3000:] if chance.random() < 0.3 else request


@contextmanager
def attempts(_: Path) -> Generator[Attempt]:
    """An attempt sends a request to one server that all of them share."""
    service = Service(EvenRewarder())

    def attempt(chance: random.Random, _: int) -> str:
        request, answer = _request(chance), b""
        client = socket.create_connection(("127.0.0.1", port), timeout=5)
        with client, suppress(OSError):  # the server has closed the connection already
            client.sendall(request)
            client.settimeout(1.5)  # the server gives up bodies earlier, headers later
            if chance.random() < 0.8:  # the others go without reading
                while part := client.recv(2**20):
                    answer += part
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as response:
            if response.status != 200:
                raise Silent("the server is down")
        if answer[9:12] == b"500" or b"Traceback" in answer:
            raise Silent(f"a failure: {answer[:300]!r}")
        return f"status {answer[9:12].decode('ascii', 'replace')}" if answer else "dropped"

    with _served(service) as port:
        yield attempt
    if service.traffic.n_in_flight or service.traffic.n_bytes:
        raise Silent(f"what is in flight did not come back: {service.traffic}")
