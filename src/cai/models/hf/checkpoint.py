"""A model folder, or a name on the Hugging Face hub → network, tokenizer and name.

Code that comes with a model is never run, and a folder is read without a network.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import torch
from transformers import AutoModelForCausalLM

from cai.errors import ModelError
from cai.models.hf.adapter import merged
from cai.models.hf.network import CausalModel, Network
from cai.models.hf.source import (
    CONFIGS,
    TOKENIZERS,
    Opener,
    Source,
    device_of,
    dtype_of,
    name_of,
    on_its_base,
    plain_errors,
    quiet,
    tokenizer_folder,
    where_of,
)
from cai.models.hf.tokens import Tokenizer


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


def open_checkpoint(source: Source) -> Checkpoint:
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


def _check_attention(source: Source, facts: Mapping[str, object]) -> None:
    kinds = facts.get("layer_types")
    other = set(cast(Sequence[str], kinds or ())) - {"full_attention", "sliding_attention"}
    if other:
        raise ModelError(
            f"{source.path}: layers of the kind {', '.join(sorted(other))} cannot be decoded in "
            "batches here. Serve the model with vLLM or another server instead."
        )


def _ids(value: int | list[int] | None) -> list[int]:
    return [value] if isinstance(value, int) else list(value or ())
