"""A trained reward model at work: conversations → rewards, in batches, from any thread or loop.

Conversations end with the assistant's turn. They are encoded through the model's chat template, and
control tokens in their contents stay text, as in training.

Example:
    model = RewardModel.load("models/reward")
    model.rewards([(Message("user", "Hi."), Message("assistant", "Hello!"))])  # [0.73]
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
from pathlib import Path

from cai.errors import CaiError, ModelError, TrainingError, UsageError
from cai.models.hf.loading import ModelSource
from cai.models.hf.tokenizer import Tokenizer, encode_dialogue
from cai.models.registry import has_scheme, parse_spec
from cai.training.reward_model.checkpoint import RewardCheckpoint, open_reward_checkpoint
from cai.training.reward_model.network import model_failure
from cai.training.reward_model.principles import PrincipleStatement, RewardTemplate, conditioned
from cai.types import Conversation

BATCH_TOKENS = 16_384
_BATCHING_S = 0.003


@dataclass(slots=True, eq=False)
class _Job:
    """Conversations whose rewards a caller of `score` awaits."""

    conversations: Sequence[Conversation]
    statements: Sequence[PrincipleStatement] | None
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
        self._network_lock = threading.Lock()  # one pass at a time, from any thread
        self._thread_lock = threading.Lock()
        self._queue: queue.SimpleQueue[_Job | None] | None = None
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
            ModelError: It is missing or damaged.
            TrainingError: It is not a reward model, or cannot read conversations.
        """
        if batch_tokens < 1:
            raise UsageError(f"batch_tokens is {batch_tokens}. Allow at least 1.")
        source = ModelSource(spec_or_folder, device=device, dtype=dtype, adapter=adapter)
        if has_scheme(spec_or_folder):
            spec = parse_spec(spec_or_folder)
            if spec.scheme != "hf":
                raise UsageError(
                    f"{spec_or_folder!r} is not a reward model. Give the folder of one, or "
                    "hf:NAME_OR_PATH."
                )
            unread = sorted(set(spec.options) - {"device", "dtype", "adapter", "revision"})
            if unread:
                raise UsageError(
                    f"{spec_or_folder!r}: {', '.join(unread)} is about answers, and a reward model "
                    "gives none. Leave it out."
                )
            source = ModelSource(
                spec.target,
                device=spec.options.get("device", device),
                dtype=spec.options.get("dtype", dtype),
                adapter=spec.options.get("adapter", adapter),
                revision=spec.options.get("revision"),
            )
        elif not Path(spec_or_folder).is_dir():
            raise ModelError(
                f"{spec_or_folder}: there is no such folder. Check the path, or name a reward "
                "model on the hub as hf:OWNER/NAME."
            )
        return cls(open_reward_checkpoint(source), batch_tokens=batch_tokens)

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
        statements: Sequence[PrincipleStatement] | None = None,
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
        statements: Sequence[PrincipleStatement] | None = None,
    ) -> list[float | None]:
        """As `rewards`, without blocking; what all callers wait for goes into the same passes."""
        job = _Job(tuple(conversations), statements)  # a copy: the caller may change its list
        with self._thread_lock:
            if self._queue is None:
                self._queue = queue.SimpleQueue()
                self._thread = threading.Thread(
                    target=self._run, args=(self._queue,), name="cai-reward-model", daemon=True
                )
                self._thread.start()
                # a daemon thread that is inside PyTorch when the interpreter ends aborts it
                atexit.register(self._stop)
            self._queue.put(job)
        return await asyncio.wrap_future(job.future)

    async def close(self) -> None:
        """Ends the thread once it has answered; a later `score` starts another."""
        await asyncio.to_thread(self._stop)

    def _encode(
        self, conversations: Sequence[Conversation], statements: Sequence[PrincipleStatement] | None
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

    def check_statements(self, statements: Sequence[PrincipleStatement] | None) -> None:
        """Checks that principles are given where the model reads some. Raises TrainingError."""
        self._template(statements)

    def _template(self, statements: Sequence[PrincipleStatement] | None) -> RewardTemplate | None:
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
        rewards: list[float | None] = [None] * len(rows)
        # encoded before, outside the lock, so that one caller's passes hide another's encoding
        with self._network_lock:
            values = network.rewards([rows[index] for index in fitting], self._batch_tokens)
            for index, value in zip(fitting, values, strict=True):
                rewards[index] = value if math.isfinite(value) else None
            self.n_unscored += rewards.count(None)
        return rewards

    def _stop(self) -> None:
        with self._thread_lock:
            jobs, thread = self._queue, self._thread
            self._queue = self._thread = None
        if jobs is not None and thread is not None:
            jobs.put(None)
            thread.join()
            atexit.unregister(self._stop)

    def _run(self, queued: "queue.SimpleQueue[_Job | None]") -> None:
        while (job := queued.get()) is not None:
            # all tasks that one tick of an event loop started are to go into the same passes
            time.sleep(_BATCHING_S)
            jobs = [job]
            is_over = False  # the end may be asked for while callers still wait: they come first
            while not queued.empty():
                other = queued.get()
                if other is None:
                    is_over = True
                else:
                    jobs.append(other)
            encoded: list[tuple[_Job, list[list[int]]]] = []
            for each in jobs:
                if not each.future.set_running_or_notify_cancel():
                    continue
                try:
                    encoded.append((each, self._encode(each.conversations, each.statements)))
                except CaiError as error:
                    each.future.set_exception(error)
                except Exception as error:  # noqa: BLE001 (else the caller waits forever)
                    each.future.set_exception(model_failure(error))
            self._answer(encoded)
            if is_over:
                return

    def _answer(self, encoded: Sequence[tuple[_Job, list[list[int]]]]) -> None:
        """All in the same passes; where that fails each by itself, so that one harms no other."""
        try:
            rewards = self._rewards([row for _, rows in encoded for row in rows])
        except Exception as error:  # noqa: BLE001 (else the callers wait forever)
            if len(encoded) > 1:
                for each in encoded:
                    self._answer([each])
                return
            failure = error if isinstance(error, CaiError) else model_failure(error)
            for job, _ in encoded:
                job.future.set_exception(failure)
            return
        start = 0
        for job, rows in encoded:
            job.future.set_result(rewards[start : start + len(rows)])
            start += len(rows)
