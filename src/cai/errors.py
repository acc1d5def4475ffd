"""Every error that cai raises on purpose.

    CaiError                   a message for the user: where, what was found, what to do
    ├── UsageError             a wrong option, name or combination of them
    ├── ConstitutionError      a constitution that cannot be read or breaks the schema
    ├── PromptError            a template that is missing, does not parse or lacks a variable
    ├── SourceError            a file or data set of prompts or comparisons that cannot be read
    ├── ModelError             a model that could not be opened, or a call that failed
    │   ├── ModelUnavailable   retryable: connection, time-out, overload, server error
    │   ├── ContextLengthError the request is longer than the model reads
    │   └── NoLogprobs         the model gives no log-probabilities of the options asked for
    ├── JournalError           a run folder that cannot be used: of another recipe, in use, damaged
    ├── ExportError            records that cannot become the rows asked for
    └── EvaluationError        a figure that cannot be computed from what is there

Clients raise; only `engine/` retries, and only what says `retryable`.
"""


class CaiError(Exception):
    """An error with a message for the user; commands print it, no traceback, and exit with 2."""

    retryable = False


class UsageError(CaiError):
    pass


class ConstitutionError(CaiError):
    pass


class PromptError(CaiError):
    pass


class SourceError(CaiError):
    pass


class ModelError(CaiError):
    pass


class ModelUnavailable(ModelError):
    """A failure that may pass. `retry_after_s` is the server's own advice in seconds, if any."""

    retryable = True

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ContextLengthError(ModelError):
    pass


class NoLogprobs(ModelError):
    pass


class JournalError(CaiError):
    pass


class ExportError(CaiError):
    pass


class EvaluationError(CaiError):
    pass
