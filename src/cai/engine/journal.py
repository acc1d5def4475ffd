"""The journal: every finished model call, under a key of everything that can change its answer.

A call is committed before its answer is used, so a killed run never pays twice for an answer that
a result depends on. What cannot change an answer (timeouts, concurrency, retries, which of several
servers answered, how the answer is parsed) is not in the key.

Example:
    model = journaled(model, run.journal)
    await model.complete(messages, sampling)  # calls the model
    await model.complete(messages, sampling)  # answered from the journal
    assert (run.journal.calls, run.journal.hits) == (1, 1)
"""

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cai.engine.calls import Answer, Call, CallNext, wrap_model
from cai.engine.database import DAMAGED, JOURNAL_FILE, Database, Row, checksum_of, storable
from cai.engine.run_files import FolderLock, read_description
from cai.engine.writer import Writer
from cai.errors import JournalError
from cai.models.base import Choice, Completion, Model, Usage

_MANY = 32  # calls in flight, from which on answers are committed in larger groups
_DAY_S = 86_400

_FIND = "SELECT * FROM calls WHERE key = ?"
_USE = "UPDATE calls SET generation = ? WHERE key = ?"
_DROP = "DELETE FROM calls WHERE key = ?"
_STORE = "INSERT OR IGNORE INTO calls VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_STATS = """SELECT role, model, count(*),
    sum(generation < (SELECT value FROM state WHERE name = 'generation')),
    sum(length(answer)), min(created), max(created) FROM calls GROUP BY role, model"""

_logger = logging.getLogger(__name__)


class Journal:
    """Stored answers, and a place for new ones.

    `hits` counts the calls answered without the model, `calls` those that the model answered, and
    `usage` the tokens of the latter; all three since this object was created. `generation` is that
    of the current records: an answer stores the last one that used it.
    """

    def __init__(self, database: Database, writer: Writer | None = None) -> None:
        self.hits = 0
        self.calls = 0
        self.usage = Usage()
        self._database = database
        self._writer = writer
        self._in_flight: dict[bytes, asyncio.Future[Answer]] = {}
        rows = database.rows("SELECT value FROM state WHERE name = 'generation'")
        if not rows or not isinstance(rows[0][0], int):
            raise JournalError(f"{database.path}: its generation is lost. {DAMAGED}")
        self.generation: int = rows[0][0]

    @property
    def n_stored(self) -> int:
        """The number of stored answers, of this process and of earlier ones."""
        return self._database.rows("SELECT count(*) FROM calls")[0][0]

    async def answer(self, call: Call, call_next: CallNext) -> Answer:
        """The stored answer, or that of `call_next`, which is stored. Equal calls share one."""
        key = call_key(call)
        while (shared := self._in_flight.get(key)) is not None:
            await asyncio.wait([shared])  # unlike awaiting it, this does not cancel it with us
            if not shared.cancelled():
                self.hits += 1
                return shared.result()
        if (stored := self.find(call, key)) is not None:
            self.hits += 1
            return stored
        shared = self._in_flight[key] = asyncio.get_running_loop().create_future()
        self._report_load()
        try:
            answer = await call_next()
            self.calls += 1
            self.usage += answer.usage
            await self.store(call, answer, key)
            shared.set_result(answer)
            return answer
        finally:
            del self._in_flight[key]
            self._report_load()
            # Without effect on a result. After a failure it wakes the equal calls, of which each
            # then tries for itself: a failure is not shared.
            shared.cancel()

    def _report_load(self) -> None:
        if self._writer is not None:
            self._writer.is_busy = len(self._in_flight) >= _MANY

    def find(self, call: Call, key: bytes | None = None) -> Answer | None:
        """The stored answer to the call; None if there is none. `key`: its `call_key`, if known."""
        key = key or call_key(call)
        rows = self._database.rows(_FIND, key)
        if not rows:
            return None
        if not is_intact_call(rows[0]):  # a wrong answer would go into results unseen
            if self._writer is not None:
                self._writer.put(_DROP, key)
            _logger.warning(
                "%s: the stored answer of a call to %r is damaged; the call is repeated.",
                self._database.path,
                call.model,
            )
            return None
        *_, generation, _, text = rows[0]
        if generation != self.generation and self._writer is not None:
            self._writer.put(_USE, self.generation, key)
        content: dict[str, Any] = json.loads(text)
        usage = Usage(*content["usage"])
        if call.kind == "choose":
            return Choice(tuple(content["logprobs"]), usage, content.get("mass"))
        reasoning = content.get("reasoning", "")
        return Completion(content["text"], content["stop_reason"], usage, reasoning)

    async def store(self, call: Call, answer: Answer, key: bytes | None = None) -> None:
        """Stores the answer durably before it returns; an answer stored before stays."""
        assert self._writer is not None, "a call of a run that is open read-only"
        usage = answer.usage
        content: dict[str, object] = {"usage": [usage.prompt_tokens, usage.completion_tokens]}
        # Fields with their default value are left out: most answers have neither of them.
        if isinstance(answer, Choice):
            content |= {"logprobs": answer.logprobs}
            content |= {} if answer.mass is None else {"mass": answer.mass}
        else:
            content |= {"text": answer.text, "stop_reason": answer.stop_reason}
            content |= {"reasoning": answer.reasoning} if answer.reasoning else {}
        text = json.dumps(content)
        row = (
            key or call_key(call),
            call.kind,
            storable(call.role),
            storable(call.model),
            usage.prompt_tokens,
            usage.completion_tokens,
            time.time(),
        )
        await self._writer.write(_STORE, *row, self.generation, checksum_of(text, *row), text)


def journaled(model: Model, journal: Journal) -> Model:
    """The model, called only for what the journal cannot answer."""
    return wrap_model(model, journal.answer)


def call_key(call: Call) -> bytes:
    """Sixteen bytes over everything that can change the answer, and nothing else."""
    turns = [part for message in call.messages for part in (message.role, message.content)]
    groups = [(call.kind, call.model), turns, call.options]
    if (sampling := call.sampling) is not None:
        # 1 and 1.0 are the same number
        numbers = (float(sampling.temperature), float(sampling.top_p), sampling.top_k)
        texts = map(repr, (*numbers, sampling.max_tokens, sampling.seed))
        groups += [(*texts, sampling.json_schema), sampling.stop]
    # Numbers and lengths come first, so that ("ab", "c") and ("a", "bc") have different keys.
    parts = [part for group in groups for part in (str(len(group)), *group)]
    encoded = [part.encode("utf-8", "surrogatepass") for part in parts]
    content = b"".join([b"%d:%b" % (len(each), each) for each in encoded])
    return hashlib.blake2b(content, digest_size=16).digest()


def is_intact_call(row: Row) -> bool:
    """Whether a row of the table `calls` is as it was written."""
    *values, _, checksum, answer = row
    return checksum_of(answer, *values) == checksum


@dataclass(frozen=True, slots=True)
class AnswerStats:
    """The stored answers of one model in one role. `n_unused` belong to no current record."""

    role: str
    model: str
    n_calls: int
    n_unused: int
    n_bytes: int
    oldest_s: float
    newest_s: float


@dataclass(frozen=True, slots=True)
class PruneFilter:
    """Selects the answers that all of the given conditions hold for."""

    model: str | None = None
    role: str | None = None
    older_than_days: float | None = None
    unused: bool = False


def answer_stats(database: Database) -> list[AnswerStats]:
    """The answers in the journal, by role and model."""
    return [AnswerStats(*row) for row in database.rows(_STATS)]


def count_matching(database: Database, selected: PruneFilter) -> tuple[int, int]:
    """The number of answers selected, and of the bytes they take."""
    condition, values = _condition(selected)
    sql = f"SELECT count(*), coalesce(sum(length(answer)), 0) FROM calls WHERE {condition}"
    return database.rows(sql, *values)[0]


def prune(folder: Path, selected: PruneFilter) -> int:
    """Deletes the answers selected and returns their space to the disk; how many there were.

    Their records stay. A deleted answer is requested again if it is needed again.

    Raises:
        JournalError: The folder is not a run, another process writes it, or the disk is full.
    """
    read_description(folder)
    condition, values = _condition(selected)
    lock = FolderLock(folder)
    try:
        with closing(Database(folder / JOURNAL_FILE)) as database:
            n = database.write(f"DELETE FROM calls WHERE {condition}", *values)
            # VACUUM writes the whole file into the log first; the checkpoint shrinks the log too.
            database.rows("VACUUM")
            database.rows("PRAGMA wal_checkpoint(TRUNCATE)")
        return n
    finally:
        lock.release()


def _condition(selected: PruneFilter) -> tuple[str, Sequence[object]]:
    parts: list[tuple[str, object]] = []
    if selected.model is not None:
        parts.append(("model = ?", selected.model))
    if selected.role is not None:
        parts.append(("role = ?", selected.role))
    if selected.older_than_days is not None:
        parts.append(("created < ?", time.time() - selected.older_than_days * _DAY_S))
    if selected.unused:
        parts.append(("generation < (SELECT value FROM state WHERE name = ?)", "generation"))
    return " AND ".join(part for part, _ in parts) or "1", [value for _, value in parts]
