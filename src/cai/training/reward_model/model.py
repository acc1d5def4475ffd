"""A trained reward model at work: conversations → rewards, in batches, from any thread or loop.

Conversations end with the assistant's turn. They are encoded through the model's chat template with
the control tokens in their contents kept as text, as in training.
"""

import asyncio
import atexit
import math
import queue
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from cai.errors import CaiError, ModelError, TrainingError, UsageError
from cai.models.hf.loading import ModelSource
from cai.models.hf.tokenizer import Tokenizer, encode_dialogue
from cai.models.registry import has_scheme, parse_spec
from cai.training.reward_model.checkpoint import RewardCheckpoint, open_reward_checkpoint
from cai.training.reward_model.principles import RewardTemplate, Statement, conditioned
from cai.types import Conversation

BATCH_TOKENS = 16_384
_GATHER_S = 0.003


@dataclass(slots=True, eq=False)
class _Job:
    """Conversations whose rewards somebody waits for."""

    conversations: Sequence[Conversation]
    statements: Sequence[Statement] | None
    future: Future[list[float | None]] = field(default_factory=Future[list[float | None]])


class RewardModel:
    """Gives each conversation a number; differences between answers to one request mean something.

    `n_unscored` counts the conversations that got none: too long for the model, or no number.
    """

    def __init__(self, checkpoint: RewardCheckpoint, *, batch_tokens: int = BATCH_TOKENS) -> None:
        """`batch_tokens` is the greatest number of tokens in one forward pass, with padding."""
        self.name = checkpoint.name
        self.facts = checkpoint.facts
        self.n_unscored = 0
        self._checkpoint = checkpoint
        self._batch_tokens = batch_tokens
        self._network_lock = threading.Lock()  # one pass at a time, whoever asks
        self._door = threading.Lock()
        self._inbox: queue.SimpleQueue[_Job | None] | None = None
        self._thread: threading.Thread | None = None

    @classmethod
    def load(
        cls,
        spec_or_folder: str,
        *,
        device: str = "auto",
        dtype: str = "auto",
        adapter: str | None = None,
        batch_tokens: int = BATCH_TOKENS,
    ) -> "RewardModel":
        """The reward model of that folder or name, such as `runs/reward` or `hf:NAME`.

        The folder may be one of an adapter, which names its base; `adapter` puts one on top. An
        `hf:` spec may carry the options `device`, `dtype`, `adapter` and `revision`.

        Raises:
            UsageError: The spec is not one of a folder or of `hf:`.
            ModelError: It is not there or damaged.
            TrainingError: It is no reward model, or cannot read conversations.
        """
        given = ModelSource(spec_or_folder, device=device, dtype=dtype, adapter=adapter)
        if batch_tokens < 1:
            raise UsageError(f"{batch_tokens} tokens in a batch were asked for. Allow at least 1.")
        return cls(open_reward_checkpoint(_source(given)), batch_tokens=batch_tokens)

    @property
    def tokenizer(self) -> Tokenizer:
        return self._checkpoint.tokenizer

    @property
    def is_conditioned(self) -> bool:
        """Whether principles are part of what it reads."""
        return self.facts.is_conditioned

    def rewards(
        self,
        conversations: Sequence[Conversation],
        statements: Sequence[Statement] | None = None,
    ) -> list[float | None]:
        """The reward of each conversation; None where it is too long or the model gives no number.

        `statements` are the principles that a conditioned model reads, and no other takes.

        Raises:
            TrainingError: Statements are missing or not wanted, or a conversation does not end with
                the assistant's turn.
            ModelError: The chat template refuses a conversation, or the model fails.
        """
        return self._rewards(self._encode(conversations, statements))

    def read(self, inputs: Sequence[Conversation]) -> list[float | None]:
        """As `rewards`, of inputs as they are: of a conditioned model with their principles in."""
        return self._rewards([self._encoded(each) for each in inputs])

    async def score(
        self,
        conversations: Sequence[Conversation],
        statements: Sequence[Statement] | None = None,
    ) -> list[float | None]:
        """As `rewards`, without blocking; what all callers wait for goes into the same passes."""
        job = _Job(tuple(conversations), statements)
        self._submit(job)
        return await asyncio.wrap_future(job.future)

    async def close(self) -> None:
        """Ends the thread once it has answered; a later `score` starts another."""
        await asyncio.to_thread(self._stop)

    def _encode(
        self, conversations: Sequence[Conversation], statements: Sequence[Statement] | None
    ) -> list[list[int]]:
        template = self._template(statements)
        rows: list[list[int]] = []
        for conversation in conversations:
            if template is not None:
                conversation = conditioned(conversation, statements or (), template)
            rows.append(self._encoded(conversation))
        return rows

    def _encoded(self, conversation: Conversation) -> list[int]:
        if not conversation or conversation[-1].role != "assistant":
            last = conversation[-1].role if conversation else "nothing"
            raise TrainingError(
                f"A conversation ends with {last}, and a reward is for the assistant's turn. "
                "Put the response at the end."
            )
        try:
            return encode_dialogue(self._checkpoint.tokenizer, conversation)
        except (TypeError, ValueError) as error:  # lone surrogates, for instance
            reason = f"{type(error).__name__}: {error}".partition("\n")[0]
            raise ModelError(f"A conversation cannot be encoded: {reason}.") from error

    def check_statements(self, statements: Sequence[Statement] | None) -> None:
        """Finds out whether this model is to be given principles. Raises TrainingError."""
        self._template(statements)

    def _template(self, statements: Sequence[Statement] | None) -> RewardTemplate | None:
        if not self.is_conditioned:
            if statements is not None:
                raise TrainingError(
                    f"{self.name}: this reward model does not read principles, and some were "
                    "given. Leave them out, or use one that was trained with principles."
                )
            return None
        if not statements:
            raise TrainingError(
                f"{self.name}: this reward model reads principles with every conversation, and "
                "none were given. Give at least one."
            )
        assert self.facts.template is not None  # as `read_facts` checks
        return RewardTemplate(self.facts.template)

    def _rewards(self, rows: Sequence[list[int]]) -> list[float | None]:
        network = self._checkpoint.network
        fitting = [index for index, row in enumerate(rows) if len(row) <= network.context]
        found: list[float | None] = [None] * len(rows)
        with self._network_lock:
            values = network.rewards([rows[index] for index in fitting], self._batch_tokens)
            for index, value in zip(fitting, values, strict=True):
                found[index] = value if math.isfinite(value) else None
            self.n_unscored += found.count(None)
        return found

    def _submit(self, job: _Job) -> None:
        with self._door:
            if self._inbox is None:
                self._inbox = queue.SimpleQueue()
                self._thread = threading.Thread(
                    target=self._run, args=(self._inbox,), name="cai-reward-model", daemon=True
                )
                self._thread.start()
                atexit.register(self._stop)  # a thread inside PyTorch at the end aborts it
            self._inbox.put(job)

    def _stop(self) -> None:
        with self._door:
            inbox, thread = self._inbox, self._thread
            self._inbox = self._thread = None
        if inbox is not None and thread is not None:
            inbox.put(None)
            thread.join()
            atexit.unregister(self._stop)

    def _run(self, inbox: "queue.SimpleQueue[_Job | None]") -> None:
        while (job := inbox.get()) is not None:
            time.sleep(_GATHER_S)  # so that all tasks of one tick of a loop go together
            jobs = [job]
            is_over = False
            while not inbox.empty():
                other = inbox.get()
                if other is None:
                    is_over = True
                else:
                    jobs.append(other)
            self._answer(jobs)
            if is_over:
                return

    def _answer(self, jobs: Sequence[_Job]) -> None:
        encoded: list[tuple[_Job, list[list[int]]]] = []
        for job in jobs:
            if not job.future.set_running_or_notify_cancel():
                continue
            try:
                encoded.append((job, self._encode(job.conversations, job.statements)))
            except CaiError as error:
                job.future.set_exception(error)
            except Exception as error:  # noqa: BLE001 (else the caller waits forever)
                job.future.set_exception(_odd(error))
        self._give(encoded)

    def _give(self, encoded: Sequence[tuple[_Job, list[list[int]]]]) -> None:
        """All in the same passes; where that fails each by itself, so that one harms no other."""
        try:
            found = self._rewards([row for _, rows in encoded for row in rows])
        except Exception as error:  # noqa: BLE001 (else the callers wait forever)
            if len(encoded) > 1:
                for each in encoded:
                    self._give([each])
                return
            for job, _ in encoded:
                job.future.set_exception(error if isinstance(error, CaiError) else _odd(error))
            return
        start = 0
        for job, rows in encoded:
            job.future.set_result(found[start : start + len(rows)])
            start += len(rows)


def _source(given: ModelSource) -> ModelSource:
    if not has_scheme(given.path):
        return given
    spec = parse_spec(given.path)
    if spec.scheme != "hf":
        raise UsageError(
            f"{given.path!r} is no reward model. Give the folder of one, or hf:NAME_OR_PATH."
        )
    return ModelSource(
        spec.target,
        device=spec.options.get("device", given.device),
        dtype=spec.options.get("dtype", given.dtype),
        adapter=spec.options.get("adapter", given.adapter),
        revision=spec.options.get("revision"),
    )


def _odd(error: Exception) -> ModelError:
    reason = str(error).partition("\n")[0]
    return ModelError(f"The reward model failed: {type(error).__name__}: {reason}.")
