"""What `cai train` says of data, models, settings and folders that cannot be: one sentence."""

import shutil
from pathlib import Path

import pytest
import reward_server
import torch
from reward_server import CallCai, Ended
from safetensors.torch import load_file, save_file
from tiny import save_tiny_model
from tiny_rewards import save_conditioned, save_reward_model
from train_files import rl_settings, settings, write_data, write_rows

from cai.errors import TrainingError
from cai.export.data_files import Kind
from cai.training.base_model import memory_errors
from cai.training.reward_model.checkpoint import NamedConstitution

pytestmark = pytest.mark.usefixtures("one_thread")


def assert_refused(ended: Ended, *said: str) -> None:
    """One line after `error:`, with these words in it."""
    reward_server.assert_refused(ended, *said)
    assert ended.err.partition("error: ")[2].count("\n") == 1, ended.err


def test_rows_without_the_columns(call_cai: CallCai, tiny: Path, tmp_path: Path):
    data = write_rows(tmp_path / "rows.jsonl", [{"prompt": "How?", "answered": "So."}])
    for trainer in ("sft", "dpo", "reward", "kto"):
        ended = call_cai("train", trainer, data, "-m", f"hf:{tiny}", "-o", tmp_path / "out")
        assert_refused(ended, str(data), "answered")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("trainer", ["sft", "dpo", "reward", "kto"])
def test_a_file_without_rows(call_cai: CallCai, tiny: Path, tmp_path: Path, trainer: str):
    data = write_rows(tmp_path / "rows.jsonl", [])
    ended = call_cai("train", trainer, data, "-m", f"hf:{tiny}", "-o", tmp_path / "out")
    assert_refused(ended, str(data))


@pytest.mark.parametrize("p", [1.5, -0.1, "likely"])
def test_probabilities_that_are_none(call_cai: CallCai, tiny: Path, tmp_path: Path, p: object):
    row = {"prompt": "How?", "chosen": "So.", "rejected": "No.", "chosen_probability": p}
    data = write_rows(tmp_path / "rows.jsonl", [row])
    for trainer in ("dpo", "reward"):
        ended = call_cai("train", trainer, data, "-m", f"hf:{tiny}", "-o", tmp_path / "out")
        assert_refused(ended, str(data), "chosen_probability", str(p))


@pytest.mark.parametrize(
    ("trainer", "kind"),
    [("sft", "sft"), ("dpo", "preference"), ("reward", "preference"), ("kto", "kto")],
)
def test_rows_that_are_all_too_long(
    call_cai: CallCai, tiny: Path, tmp_path: Path, trainer: str, kind: Kind
):
    data = write_data(tmp_path, kind)
    ended = call_cai(
        *("train", trainer, data, "-m", f"hf:{tiny}", "-o", tmp_path / "out"),
        *settings(max_length=4),
    )
    assert_refused(ended, "is short enough for max_length, 4 tokens", "Set a larger max_length")
    assert not (tmp_path / "out" / "training.json").exists()


def test_some_rows_that_are_too_long_are_counted(call_cai: CallCai, tiny: Path, tmp_path: Path):
    row = {"prompt": "How?", "chosen": "So.", "rejected": "No."}
    long = {**row, "prompt": "Why? " * 50}
    data = write_rows(
        tmp_path / "rows.jsonl", [long, *({**row, "prompt": f"{n}?"} for n in range(5))]
    )
    ended = call_cai(
        *("train", "reward", data, "-m", f"hf:{tiny}", "-o", tmp_path / "out"),
        *("--eval-share", 0, *settings()),
    )
    assert ended.code == 0, ended.err
    assert "left out: 1 of 6 rows to train on, over 64 tokens" in ended.err


def test_no_pair_that_is_sure_enough(call_cai: CallCai, tiny: Path, tmp_path: Path):
    data = write_data(tmp_path, "preference")
    ended = call_cai(
        *("train", "dpo", data, "-m", f"hf:{tiny}", "-o", tmp_path / "out", "--min-margin", 0.45)
    )
    assert_refused(ended, "No pair is at least 0.45 from one half", "--min-margin")


