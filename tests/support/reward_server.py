"""Local servers for commands that block, and what such commands are given."""

import asyncio
import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from openai_server import Json, LocalServer, Received, Replier, Reply, chat, refusal

from cai.engine.run_folder import RunFolder
from cai.errors import JournalError

MAIN = "from cai.cli.main import main; main()"


@dataclass(frozen=True)
class Ended:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str


CallCai = Callable[..., Ended]

TOO_LONG = "This model's maximum context length is 2048 tokens, and the request has 4000."


def assert_refused(ended: Ended, *said: str) -> None:
    """Nothing but a message was printed, with these words in it, and the exit code is 2."""
    assert (ended.code, ended.out) == (2, "")
    assert "error: " in ended.err.lower()
    assert "Traceback" not in ended.err
    for words in said:
        assert words in " ".join(ended.err.split()), ended.err


def told_by_request(received: Received) -> Json:
    """An answer that is a function of messages and seed, as that of a real model may be."""
    asked = json.dumps([received.body["messages"], received.body.get("seed")])
    digest = hashlib.blake2b(asked.encode(), digest_size=4).hexdigest()
    return chat(f"I would keep the lamp dry: {digest}, naïve 👍.")


def slowly(takes_s: float) -> Replier:
    """The same after a moment, in which earlier answers are stored."""

    async def reply(received: Received) -> Json:
        await asyncio.sleep(takes_s)
        return told_by_request(received)

    return reply


def refusing(
    row: str,
    answer: Reply | None = None,
    otherwise: Callable[[Received], Reply] = told_by_request,
) -> Callable[[Received], Reply]:
    """A replier that finds requests with that text in them too long, or gives them `answer`."""

    def reply(received: Received) -> Reply:
        if row in str(received.body["messages"]):
            return answer or refusal(400, TOO_LONG)
        return otherwise(received)

    return reply


def n_stored(run: Path) -> int:
    """How many calls the run's journal holds; 0 before there is a run."""
    try:
        with RunFolder.existing(run) as folder:
            return folder.journal.n_stored
    except JournalError:
        return 0


@contextmanager
def serving(reply: Replier | Reply = told_by_request) -> Generator[LocalServer]:
    """A server in a thread of its own; it has the model `tiny`."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = LocalServer(reply)
    asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result()
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(server.__aexit__(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def spec(server: LocalServer, name: str = "tiny") -> str:
    """How the command line names the model of that server."""
    return f"openai:{name}@{server.url}"


def write_prompts(path: Path, n: int) -> Path:
    """A JSONL file of n prompts with the ids request-0, request-1 …"""
    rows = [{"id": f"request-{i}", "prompt": f"How do I mend lamp number {i}?"} for i in range(n)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def start_cai(*arguments: object, folder: Path) -> subprocess.Popen[str]:
    """`cai` with these arguments as a process of its own, begun in that folder."""
    source = str(Path(__file__).parents[2] / "src")
    return subprocess.Popen(
        [sys.executable, "-c", MAIN, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": source},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
