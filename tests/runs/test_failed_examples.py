"""The error of an example of which no call succeeded."""

import pytest

from cai.errors import ContextLengthError, ModelError
from cai.runs.execution import error_of

LONG = ("context length", "It is too long.")
FILTERED = ("refused content", "It was flagged.")
KEY = ("refused key", "It wants a key.")


@pytest.mark.parametrize(("failures", "kind", "message"), [
    ([LONG, LONG], ContextLengthError, "It is too long."),
    ([KEY, KEY], ModelError, "It wants a key."),
    ([LONG, KEY], ModelError, "It wants a key."),
    ([FILTERED, KEY], ModelError, "It wants a key."),
    ([FILTERED, LONG], ModelError, "It was flagged."),
])  # fmt: skip
def test_it_is_about_the_example_only_where_every_failure_is(
    failures: list[tuple[str, str]], kind: type[ModelError], message: str
):
    error = error_of(failures)
    assert type(error) is kind
    assert str(error) == message
    assert not error.retryable
    assert error.cause == next(cause for cause, said in failures if said == message)
