"""The one thread that owns a local model: it encodes, decodes in batches, and resolves futures.

One thread, because the rows of all calls share a batch and a cache. Callers may wait in any asyncio
loop, also in one that was closed before the next was started.

Example:
    worker = Worker(network, tokenizer, criteria, slots=64, capacity=100_000)
    job = CompletionJob(messages, Sampling(max_tokens=64))
    worker.submit(job)
    job.future.result()  # a Completion, or an error that is raised
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
from cai.models.hf.choices import answer, rounded
from cai.models.hf.continuous_batching import DecodeBatch, DecodeRow, StopCriteria
from cai.models.hf.forward import Network
from cai.models.hf.loading import is_out_of_memory
from cai.models.hf.prefix_cache import (
    PREFILL_TOKENS,
    ChoiceRequest,
    PrefixGroup,
    split_into_batches,
)
from cai.models.hf.tokenizer import Speller, Tokenizer, encode_request
from cai.types import Message

logger = logging.getLogger(__name__)

_FIRST_WAIT_S = 0.003
_MAX_AHEAD = 256  # requests that a later one with a cached prefix may overtake
_MAX_GROUPED = 1024  # choice requests that are sorted into groups at a time
_LEAST_TOKENS = 256
_Answer = TypeVar("_Answer")


@dataclass(slots=True, eq=False)
class CompletionJob:
    """A completion that a caller waits for."""

    messages: Sequence[Message]
    sampling: Sampling
    future: Future[Completion] = field(default_factory=Future[Completion])


@dataclass(slots=True, eq=False)
class OptionJob:
    """A choice that a caller waits for."""

    messages: Sequence[Message]
    options: Sequence[str]
    future: Future[Choice] = field(default_factory=Future[Choice])


Job = CompletionJob | OptionJob


class Worker:
    """Runs jobs until `stop`. `capacity` is the number of tokens whose cache fits into memory."""

    def __init__(
        self,
        network: Network,
        tokenizer: Tokenizer,
        criteria: StopCriteria,
        slots: int,
        capacity: int,
    ) -> None:
        self._network = network
        self._tokenizer = tokenizer
        self._criteria = criteria
        self._speller = Speller(tokenizer, network.n_tokens)
        self.batch = DecodeBatch(network, slots, capacity)
        self._inbox: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._waiting: list[DecodeRow] = []  # in the order of their ranks
        self._n_rows = 0
        self._completions: dict[DecodeRow, CompletionJob] = {}
        self._choices: dict[ChoiceRequest, OptionJob] = {}
        self._choice_batches: deque[list[PrefixGroup]] = deque()
        self._choice_tokens = PREFILL_TOKENS
        self._current: Sequence[Job] = ()  # the jobs of the present step, which an error concerns
        self._is_open = True
        self._submit_lock = threading.Lock()  # no job comes after the None that ends the thread
        self._thread = threading.Thread(target=self._run, name="cai-local-model", daemon=True)
        self._thread.start()
        atexit.register(self.stop)  # a thread inside PyTorch at the interpreter's end aborts it

    def submit(self, job: Job) -> None:
        """Adds a job; its future gets the result.

        Raises:
            ModelError: The worker was stopped.
        """
        with self._submit_lock:
            if not self._is_open:
                raise ModelError("The model was closed while it was in use. Call it again.")
            self._inbox.put(job)

    def stop(self) -> None:
        """Ends the thread once its present step is done; waiting callers get a ModelError."""
        with self._submit_lock:
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
        self._receive()  # what was submitted before the end would otherwise wait forever
        _fail(self._jobs(), ModelError("The model was closed before it answered."))

    def _receive(self) -> None:
        """Prepares all jobs in the inbox; waits for one when there is nothing to do."""
        job: Job | None = None
        if self._is_open and not self._jobs():
            job = self._inbox.get()
            # So that all tasks of one tick of a caller's loop start together, in one batch.
            time.sleep(_FIRST_WAIT_S)
        while True:
            if job is not None:
                self._prepare(job)
            try:
                job = self._inbox.get_nowait()
            except queue.Empty:
                return

    def _prepare(self, job: Job) -> None:
        self._current = [job]
        try:
            ids = encode_request(self._tokenizer, job.messages)
            if isinstance(job, CompletionJob):
                self._check_length(len(ids) + 1)
                seed = secrets.randbits(31) if job.sampling.seed is None else job.sampling.seed
                limit = min(job.sampling.max_tokens, self._network.context - len(ids))
                # A chain goes on while its context is cached; later it may have been dropped.
                self._n_rows += 1
                is_cached = 2 * self.batch.prefix_cache.n_shared(ids) >= len(ids)
                rank = self._n_rows - (_MAX_AHEAD if is_cached else 0)
                row = DecodeRow(ids, job.sampling, seed, limit, rank)
                self._completions[row] = job
                insort(self._waiting, row, key=_rank)
            else:
                check_options(job.options)
                request = ChoiceRequest(tuple(ids), self._speller.spell(job.options))
                self._check_length(request.max_length)
                self._choices[request] = job
        except (ModelError, UsageError) as error:
            _fail([job], error)
        except (TypeError, ValueError) as error:
            reason = _first_line(error)
            _fail([job], ModelError(f"The request cannot be encoded: {reason}."))

    def _check_length(self, n_tokens: int) -> None:
        if n_tokens > self._network.context:
            raise ContextLengthError(
                f"The request and its answer take {n_tokens} tokens, and the model reads at most "
                f"{self._network.context}. Shorten the conversation or use a model that reads more."
            )

    def _work(self) -> None:
        """One step of everything: one batch of choices, rows that join, one token for each row."""
        cancelled = {row for row, job in self._completions.items() if job.future.cancelled()}
        if cancelled:
            self.batch.leave(lambda row: row in cancelled)
            self._drop_finished()
        self._answer_choices()
        joining = self._waiting[: self.batch.fitting(self._waiting)]
        if joining:
            self._current = [self._completions[row] for row in joining]
            self.batch.join(joining)
            del self._waiting[: len(joining)]
        self._current = [self._completions[row] for row in self.batch.rows]
        for row in self.batch.leave(self._criteria.is_over):
            _resolve(self._completions.pop(row).future, self._criteria.completion(row))
        if self.batch.rows:
            self.batch.step()

    def _answer_choices(self) -> None:
        """Answers one batch of choices, so that completions in flight go on between any two."""
        if not self._choice_batches:
            turn = islice(self._choices, _MAX_GROUPED)
            self._choice_batches.extend(split_into_batches(turn, self._choice_tokens))
        if not self._choice_batches:
            return
        groups = self._choice_batches[0]
        self._current = [self._choices[each] for group in groups for each in group.questions]
        if any(job.future.cancelled() for job in self._current):
            self._drop_finished()
            return
        found = answer(self._network, self.batch.prefix_cache, groups, self._choice_tokens)
        choices = rounded(self._network, found)
        # only after they are answered: `_recover` finds the batch at fault at the front
        self._choice_batches.popleft()
        for question, choice in choices.items():
            job = self._choices.pop(question)
            if isinstance(choice, ModelError):
                _fail([job], choice)
            else:
                _resolve(job.future, choice)

    def _drop_finished(self) -> None:
        self._choices = {
            question: job for question, job in self._choices.items() if not job.future.done()
        }
        self._choice_batches.clear()
        self._completions = {
            row: job for row, job in self._completions.items() if not job.future.done()
        }
        self._waiting = [row for row in self._waiting if row in self._completions]

    def _recover(self, error: Exception) -> None:
        """Starts all rows again from their prompts, without the jobs that cannot be done."""
        # A row becomes what it would have become, so this costs time only. When memory ran out,
        # less is done at a time before any job fails. Choices that fail together are tried one by
        # one, so that only the one at fault fails.
        groups = self._choice_batches[0] if self._choice_batches else []
        failed = [question for group in groups for question in group.questions]
        if [self._choices[question] for question in failed] != self._current:
            failed = []  # the error came from elsewhere
        retried: list[list[PrefixGroup]] = []
        self.batch.clear()
        if not (is_out_of_memory(error) and self._reduce_load(failed)):
            if len(failed) > 1:
                retried = [[PrefixGroup((question,), 0)] for question in failed]
            else:
                failure = ModelError(f"The model failed at this request: {_first_line(error)}")
                _fail(self._current, failure)
        self._drop_finished()
        self._choice_batches.extend(retried)
        for row in self._completions:
            row.written.clear()
        self._waiting = sorted(self._completions, key=_rank)

    def _reduce_load(self, failed: Sequence[ChoiceRequest]) -> bool:
        """Halves what is done at a time of the kind that failed; False where that is the least."""
        if failed:
            is_least = sum(question.n_rows for question in failed) == 1
            if is_least or self._choice_tokens <= _LEAST_TOKENS:
                return False
            self._choice_tokens //= 2
            logger.warning("Out of memory: %d tokens at a time from now on.", self._choice_tokens)
            return True
        if not self.batch.shrink():
            return False
        logger.warning("Out of memory: %d requests at a time from now on.", self.batch.slots)
        return True

    def _jobs(self) -> list[Job]:
        return [*self._completions.values(), *self._choices.values()]


def _resolve(future: Future[_Answer], value: _Answer) -> None:
    if future.set_running_or_notify_cancel():  # False where the caller has cancelled
        future.set_result(value)


def _fail(jobs: Sequence[Job], error: CaiError) -> None:
    for job in jobs:
        if not job.future.done() and job.future.set_running_or_notify_cancel():
            job.future.set_exception(error)


def _rank(row: DecodeRow) -> int:
    return row.rank


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
