"""The one thread that owns a local model: it encodes, decodes in batches, and answers futures.

Whoever waits may sit in any asyncio loop, also in one that was closed before the next began.
"""

import atexit
import logging
import queue
import secrets
import threading
import time
from bisect import insort
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

import torch

from cai.errors import CaiError, ContextLengthError, ModelError, UsageError
from cai.models.base import Choice, Completion, Sampling, check_options
from cai.models.hf.choices import answer
from cai.models.hf.continuous_batching import DecodeBatch, DecodeRow, StopCriteria
from cai.models.hf.forward import Network
from cai.models.hf.option_tokens import Speller
from cai.models.hf.prefix_cache import (
    PREFILL_TOKENS,
    ChoiceRequest,
    PrefixGroup,
    split_into_batches,
)
from cai.models.hf.tokenizer import Tokenizer, encode_request
from cai.types import Message

logger = logging.getLogger(__name__)

_GATHER_S = 0.003
_AHEAD = 256  # the most requests that go before an earlier one because their beginning is kept
_TURN = 1024  # the most questions that are put in groups at a time
_LEAST_TOKENS = 256
_Answer = TypeVar("_Answer")


@dataclass(slots=True, eq=False)
class CompletionJob:
    """A completion that somebody waits for."""

    messages: Sequence[Message]
    sampling: Sampling
    future: Future[Completion] = field(default_factory=Future[Completion])


@dataclass(slots=True, eq=False)
class OptionJob:
    """A choice that somebody waits for."""

    messages: Sequence[Message]
    options: Sequence[str]
    future: Future[Choice] = field(default_factory=Future[Choice])


Job = CompletionJob | OptionJob


class Worker:
    """Runs jobs until `stop`. `room` is the number of tokens whose cache fits into memory."""

    def __init__(
        self, network: Network, tokenizer: Tokenizer, ending: StopCriteria, slots: int, room: int
    ) -> None:
        self._network = network
        self._tokenizer = tokenizer
        self._ending = ending
        self._speller = Speller(tokenizer, network.n_tokens)
        self.batch = DecodeBatch(network, slots, room)
        self._inbox: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._waiting: list[DecodeRow] = []  # in the order of their ranks
        self._n_rows = 0
        self._writing: dict[DecodeRow, CompletionJob] = {}
        self._asking: dict[ChoiceRequest, OptionJob] = {}
        self._portions: deque[list[PrefixGroup]] = deque()
        self._portion_tokens = PREFILL_TOKENS
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
                insort(self._waiting, row, key=_rank)
            else:
                self._asking[self._question(ids, job.options)] = job
        except (ModelError, UsageError) as error:
            self._fail([job], error)
        except (TypeError, ValueError) as error:
            reason = _first_line(error)
            self._fail([job], ModelError(f"The request cannot be encoded: {reason}."))

    def _row(self, ids: list[int], sampling: Sampling) -> DecodeRow:
        self._check_length(len(ids) + 1)
        seed = secrets.randbits(31) if sampling.seed is None else sampling.seed
        limit = min(sampling.max_tokens, self._network.context - len(ids))
        return DecodeRow(ids, sampling, seed, limit, self._next_rank(ids))

    def _next_rank(self, ids: list[int]) -> int:
        """The place of a row among those that wait: a chain goes on while its context is kept."""
        self._n_rows += 1
        goes_on = 2 * self.batch.prefix_cache.n_shared(ids) >= len(ids)
        return self._n_rows - (_AHEAD if goes_on else 0)

    def _question(self, ids: list[int], options: Sequence[str]) -> ChoiceRequest:
        check_options(options)
        question = ChoiceRequest(tuple(ids), self._speller.spell(options))
        self._check_length(question.max_length)
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
        self._asking = {
            question: job for question, job in self._asking.items() if not job.future.done()
        }
        self._portions.clear()
        self._writing = {row: job for row, job in self._writing.items() if not job.future.done()}
        self._waiting = [row for row in self._waiting if row in self._writing]

    def _answer_questions(self) -> None:
        """Answers one portion, so that completions in flight go on between any two."""
        if not self._portions:
            turn = islice(self._asking, _TURN)
            self._portions.extend(split_into_batches(turn, self._portion_tokens))
        if not self._portions:
            return
        groups = self._portions[0]
        self._concerned = [self._asking[each] for group in groups for each in group.questions]
        if any(job.future.cancelled() for job in self._concerned):
            self._keep_undone()
            return
        choices = answer(self._network, self.batch.prefix_cache, groups, self._portion_tokens)
        self._portions.popleft()
        for question, choice in choices.items():
            job = self._asking.pop(question)
            if isinstance(choice, ModelError):
                self._fail([job], choice)
            else:
                _give(job.future, choice)

    def _join(self) -> None:
        joining = self._waiting[: self.batch.fitting(self._waiting)]
        if not joining:
            return
        self._concerned = [self._writing[row] for row in joining]
        self.batch.join(joining)
        del self._waiting[: len(joining)]

    def _recover(self, error: Exception) -> None:
        """Starts all rows again from their prompts, without the jobs that cannot be done.

        A row becomes what it would have become, so this costs time only. When memory ran out, less
        is done at a time before any job is given up. Of questions that fail together, each is asked
        alone before one is given up.
        """
        failed = self._failed_questions()
        alone: list[list[PrefixGroup]] = []
        self.batch.clear()
        if not (_is_out_of_memory(error) and self._does_less(failed)):
            if len(failed) > 1:
                alone = [[PrefixGroup((question,), 0)] for question in failed]
            else:
                failure = ModelError(f"The model failed at this request: {_first_line(error)}")
                self._fail(self._concerned, failure)
        self._keep_undone()
        self._portions.extend(alone)
        for row in self._writing:
            row.written.clear()
        self._waiting = sorted(self._writing, key=_rank)

    def _failed_questions(self) -> list[ChoiceRequest]:
        """The questions of the portion that failed; none where something else did."""
        groups = self._portions[0] if self._portions else []
        asked = [question for group in groups for question in group.questions]
        jobs = [self._asking[question] for question in asked]
        return asked if jobs == self._concerned else []

    def _does_less(self, failed: Sequence[ChoiceRequest]) -> bool:
        """Halves what is done at a time of the kind that failed; False where that is the least."""
        if failed:
            is_least = sum(question.n_rows for question in failed) == 1
            if is_least or self._portion_tokens <= _LEAST_TOKENS:
                return False
            self._portion_tokens //= 2
            logger.warning("Out of memory: %d tokens at a time from now on.", self._portion_tokens)
            return True
        if not self.batch.shrink():
            return False
        logger.warning("Out of memory: %d requests at a time from now on.", self.batch.slots)
        return True

    def _jobs(self) -> list[Job]:
        return [*self._writing.values(), *self._asking.values()]

    def _fail(self, jobs: Sequence[Job], error: CaiError) -> None:
        for job in jobs:
            if not job.future.done() and job.future.set_running_or_notify_cancel():
                job.future.set_exception(error)


def _give(future: Future[_Answer], value: _Answer) -> None:
    if future.set_running_or_notify_cancel():
        future.set_result(value)


def _rank(row: DecodeRow) -> int:
    return row.rank


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
