"""The files beside the rows: what each trainer has to be told to read them."""

import json
import shlex
from pathlib import Path

import pytest
import yaml
from made_runs import MIXED, made_run

from cai.errors import ExportError
from cai.export.formats import Format
from cai.export.writers import export_file


def config_files(folder: Path, format: Format, trainer: str, suffix: str = ".jsonl") -> list[Path]:
    with made_run(folder / "run", MIXED) as run:
        path = folder / f"rows{suffix}"
        return export_file([run], format, path, trainer=trainer).config_files


def only(paths: list[Path]) -> str:
    (path,) = paths
    return path.read_text("utf-8")


def test_llamafactory_has_an_entry_for_each_file_and_masks_earlier_turns(tmp_path: Path):
    with made_run(tmp_path / "run", MIXED) as run:
        for format in ("sft", "kto", "preference"):
            path = tmp_path / f"{format}.jsonl"
            export_file([run], format, path, trainer="llamafactory")
    info = json.loads((tmp_path / "dataset_info.json").read_text("utf-8"))
    assert {name: each["file_name"] for name, each in info.items()} == {
        "sft": "sft.jsonl", "kto": "kto.jsonl", "preference": "preference.jsonl",
    }  # fmt: skip
    assert info["kto"]["columns"]["kto_tag"] == "label"
    assert [name for name, each in info.items() if each.get("ranking")] == ["preference"]
    settings = yaml.safe_load((tmp_path / "sft.llamafactory.yaml").read_text("utf-8"))
    assert settings["mask_history"] is True
    assert settings["dataset"] == "sft"


def test_a_dataset_info_that_cannot_be_read_is_not_written_over(tmp_path: Path):
    info = tmp_path / "dataset_info.json"
    info.write_text("[]", "utf-8")
    with pytest.raises(ExportError, match="is no JSON object"):
        config_files(tmp_path, "sft", "llamafactory")
    assert info.read_text("utf-8") == "[]"
    assert not (tmp_path / "rows.jsonl").exists()


@pytest.mark.parametrize(
    ("format", "of_run", "type"),
    [
        ("sft", {}, "chat_template"),
        ("preference", {"rl": "dpo"}, "chat_template.default"),
        ("reward", {"reward_model": True}, "bradley_terry.chat_template"),
        ("kto", {"rl": "kto"}, "chatml.argilla_chat"),
        ("prompts", {"rl": "grpo"}, None),
    ],
)
def test_axolotl_is_told_the_strategy(
    format: Format, of_run: dict[str, object], type: str | None, tmp_path: Path
):
    settings = yaml.safe_load(only(config_files(tmp_path, format, "axolotl", ".parquet")))
    (data_set,) = settings.pop("datasets")
    assert settings == of_run
    assert (data_set.get("type"), data_set["ds_type"]) == (type, "parquet")
    assert data_set.get("message_field_training") == ("train" if format == "sft" else None)


def test_torchtune_and_nemo_rl_are_told_their_data_sets(tmp_path: Path):
    torchtune = yaml.safe_load(only(config_files(tmp_path / "tt", "sft", "torchtune")))["dataset"]
    assert torchtune["_component_"] == "torchtune.datasets.chat_dataset"
    assert torchtune["source"] == "json"
    nemo = yaml.safe_load(only(config_files(tmp_path / "nemo", "sft", "nemo-rl")))
    assert nemo["data"]["train"]["dataset_name"] == "openai_format"
    assert nemo["sft"]["only_unmask_final"] is True


def test_flags_name_the_file_and_where_rewards_come_from(tmp_path: Path):
    flags = shlex.split(only(config_files(tmp_path, "prompts", "openrlhf")))
    assert flags[:2] == ["--data.prompt_dataset", str(tmp_path / "rows.jsonl")]
    assert "--data.apply_chat_template" in flags
    assert flags[flags.index("--reward.remote_url") + 1].endswith("/get_reward")
    of_verl = only(config_files(tmp_path / "verl", "prompts", "verl", ".parquet"))
    assert "custom_reward_function.name=compute_score_async" in of_verl
