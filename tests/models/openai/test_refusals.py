"""What servers mean by an error: each known refusal under its own cause, from public reports."""

import orjson
import pytest

from cai.errors import ContextLengthError, ModelError, ModelUnavailable
from cai.models.openai.errors import ApiKey, HttpReply
from cai.models.openai.refusals import complaint, failure

KEY = "sk-test-4f1d8a77c0ffee"


def error_of(status: int, body: object) -> ModelError:
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    return failure(HttpReply("http://one/v1", ApiKey("MY_KEY", KEY), status, content))


def said(message: str, **fields: object) -> object:
    return {"error": {"message": message, **fields}}


@pytest.mark.parametrize(
    ("status", "body", "cause"),
    [
        (402, {"error": {"code": 402, "message": "can only afford 40"}}, "no credit"),
        (402, b"Payment Required", "no credit"),
        (429, said("You exceeded your quota.", code="insufficient_quota"), "no credit"),
        (400, said("Your credit balance is too low to access the API."), "no credit"),
        (403, said("user quota", code="insufficient_user_quota"), "no credit"),
        (403, said("Insufficient Balance"), "no credit"),
        (413, b"<html>413 Request Entity Too Large</html>", "context length"),
        (429, said("Request too large for gpt-x on tokens per min (TPM)"), "context length"),
        (
            400,
            [said("The input token count (9) exceeds the maximum number of tokens allowed (8).")],
            "context length",
        ),
        (500, said("the request exceeds the available context size"), "context length"),
        (500, said("Error: Jinja Exception: roles must alternate"), "chat template"),
        (500, said("System role not supported", type="InternalServerError"), "chat template"),
        (400, said("Developer instruction is not enabled for models/gemma-3"), "chat template"),
        (400, said("Only user and assistant roles are supported!"), "chat template"),
        (400, said("Invalid value: 'system'.", param="messages[0].role"), "chat template"),
        (422, {"detail": [{"loc": ["messages", 0, "role"], "msg": "bad"}]}, "chat template"),
        (400, said("This model does not support system messages."), "chat template"),
        (403, said("The model requires moderation and your input was flagged"), "refused content"),
        (400, said("x", innererror={"code": "ResponsibleAIPolicyViolation"}), "refused content"),
        (400, said("Content Exists Risk"), "refused content"),
        (400, {"code": "DataInspectionFailed", "message": "no"}, "refused content"),
        (403, said("Content violates usage guidelines."), "refused content"),
        (451, b"", "refused content"),
        (501, b"", "refused request"),
        (500, said("litellm.BadRequestError: nothing helps"), "refused request"),
        (500, said("no", code=400), "refused request"),
        (403, said("Your key may not use this model"), "refused key"),
        (401, b"", "refused key"),
    ],
)  # fmt: skip
def test_what_cannot_pass_has_its_cause_and_is_not_asked_again(status, body, cause):
    error = error_of(status, body)
    assert (error.cause, error.retryable) == (cause, False)
    assert isinstance(error, ContextLengthError) == (cause == "context length")


@pytest.mark.parametrize(
    ("status", "message", "cause"),
    [
        (429, "You exceeded your current quota. Please retry in 20 s.", "rate limit"),
        (429, "Too many tokens, please wait before trying again.", "rate limit"),
        (500, "CUDA out of memory after 400 ms", "server error"),
        (500, "The server had an error while processing your request", "server error"),
        (502, "<html>502 Bad Gateway</html>", "server error"),
        (424, "Request failed during generation", "server error"),
        (503, "The system is not supported by enough workers", "server error"),
    ],
)
def test_what_may_pass_is_asked_again(status, message, cause):
    error = error_of(status, said(message))
    assert isinstance(error, ModelUnavailable)
    assert error.cause == cause


def test_what_the_server_repeats_of_the_request_is_not_its_word():
    """A prompt about moderation in an echoed body makes no refused content of a bad field."""
    echoed = {"loc": ["body", "n"], "msg": "why", "input": "content moderation, jinja"}
    error = error_of(422, {"detail": [echoed]})
    assert error.cause == "refused request"
    assert "'body.n: why'" in str(error)


def test_the_words_of_a_server_behind_a_gateway_are_read():
    raw = orjson.dumps(said("System role not supported")).decode()
    error = error_of(400, said("Provider returned error", metadata={"raw": raw}))
    assert error.cause == "chat template"
    assert "System role not supported" in str(error)


def test_a_key_in_an_error_is_hidden_and_a_deep_body_is_read_in_part():
    assert KEY not in str(error_of(400, said(f"key {KEY} is odd")))
    deep = b'{"error":' * 800 + b'"why"' + b"}" * 800
    reply = HttpReply("http://one/v1", ApiKey("MY_KEY", KEY), 400, deep)
    assert len(complaint(reply).message) < 30_000
