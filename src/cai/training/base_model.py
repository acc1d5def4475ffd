"""The model that a training starts from: its name → network and tokenizer, ready to be trained.

Whether a checkpoint is of that model is checked before it is loaded; for other shapes torch would
print a page of tensor names.

Example:
    start = open_start_model("hf:models/sl", "language")
    start.model, start.tokenizer  # in float32 on the CPU, with a padding token
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# transformers leaves some of its types open: what is unknown stays in this file

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from cai.errors import TrainingError
from cai.models.hf.loading import (
    ModelSource,
    Opener,
    WeightReport,
    check_weights,
    fingerprint,
    is_out_of_memory,
    merged,
    no_weight_report,
    plain_errors,
    quiet,
    resolve_adapter,
    tokenizer_folder,
    where_of,
)
from cai.models.registry import embedded_folder, parse_spec
from cai.training.data.trl_tables import ends_turn, refuses_system, template_arguments
from cai.training.trainers import Head

_LANGUAGE_MODELS = cast(Opener[tuple[PreTrainedModel, WeightReport]], AutoModelForCausalLM)


@dataclass(frozen=True, slots=True)
class StartModel:
    """A model by its name as given, with its network and tokenizer.

    `arguments` are those of its chat template, for every row. `is_merged` says that an adapter was
    merged into it, so that no folder holds its weights. `folds_system` says that its template takes
    no system turn, and `ends_turn` that the template ends an answer where generation stops.
    """

    spec: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    arguments: Mapping[str, object]
    is_merged: bool
    folds_system: bool = False
    ends_turn: bool = True


def open_start_model(spec: str, head: Head) -> StartModel:
    """The model of that name with the head asked for; a reward head is new unless it has one.

    An adapter is merged into its base: what is trained from here on is the sum.

    Raises:
        UsageError: The name is not of a known kind.
        ModelError: It cannot be loaded.
        TrainingError: It is behind a server, or has no chat template.
    """
    source = resolve_adapter(_source(spec))
    where = where_of(source)
    local = Path(source.path).is_dir()
    with plain_errors(source, "causal language model"), quiet(is_local=local), no_weight_report():
        tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder(source), **where)
        # by its whole path: an adapter that is trained on it names its base by this path
        path = str(Path(source.path).resolve()) if local else source.path
        # in float32: an optimizer that updates bfloat16 weights loses small steps
        in_float32 = {"dtype": torch.float32, **where}
        if head == "language":
            model, report = _LANGUAGE_MODELS.from_pretrained(
                path, output_loading_info=True, **in_float32
            )
            check_weights(source.path, report, "causal language model")
        else:
            model = AutoModelForSequenceClassification.from_pretrained(
                path, num_labels=1, **in_float32
            )
        if source.adapter is not None:
            model = merged(model, source.adapter)
            model.requires_grad_(True)  # peft has frozen the weights under the adapter
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
    generation = getattr(model, "generation_config", None)
    ends = [tokenizer.eos_token_id, getattr(generation, "eos_token_id", None)]
    stop_ids = {id for end in ends for id in (end if isinstance(end, list) else [end])} - {None}
    return StartModel(
        spec=spec,
        model=model,
        tokenizer=tokenizer,
        arguments=arguments,
        is_merged=source.adapter is not None,
        folds_system=refuses_system(tokenizer),
        ends_turn=head != "language" or ends_turn(tokenizer, cast("set[int]", stop_ids)),
    )


def start_hash(spec: str) -> str:
    """A hash of the weights in its folders, "" for a hub name; raises as `open_start_model`."""
    source = resolve_adapter(_source(spec))
    where_of(source)  # for its errors alone: they come before the folder of the training is made
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
            f"{spec}: {', '.join(unread)} is about calling a model, and not about training one. "
            "Leave it out; settings such as bf16 say how it is trained."
        )
    if parsed.scheme == "embedded":
        return ModelSource(str(embedded_folder()))
    options = parsed.options
    return ModelSource(
        parsed.target, adapter=options.get("adapter"), revision=options.get("revision")
    )


@contextmanager
def memory_errors() -> Generator[None]:
    """Turns what the libraries raise when memory runs out into one sentence with advice.

    Raises:
        TrainingError: Memory ran out.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise TrainingError(
            "Memory ran out. Halve per_device_train_batch_size and double "
            "gradient_accumulation_steps, which trains the same; or set a smaller max_length, "
            "activation_checkpointing: true, or --lora. Train so into another folder."
        ) from error


_WHOLE, _ADAPTER = "model*.safetensors", "adapter_model.safetensors"


def check_checkpoint(path: Path, model: PreTrainedModel | PeftModel) -> None:
    """Compares names and shapes of the weights; a checkpoint in another format is not read.

    Raises:
        TrainingError: They are of another model, or the file is damaged.
    """
    is_adapter = isinstance(model, PeftModel)
    other, pattern = (_WHOLE, _ADAPTER) if is_adapter else (_ADAPTER, _WHOLE)
    files = sorted(path.glob(pattern))
    if not files:
        if any(path.glob(other)):
            kinds = ("a whole model", "an adapter")
            held, trained = kinds if is_adapter else kinds[::-1]
            raise _of_another_model(path, f"it holds {held}, and {trained} is trained")
        return
    state = cast(
        "Mapping[str, object]",
        get_peft_model_state_dict(model, save_embedding_layers=False)
        if isinstance(model, PeftModel)
        else model.state_dict(),
    )
    shapes = {name: tuple(each.shape) for name, each in state.items() if isinstance(each, Tensor)}
    saved: dict[str, tuple[int, ...]] = {}
    for file in files:
        try:
            with safe_open(file, framework="pt") as opened:
                for name in opened.keys():  # noqa: SIM118, it is not a mapping
                    saved[name] = tuple(opened.get_slice(name).get_shape())
        except (SafetensorError, OSError) as error:
            raise TrainingError(
                f"{file}: cannot be read ({error}). Delete this checkpoint, and --resume continues "
                "from the one before."
            ) from error
    common = shapes.keys() & saved.keys()
    # one shape that differs is enough: models of one family have the same names in other sizes
    for name in common:
        if shapes[name] != saved[name]:
            was, is_now = (" × ".join(map(str, each[name])) for each in (saved, shapes))
            raise _of_another_model(path, f"its {name} is {was}, and the model's is {is_now}")
    if not common:  # tied weights have other names in files, but never all of them
        raise _of_another_model(path, "no weight in it has a name of the model's")


def _of_another_model(path: Path, reason: str) -> TrainingError:
    return TrainingError(
        f"{path}: is a checkpoint of another model: {reason}. Delete it, or name another folder "
        "with --out."
    )