def test_a_model_without_a_chat_template(call_cai: CallCai, tmp_path: Path):
    plain, data = save_tiny_model(tmp_path / "plain", template=None), write_data(tmp_path, "sft")
    ended = call_cai("train", "sft", data, "-m", f"hf:{plain}", "-o", tmp_path / "out")
    assert_refused(ended, str(plain), "no chat template", "chat_template.jinja")


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("hf:/nowhere/at-all", "there is no such folder"),
        ("openai:gpt@http://localhost:1/v1", "behind a server cannot be trained"),
        ("gpt", "names no model"),
        ("embedded?dtype=float32", "dtype is about calling a model"),
    ],
)
def test_models_that_cannot_be_trained(call_cai: CallCai, tmp_path: Path, model: str, said: str):
    data = write_data(tmp_path, "sft")
    ended = call_cai("train", "sft", data, "-m", model, "-o", tmp_path / "out")
    assert_refused(ended, said)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_no_model(call_cai: CallCai, tmp_path: Path):
    data = write_data(tmp_path, "sft")
    ended = call_cai("train", "sft", data, "-m", f"hf:{tmp_path}", "-o", tmp_path / "out")
    assert_refused(ended, "has no config.json")


def test_weights_that_were_cut_off(call_cai: CallCai, tiny: Path, tmp_path: Path):
    broken, data = tmp_path / "broken", write_data(tmp_path, "sft")
    shutil.copytree(tiny, broken)
    whole = (broken / "model.safetensors").read_bytes()
    (broken / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    ended = call_cai("train", "sft", data, "-m", f"hf:{broken}", "-o", tmp_path / "out")
    assert_refused(ended, "cannot be opened")


@pytest.mark.parametrize(("outputs", "said"), [(None, "no reward head"), (3, "has 3 outputs")])
def test_reward_models_with_another_head(
    call_cai: CallCai, tiny: Path, tmp_path: Path, outputs: int | None, said: str
):
    data = write_data(tmp_path, "prompts")
    model = tiny if outputs is None else save_reward_model(tmp_path / "reward", outputs=outputs)
    ended = call_cai(
        *("train", "grpo", data, "-m", f"hf:{tiny}", "-o", tmp_path / "out"),
        *("--reward-model", model, *rl_settings()),
    )
    assert_refused(ended, str(model), said)


def test_a_reward_model_that_reads_principles_is_told_none(
    call_cai: CallCai, tiny: Path, tmp_path: Path
):
    named = NamedConstitution(name="testbed", hash="0" * 12, principles={"stay-polite": "Polite."})
    model, data = save_conditioned(tmp_path / "reward", named), write_data(tmp_path, "prompts")
    command = ("train", "grpo", data, "-m", f"hf:{tiny}", "--reward-model", model, *rl_settings())
    assert_refused(call_cai(*command, "-o", tmp_path / "out"), "principles")
    told = call_cai(
        *command, "-o", tmp_path / "told", "-c", "testbed", "--read-principle", "not:stay-polite"
    )
    assert told.code == 0, told.err


@pytest.mark.parametrize(
    ("rewards", "said"),
    [
        ((), "No reward is named"),
        (("--reward-model", "models/r*much"), "'much' is not a weight"),
        (("--reward-model", "models/r*nan"), "'nan' is not a weight"),
        (("--judge", "embedded", "-c", "testbed", "--judge-weight", "inf"), "is not a weight"),
        (("--judge", "embedded"), "--constitution goes with --judge"),
        (("--reward-model", "models/r", "--reference", "embedded"), "Name a judge"),
        (("--judge", "embedded", "-c", "testbed", "--tag", "nothing"), "nothing"),
        (("--reward-model", "/nowhere/at-all"), "there is no such folder"),
        (
            ("--judge", "embedded", "-c", "testbed", "--principles", "2", "--apart"),
            "a drawn principle has none",
        ),
    ],
)
def test_rewards_that_cannot_be(
    call_cai: CallCai, tiny: Path, tmp_path: Path, rewards: tuple[str, ...], said: str
):
    data = write_data(tmp_path, "prompts")
    command = ("train", "grpo", data, "-m", f"hf:{tiny}", "-o", tmp_path / "out", *rl_settings())
    assert_refused(call_cai(*command, *rewards), said)


@pytest.mark.parametrize("algorithm", ["grpo", "rloo"])
def test_groups_that_do_not_fill_the_batch(
    call_cai: CallCai, tiny: Path, tmp_path: Path, algorithm: str
):
    data = write_data(tmp_path, "prompts")
    ended = call_cai(
        *("train", algorithm, data, "-m", f"hf:{tiny}", "-o", tmp_path / "out"),
        *("--reward-model", "models/r", *rl_settings(num_generations=3)),
    )
    assert_refused(ended, "num_generations", "4", "3")


def test_options_that_go_together(call_cai: CallCai, tiny: Path, tmp_path: Path):
    data = write_data(tmp_path, "preference")
    command = ("train", "reward", data, "-m", f"hf:{tiny}", "-o", tmp_path / "out")
    alone = call_cai(*command, "--read-principles")
    assert alone.code == 2
    assert "--read-principles and --constitution go together" in alone.err
    assert_refused(call_cai(*command, "--processes", 2), "--processes goes with --launch")


def test_pairs_of_which_no_judge_spoke_under_principles(
    call_cai: CallCai, tiny: Path, tmp_path: Path
):
    data = write_data(tmp_path, "preference")
    ended = call_cai(
        *("train", "reward", data, "-m", f"hf:{tiny}", "-o", tmp_path / "out"),
        *("--read-principles", "-c", "testbed"),
    )
    assert_refused(ended, "No pair has the judge's probability under each principle")


def test_folders_of_something_else(call_cai: CallCai, tiny: Path, tmp_path: Path):
    data, out = write_data(tmp_path, "sft"), tmp_path / "out"
    command = ("train", "sft", data, "-m", f"hf:{tiny}", *settings())
    out.mkdir()
    (out / "letters.txt").write_text("Dear Anna")
    assert_refused(call_cai(*command, "-o", out), str(out), "not the folder of a training")
    assert_refused(call_cai(*command, "-o", out / "letters.txt"), "letters.txt")
    assert (out / "letters.txt").read_text() == "Dear Anna"


def unfinished(call_cai: CallCai, tiny: Path, folder: Path, *more: object) -> tuple[object, ...]:
    """The command of a training that stands as if it had been killed after its checkpoints."""
    command = (
        *("train", "sft", write_data(folder, "sft"), "-m", f"hf:{tiny}", "-o", folder / "out"),
        *(*settings(2, save_steps=1), *more),
    )
    assert call_cai(*command).code == 0
    (folder / "out" / "training.json").unlink()
    return command


def test_a_checkpoint_of_another_shape(call_cai: CallCai, tiny: Path, tmp_path: Path):
    command = unfinished(call_cai, tiny, tmp_path)
    weights = tmp_path / "out" / "checkpoints" / "checkpoint-2" / "model.safetensors"
    tensors = load_file(weights)
    name = "model.embed_tokens.weight"
    tensors[name] = tensors[name][:, :32].contiguous()
    save_file(tensors, weights, {"format": "pt"})
    rows = tensors[name].shape[0]
    ended = call_cai(*command, "--resume")
    assert_refused(ended, "a checkpoint of another model", f"{rows} × 32", f"{rows} × 64", "--out")


def test_a_checkpoint_of_other_weights_altogether(call_cai: CallCai, tiny: Path, tmp_path: Path):
    command = unfinished(call_cai, tiny, tmp_path)
    weights = tmp_path / "out" / "checkpoints" / "checkpoint-2" / "model.safetensors"
    save_file({"tower.weight": torch.zeros(2, 2)}, weights, {"format": "pt"})
    assert_refused(call_cai(*command, "--resume"), "no weight in it has a name of the model's")
    weights.rename(weights.with_name("adapter_model.safetensors"))
    assert_refused(call_cai(*command, "--resume"), "it holds an adapter, and a whole model")


def test_a_checkpoint_that_was_cut_off(call_cai: CallCai, tiny: Path, tmp_path: Path):
    command = unfinished(call_cai, tiny, tmp_path, "--lora")
    weights = tmp_path / "out" / "checkpoints" / "checkpoint-2" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    assert_refused(call_cai(*command, "--resume"), str(weights), "Delete this checkpoint")
    shutil.rmtree(weights.parent)
    ended = call_cai(*command, "--resume")
    assert ended.code == 0, ended.err
    assert "going on from step 1" in ended.err


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
    ],
)
def test_memory_that_ran_out_is_said_with_what_helps(error: Exception):
    with pytest.raises(TrainingError, match="Halve per_device_train_batch_size"), memory_errors():
        raise error


def test_memory_that_truly_ran_out_is_known_by_its_message():
    with pytest.raises(TrainingError, match="Memory ran out"), memory_errors():
        torch.empty(2**62, dtype=torch.uint8)


def test_another_error_of_torch_is_no_lack_of_memory():
    with pytest.raises(RuntimeError, match="mat1 and mat2"), memory_errors():
        torch.zeros(2, 3) @ torch.zeros(2, 3)


def test_settings_are_wrong_before_a_model_is_looked_for(call_cai: CallCai, tmp_path: Path):
    data = write_data(tmp_path, "sft")
    ended = call_cai(
        *("train", "sft", data, "-m", "hf:/nowhere/at-all", "-o", tmp_path / "out"),
        *("--set", "learning_rat=1e-5"),
    )
    assert_refused(ended, "learning_rat", "learning_rate")
