"""The journal: every finished model call, under a key of all that can change its answer.

It only grows. A call is committed before its answer is handed on, so a killed run never pays for an
answer twice that anything was built upon. What cannot change an answer (time-outs, concurrency,
retries, which of several servers answered, how the answer is parsed) is not in the key.

The answers that a journal holds, counted, and those that nobody needs any more taken out.
"""

import asyncio
import hashlib
import json
import logging
import time
import zlib
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cai.engine.calls import Answer, Ask, Call, wrapped
from cai.engine.database import JOURNAL_FILE, Database, storable
from cai.engine.lock import FolderLock
from cai.engine.run_files import read_description
from cai.engine.writer import Writer
from cai.models.base import Choice, Completion, Model, Usage

_MANY = 32  # calls in flight, from which on answers are committed in larger groups

_logger = logging.getLogger(__name__)


class Journal:
    """Answers that were given before, and a place for new ones.

    `hits` counts the calls answered without asking, `calls` those asked, `usage` the tokens of
    those asked; all three since this object was made. `generation` is that of the records which are
    being made: an answer remembers the last one that used it.
    """

    def __init__(self, database: Database, writer: Writer | None = None) -> None:
        self.hits = 0
        self.calls = 0
        self.usage = Usage()
        self._database = database
        self._writer = writer
        self._in_flight: dict[bytes, asyncio.Future[Answer]] = {}
        self.generation: int = database.rows("SELECT value FROM state WHERE name = 'generation'")[
            0
        ][0]

    @property
    def n_stored(self) -> int:
        """How many answers it holds, of this process and of earlier ones."""
        return self._database.rows("SELECT count(*) FROM calls")[0][0]

    def find(self, call: Call) -> Answer | None:
        """The stored answer to the call; None when there is none."""
        return self._find(call_key(call), call)

    async def store(self, call: Call, answer: Answer) -> None:
        """Keeps the answer, safely once this returns; the first one stays when there is one."""
        await self._store(call_key(call), call, answer)

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
        self._tell_writer()
        try:
            answer = await ask()
            self.calls += 1
            self.usage += answer.usage
            await self._store(key, call, answer)
            shared.set_result(answer)
            return answer
        finally:
            del self._in_flight[key]
            self._tell_writer()
            shared.cancel()  # no effect on a result; after a failure, who waits asks for himself

    def _tell_writer(self) -> None:
        if self._writer is not None:
            self._writer.gathers = len(self._in_flight) >= _MANY

    def _find(self, key: bytes, call: Call) -> Answer | None:
        found = self._database.rows(_FIND, key)
        if not found:
            return None
        stored, checksum, generation = found[0]
        answer = _read_answer(call, stored, checksum)
        if answer is None:
            if self._writer is not None:
                self._writer.put(_DROP, key)
            _logger.warning(
                "%s: the stored answer of a call to %r is damaged and is asked again.",
                self._database.path,
                call.model,
            )
        elif generation != self.generation and self._writer is not None:
            self._writer.put(_USED, self.generation, key)
        return answer

    async def _store(self, key: bytes, call: Call, answer: Answer) -> None:
        assert self._writer is not None, "a call of a run that is only read"
        stored = json.dumps(_fields(answer))
        usage = answer.usage
        await self._writer.write(
            _STORE,
            key,
            call.kind,
            call.role,
            storable(call.model),
            usage.prompt_tokens,
            usage.completion_tokens,
            time.time(),
            self.generation,
            checksum_of(stored),
            stored,
        )


def journaled(model: Model, journal: Journal) -> Model:
    """The model, asked only what the journal does not know yet."""
    return wrapped(model, journal.answer)


def call_key(call: Call) -> bytes:
    """Sixteen bytes over all that can change the answer, and nothing else."""
    digest = hashlib.blake2b(digest_size=16)

    def add(*texts: str) -> None:
        for text in (str(len(texts)), *texts):
            encoded = text.encode("utf-8", "surrogatepass")
            digest.update(b"%d:" % len(encoded))
            digest.update(encoded)

    add(call.kind, call.model)
    add(*(part for message in call.messages for part in (message.role, message.content)))
    add(*call.options)
    if (sampling := call.sampling) is not None:
        # 1 and 1.0 are the same number
        numbers = (float(sampling.temperature), float(sampling.top_p), sampling.top_k)
        add(*map(repr, (*numbers, sampling.max_tokens, sampling.seed)), sampling.json_schema)
        add(*sampling.stop)
    return digest.digest()


