"""From the name of a model to the model: parts, options, and what is refused."""

import pytest

from cai.errors import ModelError, UsageError
from cai.models.openai.client import HttpModel
from cai.models.registry import Spec, has_scheme, open_model, parse_spec


@pytest.mark.parametrize(
    ("spec", "parsed"),
    [
        ("embedded", Spec("embedded", "embedded")),
        ("embedded?device=cpu", Spec("embedded", "embedded", (), {"device": "cpu"})),
        ("hf:Qwen/Qwen3-0.6B", Spec("hf", "Qwen/Qwen3-0.6B")),
        ("hf:./my model", Spec("hf", "./my model")),
        ("hf:C:\\models\\mine", Spec("hf", "C:\\models\\mine")),
        (
            "hf:me/mine?adapter=out&revision=v2&dtype=float32",
            Spec("hf", "me/mine", (), {"adapter": "out", "revision": "v2", "dtype": "float32"}),
        ),
        ("openai:gpt-4.1-mini", Spec("openai", "gpt-4.1-mini")),
        ("openai:m@http://h:1/v1", Spec("openai", "m", ("http://h:1/v1",))),
        ("openai:m@http://a/v1,https://b/v1", Spec("openai", "m", ("http://a/v1", "https://b/v1"))),
        ("openai:ft:gpt@2024", Spec("openai", "ft:gpt@2024")),
        ("openai:org/m@v1@http://h/v1", Spec("openai", "org/m@v1", ("http://h/v1",))),
        (
            "openai:m@http://h/v1?key=MY_KEY&kind=base",
            Spec("openai", "m", ("http://h/v1",), {"key": "MY_KEY", "kind": "base"}),
        ),
    ],
)
def test_a_name_is_taken_apart(spec: str, parsed: Spec):
    assert parse_spec(spec) == parsed


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("", "names no model"),
        ("gpt-4", "A model is one of: embedded, hf:NAME_OR_PATH"),
        ("hf", "A model is one of"),
        ("hf:", "A model is one of"),
        ("embedded:large", "A model is one of"),
        ("hff:me/mine", "Did you mean 'hf'?"),
        ("opnai:m", "Did you mean 'openai'?"),
        ("embedded?slot=3", "no option 'slot'. Options: device, dtype, slots"),
        ("hf:me/mine?kind=base", "no option 'kind'"),
        ("openai:@http://h/v1", "openai:MODEL@URL"),
    ],
)
def test_a_name_that_is_none_is_answered_with_what_there_is(spec: str, said: str):
    with pytest.raises(UsageError) as raised:
        parse_spec(spec)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("openai:m@http://h/v1?kind=chatty", "it is 'chat' or 'base'"),
        ("openai:m@http://h/v1?timeout=soon", "timeout=soon is not a whole number"),
        ("openai:m@http://h/v1?connections=0", "connections=0 is not a whole number above 0"),
        ("openai:m@http://me:secret@h/v1", "carries a user, a password"),
        ("openai:m@http:///v1", "is not the URL of a server"),
        ("hf:me/mine?template.a b=1", "not the name of an argument"),
    ],
)
def test_a_wrong_value_is_said(spec: str, said: str):
    with pytest.raises(UsageError) as raised:
        open_model(spec)
    assert said in str(raised.value)
    assert "secret" not in str(raised.value)


def test_a_server_is_opened_with_its_options(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MY_KEY", "sk-0123456789")
    model = open_model("openai:m@http://b:2/v1,http://a:1/v1?key=MY_KEY&kind=base&timeout=5")
    assert isinstance(model, HttpModel)
    assert model.name == "openai:m@a:1/v1,b:2/v1"
    assert not model.is_chat
    assert "sk-0123456789" not in repr(model)


def test_the_hosted_api_wants_a_key(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(ModelError, match="OPENAI_API_KEY is not set"):
        open_model("openai:gpt-4.1-mini")


def test_a_local_folder_that_is_not_there_is_said():
    with pytest.raises(ModelError, match="no-such-folder"):
        open_model("hf:./no-such-folder")


def test_the_embedded_model_is_named_by_its_weights():
    model = open_model("embedded?device=cpu&slots=2")
    scheme, _, digest = model.name.partition("#")
    assert scheme == "embedded"
    assert len(digest) == 8
    assert model.is_chat


@pytest.mark.parametrize(
    ("spec", "is_remote"), [("embedded", False), ("hf:me/mine", False), ("openai:m", True)]
)
def test_a_name_says_whether_its_weights_are_behind_a_server(spec: str, is_remote: bool):
    assert parse_spec(spec).is_remote == is_remote


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hf:me/mine", True),
        ("openai:m@http://h", True),
        ("embedded?dtype=float32", True),
        ("embedded", True),
        ("hf", False),
        ("runs/reward", False),
        ("C:\\models", False),
    ],
)
def test_a_folder_has_no_scheme(text: str, expected: bool):
    assert has_scheme(text) == expected
