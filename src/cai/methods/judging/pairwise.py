"""A comparison judged under principles, in both orders, by one judge or a jury.

By log-probabilities of the two letters where the model shows them; with chain of thought in two
steps, the rationale first and the letter after it, Lee et al. 2023, arXiv:2309.00267, §2.1.2, its
probabilities clamped as in Bai et al. 2022, arXiv:2212.08073, §4.1. Where a model shows no
log-probabilities, by the verdicts it writes, several times in either order.

Pure functions over models: no disk, no clock, no global; randomness is derived from the seed given.
A failure that may pass is raised; any other makes a reading `failed`, with its reason.
"""

import asyncio
import math
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from cai.constitution.schema import Constitution, Principle
from cai.errors import ModelError, ModelUnavailable, NoLogprobs, UsageError
from cai.methods.judging.parsing import VERDICT_SCHEMA, Vote, read_vote
from cai.methods.judging.requests import (
    LETTERS,
    Question,
    judge_turns,
    questions_of,
    rationale_turns,
    usable_shots,
)
from cai.methods.judging.verdict import (
    UNREADABLE,
    Comparison,
    JudgeCall,
    Outcome,
    PrincipleVerdict,
    Verdict,
    by_order,
    side,
    verdict_of,
)
from cai.methods.roles import RoleModel, candidates, draw_principles
from cai.methods.settings import JudgeSettings
from cai.models.base import ChoiceModel, Completion, Model, Sampling, Usage
from cai.types import Conversation, Prompt, derive_seed, user_prompt

T = TypeVar("T")

_SHARES: dict[Vote, float] = {"a": 1.0, "tie": 0.5, "b": 0.0}


@dataclass(frozen=True, slots=True)
class Judge:
    """A model as judge, and how it is read.

    `reads_logprobs` says whether its letters are read from log-probabilities, which the model must
    then give, or from what it writes. The sampling of its role is for rationales and
    for written verdicts.
    """

    role: RoleModel
    reads_logprobs: bool

    @classmethod
    def of(cls, model: Model, sampling: Sampling = Sampling(temperature=0.0)) -> "Judge":
        """The model through the shipped templates of its kind, by log-probabilities if it can."""
        return cls(RoleModel.of(model, sampling), isinstance(model, ChoiceModel))

    @property
    def name(self) -> str:
        return self.role.model.name


def check_judging(
    settings: JudgeSettings, constitution: Constitution, judges: Sequence[Judge] = ()
) -> None:
    """Finds out before a call whether a constitution, and these judges, fit the settings.

    Raises:
        UsageError: They do not; the message says why.
    """
    eligible = candidates(constitution, settings.tags)
    clamp, has_rationale = settings.clamp, settings.rationale
    if clamp is not None and not clamp[0] <= 0.5 <= clamp[1]:
        raise UsageError(
            f"The clamp is {clamp[0]:g} to {clamp[1]:g}. It must hold one half and lie within 0 "
            "and 1, such as 0.4 to 0.6."
        )
    if settings.few_shots and not any(
        usable_shots(each, has_rationale=has_rationale) for each in eligible
    ):
        needed = "examples with an assessment" if has_rationale else "examples"
        raise UsageError(
            f"Few-shots are asked for, and no principle of {constitution.name!r} has {needed}. "
            "Write some, or ask for none."
        )
    if settings.samples == 1:
        return
    for judge in judges:
        if judge.reads_logprobs and not has_rationale:
            raise UsageError(
                f"{settings.samples} samples are asked for, and {judge.name} is read once, by its "
                "log-probabilities. Ask for a rationale too, for parsed verdicts, or for 1 sample."
            )
        if judge.role.sampling.temperature == 0:
            raise UsageError(
                f"{settings.samples} samples at temperature 0 are all the same. Set the judge's "
                "temperature above 0, or ask for 1 sample."
            )


async def judge(
    model: Model | Judge | Sequence[Model | Judge],
    constitution: Constitution,
    prompt: str | Prompt,
    response_a: str,
    response_b: str,
    *,
    settings: JudgeSettings = JudgeSettings(),
    seed: int = 0,
) -> Verdict:
    """Which of two responses keeps the constitution better, by one model or a jury of them.

    A model that can give log-probabilities is read by them; a `Judge` says otherwise. Raises as
    `compare`.
    """
    jury = model if isinstance(model, Sequence) else [model]
    judges = [each if isinstance(each, Judge) else Judge.of(each) for each in jury]
    asked = user_prompt(prompt) if isinstance(prompt, str) else prompt
    comparison = Comparison(asked, response_a, response_b)
    return await compare(judges, constitution, comparison, settings, seed)


async def compare(
    judges: Sequence[Judge],
    constitution: Constitution,
    comparison: Comparison,
    settings: JudgeSettings,
    seed: int,
) -> Verdict:
    """The verdict of all judges under all principles; every question is asked at once.

    Raises:
        UsageError: The settings do not fit judges or constitution.
        ModelUnavailable: A call failed in a way that may pass.
    """
    check_judging(settings, constitution, judges)
    questions = [
        question
        for principle in _principles(constitution, settings, seed)
        for question in questions_of(
            principle, with_negated=settings.negated, few_shots=settings.few_shots
        )
    ]
    principle_verdicts = await _all(
        ask(each, question, comparison, settings, seed) for each in judges for question in questions
    )
    return verdict_of(principle_verdicts, settings.tie_margin)


def _principles(
    constitution: Constitution, settings: JudgeSettings, seed: int
) -> tuple[Principle, ...]:
    """Those of one comparison; drawn by weight, they weigh the same afterwards."""
    if settings.principles is None:
        return candidates(constitution, settings.tags)
    drawn = draw_principles(
        constitution, settings.tags, settings.principles, derive_seed(seed, "principles")
    )
    return tuple(each.model_copy(update={"weight": 1.0}) for each in drawn)


