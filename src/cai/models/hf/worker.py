"""The one thread that owns a local model: it encodes, decodes in batches, and answers futures.

Whoever waits may sit in any asyncio loop, also in one that was closed before the next began.
"""

import atexit
import logging
import queue
import secrets
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

import torch

from cai.errors import ContextLengthError, ModelError
from cai.models.hf.batching import Batch, Row
from cai.models.hf.choosing import Question, answer
from cai.models.hf.ending import Ending
from cai.models.hf.network import Network
from cai.models.hf.tokens import Tokenizer, encode_content, encode_request
from cai.models.protocol import Choice, Completion, Sampling
from cai.types import Message

logger = logging.getLogger(__name__)

_GATHER_S = 0.003
_Answer = TypeVar("_Answer")


@dataclass(slots=True, eq=False)
class CompletionJob:
    """A completion that somebody waits for."""

    messages: Sequence[Message]
    sampling: Sampling
    future: Future[Completion] = field(default_factory=Future[Completion])


@dataclass(slots=True, eq=False)
class ChoiceJob:
    """A choice that somebody waits for."""

    messages: Sequence[Message]
    options: Sequence[str]
    future: Future[Choice] = field(default_factory=Future[Choice])


Job = CompletionJob | ChoiceJob


class Worker:
    """Runs jobs until `stop`. `room` is the number of tokens whose cache fits into memory."""

    def __init__(
        self, network: Network, tokenizer: Tokenizer, ending: Ending, slots: int, room: int
    ) -> None:
        self._network = network
        self._tokenizer = tokenizer
        self._ending = ending
        self.batch = Batch(network, slots, room)
        self._inbox: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._waiting: deque[Row] = deque()
        self._writing: dict[Row, CompletionJob] = {}
        self._questions: list[tuple[Question, ChoiceJob]] = []
        self._concerned: Sequence[Job] = ()
        self._is_open = True
        self._door = threading.Lock()  # no job comes after the None that ends the thread
        self._thread = threading.Thread(target=self._run, name="cai-local-model", daemon=True)
        self._thread.start()
        atexit.register(self.stop)  # a thread inside PyTorch at the interpreter's end aborts it

    def submit(self, job: Job) -> None:
        """Hands a job over; its future gets the answer.

        Raises:
            ModelError: The worker was stopped.
        """
        with self._door:
            if not self._is_open:
                raise ModelError("The model was closed while it was asked. Ask it again.")
            self._inbox.put(job)

    def stop(self) -> None:
        """Ends the thread once its present step is done; whoever waits gets a ModelError."""
        with self._door:
            if self._is_open:
                self._is_open = False
                self._inbox.put(None)
        self._thread.join()
        atexit.unregister(self.stop)

    def _run(self) -> None:
        with torch.inference_mode():
            while self._is_open:
                try:
                    self._receive()
                    self._work()
                except Exception as error:  # noqa: BLE001 (else callers wait forever)
                    self._recover(error)
        self._receive()
        self._fail(self._jobs(), ModelError("The model was closed before it answered."))

    def _receive(self) -> None:
        """Takes in all jobs that have come; waits for one when there is nothing to do."""
        is_idle = self._is_open and not self._jobs()
        job = self._inbox.get() if is_idle else self._poll()
        if is_idle:
            time.sleep(_GATHER_S)  # so that all tasks of one tick of a caller's loop start together
        while job is not None:
            self._prepare(job)
            job = self._poll()

    def _poll(self) -> Job | None:
        try:
            return self._inbox.get_nowait()
        except queue.Empty:
            return None

    def _prepare(self, job: Job) -> None:
        self._concerned = [job]
        try:
            ids = encode_request(self._tokenizer, job.messages)
            if isinstance(job, CompletionJob):
                row = self._row(ids, job.sampling)
                self._writing[row] = job
                self._waiting.append(row)
            else:
                self._questions.append((self._question(ids, job.options), job))
        except ModelError as error:
            self._fail([job], error)
        except (TypeError, ValueError) as error:
            reason = _first_line(error)
            self._fail([job], ModelError(f"The request cannot be encoded: {reason}."))

    def _row(self, ids: list[int], sampling: Sampling) -> Row:
        self._check_length(len(ids) + 1)
        seed = secrets.randbits(31) if sampling.seed is None else sampling.seed
        limit = min(sampling.max_tokens, self._network.context - len(ids))
        return Row(ids, sampling, seed, limit)

    def _question(self, ids: list[int], options: Sequence[str]) -> Question:
        spelt = tuple(tuple(encode_content(self._tokenizer, option)) for option in options)
        question = Question(tuple(ids), spelt)
        self._check_length(question.n_at_most)
        return question

    def _check_length(self, n_tokens: int) -> None:
        if n_tokens > self._network.context:
            raise ContextLengthError(
                f"The request and what must follow it take {n_tokens} tokens, and the model reads "
                f"{self._network.context}. Shorten the conversation or use a model that reads more."
            )

    def _work(self) -> None:
        self._forget_cancelled()
        self._answer_questions()
        self._join()
        self._concerned = [self._writing[row] for row in self.batch.rows]
        for row in self.batch.leave(self._ending.is_over):
            _give(self._writing.pop(row).future, self._ending.completion(row))
        if self.batch.rows:
            self.batch.step()

    def _forget_cancelled(self) -> None:
        gone = {row for row, job in self._writing.items() if job.future.cancelled()}
        if gone:
            self.batch.leave(lambda row: row in gone)
            self._keep_undone()

    def _keep_undone(self) -> None:
        self._questions = [pair for pair in self._questions if not pair[1].future.done()]
        self._writing = {row: job for row, job in self._writing.items() if not job.future.done()}
        self._waiting = deque(row for row in self._waiting if row in self._writing)

    def _answer_questions(self) -> None:
        turn = self._questions[: self.batch.slots]
        if not turn:
            return
        self._concerned = [job for _, job in turn]
        choices = answer(self._network, [question for question, _ in turn])
        del self._questions[: len(turn)]
        for (_, job), choice in zip(turn, choices, strict=True):
            _give(job.future, choice)

    def _join(self) -> None:
        joining = list(islice(self._waiting, self.batch.fitting(self._waiting)))
        if not joining:
            return
        self._concerned = [self._writing[row] for row in joining]
        self.batch.join(joining)
        for _ in joining:
            self._waiting.popleft()

    def _recover(self, error: Exception) -> None:
        """Starts all rows again from their prompts, without the jobs that cannot be done.

        A row becomes what it would have become, so this costs time only. When memory ran out, the
        batch is halved before any job is given up.
        """
        self.batch.clear()
        if _is_out_of_memory(error) and self.batch.slots > 1:
            self.batch.slots //= 2
            logger.warning("Out of memory: %d requests at a time from now on.", self.batch.slots)
        else:
            failure = ModelError(f"The model failed at this request: {_first_line(error)}")
            self._fail(self._concerned, failure)
        self._keep_undone()
        for row in self._writing:
            row.written.clear()
        self._waiting = deque(self._writing)

    def _jobs(self) -> list[Job]:
        return [*self._writing.values(), *(job for _, job in self._questions)]

    def _fail(self, jobs: Sequence[Job], error: ModelError) -> None:
        for job in jobs:
            if not job.future.done() and job.future.set_running_or_notify_cancel():
                job.future.set_exception(error)


def _give(future: Future[_Answer], value: _Answer) -> None:
    if future.set_running_or_notify_cancel():
        future.set_result(value)


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
