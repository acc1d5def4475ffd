"""The journal: every finished model call, under a key of all that can change its answer.

It only grows. A call is stored before its answer is handed on, so a killed run never pays for an
answer twice. What cannot change an answer (time-outs, concurrency, retries) is not in the key.
"""

import asyncio
import hashlib
import json
import time
from dataclasses import asdict
from typing import Any

from cai.engine.database import Database, storable
from cai.engine.wrappers import Answer, Ask, Call, wrapped
from cai.errors import JournalError
from cai.models.protocol import Choice, Completion, Model, Usage


class Journal:
    """Answers that were given before, and a place for new ones.

    `hits` counts the calls answered without asking, `calls` those asked, `usage` the tokens of
    those asked; all three since this object was made.
    """

    def __init__(self, database: Database) -> None:
        self.hits = 0
        self.calls = 0
        self.usage = Usage()
        self._database = database
        self._in_flight: dict[bytes, asyncio.Future[Answer]] = {}

    @property
    def n_stored(self) -> int:
        """How many answers it holds, of this process and of earlier ones."""
        return self._database.rows("SELECT count(*) FROM calls")[0][0]

    def find(self, call: Call) -> Answer | None:
        """The stored answer to the call; None when there is none."""
        return self._find(call_key(call), call)

    def store(self, call: Call, answer: Answer) -> None:
        """Keeps the answer; the first one stays when there is one already."""
        self._store(call_key(call), call, answer)

    def _find(self, key: bytes, call: Call) -> Answer | None:
        found = self._database.rows("SELECT answer FROM calls WHERE key = ?", key)
        if not found:
            return None
        try:
            return _read_answer(call, found[0][0])
        except (ValueError, KeyError, TypeError) as error:
            raise JournalError(
                f"{self._database.path}: the stored answer of a call to {call.model!r} cannot be "
                f"read ({error!r}). The file is damaged: use another folder."
            ) from error

    def _store(self, key: bytes, call: Call, answer: Answer) -> None:
        self._database.write(
            "INSERT OR IGNORE INTO calls VALUES (?, ?, ?, ?, ?)",
            key,
            call.kind,
            storable(call.model),
            json.dumps(asdict(answer)),
            time.time(),
        )

    async def answer(self, call: Call, ask: Ask) -> Answer:
        """The stored answer, or that of `ask`, stored. Equal calls in flight share one `ask`."""
        key = call_key(call)
        while (shared := self._in_flight.get(key)) is not None:
            await asyncio.wait([shared])  # unlike awaiting it, this does not cancel it with us
            if not shared.cancelled():
                self.hits += 1
                return shared.result()
        if (stored := self._find(key, call)) is not None:
            self.hits += 1
            return stored
        return await self._ask_and_store(key, call, ask)

    async def _ask_and_store(self, key: bytes, call: Call, ask: Ask) -> Answer:
        shared = self._in_flight[key] = asyncio.get_running_loop().create_future()
        try:
            answer = await ask()
            self.calls += 1
            self.usage += answer.usage
            self._store(key, call, answer)
            shared.set_result(answer)
            return answer
        finally:
            del self._in_flight[key]
            shared.cancel()  # no effect on a result; after a failure, who waits asks for himself


def journaled(model: Model, journal: Journal) -> Model:
    """The model, asked only what the journal does not know yet."""
    return wrapped(model, journal.answer)


def call_key(call: Call) -> bytes:
    """Sixteen bytes over all that can change the answer, and nothing else."""
    content = asdict(call)
    if call.sampling:
        # 1 and 1.0 are the same number, but not the same JSON
        content["sampling"]["temperature"] = float(call.sampling.temperature)
        content["sampling"]["top_p"] = float(call.sampling.top_p)
        if not call.sampling.json_schema:
            del content["sampling"]["json_schema"]  # keys from before there were schemas stay
    encoded = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    return hashlib.blake2b(encoded, digest_size=16).digest()


def _read_answer(call: Call, stored: str) -> Answer:
    content: dict[str, Any] = json.loads(stored)
    usage = Usage(**content["usage"])
    if call.kind == "complete":
        return Completion(content["text"], content["stop_reason"], usage, content["reasoning"])
    return Choice(tuple(content["logprobs"]), usage, content.get("mass"))
