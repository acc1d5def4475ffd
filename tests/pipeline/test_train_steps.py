"""Trainings in recipes: how they are written, in which order they are done, what is refused."""

from pathlib import Path

import pytest
from small_runs import write_rows

from cai.errors import CaiError, UsageError
from cai.pipeline.checks import check_start, check_steps, reward_models
from cai.pipeline.loader import load_recipe
from cai.pipeline.order import data_of, ordered, start_of, trained_before
from cai.pipeline.schema import Recipe, RlTraining, TrainStep
from cai.training.plan import LabelPlan

STEPS: dict[str, object] = {"revise": {}, "sample": {"k": 2}, "judge": {}}
CHAIN: dict[str, object] = {
    **STEPS,
    "models": {"sample": "train/sft"},
    "train": [{"sft": {}}, {"reward": {}}, {"dpo": {}}, {"grpo": {"from": "sft"}}],
}


def recipe(**parts: object) -> Recipe:
    return Recipe.model_validate({"name": "mine", **parts})


def names(work: object) -> list[str]:
    assert isinstance(work, tuple)
    return [each.name if isinstance(each, TrainStep) else each for each in work]


def training(made: Recipe, name: str) -> TrainStep:
    return next(each for each in made.train if each.name == name)


def starts(made: Recipe) -> list[str | None]:
    found = [start_of(made, each) for each in made.train]
    return [each.name if isinstance(each, TrainStep) else each for each in found]


def test_trainings_come_after_all_steps_in_their_order():
    made = recipe(**STEPS, train=[{"dpo": {}}, {"sft": {}}])
    assert names(ordered(made)) == ["revise", "sample", "judge", "dpo", "sft"]


def test_a_policy_that_plays_a_role_is_trained_before_the_step_it_plays_in():
    order = ["revise", "sft", "sample", "judge", "reward", "dpo", "grpo"]
    assert names(ordered(recipe(**CHAIN))) == order


def test_what_stands_before_a_policy_that_plays_is_trained_before_it_too():
    made = recipe(
        revise={},
        sample={},
        judge={"of": "sample"},
        models={"judge": "train/second", "sample": "train/sft"},
        train=[{"sft": {}}, {"dpo": {}}, {"dpo": {"name": "second"}}, {"kto": {}}],
    )
    assert names(ordered(made)) == ["revise", "sft", "sample", "dpo", "second", "judge", "kto"]


def test_a_policy_of_people_s_rows_can_respond_from_the_first_step_on(tmp_path: Path):
    rows = write_rows(tmp_path / "rows.jsonl", [{"prompt": "Why?", "completion": "So."}])
    made = recipe(revise={}, models={"respond": "train/sft"}, train=[{"sft": {
        "data": [str(rows)], "from": "embedded"}}])  # fmt: skip
    check_steps(made)
    assert names(ordered(made)) == ["sft", "revise"]


def test_a_training_is_on_the_step_that_has_its_rows():
    made = recipe(**{**CHAIN, "train": [*CHAIN["train"], {"kto": {}}]})
    found = {each.name: data_of(made, each) for each in made.train}
    judged = ("judge",)
    assert found == {"sft": ("revise",), "reward": judged, "dpo": judged, "grpo": (), "kto": judged}
    without = recipe(revise={}, train=[{"sft": {}}, {"dpo": {}}])
    assert [data_of(without, each) for each in without.train] == [("revise",), ("revise",)]


def test_a_training_starts_from_the_last_policy_before_it_or_from_what_it_names():
    assert starts(recipe(**CHAIN)) == [None, "sft", "sft", "sft"]
    by_default = recipe(**STEPS, train=[{"reward": {}}, {"dpo": {}}, {"kto": {"from": "hf:x"}}])
    assert starts(by_default) == [None, None, "hf:x"]


def test_rewards_are_the_last_reward_model_where_none_is_named():
    made = recipe(
        **STEPS,
        train=[{"reward": {"name": "one"}}, {"reward": {"name": "two"}}, {"grpo": {}},
               {"rloo": {"reward_models": ["one*0.5", "two"]}},
               {"rloo": {"name": "judged", "judge": {}}}],
    )  # fmt: skip
    one, two = made.train[:2]
    assert reward_models(made, training(made, "grpo")) == [(two, 1.0)]
    assert reward_models(made, training(made, "rloo")) == [(one, 0.5), (two, 1.0)]
    assert reward_models(made, training(made, "judged")) == []
    assert names(trained_before(made, training(made, "grpo"))) == ["one", "two"]


def test_labels_and_selection_are_those_of_the_file(tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "name: mine\nrevise: {}\njudge: {}\ntrain:\n- sft: {all_rounds: true, sft_share: 0.5}\n"
        "- reward: {name: r, labels: drawn, min_margin: 0.1, label_smoothing: 0.05,\n"
        "    label_temperature: 0.5, pairs: one, balance_length: true, mix: ['p.jsonl:count=3'],\n"
        "    settings: {learning_rate: 1e-4, lora: {r: 4}}}\n"
    )
    sft, reward = load_recipe(str(path)).train
    assert (sft.part.selection.all_rounds, sft.part.selection.sft_share) == (True, 0.5)
    assert reward.part.label_plan == LabelPlan("drawn", 0.1, 0.05, 0.5)
    assert (reward.part.selection.pairs, reward.part.selection.balances_length) == ("one", True)
    assert (reward.name, reward.spec.name) == ("r", "reward")
    assert reward.part.mixing(0).mixes[0].count == 3
    assert reward.part.settings["lora"] == {"r": 4}


