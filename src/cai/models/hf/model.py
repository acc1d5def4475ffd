"""A model of the Hugging Face kind in this process: no server, one batch of all calls in flight."""

import asyncio
import os
import threading
from collections.abc import Sequence

import torch

from cai.errors import ModelError
from cai.models.hf.checkpoint import Checkpoint, Source, open_checkpoint
from cai.models.hf.ending import Ending
from cai.models.hf.worker import ChoiceJob, CompletionJob, Worker
from cai.models.protocol import Choice, Completion, Limits, Sampling
from cai.types import Message

_UNKNOWN_MEMORY_BYTES = 4 * 2**30


class LocalModel:
    """A `ChoiceModel` whose answers depend on the request and its seed only.

    Bit for bit in float32, whatever else is in flight; in bfloat16 and float16 a rare token may
    change with the batch. All calls are decoded together, from any task, thread or asyncio loop.
    `slots` is the greatest number of rows at a time.
    """

    def __init__(self, checkpoint: Checkpoint, *, slots: int = 64, name: str | None = None) -> None:
        if slots < 1:
            raise ModelError(f"A local model needs at least one slot, and {slots} were asked for.")
        self.name = name or checkpoint.name
        self.is_chat = checkpoint.tokenizer.chat_template is not None
        self._checkpoint = checkpoint
        self._slots = slots
        self._worker: Worker | None = None
        self._lock = threading.Lock()

    @property
    def limits(self) -> Limits:
        """It queues calls itself; twice its slots are enough to choose from for a full batch."""
        return Limits(start=2 * self._slots)

    @classmethod
    def load(
        cls,
        path: str,
        *,
        device: str = "auto",
        dtype: str = "auto",
        adapter: str | None = None,
        revision: str | None = None,
        slots: int = 64,
        name: str | None = None,
    ) -> "LocalModel":
        """The model in that folder, or of that name on the hub.

        `device` is auto, cpu, cuda or cuda:NUMBER; `dtype` is auto, float32, bfloat16 or float16,
        where auto is float32 on a CPU and the checkpoint's own on a GPU. `adapter` is a folder of
        peft. `name` replaces the one made of all these and of what the folder holds.

        Raises:
            ModelError: It cannot be opened; the message says why.
        """
        source = Source(path, device=device, dtype=dtype, adapter=adapter, revision=revision)
        return cls(open_checkpoint(source), slots=slots, name=name)

    async def complete(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        if sampling.max_tokens < 1 or sampling.temperature < 0:
            raise ModelError(
                f"max_tokens is {sampling.max_tokens} and temperature {sampling.temperature}. "
                "At least one token, and a temperature of 0 or more, are needed."
            )
        job = CompletionJob(tuple(messages), sampling)
        self._running().submit(job)
        return await asyncio.wrap_future(job.future)

    async def choose(self, messages: Sequence[Message], options: Sequence[str]) -> Choice:
        job = ChoiceJob(tuple(messages), tuple(options))
        self._running().submit(job)
        return await asyncio.wrap_future(job.future)

    async def check(self) -> None:
        """Nothing is left to find out: the model was opened when it was loaded."""

    async def close(self) -> None:
        """Ends the thread and frees the cache; calls still waiting get a ModelError.

        The weights stay as long as this object; a later call starts a new thread.
        """
        with self._lock:
            worker, self._worker = self._worker, None
        if worker is not None:
            await asyncio.to_thread(worker.stop)

    def _running(self) -> Worker:
        with self._lock:
            if self._worker is None:
                self._worker = start_worker(self._checkpoint, self._slots)
            return self._worker


def start_worker(checkpoint: Checkpoint, slots: int, room: int | None = None) -> Worker:
    """A worker whose cache takes at most `room` tokens; by default what memory allows."""
    network = checkpoint.network
    if room is None:
        room = _memory_bytes(network.device) // network.bytes_per_token
    ending = Ending(checkpoint.tokenizer, checkpoint.stop_ids)
    return Worker(network, checkpoint.tokenizer, ending, slots, room)


def _memory_bytes(device: torch.device) -> int:
    """What the cache may take: half of a GPU's free memory, a quarter of the machine's."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] // 2
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4
    except (AttributeError, ValueError):  # Windows has no sysconf
        return _UNKNOWN_MEMORY_BYTES
