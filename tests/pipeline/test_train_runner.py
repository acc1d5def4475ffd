"""Trainings of a recipe, carried out on the embedded model: the whole chain, small."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console
from safetensors.torch import load_file

from cai.data.prompts import PromptSource
from cai.engine.budget import Caps
from cai.errors import CaiError, TrainingError
from cai.models.registry import embedded_folder, open_model
from cai.pipeline.loader import preset_text
from cai.pipeline.runner import StepOutcome, run_recipe
from cai.pipeline.schema import Recipe
from cai.pipeline.train_runner import RoleModels
from cai.runs.options import RunOptions

EXAMPLES = Path(__file__).parents[2] / "examples"
FEW = {"max_steps": 1, "per_device_train_batch_size": 4, "save_strategy": "no"}
GROUPS = {**FEW, "num_generations": 4, "max_completion_length": 16}
SETTINGS = {"sft": {**FEW, "learning_rate": 1e-3}, "reward": FEW, "grpo": GROUPS}


def small() -> dict[str, Any]:
    """The preset of the whole chain, in small, under the testbed's constitution."""
    parts = yaml.safe_load(preset_text("bai2022-rl"))
    parts["constitution"] = "testbed"
    parts["revise"] |= {"rounds": 1, "few_shots": 0, "max_tokens": 48}
    parts["sample"] |= {"max_tokens": 48}
    for step in parts["train"]:
        for trainer, part in step.items():
            part["settings"] = SETTINGS[trainer]
    return parts


def prompts_of(out: Path) -> Path:
    """The first six prompts of the examples."""
    path = out.with_suffix(".jsonl")
    rows = (EXAMPLES / "prompts.jsonl").read_text("utf-8").splitlines(keepends=True)
    path.write_text("".join(rows[:6]), "utf-8")
    return path


async def run(
    parts: Mapping[str, object],
    out: Path,
    run_options: RunOptions = RunOptions(),
    console: Console | None = None,
) -> list[StepOutcome]:
    source = PromptSource((str(prompts_of(out)),))
    cast = RoleModels(open_model("embedded"), {}, None, "embedded")
    told = console or Console(file=io.StringIO())
    return await run_recipe(Recipe.model_validate(parts), cast, source, out, run_options, told)


def asked(out: Path, name: str) -> dict[str, Any]:
    return yaml.safe_load((out / name / "training.yaml").read_text("utf-8"))


async def test_the_chain_is_done_in_its_order_and_a_second_time_only_found(tmp_path: Path):
    out = tmp_path / "out"
    done = await run(small(), out)
    assert [each.step for each in done] == [
        *("revise", "train sft", "sample", "judge", "export sft", "export preference"),
        *("train reward", "train grpo"),
    ]
    assert [each.summary for each in await run(small(), out)] == [
        each.summary if each.counts or each.step.startswith("export") else "done before"
        for each in done
    ]

    trained, start = (
        load_file(folder / "model.safetensors") for folder in (out / "sft", embedded_folder())
    )
    assert any(not trained[name].equal(start[name]) for name in trained.keys() & start.keys())
    sampled = yaml.safe_load((out / "sample/run.yaml").read_text("utf-8"))["config"]
    assert [each["model"].partition("@")[0] for each in sampled["policies"]] == [
        f"hf:{out / 'sft'}"
    ]

    sft = f"hf:{out / 'sft'}"
    names = ("sft", "reward", "grpo")
    assert [asked(out, name)["model"] for name in names] == ["embedded", sft, sft]
    rewards = asked(out, "grpo")["rewards"]
    assert [each["spec"] for each in rewards["reward_models"]] == [str(out / "reward")]
    assert asked(out, "grpo")["data"]["sources"] == {str(prompts_of(out)): 6}


async def test_settings_that_there_are_not_are_refused_before_the_first_call(tmp_path: Path):
    bad = small()
    bad["train"][2] = {"dpo": {"settings": {"learning_rat": 1}}}
    with pytest.raises(TrainingError) as caught:
        await run(bad, tmp_path / "out")
    assert str(caught.value).startswith("settings of the training dpo: 'learning_rat' is no")
    assert not (tmp_path / "out").exists()


async def test_an_estimate_trains_nothing_and_says_what_it_leaves_out(tmp_path: Path):
    text = io.StringIO()
    console = Console(file=text, width=200)
    done = await run(small(), tmp_path / "out", RunOptions(sample=2), console)
    assert [each.step for each in done] == ["revise"]
    assert "not estimated: sample, judge, which wait for a policy that is to be trained" in (
        text.getvalue()
    )
    assert [each.name for each in (tmp_path / "out").iterdir()] == ["revise"]


async def test_a_cap_holds_for_the_judge_of_a_training_too(tmp_path: Path):
    parts: dict[str, object] = {
        "name": "mine",
        "constitution": "testbed",
        "train": [{"rloo": {"score": {"tags": ["tone"]}, "settings": GROUPS}}],
    }
    with pytest.raises(CaiError, match="cap of 300 tokens"):
        await run(parts, tmp_path / "out", RunOptions(caps=Caps(tokens=300)))