def test_reinforcement_learning_holds_no_prompt_out_and_has_every_penalty_off():
    (grpo,) = recipe(train=[{"grpo": {"score": {}}}]).train
    assert isinstance(grpo.part, RlTraining)
    weights = grpo.part.penalties
    assert (grpo.part.eval_share, weights.length, weights.evasiveness) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(("text", "said"), [
    ("- {sft: {}, dpo: {}}", "4: train.0: expected one of sft, reward, dpo, kto"),
    ("- {}", "4: train.0: expected one of sft, reward"),
    ("- ppo: {}", "4: train.0.ppo is not known. Did you mean 'dpo'?"),
    ("- sft: {}\n- dpo: {fron: sft}", "5: train.1.dpo.fron is not known. Did you mean 'from'?"),
    ("- sft: {labels: hard}", "4: train.0.sft.labels is not known. Known here: name, from, data"),
    ("- grpo: {judge: {opponent: 2}}",
     "4: train.0.grpo.judge.opponent is not known. Did you mean 'opponents'?"),
    ("- sft: {name: a/b}", "4: train.0.sft.name: String should match"),
    ("- sft: {data: revise}", "4: train.0.sft.data: expected a list"),
    ("- reward: {min_margin: 0.5}", "4: train.0.reward.min_margin: Input should be less than 0.5"),
])  # fmt: skip
def test_what_the_schema_refuses_is_said_with_its_line(tmp_path: Path, text: str, said: str):
    path = tmp_path / "mine.yaml"
    path.write_text(f"name: mine\nrevise: {{}}\ntrain:\n{text}\n")
    with pytest.raises(UsageError) as caught:
        load_recipe(str(path))
    assert str(caught.value).startswith(f"{path}:{said}")


REFUSED: list[tuple[dict[str, object], str]] = [
    ({"train": [{"sft": {}}]}, "sft of the recipe 'mine' has nothing to train on: none of revise"),
    (
        {"sample": {}, "train": [{"dpo": {}}]},
        "nothing to train on: none of judge, revise, score is done",
    ),
    (
        {"revise": {}, "train": [{"sft": {}}, {"sft": {}}]},
        "sft of the recipe 'mine' goes to 'sft', where another output of it goes",
    ),
    ({"revise": {}, "train": [{"sft": {"name": "judge"}}]}, "goes to 'judge', where another"),
    (
        {"revise": {}, "export": {"sft": {"file": "x"}}, "train": [{"sft": {"name": "x"}}]},
        "goes to 'x', where another",
    ),
    ({**STEPS, "train": [{"sft": {"data": ["x.jsonl"]}}]}, "x.jsonl"),
    (
        {**STEPS, "train": [{"dpo": {"data": ["sample"]}}]},
        "is on 'sample', which has no rows for dpo. It is on judge, revise, score, or on files",
    ),
    (
        {**STEPS, "models": {"sample": "train/dpo"}, "train": [{"dpo": {"data": ["judge"]}}]},
        "is on 'judge', which is not done before it. Before it there is revise",
    ),
    (
        {"revise": {}, "models": {"respond": "train/sft"}, "train": [{"sft": {}}]},
        "sft of the recipe 'mine' has nothing to train on",
    ),
    ({**STEPS, "models": {"judge": "train/x"}, "train": [{"sft": {}}]}, "There is train/sft."),
    (
        {**STEPS, "models": {"sample": "train/reward"}, "train": [{"reward": {}}]},
        "no training of a policy has that name. There is none",
    ),
    (
        {**STEPS, "train": [{"sft": {"from": "dpo"}}, {"dpo": {}}]},
        "starts from 'dpo', which is not trained before it",
    ),
    (
        {**STEPS, "train": [{"reward": {}}, {"dpo": {"from": "reward"}}]},
        "starts from 'reward', a reward model",
    ),
    ({**STEPS, "train": [{"sft": {"from": "slf"}}]}, "'slf' names no model"),
    (
        {**STEPS, "train": [{"sft": {"from": "openai:x@http://localhost:1/v1"}}]},
        "whose weights are behind a server",
    ),
    ({**STEPS, "train": [{"grpo": {}}]}, "grpo of the recipe 'mine' has no reward. Train a reward"),
    (
        {**STEPS, "train": [{"grpo": {"reward_models": ["nowhere"]}}]},
        "is rewarded by 'nowhere', which is neither a reward training of the recipe nor a folder",
    ),
    (
        {**STEPS, "train": [{"sft": {}}, {"grpo": {"reward_models": ["sft"]}}]},
        "is rewarded by 'sft', which is not a reward model trained before it",
    ),
    ({**STEPS, "train": [{"grpo": {"reward_models": ["x*y"]}}]}, "'y' is not a weight"),
    (
        {
            "revise": {},
            "models": {"judge": "train/sft"},
            "train": [{"rloo": {"score": {}}}, {"sft": {}}],
        },
        "is rewarded by the judge, which is 'train/sft' and not trained before it",
    ),
    ({**STEPS, "train": [{"sft": {"mix": ["nowhere.jsonl"]}}]}, "nowhere.jsonl"),
]


@pytest.mark.parametrize(("parts", "said"), REFUSED)
def test_a_training_that_cannot_be_done_is_refused(parts: dict[str, object], said: str):
    with pytest.raises(CaiError) as caught:
        check_steps(recipe(**parts))
    assert said in str(caught.value)


@pytest.mark.parametrize(("default", "said"), [
    (None, "starts from the model of respond, and there is none"),
    ("train/dpo", "is 'train/dpo' and does not exist at the start"),
    ("openai:x@http://localhost:1/v1", "behind a server"),
])  # fmt: skip
def test_the_first_training_needs_a_model_that_can_be_trained(default: str | None, said: str):
    with pytest.raises(UsageError, match=said):
        check_start(recipe(**STEPS, train=[{"sft": {}}]), default)
    check_start(recipe(**STEPS, train=[{"sft": {"from": "embedded"}}]), default)
