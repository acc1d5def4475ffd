"""Every error that cai raises on purpose.

    CaiError                   a message for the user: where, what was found, what to do
    ├── UsageError             a wrong option, name or combination of them
    ├── ConstitutionError      a constitution that cannot be read or breaks the schema
    ├── PromptError            a template that is missing, does not parse or lacks a variable
    ├── SourceError            a file or data set of prompts or comparisons that cannot be read
    │   └── UnknownColumns     which of its columns hold what is needed cannot be told
    ├── ModelError             a model that could not be opened, or a call that failed
    │   ├── ModelUnavailable   retryable: connection, time-out, overload, server error
    │   ├── ContextLengthError the request is longer than the model reads
    │   └── NoLogprobs         the model gives no log-probabilities of the options asked for
    ├── RunStopped             a run that was told to end early: a cap is reached, or Ctrl-C
    ├── JournalError           a run folder that cannot be used: other settings, in use, damaged
    ├── TrainingError          data, settings or a model that cannot be trained with
    ├── ExportError            records that cannot become the rows asked for
    └── EvaluationError        a figure that cannot be computed from what is there

Clients raise; only `engine/` retries, and only what says `retryable`.
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
    "context length",
    "no log-probabilities",
    "unforeseen",
    "error",
]
"""What failed, in the words by which failures are counted; the first six may pass."""


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
    """A failure that may pass. `retry_after_s` is the server's own advice in seconds, if any."""

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