async def ask(
    judge: Judge, question: Question, comparison: Comparison, settings: JudgeSettings, seed: int
) -> PrincipleVerdict:
    """One question in both orders. Raises ModelUnavailable."""
    order_ab, order_ba = await _all(
        _read(judge, question, each, settings, derive_seed(seed, *_name(question), order))
        for order, each in enumerate((comparison, comparison.swapped))
    )
    if question.is_negated:
        order_ab = _turned(order_ab)
    else:
        order_ba = _turned(order_ba)
    outcome, p_a = by_order(
        order_ab,
        order_ba,
        clamp=settings.clamp if settings.rationale else None,
        tie_margin=settings.tie_margin,
        is_voted=not judge.reads_logprobs,
    )
    return PrincipleVerdict(
        judge.name,
        question.principle_id or question.asked.id,
        question.criterion_id,
        question.is_negated,
        question.weight,
        order_ab,
        order_ba,
        outcome,
        p_a,
    )


async def _read(
    judge: Judge, question: Question, comparison: Comparison, settings: JudgeSettings, seed: int
) -> JudgeCall:
    """One order: `p_a` is the probability of the letter A, whatever stands there."""
    n = settings.samples if settings.rationale or not judge.reads_logprobs else 1
    samples = await _all(
        _sample(judge, question, comparison, settings, derive_seed(seed, number))
        for number in range(n)
    )
    readable = [each.p_a for each in samples if each.p_a is not None]
    whole = JudgeCall(
        "unparsed",
        rationales=tuple(text for each in samples for text in each.rationales),
        answers=tuple(text for each in samples for text in each.answers),
        reason=next((each.reason for each in samples if each.reason), ""),
        usage=sum((each.usage for each in samples), Usage()),
        error=next((each.error for each in samples if each.error), ""),
    )
    if not readable:
        outcomes: list[Outcome] = [each.outcome for each in samples]
        return replace(whole, outcome=max(outcomes, key=UNREADABLE.index))
    p_a = sum(readable) / len(readable)
    masses = [each.mass for each in samples if each.mass is not None]
    mass = sum(masses) / len(masses) if masses else None
    return replace(whole, outcome=side(p_a), p_a=p_a, mass=mass)


async def _sample(
    judge: Judge, question: Question, comparison: Comparison, settings: JudgeSettings, seed: int
) -> JudgeCall:
    """One rationale if there is to be one, and one letter."""
    rationale: Completion | None = None
    said: tuple[str, ...] = ()
    try:
        if settings.rationale:
            turns = rationale_turns(judge.role.templates, question, comparison)
            rationale = await judge.role.complete(turns, derive_seed(seed, "rationale"))
            said = (rationale.text,)
        usage = rationale.usage if rationale else Usage()
        if rationale is not None and rationale.stop_reason == "filtered":
            return JudgeCall("refused", rationales=said, reason="filtered", usage=usage)
        turns = judge_turns(
            judge.role.templates, question, comparison, rationale and rationale.text
        )
        if judge.reads_logprobs:
            found = await _choose(judge, turns)
        else:
            found = await _vote(judge, turns, derive_seed(seed, "verdict"), question.is_negated)
        return replace(found, rationales=said, usage=usage + found.usage)
    except ModelUnavailable:
        raise
    except ModelError as error:
        outcome: Outcome = "unparsed" if isinstance(error, NoLogprobs) else "failed"
        usage = rationale.usage if rationale else Usage()
        kind = type(error).__name__ if outcome == "failed" else ""
        return JudgeCall(outcome, rationales=said, reason=str(error), usage=usage, error=kind)


async def _choose(judge: Judge, turns: Conversation) -> JudgeCall:
    model = judge.role.model
    if not isinstance(model, ChoiceModel):
        raise NoLogprobs(f"{judge.name} gives no log-probabilities. Read what it writes instead.")
    choice = await model.choose(judge.role.templates.request(turns), LETTERS)
    p_a = math.exp(choice.logprobs[0])
    if not 0 <= p_a <= 1 + 1e-6:
        raise ModelError(f"{judge.name} gives {choice.logprobs} as log-probabilities.")
    return JudgeCall(side(p_a), min(p_a, 1.0), choice.mass, usage=choice.usage)


async def _vote(judge: Judge, turns: Conversation, seed: int, is_negated: bool) -> JudgeCall:
    answer = await judge.role.complete(turns, seed, VERDICT_SCHEMA)
    vote = _read_answer(answer, is_negated)
    if vote in _SHARES:
        return JudgeCall(vote, _SHARES[vote], answers=(answer.text,), usage=answer.usage)
    reason = "the answer was cut off" if answer.stop_reason == "length" else ""
    return JudgeCall(vote, answers=(answer.text,), reason=reason, usage=answer.usage)


def _read_answer(answer: Completion, is_negated: bool) -> Vote:
    if answer.stop_reason == "filtered":
        return "refused"
    return read_vote(answer.text, is_negated=is_negated)


def _turned(reading: JudgeCall) -> JudgeCall:
    """The reading about the other response."""
    if reading.p_a is None:
        return reading
    p_a = 1 - reading.p_a
    return replace(reading, outcome=side(p_a), p_a=p_a)


def _name(question: Question) -> tuple[str, str, int]:
    return question.principle_id, question.criterion_id, int(question.is_negated)


async def _all(work: Iterable[Awaitable[T]]) -> list[T]:
    """All results. One that fails stops no other; the first failure is raised when all are done."""
    results = await asyncio.gather(*work, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if not isinstance(result, BaseException)]
