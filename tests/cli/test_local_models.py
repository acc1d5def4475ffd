"""Commands with a model in process: a tiny one with random weights, chat and base."""

import json
from pathlib import Path

import pytest
from reward_server import CallCai, assert_refused, write_prompts
from tiny import save_tiny_model

from cai.run import Run


@pytest.fixture(scope="module")
def chat_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("chat"), context=2048)


@pytest.fixture(scope="module")
def base_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("base"), template=None, context=2048)


def revise(call_cai: CallCai, tmp_path: Path, model: Path, run: str, *more: object) -> dict:
    prompts = write_prompts(tmp_path / "prompts.jsonl", 3)
    ended = call_cai(
        *("revise", prompts, "-c", "testbed", "-m", f"hf:{model}?device=cpu&slots=4"),
        *("-o", tmp_path / run, "--max-tokens", 6, "--json", *more),
    )
    assert ended.code == 0, ended.err
    return json.loads(ended.out)


@pytest.mark.parametrize("kind", ["chat_model", "base_model"])
def test_a_run_is_the_same_whatever_the_concurrency(
    call_cai: CallCai, tmp_path: Path, request: pytest.FixtureRequest, kind: str
):
    model = request.getfixturevalue(kind)
    assert revise(call_cai, tmp_path, model, "together")["done"] == 3
    revise(call_cai, tmp_path, model, "alone", "--concurrency", 1)
    together, alone = (list(Run(tmp_path / name).chains()) for name in ("together", "alone"))
    assert together == alone
    assert all(chain.response.usage.completion_tokens <= 6 for chain in together)


def test_a_folder_of_other_weights_is_another_recipe(
    call_cai: CallCai, tmp_path: Path, chat_model: Path
):
    revise(call_cai, tmp_path, chat_model, "run")
    other = save_tiny_model(tmp_path / "other", context=2048, seed=1)
    prompts = write_prompts(tmp_path / "prompts.jsonl", 3)
    ended = call_cai(
        *("revise", prompts, "-c", "testbed", "-m", f"hf:{other}?device=cpu"),
        *("-o", tmp_path / "run", "--max-tokens", 6),
    )
    assert_refused(ended, "roles.respond.model")


def test_a_too_long_prompt_is_a_record(call_cai: CallCai, tmp_path: Path, chat_model: Path):
    rows = [{"id": "long", "prompt": "lamp " * 3000}, {"id": "short", "prompt": "Hi?"}]
    source = tmp_path / "prompts.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    shared = ("-c", "testbed", "-m", f"hf:{chat_model}?device=cpu", "--max-tokens", 6)
    ended = call_cai("revise", source, *shared, "-o", tmp_path / "run")
    assert ended.code == 1
    assert "1 done, 1 failed" in ended.out


def test_a_base_model_is_not_asked_through_chat_templates(
    call_cai: CallCai, tmp_path: Path, base_model: Path
):
    prompts = write_prompts(tmp_path / "prompts.jsonl", 1)
    ended = call_cai(
        *("revise", prompts, "-c", "testbed", "-m", f"hf:{base_model}", "--prompts", "chat"),
        *("-o", tmp_path / "run"),
    )
    assert_refused(ended, "has no chat template", "--prompts transcript")
    assert not (tmp_path / "run").exists()
