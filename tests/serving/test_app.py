"""The server over real HTTP: what it answers, whom, and what it says when it cannot."""

import asyncio
import json
import math
from typing import Any

import pytest
from http_service import asked
from made_judge import made_judge
from tiny_rewards import save_reward_model

from cai.serving.chat_format import form_of
from cai.serving.reward_model import ModelRewarder
from cai.serving.server import Service
from cai.training.reward_model.model import RewardModel
from cai.types import Message

TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hello?"},
    {"role": "assistant", "content": "Yes?"},
    {"role": "user", "content": "How are you?"},
]


@pytest.fixture(scope="module")
def reward_model(tmp_path_factory: pytest.TempPathFactory) -> RewardModel:
    return RewardModel.load(str(save_reward_model(tmp_path_factory.mktemp("reward"))))


def fits(value: Any, schema: Any, parts: Any) -> bool:
    """Whether a value is of a JSON Schema, as far as the server's own schemas go."""
    if "$ref" in schema:
        return fits(value, parts[schema["$ref"].rpartition("/")[2]], parts)
    if "anyOf" in schema:
        return any(fits(value, each, parts) for each in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return value in schema.get("enum", [schema.get("const")])
    kind = schema.get("type")
    if kind == "object":
        inner = schema.get("properties", {})
        other = schema.get("additionalProperties", True)
        return (
            isinstance(value, dict)
            and set(schema.get("required", ())) <= set(value)
            and all(
                fits(each, inner[name], parts)
                if name in inner
                else other is True or (other is not False and fits(each, other, parts))
                for name, each in value.items()
            )
        )
    if kind == "array":
        return (
            isinstance(value, list)
            and schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", 10**9)
            and all(fits(each, schema.get("items", {}), parts) for each in value)
        )
    if kind == "number":
        low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
        return isinstance(value, int | float) and low <= value <= high
    return {"string": isinstance(value, str), "null": value is None, None: True}[kind]


async def call(client: Any, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    """Status and answer, which is checked against the server's own description."""
    method = "get" if body is None else "post"
    data = body if isinstance(body, str | bytes | None) else json.dumps(body)
    async with client.request(method, path, data=data, headers=headers) as answer:
        found = await answer.json()
        assert answer.headers["X-Request-ID"]
        status = answer.status
    key = {name: value for name, value in headers.items() if name == "Authorization"}
    async with client.get("/openapi.json", headers=key) as answer:
        if answer.status == 200:
            document = await answer.json()
            told = document["paths"][path][method]["responses"][str(status)]
            schema = told["content"]["application/json"]["schema"]
            assert fits(found, schema, document["components"]["schemas"]), found
    return status, found


async def test_a_judge_scores_by_principle_and_weight():
    """Marks 10 and 10 are 1; a mark of 4 is 2 (4 − 1) / 9 − 1 = −1/3 under both principles."""
    judge, model = made_judge()
    async with asked(Service(judge)) as client:
        items = [{"prompt": "Hi.", "response": "mark 10"}, {"prompt": TALK, "response": "mark 4"}]
        status, found = await call(client, "/score", {"items": items})
    assert status == 200
    first, second = found["scores"]
    assert first["outcome"] == second["outcome"] == "scored"
    assert first["reward"] == pytest.approx(1.0)
    assert second["reward"] == pytest.approx(-1 / 3)
    assert second["by_principle"] == {
        "kind": pytest.approx(-1 / 3),
        "short": pytest.approx(-1 / 3),
    }
    assert any("Be brief." in request.text and "Yes?" in request.text for request in model.requests)


async def test_a_judgement_that_fails_is_null_with_its_outcome_and_harms_no_other():
    judge, _ = made_judge()
    items = [{"prompt": "Hi.", "response": "refuse me"}, {"prompt": "Hi.", "response": "mark 1"}]
    pairs = [{"prompt": "Hi.", "response_a": "refuse me", "response_b": "No."}]
    async with asked(Service(judge)) as client:
        _, found = await call(client, "/score", {"items": items})
        _, compared = await call(client, "/compare", {"items": pairs})
    lost, kept = found["scores"]
    assert (lost["reward"], lost["outcome"]) == (None, "failed")
    assert lost["reason"] == "The server refused the request."
    assert (kept["reward"], kept["outcome"]) == (pytest.approx(-1.0), "scored")
    assert compared["comparisons"][0]["p_a"] is None
    assert compared["comparisons"][0]["outcome"] == "failed"


async def test_a_judge_compares_and_swapping_the_responses_swaps_the_verdict():
    judge, _ = made_judge()
    long, short = "A longer one.", "A long one."
    pairs = [
        {"prompt": "Hi.", "response_a": long, "response_b": short},
        {"prompt": "Hi.", "response_a": short, "response_b": long},
    ]
    async with asked(Service(judge)) as client:
        _, found = await call(client, "/compare", {"items": pairs})
    there, back = found["comparisons"]
    assert (there["outcome"], back["outcome"]) == ("a", "b")
    assert there["p_a"] == pytest.approx(1 / (1 + math.exp(-2)))
    assert back["p_a"] == pytest.approx(1 - there["p_a"])


async def test_a_reward_model_is_served_as_it_scores(reward_model: RewardModel):
    talk = tuple(Message(turn["role"], turn["content"]) for turn in TALK)  # pyright: ignore
    responses = ["Well.", "Badly, and why do you ask?", "x " * 400]
    expected = reward_model.rewards([(*talk, Message("assistant", each)) for each in responses])
    assert expected[2] is None
    items = [{"prompt": TALK, "response": each} for each in responses]
    pair = {"prompt": TALK, "response_a": responses[0], "response_b": responses[1]}
    lost = {"prompt": TALK, "response_a": responses[0], "response_b": responses[2]}
    async with asked(Service(ModelRewarder(reward_model))) as client:
        _, found = await call(client, "/score", {"items": items})
        _, compared = await call(client, "/compare", {"items": [pair, lost]})
    assert [each["reward"] for each in found["scores"]] == [
        pytest.approx(expected[0], abs=1e-5), pytest.approx(expected[1], abs=1e-5), None,
    ]  # fmt: skip
    assert found["scores"][2]["outcome"] == "unscored"
    assert expected[0] is not None and expected[1] is not None
    p_a = 1 / (1 + math.exp(expected[1] - expected[0]))
    assert compared["comparisons"][0]["p_a"] == pytest.approx(p_a, abs=1e-5)
    assert compared["comparisons"][1]["p_a"] is None
    await reward_model.close()


async def test_concurrent_requests_get_their_own_answers():
    judge, _ = made_judge()
    marks = [1 + number % 10 for number in range(40)]
    async with asked(Service(judge)) as client:
        found = await asyncio.gather(
            *(
                call(client, "/score", {"items": [{"prompt": "Hi.", "response": f"mark {mark}"}]})
                for mark in marks
            )
        )
    rewards = [answer["scores"][0]["reward"] for _, answer in found]
    assert rewards == pytest.approx([2 * (mark - 1) / 9 - 1 for mark in marks])


async def test_openrlhf_gets_rewards_of_what_its_policy_read(reward_model: RewardModel):
    rewarder = ModelRewarder(reward_model)
    form = form_of(reward_model.tokenizer)
    prompt = "<|im_start|>user\nHow are you?<|im_end|>\n<|im_start|>assistant\n"
    body = {"query": [f"{prompt}Well.<|im_end|>"], "prompts": [prompt], "labels": ["x"]}
    talk = (Message("user", "How are you?"), Message("assistant", "Well."))
    (expected,) = reward_model.rewards([talk])
    async with asked(Service(rewarder, form=form)) as client:
        status, found = await call(client, "/get_reward", body)
    assert status == 200
    assert found["rewards"] == found["scores"] == [pytest.approx(expected, abs=1e-5)]
    assert found["extra_logs"] == {"scored": [1.0]}
    await reward_model.close()


async def test_openrlhf_is_never_told_a_number_that_nobody_chose():
    judge, _ = made_judge()
    body = {"query": ["Hi. refuse me", "Hi. mark 10"], "prompts": ["Hi. ", "Hi. "], "labels": None}
    async with asked(Service(judge)) as client:
        status, found = await call(client, "/get_reward", body)
    assert status == 503
    assert "not scored: failed. The server refused the request." in found["error"]
    async with asked(Service(judge, substitute=-1.5)) as client:
        status, found = await call(client, "/get_reward", body)
    assert (status, found["rewards"]) == (200, [-1.5, pytest.approx(1.0)])
    assert found["extra_logs"] == {"scored": [0.0, 1.0]}


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/score", "{", "Invalid JSON"),
        ("/score", "[" * 100_000, "Invalid JSON"),
        ("/score", b"\xff", "Invalid JSON"),
        ("/score", {}, "items: Field required"),
        ("/score", {"items": []}, "items: "),
        ("/score", {"items": [{"prompt": "Hi."}]}, "items.0.response: Field required"),
        ("/score", {"items": [{"prompt": 3, "response": "x"}]}, "items.0.prompt"),
        ("/score", {"items": [{"prompt": TALK[:3], "response": "x"}]}, "must be the user's"),
        ("/score", {"items": [{"prompt": "x", "response": "x", "reponse": ""}]}, "reponse"),
        ("/compare", {"items": [{"prompt": "x", "response": "x"}]}, "response_a"),
        ("/get_reward", {"query": ["x"], "prompts": []}, "1 queries and 0 prompts"),
        ("/get_reward", {"query": ["x"], "prompts": ["y"]}, "does not hold its prompt"),
        ("/get_reward", {"query": ["<|im_start|>x"], "prompts": ["<|im_start|>"]}, "--policy"),
    ],
)
async def test_a_bad_request_is_answered_with_one_sentence(path: str, body: Any, message: str):
    judge, model = made_judge()
    async with asked(Service(judge)) as client:
        status, found = await call(client, path, body)
    assert status == 400
    assert message in found["error"]
    assert "\n" not in found["error"]
    assert model.requests == []


async def test_a_body_that_is_too_large_and_a_path_that_is_not_there_are_refused():
    judge, _ = made_judge()
    async with asked(Service(judge), body_bytes=1000) as client:
        items = [{"prompt": "x" * 2000, "response": "x"}]
        status, found = await call(client, "/score", {"items": items})
        assert (status, found["error"]) == (
            413,
            "The body is too large. Send fewer items at a time.",
        )
        async with client.get("/scores") as answer:
            assert answer.status == 404
            assert "/openapi.json" in (await answer.json())["error"]
        async with client.get("/score") as answer:
            assert answer.status == 405
            assert answer.headers["Allow"] == "POST"


async def test_without_the_key_nothing_is_scored():
    judge, model = made_judge()
    service = Service(judge, key="a-secret-word")
    body = {"items": [{"prompt": "Hi.", "response": "mark 2"}]}
    async with asked(service) as client:
        for header in ({}, {"Authorization": "Bearer a-secret"}, {"Authorization": "Bearer é"}):
            status, found = await call(client, "/score", body, **header)
            assert status == 401
            assert found["error"] == "The key is missing or wrong."
        assert model.requests == []
        status, _ = await call(client, "/score", body, Authorization="Bearer a-secret-word")
        assert status == 200
        status, _ = await call(client, "/health")
        assert status == 200
    assert "a-secret-word" not in repr(service)


async def test_a_request_keeps_its_id_or_gets_one():
    judge, _ = made_judge()
    async with asked(Service(judge)) as client:
        async with client.get("/health", headers={"X-Request-ID": "step-7"}) as answer:
            assert answer.headers["X-Request-ID"] == "step-7"
        async with client.get("/health", headers={"X-Request-ID": "a b<c>"}) as answer:
            assert len(answer.headers["X-Request-ID"]) == 32
        async with client.post("/score", data="{", headers={"X-Request-ID": "s1"}) as answer:
            assert (await answer.json())["request_id"] == "s1"


async def test_health_says_by_what_is_scored(reward_model: RewardModel):
    judge, _ = made_judge()
    async with asked(Service(judge)) as client:
        _, found = await call(client, "/health")
    assert found["kind"] == "judge"
    assert found["constitution"].startswith("rules@")
    assert found["principles"] == ["kind", "short"]
    async with asked(Service(ModelRewarder(reward_model))) as client:
        _, found = await call(client, "/health")
    assert found["kind"] == "reward model"
    assert found["name"] == reward_model.name


def test_the_check_of_answers_can_fail():
    schema = {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]}
    assert fits({"x": 1.0}, schema, {})
    assert not fits({"x": "1"}, schema, {})
    assert not fits({}, schema, {})
    assert not fits({"y": 1}, {**schema, "additionalProperties": False}, {})
