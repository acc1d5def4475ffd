"""The error of an example of which no call succeeded."""

import pytest

from cai.errors import ContextLengthError, ModelError
from cai.runs.job import error_of

LONG = ("ContextLengthError", "It is too long.")
KEY = ("ModelError", "It wants a key.")


@pytest.mark.parametrize(("failures", "kind", "message"), [
    ([LONG, LONG], ContextLengthError, "It is too long."),
    ([KEY, KEY], ModelError, "It wants a key."),
    ([LONG, KEY], ModelError, "It wants a key."),
])  # fmt: skip
def test_it_is_too_long_only_where_every_request_is(
    failures: list[tuple[str, str]], kind: type[ModelError], message: str
):
    error = error_of(failures)
    assert type(error) is kind
    assert str(error) == message
    assert not error.retryable
