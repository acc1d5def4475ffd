"""What tests of the model in process share: replaced networks, and a worker that is asked."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from cai.models.base import Completion, Sampling
from cai.models.hf.forward import Network
from cai.models.hf.model import Checkpoint
from cai.models.hf.worker import CompletionJob, OptionJob, Worker
from cai.types import Message


def user(text: str) -> list[Message]:
    return [Message("user", text)]


def with_model(checkpoint: Checkpoint, model: Any) -> Checkpoint:
    """The checkpoint with another network of its device and context."""
    network = Network(model, checkpoint.network.device, checkpoint.network.context)
    return replace(checkpoint, network=network)


def answered(worker: Worker, jobs: Sequence[CompletionJob | OptionJob]) -> list[Any]:
    """The answers to jobs that are all submitted before the first is waited for."""
    for job in jobs:
        worker.submit(job)
    return [job.future.result(60) for job in jobs]


def completed(
    worker: Worker, requests: Sequence[tuple[Sequence[Message], Sampling]]
) -> list[Completion]:
    """The answers to these requests, after which the worker is stopped."""
    answers = answered(worker, [CompletionJob(*request) for request in requests])
    worker.stop()
    return answers
