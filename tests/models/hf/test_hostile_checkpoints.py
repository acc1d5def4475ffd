"""Checkpoints from anywhere: a sentence for what is damaged or hostile, and no code is run."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import save_tiny_model

from cai.errors import ModelError
from cai.models.hf.model import LocalModel
from cai.models.registry import open_model

WEIGHTS = "model.safetensors"
CODE = "from pathlib import Path; Path(__file__).with_name('has-run').touch()"


class Touches:
    """Unpickled, it makes a file beside the checkpoint's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.folder / "has-run",)


def pickled_code(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"a": Touches(folder)}, protocol=2))


def code_in_saved_tensors(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    torch.save({"a": Touches(folder)}, folder / "pytorch_model.bin")


def code_in_an_adapter(folder: Path) -> None:
    base = folder / "base"
    base.mkdir()
    for path in [path for path in folder.iterdir() if path.is_file()]:
        path.rename(base / path.name)
    facts = {"base_model_name_or_path": str(base), "peft_type": "LORA", "task_type": "CAUSAL_LM"}
    (folder / "adapter_config.json").write_text(json.dumps({**facts, "target_modules": ["q_proj"]}))
    torch.save({"a": Touches(folder)}, folder / "adapter_model.bin")


def edited(name: str, **fields: object) -> Callable[[Path], None]:
    """Puts these fields into one of the folder's JSON files, beside code that they may name."""

    def edit(folder: Path) -> None:
        (folder / "evil.py").write_text(CODE)
        path = folder / name
        path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))

    return edit


def cut_off(folder: Path) -> None:
    path = folder / WEIGHTS
    path.write_bytes(path.read_bytes()[:1000])


def without_a_layer(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, folder / WEIGHTS, {"format": "pt"})


def empty_pickle(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / "pytorch_model.bin").touch()


REMOTE = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (pickled_code, "never run"),
        (code_in_saved_tensors, "never run"),
        (code_in_an_adapter, "never run"),
        (edited("config.json", model_type="evil", auto_map=REMOTE), "never run"),
        (
            edited("tokenizer_config.json", tokenizer_class="E", auto_map={"AutoTokenizer": "e.T"}),
            "never run",
        ),
        (cut_off, "header"),
        (without_a_layer, "up_proj.weight is missing"),
        (empty_pickle, "EOFError"),
        (edited("config.json", vocab_size="many"), "vocab_size"),
        (edited("config.json", vocab_size=10**12), "another shape"),
        (edited("config.json", num_attention_heads=0), "ZeroDivisionError"),
        (edited("config.json", hidden_act="evil"), "evil"),
    ],
)
def test_it_is_refused_in_a_sentence(tmp_path: Path, spoil: Callable[[Path], None], said: str):
    folder = save_tiny_model(tmp_path / "model")
    spoil(folder)
    with pytest.raises(ModelError, match=said) as raised:
        LocalModel.load(str(folder))
    assert str(folder) in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.rglob("has-run"))


def test_tensors_in_a_pickle_are_read(tmp_path: Path):
    folder = save_tiny_model(tmp_path / "model")
    torch.save(load_file(folder / WEIGHTS), folder / "pytorch_model.bin")
    (folder / WEIGHTS).unlink()
    assert LocalModel.load(str(folder)).is_chat


def test_arguments_of_the_chat_template_are_part_of_the_name(tmp_path: Path):
    template = "{{ messages[0]['content'] }}{% if enable_thinking %}<think>{% endif %}"
    folder = save_tiny_model(tmp_path / "model", template=template)
    plain, thinking = (
        open_model(f"hf:{folder}{ending}") for ending in ("", "?enable_thinking=true")
    )
    assert thinking.name == f"{plain.name}?enable_thinking=true"
