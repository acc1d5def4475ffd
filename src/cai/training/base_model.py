"""The model that a training starts from: its name → network and tokenizer, ready to be trained.

What is said when memory runs out in a training, with the advice that helps.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# transformers leaves some of its types open: what is unknown stays in this file

import logging
from collections.abc import Generator, Mapping
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
from cai.models.hf.loading import (
    ModelSource,
    fingerprint,
    merged,
    plain_errors,
    quiet,
    resolve_adapter,
    tokenizer_folder,
    where_of,
)
from cai.models.registry import embedded_folder, parse_spec
from cai.training.data.trl_tables import template_arguments

Head = Literal["language", "reward"]


@dataclass(frozen=True, slots=True)
class StartModel:
    """A model by its name as given, with its network and tokenizer.

    `arguments` are what its chat template is given with every row. `is_merged` says that an adapter
    was merged into it, so that no folder holds its weights.
    """

    spec: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    arguments: Mapping[str, object]
    is_merged: bool


def open_start_model(spec: str, head: Head) -> StartModel:
    """The model of that name with the head asked for; a reward head is new unless it has one.

    An adapter is merged into its base: what is trained from here on is the sum.

    Raises:
        UsageError: The name is of no known kind.
        ModelError: It cannot be loaded.
        TrainingError: It is behind a server, or has no chat template.
    """
    source = resolve_adapter(_source(spec))
    where = where_of(source)
    local = Path(source.path).is_dir()
    with plain_errors(source, "causal language model"), quiet(is_local=local), _no_report():
        tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder(source), **where)
        # by its whole path, which an adapter on top of it will say that it stands on
        path = str(Path(source.path).resolve()) if local else source.path
        model = _load(path, head, dict(where))
        if source.adapter is not None:
            model = merged(model, source.adapter)
            model.requires_grad_(True)  # peft froze what it stood on
    if tokenizer.chat_template is None:
        raise TrainingError(
            f"{spec}: its tokenizer has no chat template, and rows are conversations. Add one to "
            "the folder (chat_template.jinja), or start from a model that has one."
        )
    # models that were never trained on batches have no padding token; it is masked everywhere
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    model.config.pad_token_id = tokenizer.pad_token_id
    arguments = template_arguments(tokenizer)
    return StartModel(spec, model, tokenizer, arguments, source.adapter is not None)


def start_hash(spec: str) -> str:
    """Says which weights those are in folders; "" for a name on the hub.

    Raises:
        CaiError: As `open_start_model`, of what can be told without loading it.
    """
    source = resolve_adapter(_source(spec))
    where_of(source)
    folders = [Path(each) for each in (source.path, source.adapter) if each]
    return "+".join(fingerprint(folder) for folder in folders if folder.is_dir())


def _source(spec: str) -> ModelSource:
    parsed = parse_spec(spec)
    if parsed.is_remote:
        raise TrainingError(
            f"{spec}: a model behind a server cannot be trained here. Name its weights as "
            "hf:NAME_OR_PATH."
        )
    unread = sorted(set(parsed.options) - {"adapter", "revision"})
    if unread:
        raise TrainingError(
            f"{spec}: {', '.join(unread)} is about asking a model, and not about training one. "
            "Leave it out; settings such as bf16 say how it is trained."
        )
    if parsed.scheme == "embedded":
        return ModelSource(str(embedded_folder()))
    options = parsed.options
    return ModelSource(
        parsed.target, adapter=options.get("adapter"), revision=options.get("revision")
    )


def _load(path: str, head: Head, where: dict[str, Any]) -> PreTrainedModel:
    # in float32: an optimizer that updates bfloat16 weights loses small steps
    arguments = {"dtype": torch.float32, **where}
    if head == "language":
        return AutoModelForCausalLM.from_pretrained(path, **arguments)
    return AutoModelForSequenceClassification.from_pretrained(path, num_labels=1, **arguments)


@contextmanager
def _no_report() -> Generator[None]:
    """No table of missing weights on the console: a reward head is new, and meant to be."""
    level = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)


_SAID = ("out of memory", "can't allocate memory", "not enough memory")
"""Of a GPU; and of a CPU by torch, on Linux and elsewhere."""


@contextmanager
def memory_errors() -> Generator[None]:
    """Makes one sentence of what the libraries raise.

    Raises:
        TrainingError: Memory ran out.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise _out_of_memory() from error
    except RuntimeError as error:
        if any(said in str(error) for said in _SAID):
            raise _out_of_memory() from error
        raise


def _out_of_memory() -> TrainingError:
    return TrainingError(
        "Memory ran out. Halve per_device_train_batch_size and double "
        "gradient_accumulation_steps, which trains the same; or set a smaller max_length, "
        "activation_checkpointing: true, or --lora. Train so into another folder."
    )
