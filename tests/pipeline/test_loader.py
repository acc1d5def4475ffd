"""Recipes from YAML: what the presets say of data and labels, and what is refused."""

from pathlib import Path

import pytest

from cai.errors import UsageError
from cai.methods.settings import ReviseSettings, SampleSettings
from cai.pipeline.checks import check_steps
from cai.pipeline.loader import load_recipe, preset_text, shipped_presets
from cai.pipeline.schema import ExportStep, JudgeStep, Recipe, ScoreStep

PRESETS = ["bai2022", "bai2022-cot", "bai2022-rl", "lee2023", "lee2023-direct"]


def written(folder: Path, text: str) -> str:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(UsageError) as caught:
        load_recipe(written(folder, text))
    return str(caught.value)


def steps(recipe: Recipe) -> list[str]:
    found = (recipe.revise, recipe.sample, recipe.judge, recipe.score)
    return [type(each).__name__ for each in found if each is not None]


def test_these_presets_ship():
    assert shipped_presets() == PRESETS


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_has_all_that_its_steps_need_and_says_its_source(name: str):
    recipe = load_recipe(name)
    check_steps(recipe)
    assert recipe.name == name
    assert recipe.description and recipe.departures
    assert "arXiv:" in recipe.source
    assert recipe.models == ({"sample": "train/sft"} if recipe.train else {})
    assert recipe.prompts == ()


@pytest.mark.parametrize("name", PRESETS)
def test_a_copy_of_a_preset_is_the_same_recipe(name: str, tmp_path: Path):
    assert load_recipe(written(tmp_path, preset_text(name))) == load_recipe(name)


@pytest.mark.parametrize("name", ["bai2022", "bai2022-cot", "bai2022-rl"])
def test_bai_revises_four_times_at_temperature_1_and_trains_on_every_round(name: str):
    recipe = load_recipe(name)
    assert recipe.revise == ReviseSettings(
        rounds=4, temperature=1.0, revision_temperature=1.0, few_shots=1
    )
    assert recipe.sample == SampleSettings(k=2, temperatures=(1.0,))
    assert recipe.export == {
        "sft": ExportStep(all_rounds=True),
        "preference": ExportStep(pairs="one"),
    }
    assert recipe.score is None


def test_bai_judges_under_one_principle_by_the_letters_alone():
    assert load_recipe("bai2022").judge == JudgeStep(principles=1, rationale=False, verdicts="auto")


def test_bai_s_whole_chain_is_judged_as_bai_and_trains_on_what_is_exported():
    recipe = load_recipe("bai2022-rl")
    assert recipe.judge == load_recipe("bai2022").judge
    sft, reward, grpo = (each.part for each in recipe.train)
    assert sft.selection == recipe.export["sft"].selection
    assert reward.selection == recipe.export["preference"].selection
    assert [each.spec.name for each in recipe.train] == ["sft", "reward", "grpo"]
    assert grpo.start is None  # the last policy: the supervised one


def test_bai_with_chain_of_thought_clamps_to_40_and_60_percent():
    judge = load_recipe("bai2022-cot").judge
    assert judge == JudgeStep(principles=1, rationale=True, clamp=(0.4, 0.6), temperature=0.0)


def test_lee_thinks_at_temperature_0_in_512_tokens_under_all_principles_and_clamps_nothing():
    recipe = load_recipe("lee2023")
    assert steps(recipe) == ["SampleSettings", "JudgeStep"]
    assert recipe.sample == SampleSettings(k=2, temperatures=(1.0,))
    assert recipe.judge == JudgeStep(
        principles="all", rationale=True, clamp=None, temperature=0.0, max_tokens=512, samples=1
    )
    assert recipe.export == {"preference": ExportStep(pairs="all")}


def test_direct_lee_gives_marks():
    recipe = load_recipe("lee2023-direct")
    assert steps(recipe) == ["SampleSettings", "ScoreStep"]
    assert recipe.score == ScoreStep(kind="mark")
    assert recipe.export == {"everything": ExportStep(of="score")}


def test_an_unknown_preset_is_said_with_the_nearest():
    with pytest.raises(UsageError, match=r"bai2023: cannot be read .* Did you mean 'bai2022'\?"):
        load_recipe("bai2023")
    with pytest.raises(UsageError, match=r"no preset 'mine\.yaml'\. The presets are bai2022"):
        preset_text("mine.yaml")


def test_a_folder_is_no_recipe(tmp_path: Path):
    with pytest.raises(UsageError, match="Is a directory"):
        load_recipe(str(tmp_path))


