"""Whether a checkpoint is of the model that is trained, checked before it is loaded.

For a checkpoint with other shapes torch would print a page of tensor names.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# safetensors and peft leave some of their types open: what is unknown stays in this file

from collections.abc import Mapping
from pathlib import Path
from typing import cast

from peft import PeftModel, get_peft_model_state_dict
from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformers import PreTrainedModel

from cai.errors import TrainingError

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
