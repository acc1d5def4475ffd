"""LoRA: settings that are checked, and adapters that train what they should."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import safetensors.torch
import torch
from peft import get_peft_model
from tiny import save_tiny_model
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from cai.errors import TrainingError
from cai.training.config import LoraSettings, lora_config, lora_settings
from cai.training.settings import read_settings


def test_an_empty_block_is_the_defaults():
    assert lora_settings({}) == LoraSettings(r=16, alpha=32, dropout=0.0, targets="all-linear")


def test_a_block_sets_what_it_names(tmp_path: Path):
    path = tmp_path / "block.yaml"
    path.write_text("lora:\n  r: 4\n  dropout: 5e-2\n  targets: [q_proj, v_proj]\n")
    block = read_settings(path, ["lora.alpha=8"]).block("lora")
    assert block is not None
    assert lora_settings(block) == LoraSettings(
        r=4, alpha=8, dropout=0.05, targets=["q_proj", "v_proj"]
    )


@pytest.mark.parametrize(
    ("block", "said"),
    [
        (
            {"rank": 4},
            "'lora.rank' is not a setting of LoRA. Known here: r, alpha, dropout, targets.",
        ),
        ({"target": "x"}, "'lora.target' is not a setting of LoRA. Did you mean 'targets'?"),
        ({"r": "x"}, "'lora.r' is 'x'. Input should be a valid integer"),
        ({"r": 0}, "'lora.r' is 0. Input should be greater than or equal to 1."),
        ({"dropout": 1}, "'lora.dropout' is 1. Input should be less than 1."),
        ({"targets": "q_proj"}, "'lora.targets' is 'q_proj'. Input should be 'all-linear'."),
        ({"targets": []}, "'lora.targets' is []."),
    ],
)
def test_what_is_wrong_in_a_block_is_one_sentence(block: Mapping[str, object], said: str):
    with pytest.raises(TrainingError) as caught:
        lora_settings(block)
    assert said in str(caught.value)
    assert str(caught.value).startswith("settings: ")


def test_a_policy_trains_adapters_on_all_linear_layers_but_the_last(tmp_path: Path):
    model = AutoModelForCausalLM.from_pretrained(save_tiny_model(tmp_path))
    adapted = get_peft_model(model, lora_config(LoraSettings(r=4), "language"))
    trained = {name for name, value in adapted.named_parameters() if value.requires_grad}
    assert all("lora_" in name for name in trained)
    assert not any("lm_head" in name for name in trained)
    layers = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert {name.partition(".lora_")[0].rpartition(".")[2] for name in trained} == layers
    assert len(trained) == 2 * 2 * len(layers)  # two matrices, two blocks


def test_the_adapters_begin_as_nothing_and_the_reward_head_is_trained_and_kept(tmp_path: Path):
    folder = save_tiny_model(tmp_path / "model")
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1)
    tokens = torch.arange(1, 9)[None]
    before = model(tokens).logits.detach().clone()
    adapted = get_peft_model(model, lora_config(LoraSettings(r=4), "reward"))
    assert torch.equal(adapted(tokens).logits, before)
    trained = {name for name, value in adapted.named_parameters() if value.requires_grad}
    assert [name for name in trained if "lora_" not in name] == [
        "base_model.model.score.modules_to_save.default.weight"
    ]
    adapted.save_pretrained(tmp_path / "adapter")
    kept = safetensors.torch.load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert any(name.endswith("score.weight") for name in kept)


def test_named_layers_alone_get_adapters(tmp_path: Path):
    model = AutoModelForCausalLM.from_pretrained(save_tiny_model(tmp_path))
    adapted = get_peft_model(model, lora_config(LoraSettings(targets=["q_proj"]), "language"))
    trained = [name for name, value in adapted.named_parameters() if value.requires_grad]
    assert trained
    assert all(".q_proj.lora_" in name for name in trained)
