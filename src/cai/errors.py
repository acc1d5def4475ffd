"""Every error that cai raises on purpose. Each can be caught as `CaiError`.

    CaiError                   a message for the user: place, cause, what to do
    ├── UsageError             a wrong option, name or combination of them
    ├── ConstitutionError      a constitution that cannot be read or breaks the schema
    ├── PromptError            a template that is missing, does not parse or lacks a variable
    ├── SourceError            a file or data set of prompts or comparisons that cannot be read
    │   └── UnknownColumns     its columns do not show which ones are needed
    ├── ModelError             a model that could not be opened, or a call that failed
    │   ├── ModelUnavailable   retryable: connection, time-out, overload, server error
    │   ├── ContextLengthError the request is longer than the model's context
    │   └── NoLogprobs         the model returns no log-probabilities of the options
    ├── RunStopped             a run that ends early: a cap is reached, or Ctrl-C
    ├── JournalError           a run folder that cannot be used: other settings, locked, damaged
    ├── TrainingError          data, settings or a model that cannot be trained with
    ├── ExportError            records that cannot become the rows requested
    └── EvaluationError        a figure that cannot be computed from the data

Clients raise; only `engine/` retries, and only errors with `retryable`.

Example:
    raise UsageError(f"There is no model {name!r}. Name one of {', '.join(known)}.")
"""

from typing import Literal

Cause = Literal[
    "rate limit",
    "server error",
    "unreachable",
    "broken connection",
    "time-out",
    "invalid answer",
    "refused request",
    "refused content",
    "refused key",
    "no credit",
    "chat template",
    "context length",
    "no log-probabilities",
    "unforeseen",
    "error",
]
"""The cause of a failure, under which it is counted; the first six are retryable."""


class CaiError(Exception):
    """An error with a message for the user; commands print it, no traceback, and exit with 2."""

    retryable = False
    cause: Cause = "error"


class UsageError(CaiError):
    pass


class ConstitutionError(CaiError):
    pass


class PromptError(CaiError):
    pass


class SourceError(CaiError):
    pass


class UnknownColumns(SourceError):
    pass


class ModelError(CaiError):
    cause: Cause = "refused request"

    def __init__(self, message: str, cause: Cause | None = None) -> None:
        super().__init__(message)
        if cause is not None:
            self.cause = cause


class ModelUnavailable(ModelError):
    """A failure that may pass. `retry_after_s` is the server's Retry-After in seconds, if any."""

    retryable = True
    cause: Cause = "server error"

    def __init__(
        self, message: str, retry_after_s: float | None = None, cause: Cause | None = None
    ) -> None:
        super().__init__(message, cause)
        self.retry_after_s = retry_after_s


class ContextLengthError(ModelError):
    cause: Cause = "context length"


class NoLogprobs(ModelError):
    cause: Cause = "no log-probabilities"


class RunStopped(CaiError):
    pass


class JournalError(CaiError):
    pass


class TrainingError(CaiError):
    pass


class ExportError(CaiError):
    pass


class EvaluationError(CaiError):
    pass
