"""Whether judges are read by log-probabilities or by what they write, found out before a run.

Some servers drop log-probabilities without a word, and some models think before they answer, so
that the first token is no letter. One small question to each judge tells.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.console import Console

from cai.engine.calls.retry import retrying
from cai.errors import NoLogprobs, UsageError
from cai.judging.judge import Judge
from cai.models.protocol import ChoiceModel
from cai.speaker import Speaker
from cai.types import Conversation

Verdicts = Literal["auto", "logprobs", "parsed"]
"""Log-probabilities where there are any, log-probabilities or an error, or words."""

Asking = tuple[Conversation, Sequence[str]]
"""The turns of a question and the options of its answer."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A first question of the method, and how the method reads a judge that answers in words."""

    question: Callable[[Speaker], Asking]
    in_words: str


async def read_judges(
    speakers: Sequence[Speaker], verdicts: Verdicts, trial: Trial, console: Console
) -> tuple[Judge, ...]:
    """The judges, each read as asked for. One that gives no log-probabilities is said loudly.

    Raises:
        UsageError: Two judges are the same model, or there is none.
        NoLogprobs: Log-probabilities are asked for and a judge gives none.
        ModelError: A judge cannot be asked.
    """
    names = [speaker.model.name for speaker in speakers]
    if len(set(names)) < len(names) or not names:
        raise UsageError(
            f"The judges are: {', '.join(names) or 'none'}. Name at least one, and each once."
        )
    return tuple([await _read(each, verdicts, trial, console) for each in speakers])


def warn(console: Console, text: str) -> None:
    """Prints a line that is not overlooked."""
    console.print(
        f"WARNING: {text}",
        style="bold yellow",
        markup=False,
        highlight=False,
        emoji=False,
        soft_wrap=True,
    )


async def _read(speaker: Speaker, verdicts: Verdicts, trial: Trial, console: Console) -> Judge:
    if verdicts == "parsed":
        return Judge(speaker, reads_logprobs=False)
    reason = await _refusal(speaker, trial)
    if reason is None:
        return Judge(speaker, reads_logprobs=True)
    if verdicts == "logprobs":
        raise NoLogprobs(f"{reason} Log-probabilities were asked for: ask for auto or parsed.")
    warn(
        console,
        f"{speaker.model.name} gives no log-probabilities; {trial.in_words}. The reason: {reason}",
    )
    return Judge(speaker, reads_logprobs=False)


async def _refusal(speaker: Speaker, trial: Trial) -> str | None:
    """Why the model gives no log-probabilities of the options; None where it does."""
    model = retrying(speaker.model)
    if not isinstance(model, ChoiceModel):
        return f"{model.name} is of a kind that has none."
    turns, options = trial.question(speaker)
    try:
        await model.choose(speaker.templates.request(turns), options)
    except NoLogprobs as error:
        return str(error)
    return None
