"""How well one response keeps a principle: a mark from 1 to 10, or passed and failed.

Direct RLAIF, Lee et al. 2023, arXiv:2309.00267, §3.4: the expectation over the probabilities of the
ten marks, scaled to [−1, 1]. Where a model shows no log-probabilities, the mean of the marks it
writes. A mark that cannot be parsed is an outcome and never a number.

Example:
    scored = await score(model, load_constitution("harmless"), "How do I …?", response)
    print(scored.value)  # in [−1, 1]; None where too little could be scored
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from cai.constitution.schema import Constitution, Principle
from cai.errors import ModelError, ModelUnavailable, UsageError
from cai.methods.judging.parsing import (
    MARK_SCHEMA,
    YES_NO_SCHEMA,
    both_reasons,
    is_refusal,
    read_mark,
    read_yes_no,
    why_unparsed,
)
from cai.methods.judging.requests import MARKS, YES_NO, check_turns, score_turns
from cai.methods.roles import Judge, candidates, gather_all
from cai.methods.settings import ScoreKind, ScoreSettings
from cai.models.base import Completion, Model, Usage
from cai.templates import TemplateSet
from cai.types import Conversation, Prompt, derive_seed, user_prompt

ScoreOutcome = Literal["scored", "unparsed", "refused", "failed"]


@dataclass(frozen=True, slots=True)
class Score:
    """One response under one principle.

    `value` in [−1, 1]; None unless `scored`. Of a mark it is 2 (m − 1) / 9 − 1 for the expected
    mark m, of a check 2 p − 1 for the probability p that it passes. `probabilities` are those of
    the options, as read or as shares of the samples. `error` is the cause of a failed call.
    `is_fallback` says that log-probabilities were asked for and could not be read, so that words
    were, or nothing. `n_cut_off` of the answers were ended by the limit of tokens.
    """

    kind: ScoreKind
    judge: str
    principle_id: str
    weight: float
    outcome: ScoreOutcome
    value: float | None = None
    probabilities: tuple[float, ...] = ()
    mass: float | None = None
    answers: tuple[str, ...] = ()
    reason: str = ""
    usage: Usage = Usage()
    error: str = ""
    is_fallback: bool = False
    n_cut_off: int = 0


@dataclass(frozen=True, slots=True)
class Scored:
    """A response with its scores; `model` gave it, "" where nobody knows."""

    prompt: Prompt
    response: str
    model: str
    scores: tuple[Score, ...]

    @property
    def value(self) -> float | None:
        """The weighted mean over what was scored; None where that is less than half the weight."""
        found = [(each.value, each.weight) for each in self.scores if each.value is not None]
        scored, total = sum(weight for _, weight in found), sum(s.weight for s in self.scores)
        if not found or scored < total / 2:
            return None
        return sum(value * weight for value, weight in found) / scored

    @property
    def principle_ids(self) -> tuple[str, ...]:
        """Each principle once."""
        return tuple(dict.fromkeys(each.principle_id for each in self.scores))

    @property
    def calls(self) -> tuple[Score, ...]:
        """Every score: a call to a judge, or one for each sample."""
        return self.scores

    @property
    def n_cut_off(self) -> int:
        """How many answers of judges the limit of tokens ended."""
        return sum(each.n_cut_off for each in self.scores)

    @property
    def usage(self) -> Usage:
        return sum((each.usage for each in self.scores), Usage())


async def score(
    model: Model,
    constitution: Constitution,
    prompt: str | Prompt,
    response: str,
    *,
    settings: ScoreSettings = ScoreSettings(),
    seed: int = 0,
) -> Scored:
    """A response under every principle with the tags, by one model. Raises as `score_response`."""
    prompt = user_prompt(prompt) if isinstance(prompt, str) else prompt
    scores = await score_response([Judge.of(model)], constitution, prompt, response, settings, seed)
    return Scored(prompt, response, "", scores)


async def score_response(
    judges: Sequence[Judge],
    constitution: Constitution,
    prompt: Prompt,
    response: str,
    settings: ScoreSettings,
    seed: int,
) -> tuple[Score, ...]:
    """A score from each judge under each principle, all asked for at once.

    Raises:
        UsageError: No principle has any of the tags, or the samples would all be equal.
        ModelUnavailable: A call failed in a way that may pass.
    """
    check_scoring(settings, constitution, judges)
    principles = candidates(constitution, settings.tags)
    scores = await gather_all(
        _score(judge, principle, prompt, response, settings, derive_seed(seed, principle.id))
        for judge in judges
        for principle in principles
    )
    return tuple(scores)


def check_scoring(
    settings: ScoreSettings, constitution: Constitution, judges: Sequence[Judge] = ()
) -> None:
    """Finds out before a call whether a constitution, and these judges, fit the settings.

    Raises:
        UsageError: No principle has any of the tags, or samples would all be equal.
    """
    candidates(constitution, settings.tags)
    for judge in judges:
        is_drawn = not judge.reads_logprobs and settings.samples > 1
        if is_drawn and judge.role.sampling.temperature == 0:
            raise UsageError(
                f"{settings.samples} samples at temperature 0 are all the same. Set the judge's "
                "temperature above 0, or ask for 1 sample."
            )


async def _score(
    judge: Judge,
    principle: Principle,
    prompt: Prompt,
    response: str,
    settings: ScoreSettings,
    seed: int,
) -> Score:
    turns = scoring_turns(settings.kind)(judge.role.templates, principle, prompt, response)
    blank = Score(settings.kind, judge.name, principle.id, principle.weight, "failed")
    options = score_options(settings.kind)
    try:
        if judge.reads_logprobs:
            found = await judge.read(turns, options, settings.min_mass)
            blank = replace(blank, mass=found.mass, reason=found.reason, usage=found.usage)
            if found.probabilities is not None:
                return _scored(blank, found.probabilities)
            blank = replace(blank, is_fallback=True)
            if not judge.has_fallback:
                return replace(blank, outcome="unparsed")
        schema = MARK_SCHEMA if settings.kind == "mark" else YES_NO_SCHEMA
        answers = await gather_all(
            judge.role.complete(turns, derive_seed(seed, number), schema)
            for number in range(settings.samples)
        )
    except ModelUnavailable:
        raise  # may pass: the engine tries the example again
    except ModelError as error:
        return replace(blank, reason=str(error), error=error.cause)
    blank = replace(
        blank,
        answers=tuple(each.text for each in answers),
        usage=sum((each.usage for each in answers), blank.usage),
        n_cut_off=sum(each.stop_reason == "length" for each in answers),
    )
    parsed = [index for each in answers if (index := _parse(settings.kind, each)) is not None]
    if not parsed:
        is_refused = any(
            each.stop_reason == "filtered" or is_refusal(each.text) for each in answers
        )
        if is_refused:
            return replace(blank, outcome="refused", reason="")
        reason = both_reasons(blank.reason, why_unparsed(answers[0]))
        return replace(blank, outcome="unparsed", reason=reason)
    # Shares of the samples stand in for the probabilities that the model does not show.
    shares = tuple(parsed.count(index) / len(parsed) for index in range(len(options)))
    return _scored(replace(blank, reason=""), shares)


def _scored(blank: Score, probabilities: tuple[float, ...]) -> Score:
    value = _value(blank.kind, probabilities)
    return replace(blank, outcome="scored", value=value, probabilities=probabilities)


def _parse(kind: ScoreKind, answer: Completion) -> int | None:
    """The index of the option that a written answer names; None where it names none."""
    if answer.stop_reason == "filtered":
        return None
    if kind == "mark":
        mark = read_mark(answer.text)
        return None if mark is None else mark - 1
    passes = read_yes_no(answer.text)
    return None if passes is None else int(not passes)


def _value(kind: ScoreKind, probabilities: Sequence[float]) -> float:
    """The score in [−1, 1] of the probabilities of all options."""
    if kind == "check":
        return 2 * probabilities[0] - 1
    expected = sum(mark * p for mark, p in enumerate(probabilities, 1))
    return 2 * (expected - 1) / 9 - 1


def score_options(kind: ScoreKind) -> tuple[str, ...]:
    """The options of an answer, the best mark last and "Yes" first."""
    return MARKS if kind == "mark" else YES_NO


def scoring_turns(
    kind: ScoreKind,
) -> Callable[[TemplateSet, Principle, Prompt, str], Conversation]:
    """Makes the request for a score of that kind: of templates, principle, prompt, response."""
    return score_turns if kind == "mark" else check_turns
