"""A model folder, or a name on the Hugging Face hub → network, tokenizer and name.

Code that comes with a model is never run, and a folder is read without a network.
"""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypedDict, TypeVar, cast

import torch
from huggingface_hub import constants
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedConfig
from transformers.utils import logging as transformers_logging

from cai.errors import ModelError
from cai.models.hf.fingerprint import fingerprint
from cai.models.hf.network import CausalModel, Network
from cai.models.hf.tokens import Tokenizer

_DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
_Opened = TypeVar("_Opened", covariant=True)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a model comes from and how it is put in memory."""

    path: str
    device: str = "auto"
    dtype: str = "auto"
    adapter: str | None = None
    revision: str | None = None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """An opened model. `stop_ids` are the tokens by which it ends a turn."""

    name: str
    network: Network
    tokenizer: Tokenizer
    stop_ids: frozenset[int]


class _Where(TypedDict):
    local_files_only: bool
    trust_remote_code: bool
    revision: str


class _Generation(Protocol):
    @property
    def eos_token_id(self) -> int | list[int] | None: ...


class _Opener(Protocol[_Opened]):
    def from_pretrained(self, path: str, /, **arguments: object) -> _Opened: ...


class _PeftOpener(Protocol):
    def from_pretrained(self, model: "_Loaded", path: str, /) -> "_Adapted": ...


class _Adapted(Protocol):
    def merge_and_unload(self) -> "_Loaded": ...


class _Loaded(CausalModel, Protocol):
    @property
    def generation_config(self) -> _Generation | None: ...

    def to(self, device: torch.device) -> "_Loaded": ...

    def eval(self) -> "_Loaded": ...


_CONFIGS = cast(_Opener[PreTrainedConfig], AutoConfig)
_TOKENIZERS = cast(_Opener[Tokenizer], AutoTokenizer)
_MODELS = cast(_Opener[_Loaded], AutoModelForCausalLM)


def open_checkpoint(source: Source) -> Checkpoint:
    """Reads configuration, tokenizer and weights, and puts the model on its device.

    Raises:
        ModelError: Something is missing or damaged, or cannot be used here.
    """
    device = _device(source.device)
    where = _where(source)
    with _plain_errors(source), _quiet(is_local=Path(source.path).is_dir()):
        config = _CONFIGS.from_pretrained(source.path, **where)
        facts = config.get_text_config().to_dict()  # pyright: ignore[reportUnknownMemberType]
        _check_attention(source, facts)
        dtype = _dtype(source, facts, device)
        tokenizer = _TOKENIZERS.from_pretrained(source.path, **where)
        model = _MODELS.from_pretrained(source.path, dtype=dtype, **where)
        if source.adapter is not None:
            model = _adapted(model, source.adapter)
        network = Network(model.to(device).eval(), device, facts.get("max_position_embeddings"))
    commit = cast(str | None, config.to_dict().get("_commit_hash"))
    ends = [facts.get("eos_token_id"), tokenizer.eos_token_id]
    if model.generation_config is not None:
        ends.append(model.generation_config.eos_token_id)
    return Checkpoint(
        name=_name(source, commit, dtype),
        network=network,
        tokenizer=tokenizer,
        stop_ids=frozenset(id for end in ends for id in _ids(end)),
    )


def _device(wanted: str) -> torch.device:
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if wanted.partition(":")[0] not in ("cpu", "cuda"):
        raise ModelError(f"The device {wanted!r} is not known. Use auto, cpu, cuda or cuda:NUMBER.")
    device = torch.device(wanted)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ModelError(
            f"The device {wanted!r} was asked for, and PyTorch sees {torch.cuda.device_count()} "
            "CUDA devices. Use device cpu, or install a PyTorch that fits the driver."
        )
    return device


def _where(source: Source) -> _Where:
    """Arguments of every `from_pretrained`: a folder is never looked for on the hub."""
    path = source.path
    if not Path(path).is_dir():
        if path.startswith((".", "/", "~")) or path.count("/") > 1 or "\\" in path:
            raise ModelError(f"{path}: there is no such folder. Check the path.")
        is_local, revision = constants.is_offline_mode(), source.revision or "main"
        return _Where(local_files_only=is_local, trust_remote_code=False, revision=revision)
    if source.revision is not None:
        raise ModelError(f"{path}: a folder has no revisions. Leave the revision out.")
    if not (Path(path) / "config.json").is_file():
        raise ModelError(
            f"{path}: the folder has no config.json, so it is not a transformers model. "
            "Give a folder that save_pretrained wrote."
        )
    return _Where(local_files_only=True, trust_remote_code=False, revision="main")


@contextmanager
def _plain_errors(source: Source) -> Generator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        if Path(source.path).is_dir():
            advice = "Check that the folder is complete and of a causal language model."
        elif constants.is_offline_mode():
            advice = (
                "Hub access is off (HF_HUB_OFFLINE); download the model first, or give a folder."
            )
        else:
            advice = "There is no such folder either: check the name, its access and the network."
        raise ModelError(f"{source.path}: the model cannot be opened: {reason} {advice}") from error


@contextmanager
def _quiet(is_local: bool) -> Generator[None]:
    """No progress bars for a folder, which opens in seconds; a download keeps its own."""
    is_shown = transformers_logging.is_progress_bar_enabled()
    if not is_local or not is_shown:
        yield
        return
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.enable_progress_bar()


def _adapted(model: _Loaded, adapter: str) -> _Loaded:
    """The model with the adapter's weights added to its own."""
    try:
        from peft import PeftModel
    except ImportError as error:
        raise ModelError(
            f"The adapter {adapter} needs the package peft. Install it: pip install peft."
        ) from error
    if not (Path(adapter) / "adapter_config.json").is_file():
        raise ModelError(
            f"{adapter}: there is no adapter_config.json in such a folder. "
            "Give the folder in which peft saved the adapter."
        )
    opener = cast(_PeftOpener, PeftModel)
    return opener.from_pretrained(model, adapter).merge_and_unload()


def _dtype(source: Source, facts: Mapping[str, object], device: torch.device) -> torch.dtype:
    """Float32 on a CPU, where it is exact and fast enough; the checkpoint's own on a GPU."""
    if source.dtype == "auto":
        own = str(facts.get("dtype")).removeprefix("torch.")
        return torch.float32 if device.type == "cpu" else _DTYPES.get(own, torch.float32)
    if source.dtype not in _DTYPES:
        known = ", ".join(["auto", *_DTYPES])
        raise ModelError(f"The dtype {source.dtype!r} is not known. Use one of {known}.")
    return _DTYPES[source.dtype]


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


def _name(source: Source, commit: str | None, dtype: torch.dtype) -> str:
    """Says all that can change an answer."""
    folder = Path(source.path)
    version = f"@{fingerprint(folder)}" if folder.is_dir() else f"#{commit or source.revision}"
    name = f"hf:{source.path}{version}"
    if source.adapter is not None:
        name += f"+{source.adapter}@{fingerprint(Path(source.adapter))}"
    return name if dtype == torch.float32 else f"{name}:{str(dtype).removeprefix('torch.')}"