def checksum_of(stored: str) -> int:
    """By which a stored answer is known again: SQLite does not notice a changed text."""
    return zlib.crc32(stored.encode())


def _fields(answer: Answer) -> dict[str, object]:
    """The answer as JSON takes it, what is at its default left out."""
    usage = [answer.usage.prompt_tokens, answer.usage.completion_tokens]
    if isinstance(answer, Choice):
        fields: dict[str, object] = {"logprobs": answer.logprobs, "usage": usage}
        return fields | ({} if answer.mass is None else {"mass": answer.mass})
    fields = {"text": answer.text, "stop_reason": answer.stop_reason, "usage": usage}
    return fields | ({"reasoning": answer.reasoning} if answer.reasoning else {})


def _read_answer(call: Call, stored: str, checksum: int) -> Answer | None:
    """The answer that was stored; None where it is no longer what was stored."""
    if checksum_of(stored) != checksum:
        return None
    content: dict[str, Any] = json.loads(stored)
    usage = Usage(*content["usage"])
    if call.kind == "complete":
        return Completion(
            content["text"], content["stop_reason"], usage, content.get("reasoning", "")
        )
    return Choice(tuple(content["logprobs"]), usage, content.get("mass"))


_FIND = "SELECT answer, checksum, generation FROM calls WHERE key = ?"
_USED = "UPDATE calls SET generation = ? WHERE key = ?"
_DROP = "DELETE FROM calls WHERE key = ?"
_STORE = "INSERT OR IGNORE INTO calls VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Stock:
    """The answers to one role of one model. `n_unused` made none of the present records."""

    role: str
    model: str
    n_calls: int
    n_unused: int
    n_bytes: int
    oldest_s: float
    newest_s: float


@dataclass(frozen=True, slots=True)
class PruneFilter:
    """Which answers are meant: those that all of the given conditions hold for."""

    model: str | None = None
    role: str | None = None
    older_than_days: float | None = None
    unused: bool = False


def stocks(database: Database) -> list[Stock]:
    """What the journal holds, by role and model."""
    return [Stock(*row) for row in database.rows(_STOCKS)]


def count_chosen(database: Database, choice: PruneFilter) -> tuple[int, int]:
    """How many answers are meant, and how many bytes they take."""
    condition, values = _condition(choice)
    sql = f"SELECT count(*), coalesce(sum(length(answer)), 0) FROM calls WHERE {condition}"
    return database.rows(sql, *values)[0]


def prune(folder: Path, choice: PruneFilter) -> int:
    """Takes the answers out and gives their room back to the disk; how many there were.

    The records that they made stay. What is taken out is asked anew if it is needed again.

    Raises:
        JournalError: The folder is no run, another process writes it, or the disk is full.
    """
    read_description(folder)
    condition, values = _condition(choice)
    lock = FolderLock(folder)
    try:
        with closing(Database(folder / JOURNAL_FILE)) as database:
            n = database.write(f"DELETE FROM calls WHERE {condition}", *values)
            database.rows("VACUUM")
            database.rows("PRAGMA wal_checkpoint(TRUNCATE)")
        return n
    finally:
        lock.release()


def _condition(choice: PruneFilter) -> tuple[str, Sequence[object]]:
    parts: list[tuple[str, object]] = []
    if choice.model is not None:
        parts.append(("model = ?", choice.model))
    if choice.role is not None:
        parts.append(("role = ?", choice.role))
    if choice.older_than_days is not None:
        parts.append(("created < ?", time.time() - choice.older_than_days * _DAY_S))
    if choice.unused:
        parts.append(("generation < (SELECT value FROM state WHERE name = ?)", "generation"))
    return " AND ".join(part for part, _ in parts) or "1", [value for _, value in parts]


_STOCKS = """SELECT role, model, count(*),
    sum(generation < (SELECT value FROM state WHERE name = 'generation')),
    sum(length(answer)), min(created), max(created) FROM calls GROUP BY role, model"""
