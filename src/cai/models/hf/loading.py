"""Opening a model of the Hugging Face kind: its source, device, dtype, adapter, name and errors.

Code that comes with a model is never run, and a folder is read without a network.

Example:
    source = resolve_adapter(ModelSource("models/lora", dtype="float32"))
    with plain_errors(source, "causal language model"), quiet(is_local=True):
        tokenizer = TOKENIZERS.from_pretrained(tokenizer_folder(source), **where_of(source))
    name_of(source, None, torch.float32)  # hf:models/base@3f…+models/lora@9c…
"""

import hashlib
import json
import logging
import pickle
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypedDict, TypeVar, cast
from urllib.parse import urlencode

import torch
from huggingface_hub import constants
from huggingface_hub.utils import logging as hub_logging
from transformers import AutoConfig, AutoTokenizer, PreTrainedConfig
from transformers.utils import logging as transformers_logging

from cai.errors import CaiError, ModelError
from cai.models.hf.tokenizer import Tokenizer

_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")

_Net = TypeVar("_Net")
Opened = TypeVar("Opened", covariant=True)

_ADAPTER_FILE = "adapter_config.json"
_WEIGHTS = {".safetensors", ".bin"}
_SETTINGS = {".json", ".jinja", ".model", ".txt"}
_EDGE_BYTES = 2**20
_BARE_ERRORS = (LookupError, TypeError, AttributeError, ArithmeticError)
_DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A folder or hub name, and how the model is loaded; `adapter` is a folder of peft.

    `template` are arguments of the chat template, by name: `("enable_thinking", "false")`.
    """

    path: str
    device: str = "auto"
    dtype: str = "auto"
    adapter: str | None = None
    revision: str | None = None
    template: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class AdapterFacts:
    """An adapter's settings: its base model, its task, and the modules it replaces entirely."""

    base: str
    task: str
    replaced: tuple[str, ...]


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


def resolve_adapter(source: ModelSource) -> ModelSource:
    """For the folder of an adapter, its base model with the adapter; else the source itself.

    Raises:
        ModelError: The settings of the adapter cannot be read.
    """
    if source.adapter is not None or not is_adapter(source.path):
        return source
    return replace(source, path=read_adapter(source.path).base, adapter=source.path)


def tokenizer_folder(source: ModelSource) -> str:
    """The folder with the tokenizer used in training: the adapter's, if it was saved there."""
    own = source.adapter
    return own if own and (Path(own) / "tokenizer_config.json").is_file() else source.path


def device_of(wanted: str) -> torch.device:
    """The device of that name. Raises ModelError where it is unknown or missing."""
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if wanted.partition(":")[0] not in ("cpu", "cuda"):
        raise ModelError(f"The device {wanted!r} is not known. Use auto, cpu, cuda or cuda:NUMBER.")
    # checked here, since torch finds a missing device only when the weights are moved to it
    device = torch.device(wanted)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ModelError(
            f"There is no device {wanted!r}: PyTorch sees {torch.cuda.device_count()} "
            "CUDA devices. Use device cpu, or install a PyTorch that fits the driver."
        )
    return device


def where_of(source: ModelSource) -> Where:
    """Arguments of every `from_pretrained`: a folder is never searched for on the hub.

    Raises:
        ModelError: There is no such folder, or it is not a model's.
    """
    path = source.path
    if not Path(path).is_dir():
        if path.startswith((".", "/", "~")) or path.count("/") > 1 or "\\" in path:
            raise ModelError(f"{path}: there is no such folder. Check the path.")
        if "/" not in path:
            raise ModelError(
                f"{path}: there is no such folder, and no such name on the hub, where a model is "
                "OWNER/NAME. Check the path, or write hf:OWNER/NAME."
            )
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
def plain_errors(source: ModelSource, kind: str) -> Generator[None]:
    """Turns the libraries' errors into a `ModelError`; `kind` is what the folder should hold."""
    try:
        yield
    except CaiError:
        raise
    # A damaged or hostile checkpoint raises anything: tokenizers know only `Exception` itself.
    except Exception as error:
        if Path(source.path).is_dir():
            advice = f"Check that the folder is complete and of a {kind}."
        elif constants.is_offline_mode():
            advice = (
                "Hub access is off (HF_HUB_OFFLINE); download the model first, or give a folder."
            )
        else:
            advice = "There is no such folder either: check the name, its access and the network."
        raise ModelError(
            f"{source.path}: the model cannot be opened: {_reason(error)} {advice}"
        ) from error


def _reason(error: Exception) -> str:
    """What a library says of a checkpoint, in one sentence."""
    said = str(error).strip()
    if isinstance(error, pickle.UnpicklingError):
        return (
            "its .bin weights are damaged, or a pickle with code, which is never run. Convert them "
            "to safetensors."
        )
    if "trust_remote_code" in said or "custom code" in said:
        return (
            "it needs code that comes with it, and such code is never run here. Serve the model "
            "with vLLM or another server instead."
        )
    if "ignore_mismatched_sizes" in said:
        return "its weights have another shape than its settings say."
    lines = [line.strip() for line in said.splitlines()] or [""]
    words = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
    if not words or isinstance(error, _BARE_ERRORS):  # their words alone say nothing
        words = f"{type(error).__name__}: {words or 'no reason is given'}"
    return words if words.endswith(".") else f"{words}."


class WeightReport(TypedDict):
    """What transformers says of the weights that it loaded."""

    missing_keys: Sequence[str]
    mismatched_keys: Sequence[object]


