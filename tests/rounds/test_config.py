"""The recipe of a series: words for policies, files beside it, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
from small_rounds import SMALL, write_series

from cai.errors import CaiError, UsageError
from cai.pipeline.loader import load_recipe
from cai.rounds.config import RoundsRecipe, load_rounds
from cai.rounds.splits import assign_prompts, check_enough, freeze, frozen_prompts, kinds


def loaded(folder: Path, **changes: Any) -> RoundsRecipe:
    return load_rounds(write_series(folder, **changes))


def test_policy_and_start_are_words_for_models(tmp_path: Path):
    round = {
        "models": {"judge": "policy", "critique": "start"},
        "jury": ["policy", "embedded?slots=8"],
        "train": [{"dpo": {"from": "start"}}],
    }
    recipe = loaded(tmp_path, start="hf:zero", round=round)
    made = recipe.recipe_of(3, "hf:two")
    assert made.models == {"judge": "hf:two", "critique": "hf:zero"}
    assert made.jury == ("embedded?slots=8",), "the policy judges already"
    assert made.train[0].part.start == "hf:zero"
    assert recipe.judges_after("hf:three") == ("hf:three", "embedded?slots=8")


def test_in_round_one_the_policy_and_the_start_are_one_judge(tmp_path: Path):
    recipe = loaded(tmp_path, round={"models": {"judge": "policy"}, "jury": ["start"]})
    assert recipe.recipe_of(1, "embedded").jury == ()
    assert recipe.recipe_of(2, "hf:one").jury == ("embedded",)


def test_each_round_has_a_seed_of_its_own(tmp_path: Path):
    recipe = loaded(tmp_path)
    assert recipe.recipe_of(1, "p").seed != recipe.recipe_of(2, "p").seed
    assert recipe.recipe_of(1, "p").seed == recipe.recipe_of(1, "q").seed


def test_without_a_judge_the_policy_judges_itself(tmp_path: Path):
    assert loaded(tmp_path, round={"models": {}}).judges_after("hf:one") == ("hf:one",)


def test_files_lie_beside_the_recipe(tmp_path: Path):
    recipe = loaded(tmp_path / "folder")
    assert recipe.prompts == (str(tmp_path / "folder" / "requests.jsonl"),)
    assert dict(kinds(recipe.anchors.prompts))["benign"].endswith("folder/benign.jsonl")


def test_rounds_share_no_prompt_and_the_anchors_are_frozen(tmp_path: Path):
    recipe, out = loaded(tmp_path), tmp_path / "out"
    dealt = [
        {each.request for each in assign_prompts(recipe, number, out).read()} for number in (1, 2)
    ]
    assert [len(each) for each in dealt] == [6, 6]
    assert not dealt[0] & dealt[1]
    freeze(recipe, out, is_started=False)
    before = [list(source.read()) for _, source in frozen_prompts(recipe, out)]
    (tmp_path / "harmful.jsonl").unlink()
    (tmp_path / "people.jsonl").unlink()
    freeze(recipe, out, is_started=False)
    assert [list(source.read()) for _, source in frozen_prompts(recipe, out)] == before
    assert [len(each) for each in before] == [8, 8]
    ids = [prompt.id for each in before for prompt in each]
    assert len(set(ids)) == 16


def test_too_few_prompts_are_said_before_anything_is_done(tmp_path: Path):
    recipe = loaded(tmp_path).model_copy(update={"rounds": 5})
    with pytest.raises(
        UsageError, match=r"5 rounds of 6 prompts take 30, and .* has 12 that .*at most 2"
    ):
        check_enough(recipe)
    check_enough(recipe.model_copy(update={"per_round": None}))


def test_pairs_that_nobody_labelled_are_no_anchor(tmp_path: Path):
    recipe = loaded(tmp_path)
    (tmp_path / "people.jsonl").write_text(
        '{"prompt": "Who?", "response_a": "I.", "response_b": "You."}\n', "utf-8"
    )
    with pytest.raises(UsageError, match="no pair says which response people prefer"):
        freeze(recipe, tmp_path / "out", is_started=False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"round": {"train": []}}, "trains no policy"),
        ({"round": {"train": [{"reward": {}}]}}, "trains no policy"),
        ({"round": {"judge": None}}, "judge is empty"),
        ({"round": {"models": {"judge": "train/dpo"}}}, "which the round itself trains"),
        ({"round": {"seed": 3}}, r"round\.seed stands in the series"),
        ({"round": {"sampel": {}}}, "Did you mean 'sample'"),
        ({"anchors": {"prompts": []}}, "anchors.prompts"),
        ({"anchors": {"limits": 5}}, "Did you mean 'limit'"),
        ({"rounds": 0, "per_round": 1}, "rounds"),
        ({"start": ""}, "start"),
    ],
)
def test_what_is_wrong_in_a_recipe_is_named(tmp_path: Path, changes: dict[str, Any], message: str):
    with pytest.raises(CaiError, match=message):
        loaded(tmp_path, **changes).check()


def test_a_series_that_is_not_there_is_said(tmp_path: Path):
    with pytest.raises(UsageError, match="cannot be read as a series of rounds"):
        load_rounds(tmp_path / "none.yaml")


def test_the_shipped_series_can_be_done():
    examples = Path(__file__).parents[2] / "examples" / "recipes"
    recipe = load_rounds(examples / "testbed-rounds.yaml")
    recipe.check()
    check_enough(recipe)
    assert recipe.rounds == 5
    assert SMALL["start"] == recipe.start


def test_what_is_measured_on_is_not_trained_on(tmp_path: Path):
    recipe = loaded(tmp_path)
    both = (*recipe.prompts, str(tmp_path / "benign.jsonl"))
    mixed = recipe.model_copy(update={"prompts": both, "per_round": None})
    dealt = {each.request for each in assign_prompts(mixed, 1, tmp_path / "out").read()}
    assert len(dealt) == 12


def test_anchors_that_are_gone_are_not_made_anew_under_earlier_rounds(tmp_path: Path):
    recipe, out = loaded(tmp_path), tmp_path / "out"
    freeze(recipe, out, is_started=False)
    (out / "anchors" / "people.jsonl").unlink()
    with pytest.raises(UsageError, match=r"people\.jsonl: is missing"):
        freeze(recipe, out, is_started=True)


def test_a_recipe_of_single_steps_and_a_series_are_told_apart(tmp_path: Path):
    single = tmp_path / "single.yaml"
    single.write_text("name: one\nrevise: {}\n", "utf-8")
    with pytest.raises(UsageError, match=r"not a series of rounds.*for `cai run`"):
        load_rounds(single)
    with pytest.raises(UsageError, match="Do it with `cai rounds`"):
        load_recipe(str(write_series(tmp_path)))
