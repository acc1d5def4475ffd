"""A model of the Hugging Face kind in this process: no server, one batch of all calls in flight.

Example:
    model = LocalModel.load("models/sl", device="cuda", dtype="float32")
    completion = await model.complete([Message("user", "Hi")], Sampling(seed=1))
    choice = await model.choose(messages, ("A", "B"))
    await model.close()
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
    WeightReport,
    check_weights,
    device_of,
    dtype_of,
    merged,
    name_of,
    no_weight_report,
    plain_errors,
    quiet,
    resolve_adapter,
    tokenizer_folder,
    where_of,
)
from cai.models.hf.tokenizer import Tokenizer, bind_arguments
from cai.models.hf.worker import CompletionJob, Job, OptionJob, Worker
from cai.types import Message

_UNKNOWN_MEMORY_BYTES = 4 * 2**30


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


_MODELS = cast(Opener[tuple[_Loaded, WeightReport]], AutoModelForCausalLM)


def open_checkpoint(source: ModelSource) -> Checkpoint:
    """Reads configuration, tokenizer and weights, and puts the model on its device.

    `source.path` may be the folder of an adapter, whose settings name its base model.

    Raises:
        ModelError: Something is missing or damaged, or cannot be used here.
    """
    device, source = device_of(source.device), resolve_adapter(source)
    where = where_of(source)
    with plain_errors(source, "causal language model"), quiet(is_local=Path(source.path).is_dir()):
        config = CONFIGS.from_pretrained(source.path, **where)
        facts = config.get_text_config().to_dict()  # pyright: ignore[reportUnknownMemberType]
        kinds = set(cast(Sequence[str], facts.get("layer_types") or ()))
        # Others, such as linear attention, have a state that cannot be cut off after any token.
        other = kinds - {"full_attention", "sliding_attention"}
        if other:
            raise ModelError(
                f"{source.path}: layers of the kind {', '.join(sorted(other))} cannot be decoded "
                "in batches here. Serve the model with vLLM or another server instead."
            )
        dtype = dtype_of(source, facts, device)
        tokenizer = TOKENIZERS.from_pretrained(tokenizer_folder(source), **where)
        bind_arguments(tokenizer, source.template)
        with no_weight_report():
            model, report = _MODELS.from_pretrained(
                source.path, dtype=dtype, output_loading_info=True, **where
            )
        check_weights(source.path, report, "causal language model")
        if source.adapter is not None:
            model = merged(model, source.adapter)
        network = Network(model.to(device).eval(), device, facts.get("max_position_embeddings"))
    commit = cast(str | None, config.to_dict().get("_commit_hash"))
    # Models disagree on where they state their ends of turn: any of the three places counts.
    ends: list[int | list[int] | None] = [facts.get("eos_token_id"), tokenizer.eos_token_id]
    if model.generation_config is not None:
        ends.append(model.generation_config.eos_token_id)
    end_lists = [[end] if isinstance(end, int) else end or [] for end in ends]
    return Checkpoint(
        name=name_of(source, commit, dtype),
        network=network,
        tokenizer=tokenizer,
        stop_ids=frozenset(id for ids in end_lists for id in ids),
    )


class LocalModel:
    """A `ChoiceModel` whose answers depend on the request and its seed only.

    Bit for bit in float32, whatever else is in flight; in bfloat16 and float16 a rare token may
    change with the batch. All calls are decoded together, from any task, thread or asyncio loop.
    `slots` is the greatest number of rows at a time.
    """

    def __init__(self, checkpoint: Checkpoint, *, slots: int = 64, name: str | None = None) -> None:
        if slots < 1:
            raise ModelError(f"A local model needs at least one slot, not {slots}.")
        self.name = name or checkpoint.name
        self.is_chat = checkpoint.tokenizer.chat_template is not None
        self._checkpoint = checkpoint
        self._slots = slots
        self._worker: Worker | None = None
        self._lock = threading.Lock()

    @property
    def limits(self) -> Limits:
        # It queues calls itself. Twice its slots, so that rows wait for each place that falls free.
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
        template: Mapping[str, str] | None = None,
        slots: int = 64,
        name: str | None = None,
    ) -> "LocalModel":
        """The model in that folder, or of that name on the hub.

        `device` is auto, cpu, cuda or cuda:NUMBER; `dtype` is auto, float32, bfloat16 or float16,
        where auto is float32 on a CPU and the checkpoint's own on a GPU. `adapter` is a folder of
        peft. `template` are arguments of the chat template, such as `enable_thinking`. `name`
        replaces the default one, made of all these and a hash of the folder. Raises ModelError
        where it cannot be opened.
        """
        arguments = tuple(sorted((template or {}).items()))
        source = ModelSource(path, device, dtype, adapter, revision, arguments)
        return cls(open_checkpoint(source), slots=slots, name=name)

    async def complete(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        if sampling.max_tokens < 1 or sampling.temperature < 0:
            raise ModelError(
                f"max_tokens is {sampling.max_tokens} and temperature {sampling.temperature}. "
                "At least one token, and a temperature of 0 or more, are needed."
            )
        job = CompletionJob(tuple(messages), sampling)
        self._submit(job)
        return await asyncio.wrap_future(job.future)

    async def choose(self, messages: Sequence[Message], options: Sequence[str]) -> Choice:
        job = OptionJob(tuple(messages), tuple(options))
        self._submit(job)
        return await asyncio.wrap_future(job.future)

    async def check(self) -> None:
        """Nothing: the model was opened when it was loaded."""

    async def close(self) -> None:
        """Ends the thread and frees the cache; calls still waiting get a ModelError.

        The weights stay as long as this object; a later call starts a new thread.
        """
        with self._lock:
            worker, self._worker = self._worker, None
        # outside the lock and the loop: the thread first ends its step, which may take seconds
        if worker is not None:
            await asyncio.to_thread(worker.stop)

    def _submit(self, job: Job) -> None:
        with self._lock:  # two threads that call first would start two workers
            if self._worker is None:
                self._worker = start_worker(self._checkpoint, self._slots)
            self._worker.submit(job)


def start_worker(checkpoint: Checkpoint, slots: int, capacity: int | None = None) -> Worker:
    """A worker whose cache takes at most `capacity` tokens; by default what memory allows."""
    network = checkpoint.network
    if capacity is None:
        # Half of a GPU's free memory, or a quarter of the machine's: the rest is for activations,
        # and for what else the process loads (a second model, a training).
        if network.device.type == "cuda":
            n_bytes = torch.cuda.mem_get_info(network.device)[0] // 2
        else:
            try:
                n_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4
            except (AttributeError, ValueError):  # Windows has no sysconf
                n_bytes = _UNKNOWN_MEMORY_BYTES
        capacity = n_bytes // network.bytes_per_token
    criteria = StopCriteria(checkpoint.tokenizer, checkpoint.stop_ids)
    return Worker(network, checkpoint.tokenizer, criteria, slots, capacity)