def check_weights(path: str, report: WeightReport, kind: str, brought: Sequence[str] = ()) -> None:
    """Checks that no weight was left as it was drawn at random.

    Raises:
        ModelError: One is missing that no adapter brings, or has another shape.
    """
    lost = [key for key in report["missing_keys"] if key.partition(".")[0] not in brought]
    if lost or report["mismatched_keys"]:
        what = ", ".join(sorted(lost)[:3]) or "weights of another shape"
        raise ModelError(
            f"{path}: the weights do not make a whole {kind} ({what} is missing or does not fit). "
            "Copy the folder again, or train the model again."
        )


@contextmanager
def no_weight_report() -> Generator[None]:
    """No table of missing weights on the console: a new head is meant, or becomes our own error."""
    level = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)


@contextmanager
def quiet(is_local: bool) -> Generator[None]:
    """No lines about retries, and no progress bars for a folder; a download shows its own."""
    is_shown = transformers_logging.is_progress_bar_enabled()
    verbosity = hub_logging.get_verbosity()
    hub_logging.set_verbosity_error()
    if is_local:
        transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        hub_logging.set_verbosity(verbosity)
        if is_shown:
            transformers_logging.enable_progress_bar()


def dtype_of(source: ModelSource, facts: Mapping[str, object], device: torch.device) -> torch.dtype:
    """The requested dtype; by default float32 on a CPU and the checkpoint's own on a GPU.

    Raises:
        ModelError: The type is unknown.
    """
    if source.dtype == "auto":
        # a CPU computes bfloat16 slowly, and only float32 is exact whatever the batch
        own = str(facts.get("dtype")).removeprefix("torch.")
        return torch.float32 if device.type == "cpu" else _DTYPES.get(own, torch.float32)
    if source.dtype not in _DTYPES:
        known = ", ".join(["auto", *_DTYPES])
        raise ModelError(f"The dtype {source.dtype!r} is not known. Use one of {known}.")
    return _DTYPES[source.dtype]


def name_of(source: ModelSource, commit: str | None, dtype: torch.dtype) -> str:
    """The default name of a model, with everything that can change an answer."""
    # Part of the journal key. A folder may hold other weights tomorrow, hence its fingerprint; a
    # name on the hub may move to another commit, hence the commit. Float32 goes without saying.
    folder = Path(source.path)
    version = f"@{fingerprint(folder)}" if folder.is_dir() else f"#{commit or source.revision}"
    name = f"hf:{source.path}{version}"
    if source.adapter is not None:
        name += f"+{source.adapter}@{fingerprint(Path(source.adapter))}"
    if dtype != torch.float32:
        name += f":{str(dtype).removeprefix('torch.')}"
    return f"{name}?{urlencode(source.template)}" if source.template else name


def fingerprint(folder: Path) -> str:
    """Twelve hex digits over configuration, tokenizer, chat template and weights."""
    digest = hashlib.blake2b(digest_size=6)
    for path in sorted(folder.iterdir()):  # the order of a folder differs between file systems
        if path.suffix in _WEIGHTS:
            # Its size and its first and last MB: training changes every part of the weights, and
            # reading all of them would take minutes for a large model.
            with path.open("rb") as file:
                edges = file.read(_EDGE_BYTES)
                file.seek(max(path.stat().st_size - _EDGE_BYTES, 0))
                edges += file.read(_EDGE_BYTES)
            digest.update(f"{path.name}:{path.stat().st_size}:".encode() + edges)
        elif path.suffix in _SETTINGS:
            digest.update(f"{path.name}:{path.stat().st_size}:".encode() + path.read_bytes())
    return digest.hexdigest()


def merged(model: _Net, adapter: str) -> _Net:
    """The model with the adapter's weights added to its own.

    Raises:
        ModelError: peft is not installed, or the folder is not an adapter's.
    """
    try:
        from peft import PeftModel
    except ImportError as error:
        raise ModelError(
            f"The adapter {adapter} needs the package peft. Install it: pip install peft."
        ) from error
    _check(adapter)
    return cast(Any, PeftModel).from_pretrained(model, adapter).merge_and_unload()


def is_adapter(path: str) -> bool:
    """Whether the folder holds an adapter and no model of its own."""
    folder = Path(path)
    return (folder / _ADAPTER_FILE).is_file() and not (folder / "config.json").is_file()


def read_adapter(adapter: str) -> AdapterFacts:
    """The settings of an adapter.

    Raises:
        ModelError: There is no such folder, or its settings cannot be read.
    """
    _check(adapter)
    path = Path(adapter) / _ADAPTER_FILE
    try:
        facts = json.loads(path.read_text("utf-8"))
        base, task = str(facts["base_model_name_or_path"]), str(facts.get("task_type"))
        replaced = tuple(str(name) for name in facts.get("modules_to_save") or ())
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{path}: the settings of the adapter cannot be read ({error}). "
            "Save the adapter again, or copy the whole folder."
        ) from error
    return AdapterFacts(base, task, replaced)


def _check(adapter: str) -> None:
    if not (Path(adapter) / _ADAPTER_FILE).is_file():
        raise ModelError(
            f"{adapter}: there is no adapter_config.json in such a folder. "
            "Give the folder in which peft saved the adapter."
        )


def is_out_of_memory(error: Exception) -> bool:
    """Whether memory ran out."""
    # `torch.OutOfMemoryError` is of GPUs; of a CPU torch raises a plain RuntimeError, with other
    # words on Linux than elsewhere.
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(each in str(error) for each in _OUT_OF_MEMORY)
