"""When an example is a failure, though its calls may each fail in their own way."""

from collections.abc import Sequence

from cai.errors import ContextLengthError, ModelError


def error_of(failures: Sequence[tuple[str, str]]) -> ModelError:
    """The error of an example of which no call succeeded, from kind and message of each failure.

    It is that of a request that is too long where all are: such an example stops no run, while a
    row of other failures does.
    """
    too_long = ContextLengthError.__name__
    others = [message for kind, message in failures if kind != too_long]
    return ModelError(others[0]) if others else ContextLengthError(failures[0][1])
