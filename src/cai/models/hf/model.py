"""A model of the Hugging Face kind in this process: no server, one batch of all calls in flight.

A model folder, or a name on the Hugging Face hub → network, tokenizer and name.

Code that comes with a model is never run, and a folder is read without a network.
"""

import asyncio
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import torch
from transformers import AutoModelForCausalLM

from cai.errors import ModelError
from cai.models.base import Choice, Completion, Limits, Sampling
from cai.models.hf.continuous_batching import StopCriteria
from cai.models.hf.forward import CausalModel, Network
from cai.models.hf.loading import (
    CONFIGS,
    TOKENIZERS,
    ModelSource,
    Opener,
    device_of,
    dtype_of,
    merged,
    name_of,
    on_its_base,
    plain_errors,
    quiet,
    tokenizer_folder,
    where_of,
)
from cai.models.hf.tokenizer import Tokenizer
from cai.models.hf.worker import CompletionJob, OptionJob, Worker
from cai.types import Message


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """An opened model. `stop_ids` are the tokens by which it ends a turn."""

    name: str
    network: Network
    tokenizer: Tokenizer
    stop_ids: frozenset[int]


class _Generation(Protocol):
    @property
    def eos_token_id(self) -> int | list[int] | None: ...


class _Loaded(CausalModel, Protocol):
    @property
    def generation_config(self) -> _Generation | None: ...

    def to(self, device: torch.device) -> "_Loaded": ...

    def eval(self) -> "_Loaded": ...


_MODELS = cast(Opener[_Loaded], AutoModelForCausalLM)


def open_checkpoint(source: ModelSource) -> Checkpoint:
    """Reads configuration, tokenizer and weights, and puts the model on its device.

    `source.path` may be the folder of an adapter, which says itself on which model it stands.

    Raises:
        ModelError: Something is missing or damaged, or cannot be used here.
    """
    device, source = device_of(source.device), on_its_base(source)
    where = where_of(source)
    with plain_errors(source, "causal language model"), quiet(is_local=Path(source.path).is_dir()):
        config = CONFIGS.from_pretrained(source.path, **where)
        facts = config.get_text_config().to_dict()  # pyright: ignore[reportUnknownMemberType]
        _check_attention(source, facts)
        dtype = dtype_of(source, facts, device)
        tokenizer = TOKENIZERS.from_pretrained(tokenizer_folder(source), **where)
        model = _MODELS.from_pretrained(source.path, dtype=dtype, **where)
        if source.adapter is not None:
            model = merged(model, source.adapter)
        network = Network(model.to(device).eval(), device, facts.get("max_position_embeddings"))
    commit = cast(str | None, config.to_dict().get("_commit_hash"))
    ends = [facts.get("eos_token_id"), tokenizer.eos_token_id]
    if model.generation_config is not None:
        ends.append(model.generation_config.eos_token_id)
    return Checkpoint(
        name=name_of(source, commit, dtype),
        network=network,
        tokenizer=tokenizer,
        stop_ids=frozenset(id for end in ends for id in _ids(end)),
    )


def _check_attention(source: ModelSource, facts: Mapping[str, object]) -> None:
    kinds = facts.get("layer_types")
    other = set(cast(Sequence[str], kinds or ())) - {"full_attention", "sliding_attention"}
    if other:
        raise ModelError(
            f"{source.path}: layers of the kind {', '.join(sorted(other))} cannot be decoded in "
            "batches here. Serve the model with vLLM or another server instead."
        )


def _ids(value: int | list[int] | None) -> list[int]:
    return [value] if isinstance(value, int) else list(value or ())


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
        source = ModelSource(path, device=device, dtype=dtype, adapter=adapter, revision=revision)
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
        job = OptionJob(tuple(messages), tuple(options))
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
    ending = StopCriteria(checkpoint.tokenizer, checkpoint.stop_ids)
    return Worker(network, checkpoint.tokenizer, ending, slots, room)


def _memory_bytes(device: torch.device) -> int:
    """What the cache may take: half of a GPU's free memory, a quarter of the machine's."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] // 2
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4
    except (AttributeError, ValueError):  # Windows has no sysconf
        return _UNKNOWN_MEMORY_BYTES