@pytest.mark.parametrize(("text", "line", "said"), [
    ("name: x\n\njudgee: {}\n", 3, "judgee is not known. Did you mean 'judge'?"),
    ("name: x\njudge:\n  principels: 1\n", 3,
     "judge.principels is not known. Did you mean 'principles'?"),
    ("name: x\nexport:\n  sft: {al_rounds: true}\n", 3,
     "export.sft.al_rounds is not known. Did you mean 'all_rounds'?"),
    ("name: x\nsample: {colour: red}\n", 2,
     "sample.colour is not known. Known here: templates, top_p, top_k, max_tokens, k,"),
    ("name: x\nexport: {sfft: {}}\n", 2, "export.sfft: Input should be 'sft', 'preference'"),
    ("name: x\nmodels: {jugde: embedded}\n", 2, "models.jugde: Input should be 'respond'"),
])  # fmt: skip
def test_an_unknown_field_is_said_with_its_line(tmp_path: Path, text: str, line: int, said: str):
    assert refusal(tmp_path, text).startswith(f"{tmp_path / 'mine.yaml'}:{line}: {said}")


@pytest.mark.parametrize(("settings", "said"), [
    ("revise: {rounds: '4'}", "revise.rounds: Input should be a valid integer."),
    ("revise: {rounds: true}", "revise.rounds: Input should be a valid integer."),
    ("revise: {rounds: 65}", "revise.rounds: Input should be less than or equal to 64."),
    ("revise: {direct: 'yes'}", "revise.direct: expected true or false."),
    ("revise: []", "revise: expected a mapping of settings, such as `{}`."),
    ("prompts: a.jsonl", "prompts: expected a list, such as `[…]`."),
    ("sample: {temperatures: [warm]}", "sample.temperatures.0: Input should be a valid number."),
    ("sample: {temperatures: [.nan]}", "sample.temperatures.0: Input should be a finite number."),
    ("sample: {temperatures: []}", "sample.temperatures: Tuple should have at least 1 item"),
    ("judge: {principles: some}", "judge.principles: Input should be a valid integer."),
    ("judge: {clamp: [0.4]}", "judge.clamp.1: Field required."),
    ("judge: {clamp: [0.4, 1.1]}", "judge.clamp.1: Input should be less than or equal to 1."),
    ("judge: {tie_margin: 0.6}", "judge.tie_margin: Input should be less than or equal to 0.5."),
    ("seed: 1.5", "seed: Input should be a valid integer."),
    ("export: {sft: }", "export.sft: expected a mapping of settings, such as `{}`."),
    ("name: y", "'name' is here for the second time, first in line 1. Keep one of them."),
    ("cai: 2", "cai: Input should be less than or equal to 1."),
])  # fmt: skip
def test_a_wrong_value_is_said_once_with_its_line(tmp_path: Path, settings: str, said: str):
    found = refusal(tmp_path, f"name: x\n{settings}\n")
    assert found.startswith(f"{tmp_path / 'mine.yaml'}:2: {said}")
    assert "\n" not in found


def test_a_step_with_nothing_behind_it_is_no_step_left_out(tmp_path: Path):
    found = refusal(tmp_path, "name: x\nrevise:\n")
    assert ":2: revise is empty. Write `revise: {}` for its defaults" in found
    assert load_recipe(written(tmp_path, "name: x\nrevise: {}\n")).revise == ReviseSettings()


def test_every_fault_is_said_and_at_most_ten(tmp_path: Path):
    assert refusal(tmp_path, "judge: {samples: 0}\nseed: x\n").count("mine.yaml:") == 3
    many = "".join(f"field-{n}: 1\n" for n in range(20))
    assert refusal(tmp_path, f"name: x\n{many}").count("mine.yaml:") == 10


@pytest.mark.parametrize(("content", "said"), [
    (b"", "the file is empty. A recipe needs a name and a step."),
    (b"# a note\n\n", "the file is empty. A recipe needs a name and a step."),
    (b"just a text", "mine.yaml:1: the file: expected a mapping of settings"),
    (b"- a\n- b\n", "mine.yaml:1: the file: expected a mapping of settings"),
    (b"name: x\n\tjudge: 1\n", "mine.yaml:2: this is not YAML"),
    (b"name: {x\n", "this is not YAML"),
    (b"name: \xff\n", "mine.yaml:1: the byte 0xff is not UTF-8"),
    (b"name: !!python/object/apply:os.getcwd []\n", "is refused"),
    (b"name: x\n---\nname: y\n", "a second document starts here"),
    (b"name: x\n" + b"# long\n" * 200_000, "over the limit of 1,000,000 bytes. A recipe is a page"),
])  # fmt: skip
def test_what_is_no_recipe_is_a_plain_error(tmp_path: Path, content: bytes, said: str):
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        load_recipe(str(path))
    assert said in str(caught.value)
    assert "onstitution" not in str(caught.value)
