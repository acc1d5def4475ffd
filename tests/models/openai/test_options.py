"""What a user adds to every request: fields of the body, headers, a query, the key's header."""

import traceback

import pytest
from openai_server import LocalServer, chat

from cai.errors import ModelError, UsageError
from cai.models.base import Sampling
from cai.models.openai.options import read_options
from cai.models.registry import open_model
from cai.types import Message

SECRET = "hunter22-4f1d8a77"
ASKED = (Message("user", "Hello?"),)


async def sent(options: str):
    """What the server received of one call with those options."""
    async with LocalServer(chat("Hi.")) as server:
        model = open_model(f"openai:tiny@{server.url}?{options}")
        await model.complete(ASKED, Sampling())
        await model.close()
    return server.received[0]


async def test_fields_of_the_body_are_json_or_words_and_dots_go_deeper():
    received = await sent(
        'body.chat_template_kwargs={"enable_thinking":false}&body.reasoning_effort=low'
        "&body.provider.order=[1,2]&body.provider.only=null&body.temperature=1"
    )
    body = received.body
    assert body["chat_template_kwargs"] == {"enable_thinking": False}
    assert body["reasoning_effort"] == "low"
    assert body["provider"] == {"order": [1, 2], "only": None}
    assert body["temperature"] == 1


async def test_headers_and_the_query_go_with_every_request(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TEAM_KEY", SECRET)
    received = await sent("header.X-Team=red&header.X-Team-Key=$TEAM_KEY&query.trace=1")
    assert (received.headers["X-Team"], received.headers["X-Team-Key"]) == ("red", SECRET)


async def test_azure_by_deployment_takes_a_query_and_the_key_in_its_own_header(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    received = await sent("api-version=2024-10-21")
    assert received.headers["api-key"] == SECRET
    assert "Authorization" not in received.headers


@pytest.mark.parametrize("end", ["", "/", "/chat/completions", "/completions/"])
async def test_the_path_of_a_call_may_stand_in_the_url(end: str):
    assert open_model(f"openai:m@http://h/v1{end}").name == "openai:m@h/v1"


def test_the_name_says_what_can_change_an_answer_and_no_secret(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TEAM_KEY", SECRET)
    spec = "openai:m@http://h/v1?rpm=9&header.X-Key=$TEAM_KEY&body.effort=low&system=fold"
    name = open_model(spec).name
    assert name == "openai:m@h/v1?body.effort=low&header.X-Key=$TEAM_KEY&system=fold"
    assert SECRET not in repr(open_model(spec))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (f"header.Authorization={SECRET}", "header.Authorization=$NAME"),
        (f"query.sig={SECRET}", "may be a secret"),
        (f"key={SECRET}", "name of an environment variable"),
        (f"api_version={SECRET}", "no option 'api_version'"),
        (f"body.model={SECRET}", "cannot be set"),
        (f"body.={SECRET}", "cannot be set"),
        (f"body.a=1&body.a.b={SECRET}", "as a whole already"),
        (f"header.a b={SECRET}", "not a name that can be sent"),
        (f"header.a=\n{SECRET}", "cannot be sent"),
        ("header.X-Key=$NO_SUCH_VARIABLE", "NO_SUCH_VARIABLE is not set"),
        ("system=drop", "one of auto, fold, keep"),
    ],
)
def test_what_cannot_be_sent_is_refused_and_no_secret_is_quoted(options: str, said: str):
    with pytest.raises((UsageError, ModelError)) as raised:
        open_model(f"openai:m@http://h/v1?{options}")
    assert said in str(raised.value)
    assert SECRET not in "".join(traceback.format_exception(raised.value)).partition("Error:")[2]


@pytest.mark.parametrize("spec", ["opnai:m", "openai", "openai:@http://h/v1"])
def test_a_spec_that_names_no_model_is_quoted_without_its_query(spec: str):
    with pytest.raises(UsageError) as raised:
        open_model(f"{spec}?key={SECRET}")
    assert SECRET not in str(raised.value)


def test_options_that_are_about_no_request_are_left_alone():
    assert read_options({"rpm": "9", "key": "MINE"}) == read_options({})
