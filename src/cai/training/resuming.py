"""Whether a checkpoint is of the model that is trained, found out before it is loaded.

Of a checkpoint of another shape torch writes a page of tensor names.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# safetensors and peft leave some of their types open: what is unknown stays in this file

from collections.abc import Mapping
from pathlib import Path

from peft import PeftModel, get_peft_model_state_dict
from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformers import PreTrainedModel

from cai.errors import TrainingError

_WHOLE, _ADAPTER = "model*.safetensors", "adapter_model.safetensors"


def check_checkpoint(path: Path, model: PreTrainedModel | PeftModel) -> None:
    """Compares names and shapes of the weights; what is in pieces of another format is not read.

    Raises:
        TrainingError: They are of another model, or the file is damaged.
    """
    is_adapter = isinstance(model, PeftModel)
    other, pattern = (_WHOLE, _ADAPTER) if is_adapter else (_ADAPTER, _WHOLE)
    files = sorted(path.glob(pattern))
    if not files:
        if any(path.glob(other)):
            kinds = (
                ("a whole model", "an adapter") if is_adapter else ("an adapter", "a whole model")
            )
            raise _other(path, f"it holds {kinds[0]}, and {kinds[1]} is trained")
        return
    wanted = _adapter(model) if isinstance(model, PeftModel) else model.state_dict()
    shapes = {name: tuple(value.shape) for name, value in _tensors(wanted).items()}
    found = _found(files)
    for name in shapes.keys() & found.keys():
        if shapes[name] != found[name]:
            was, is_now = (" × ".join(map(str, each[name])) for each in (found, shapes))
            raise _other(path, f"its {name} is {was}, and the model's is {is_now}")
    if not shapes.keys() & found.keys():  # some names differ in files, never all of them
        raise _other(path, "no weight in it has a name of the model's")


def _adapter(model: PeftModel) -> Mapping[str, object]:
    return get_peft_model_state_dict(model, save_embedding_layers=False)


def _found(files: list[Path]) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    for file in files:
        try:
            with safe_open(file, framework="pt") as opened:
                for name in opened.keys():  # noqa: SIM118, it is no mapping
                    found[name] = tuple(opened.get_slice(name).get_shape())
        except (SafetensorError, OSError) as error:
            raise TrainingError(
                f"{file}: cannot be read ({error}). Delete this checkpoint, and --resume goes on "
                "from the one before."
            ) from error
    return found


def _tensors(state: Mapping[str, object]) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if isinstance(value, Tensor)}


def _other(path: Path, found: str) -> TrainingError:
    return TrainingError(
        f"{path}: is a checkpoint of another model: {found}. Delete it, or name another folder "
        "with --out."
    )
