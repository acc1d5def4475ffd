"""Request models: what prompts may be, and which mistakes are named."""

from typing import Any

import pytest
from pydantic import ValidationError

from cai.serving.schema import MAX_ITEMS, RewardRequest, ScoreItem, ScoreRequest
from cai.types import Message

MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello?"}]


def test_a_text_is_one_user_message():
    prompt = ScoreItem(prompt="Hello?", response="Yes.").to_prompt()
    assert prompt.messages == (Message("user", "Hello?"),)


def test_messages_stay_as_they_are():
    item = ScoreItem.model_validate({"prompt": MESSAGES, "response": "Yes."})
    assert item.to_prompt().messages == (Message("system", "Be brief."), Message("user", "Hello?"))


@pytest.mark.parametrize(
    ("prompt", "where", "message"),
    [
        ([{"role": "robot", "content": "x"}], ("messages", 0, "role"), "'user'"),
        ([], ("messages",), "at least 1"),
        (MESSAGES[:1], (), "role system, and must be user's"),
        (3, ("messages",), "valid list"),
        ("half \ud800", ("text",), "surrogate pair at character 5"),
    ],
)
def test_a_wrong_prompt_is_located(prompt: Any, where: tuple[str | int, ...], message: str):
    with pytest.raises(ValidationError) as raised:
        ScoreItem.model_validate({"prompt": prompt, "response": "x"})
    error = raised.value.errors()[0]  # the one that the server reports
    assert error["loc"] == ("prompt", *where)
    assert message in error["msg"]


def test_a_request_has_a_greatest_number_of_items():
    item = {"prompt": "x", "response": "x"}
    assert len(ScoreRequest.model_validate({"items": [item] * MAX_ITEMS}).items) == MAX_ITEMS
    with pytest.raises(ValidationError, match=f"at most {MAX_ITEMS} items"):
        ScoreRequest.model_validate({"items": [item] * (MAX_ITEMS + 1)})


def test_fields_of_later_versions_of_openrlhf_are_ignored():
    body = {"query": ["x y"], "prompts": ["x "], "labels": [{"any": "thing"}], "images": [None]}
    assert RewardRequest.model_validate(body).query == ["x y"]
