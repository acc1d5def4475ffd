"""The reward functions for verl, called as verl calls them, against a server."""

import asyncio
import importlib.util
from collections.abc import Generator
from types import ModuleType

import pytest
from arithmetic_judge import arithmetic_judge
from service_clients import served

from cai.errors import TrainingError
from cai.serving import verl
from cai.serving.app import Service

EXTRA_INFO = {"prompt": "Hi."}


@pytest.fixture(scope="module")
def url() -> Generator[str]:
    with served(Service(arithmetic_judge()[0])) as address:
        yield address


@pytest.fixture
def loaded() -> ModuleType:
    """The module as verl loads it: from its file, under another name."""
    spec = importlib.util.spec_from_file_location("custom_module", verl.__file__)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_one_response_gets_its_reward(loaded: ModuleType, url: str):
    found = loaded.compute_score(
        data_source="x", solution_str="mark 10", ground_truth=None, extra_info=EXTRA_INFO,
        strict_box_verify=False, reward_router_address=None, url=url,
    )  # fmt: skip
    assert found == {"score": pytest.approx(1.0), "scored": 1.0}


def test_a_prompt_may_be_messages_under_another_name(url: str):
    messages = ({"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hi!"})
    info = {"question": (*messages, {"role": "user", "content": "mark me"})}
    found = verl.compute_score("x", "mark 1", None, info, url=url, prompt_key="question")
    assert found["score"] == pytest.approx(-1.0)


def test_a_batch_goes_in_one_request_and_keeps_its_order(url: str):
    responses = [f"mark {1 + number % 10}" for number in range(30)]
    found = verl.compute_scores(["x"] * 30, responses, [None] * 30, [EXTRA_INFO] * 30, url=url)
    assert [each["score"] for each in found] == pytest.approx(
        [2 * (number % 10) / 9 - 1 for number in range(30)]
    )


async def test_async_calls_run_side_by_side(url: str):
    found = await asyncio.gather(
        *(
            verl.compute_score_async("x", f"mark {1 + number % 10}", None, EXTRA_INFO, url=url)
            for number in range(20)
        )
    )
    assert [each["score"] for each in found] == pytest.approx(
        [2 * (number % 10) / 9 - 1 for number in range(20)]
    )


def test_what_was_not_scored_is_an_error_or_the_number_that_was_chosen(url: str):
    with pytest.raises(TrainingError, match="not scored: failed"):
        verl.compute_score("x", "refuse me", None, EXTRA_INFO, url=url)
    found = verl.compute_score("x", "refuse me", None, EXTRA_INFO, url=url, unscored=-2.0)
    assert found == {"score": -2.0, "scored": 0.0}


@pytest.mark.parametrize("info", [None, {}, {"prompt": None}])
def test_a_row_without_a_prompt_is_refused(info: dict[str, object] | None):
    with pytest.raises(TrainingError, match="no 'prompt'"):
        verl.compute_score("x", "y", None, info)


async def test_a_server_that_is_not_there_or_another_is_named(url: str):
    gone = "http://127.0.0.1:9"
    with pytest.raises(TrainingError, match="Start it: cai serve"):
        verl.compute_score("x", "y", None, EXTRA_INFO, url=gone)
    with pytest.raises(TrainingError, match="Start it: cai serve"):
        await verl.compute_score_async("x", "y", None, EXTRA_INFO, url=gone)
    with pytest.raises(TrainingError, match="answers 404"):
        verl.compute_score("x", "y", None, EXTRA_INFO, url=f"{url}/nowhere")


def test_the_key_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("REWARD_KEY", "a-secret-word")
    with served(Service(arithmetic_judge()[0], key="a-secret-word")) as url:
        found = verl.compute_score("x", "mark 10", None, EXTRA_INFO, url=url, key_env="REWARD_KEY")
        assert found["scored"] == 1.0
        with pytest.raises(TrainingError, match=r"answers 401.*key is missing"):
            verl.compute_score("x", "mark 10", None, EXTRA_INFO, url=url)
