"""Where a model of the Hugging Face kind comes from, and what is said when it cannot be opened.

Code that comes with a model is never run, and a folder is read without a network.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypedDict, TypeVar, cast

import torch
from huggingface_hub import constants
from safetensors import SafetensorError
from transformers import AutoConfig, AutoTokenizer, PreTrainedConfig
from transformers.utils import logging as transformers_logging

from cai.errors import ModelError
from cai.models.hf.adapter import is_adapter, read_adapter
from cai.models.hf.fingerprint import fingerprint
from cai.models.hf.tokens import Tokenizer

_DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
_FAILURES = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RuntimeError,
    SafetensorError,  # weights that were cut off; an Exception of no other kind
)
Opened = TypeVar("Opened", covariant=True)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a model comes from and how it is put in memory."""

    path: str
    device: str = "auto"
    dtype: str = "auto"
    adapter: str | None = None
    revision: str | None = None


def on_its_base(source: Source) -> Source:
    """Of the folder of an adapter, the model that it says it stands on, with the adapter.

    Raises:
        ModelError: What the adapter says of itself cannot be read.
    """
    if source.adapter is not None or not is_adapter(source.path):
        return source
    return replace(source, path=read_adapter(source.path).base, adapter=source.path)


def tokenizer_folder(source: Source) -> str:
    """Where the tokenizer of the training lies: beside an adapter, if it was saved there."""
    own = source.adapter
    return own if own and (Path(own) / "tokenizer_config.json").is_file() else source.path


class Where(TypedDict):
    """Arguments that say where files come from."""

    local_files_only: bool
    trust_remote_code: bool
    revision: str


class Opener(Protocol[Opened]):
    """What is used here of the `Auto…` classes of transformers."""

    def from_pretrained(self, path: str, /, **arguments: object) -> Opened: ...


CONFIGS = cast(Opener[PreTrainedConfig], AutoConfig)
TOKENIZERS = cast(Opener[Tokenizer], AutoTokenizer)


def device_of(wanted: str) -> torch.device:
    """The device of that name. Raises ModelError where it is not known or not there."""
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


def where_of(source: Source) -> Where:
    """Arguments of every `from_pretrained`: a folder is never looked for on the hub.

    Raises:
        ModelError: There is no such folder, or it is not a model's.
    """
    path = source.path
    if not Path(path).is_dir():
        if path.startswith((".", "/", "~")) or path.count("/") > 1 or "\\" in path:
            raise ModelError(f"{path}: there is no such folder. Check the path.")
        is_local, revision = constants.is_offline_mode(), source.revision or "main"
        return Where(local_files_only=is_local, trust_remote_code=False, revision=revision)
    if source.revision is not None:
        raise ModelError(f"{path}: a folder has no revisions. Leave the revision out.")
    if not (Path(path) / "config.json").is_file():
        raise ModelError(
            f"{path}: the folder has no config.json, so it is not a transformers model. "
            "Give a folder that save_pretrained wrote."
        )
    return Where(local_files_only=True, trust_remote_code=False, revision="main")


@contextmanager
def plain_errors(source: Source, kind: str) -> Generator[None]:
    """Turns what the libraries raise into one sentence; `kind` is what the folder should hold."""
    try:
        yield
    except _FAILURES as error:
        reason = str(error).strip().partition("\n")[0]
        if Path(source.path).is_dir():
            advice = f"Check that the folder is complete and of a {kind}."
        elif constants.is_offline_mode():
            advice = (
                "Hub access is off (HF_HUB_OFFLINE); download the model first, or give a folder."
            )
        else:
            advice = "There is no such folder either: check the name, its access and the network."
        raise ModelError(f"{source.path}: the model cannot be opened: {reason} {advice}") from error


@contextmanager
def quiet(is_local: bool) -> Generator[None]:
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


def dtype_of(source: Source, facts: Mapping[str, object], device: torch.device) -> torch.dtype:
    """Float32 on a CPU, where it is exact and fast enough; the checkpoint's own on a GPU.

    Raises:
        ModelError: The type asked for is not known.
    """
    if source.dtype == "auto":
        own = str(facts.get("dtype")).removeprefix("torch.")
        return torch.float32 if device.type == "cpu" else _DTYPES.get(own, torch.float32)
    if source.dtype not in _DTYPES:
        known = ", ".join(["auto", *_DTYPES])
        raise ModelError(f"The dtype {source.dtype!r} is not known. Use one of {known}.")
    return _DTYPES[source.dtype]


def name_of(source: Source, commit: str | None, dtype: torch.dtype) -> str:
    """Says all that can change an answer."""
    folder = Path(source.path)
    version = f"@{fingerprint(folder)}" if folder.is_dir() else f"#{commit or source.revision}"
    name = f"hf:{source.path}{version}"
    if source.adapter is not None:
        name += f"+{source.adapter}@{fingerprint(Path(source.adapter))}"
    return name if dtype == torch.float32 else f"{name}:{str(dtype).removeprefix('torch.')}"
