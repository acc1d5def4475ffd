"""The model that a training starts from: its name → network and tokenizer, ready to be trained."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# transformers leaves some of its types open: what is unknown stays in this file

import logging
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from cai.errors import TrainingError
from cai.models.opening import embedded_folder, parse_spec

Head = Literal["language", "reward"]


@dataclass(frozen=True, slots=True)
class Start:
    """A model by its name as given, the folder or hub name of its weights, and what was loaded."""

    spec: str
    path: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


def open_start(spec: str, head: Head) -> Start:
    """The model of that name with the head asked for; a reward head is new unless it has one.

    Raises:
        UsageError: The name is of no known kind.
        TrainingError: It names no model in process, or one that cannot be loaded or trained.
    """
    parsed = parse_spec(spec)
    if parsed.scheme == "openai":
        raise TrainingError(
            f"{spec}: a model behind a server cannot be trained here. Name its weights as "
            "hf:NAME_OR_PATH."
        )
    path = str(embedded_folder()) if parsed.scheme == "embedded" else parsed.target
    where: dict[str, Any] = {"trust_remote_code": False}
    if "revision" in parsed.options:
        where["revision"] = parsed.options["revision"]
    with _plain_errors(spec), _quiet():
        tokenizer = AutoTokenizer.from_pretrained(path, **where)
        model = _load(path, head, where)
    if tokenizer.chat_template is None:
        raise TrainingError(
            f"{spec}: its tokenizer has no chat template, and rows are conversations. Add one to "
            "the folder (chat_template.jinja), or start from a model that has one."
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return Start(spec, path, model, tokenizer)


def _load(path: str, head: Head, where: dict[str, Any]) -> PreTrainedModel:
    # in float32: an optimizer that updates bfloat16 weights loses small steps
    arguments = {"dtype": torch.float32, **where}
    if head == "language":
        return AutoModelForCausalLM.from_pretrained(path, **arguments)
    return AutoModelForSequenceClassification.from_pretrained(path, num_labels=1, **arguments)


@contextmanager
def _plain_errors(spec: str) -> Generator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise TrainingError(
            f"{spec}: the model cannot be opened: {reason} Check that the folder is complete and "
            "of a model that is trained as text."
        ) from error


@contextmanager
def _quiet() -> Generator[None]:
    """No report of a new head, which is meant, and no bar for weights that load in a second."""
    level = transformers_logging.get_verbosity()
    is_bar = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity(logging.ERROR)
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if is_bar:
            transformers_logging.enable_progress_bar()


def is_folder(path: str) -> bool:
    return Path(path).is_dir()
