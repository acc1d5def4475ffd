"""`cai run` on a local server: recipe files, presets shown, roles, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from judging_servers import by_letters
from openai_server import Json, LocalServer, Received, chat
from reward_server import CallCai, Ended, assert_refused, refusing, spec, write_prompts

from cai.pipeline.loader import preset_text
from cai.run import Run

RECIPE = """
name: small
constitution: {constitution}
sample: {{k: 2}}
judge: {{principles: 1}}
export:
  preference: {{pairs: all}}
"""


def acting(received: Received) -> Json:
    """Responses of many lengths, and a judge who likes the longer one."""
    if "<response_a>" in str(received.body):
        return by_letters(received)
    return chat("Wipe it." * (1 + received.body["seed"] % 89))


@pytest.fixture
def recipe(tmp_path: Path, constitution: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(RECIPE.format(constitution=constitution))
    return path


@pytest.fixture
def run(
    call_cai: CallCai, local_server: LocalServer, tmp_path: Path, recipe: Path
) -> Callable[..., Ended]:
    """`cai run` of the small recipe on three prompts, with more options."""
    local_server.reply = acting
    prompts = write_prompts(tmp_path / "prompts.jsonl", 3)

    def call(*more: object, model: str | None = None) -> Ended:
        return call_cai(
            *("run", recipe, prompts, "-m", model or spec(local_server)),
            *("-o", tmp_path / "out", *more),
        )

    return call


def test_every_step_is_done_and_told(run, tmp_path: Path):
    ended = run()
    out = tmp_path / "out"
    assert ended.code == 0
    assert ended.out.splitlines()[:2] == [
        f"{out / 'sample'}: 3 done, 0 failed",
        f"{out / 'judge'}: 3 done, 0 failed",
    ]
    assert ended.out.splitlines()[2].startswith(f"{out / 'preference.jsonl'}: preference: ")
    assert len(list(Run(out / "judge").judged())) == 3


def test_json_ends_with_the_steps(run, tmp_path: Path):
    ended = json.loads(run("--json").out.splitlines()[-1])
    assert ended["event"] == "end"
    steps = ended["steps"]
    assert [each["step"] for each in steps] == ["sample", "judge", "export preference"]
    assert (steps[0]["counts"]["done"], steps[0]["counts"]["failed"]) == (3, 0)
    assert steps[2]["counts"] is None
    assert [Path(each["path"]).exists() for each in steps] == [True] * 3


def test_a_second_time_nothing_is_asked(run, local_server: LocalServer):
    first = run().out
    n_before = len(local_server.received)
    assert run().out == first
    assert len(local_server.received) == n_before


def test_a_limit_is_of_every_step(run, local_server: LocalServer):
    """Two samples, and the letter in two orders after one trial."""
    assert "sample: 1 done" in run("--limit", 1).out
    assert len(local_server.received) == 2 + 1 + 2


def test_a_role_is_played_by_the_model_named_for_it(run, local_server: LocalServer):
    local_server.models = ("tiny", "other")
    ended = run("--role", f"judge={spec(local_server, 'other')}")
    assert ended.code == 0, ended.err
    judged = {
        body["model"] for body in local_server.bodies if "<response_a>" in str(body["messages"])
    }
    sampled = {
        body["model"] for body in local_server.bodies if "<response_a>" not in str(body["messages"])
    }
    assert (judged, sampled) == ({"other"}, {"tiny"})


def test_models_and_prompts_may_stand_in_the_recipe(
    call_cai: CallCai, local_server: LocalServer, tmp_path: Path, recipe: Path
):
    local_server.reply = acting
    prompts = write_prompts(tmp_path / "prompts.jsonl", 2)
    more = f"prompts: ['{prompts}']\nmodels: {{respond: '{spec(local_server)}'}}\n"
    recipe.write_text(recipe.read_text() + more)
    ended = call_cai("run", recipe, "-o", tmp_path / "out")
    assert (ended.code, ended.out.count("2 done, 0 failed")) == (0, 2), ended.err


def test_failed_examples_are_told_by_the_exit_code(run, local_server: LocalServer):
    local_server.reply = refusing("lamp number 1", otherwise=acting)
    ended = run()
    assert ended.code == 1
    assert "sample: 2 done, 1 failed" in ended.out


def test_a_preset_is_shown_and_nothing_is_done(call_cai: CallCai, in_tmp_path: Path):
    ended = call_cai("run", "bai2022", "--show")
    assert (ended.code, ended.out, ended.err) == (0, preset_text("bai2022"), "")
    assert list(in_tmp_path.iterdir()) == []
    ended = call_cai("run", "bai2000", "--show")
    assert_refused(ended, "no preset 'bai2000'. The presets are bai2022, bai2022-cot, bai2022-rl")


def test_another_constitution_takes_the_place_of_the_recipes(run, tmp_path: Path):
    assert_refused(run("-c", "no-such-constitution"), "no-such-constitution")
    assert run("-c", "testbed", "--limit", 1).code == 0
    (judged,) = Run(tmp_path / "out" / "judge").judged()
    assert judged.matchups[0].verdict.principle_verdicts[0].principle_id not in ("long", "late")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--role", "critic=embedded"], "--role 'critic=embedded' is not ROLE=SPEC. The roles are"),
        (["--role", "judge"], "--role 'judge' is not ROLE=SPEC"),
        (["--role", "judge=embeded"], "Did you mean 'embedded'?"),
        (["--limit", "0"], "0 is not in the range"),
    ],
)
def test_a_wrong_option_is_said_before_any_call(run, local_server, tmp_path, options, said):
    assert_refused(run(*options), said)
    assert local_server.received == []
    assert not (tmp_path / "out").exists()


def test_what_is_missing_is_asked_for(call_cai: CallCai, tmp_path: Path, recipe: Path):
    prompts = write_prompts(tmp_path / "prompts.jsonl", 1)
    for arguments, said in (
        ((recipe,), "names no prompts. Name files after it: cai run small prompts.jsonl"),
        ((recipe, prompts, "-o", tmp_path / "out"), "Name a model with -m, or in the recipe"),
        ((recipe, prompts, "-m", "embedded"), "Name the folder of the runs with -o"),
        ((recipe, tmp_path / "absent.jsonl", "-m", "embedded"), "absent.jsonl"),
        ((tmp_path / "absent.yaml", prompts), "cannot be read as a recipe"),
    ):
        ended = call_cai("run", *arguments)
        assert (ended.code, ended.out) == (2, ""), arguments
        assert said in " ".join(ended.err.split())
    assert not (tmp_path / "out").exists()


def test_a_recipe_that_is_wrong_is_said_with_its_line(
    call_cai: CallCai, tmp_path: Path, recipe: Path
):
    recipe.write_text("name: small\nsampel: {}\n")
    ended = call_cai("run", recipe, "x.jsonl", "-m", "embedded", "-o", tmp_path / "out")
    assert_refused(ended, f"error: {recipe}:2: sampel is not known. Did you mean 'sample'?")


def test_a_training_behind_a_server_is_refused_before_a_call(
    run: Callable[..., Ended], recipe: Path, local_server: LocalServer
):
    recipe.write_text(recipe.read_text() + "train: [{dpo: {}}]\n")
    assert_refused(run(), "The training dpo of the recipe 'small' starts from 'openai:tiny@")
    assert local_server.received == []


def test_a_role_can_be_played_by_a_training_from_the_command_line(
    run: Callable[..., Ended], recipe: Path
):
    recipe.write_text(recipe.read_text() + "train: [{dpo: {from: embedded}}]\n")
    ended = run("--role", "sample=train/dpo")
    assert_refused(ended, "dpo of the recipe 'small' has nothing to train on: none of judge")
    ended = run("--role", "sample=train/kto")
    assert "has the model 'train/kto', and no training of a policy" in ended.err


def test_a_recipe_whose_models_are_all_trainings_needs_one_more(
    call_cai: CallCai, recipe: Path, tmp_path: Path
):
    prompts = write_prompts(tmp_path / "prompts.jsonl", 3)
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "Why?", "completion": "So."}\n')
    text = f"models: {{respond: train/sft}}\ntrain: [{{sft: {{data: ['{rows}']}}}}]\n"
    recipe.write_text(recipe.read_text() + text)
    ended = call_cai("run", recipe, prompts, "-o", tmp_path / "out")
    assert (ended.code, "Name a model with -m" in ended.err) == (2, True)
