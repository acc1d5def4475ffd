"""Two responses compared under principles, in both orders, by one judge or several.

By the log-probabilities of the two letters where the model shows them. With chain of thought in two
steps, the rationale first and the letter after it, as in Lee et al. 2023, arXiv:2309.00267, §2.1.2,
and the probabilities clamped as in Bai et al. 2022, arXiv:2212.08073, §4.1. Where a model shows no
log-probabilities, by the verdicts it writes, several times in either order.

Pure functions over models: no disk, no clock, no global; randomness is derived from the seed given.
A failure that may pass is raised; any other makes a call `failed`, with its reason.

Example:
    verdict = await judge(model, load_constitution("harmless"), "How do I …?", first, second)
    print(verdict.outcome, verdict.p_a)  # such as: a 0.93
"""

from collections.abc import Sequence
from dataclasses import replace

from cai.constitution.schema import Constitution
from cai.errors import ModelError, ModelUnavailable, UsageError
from cai.methods.judging.composition import Composer
from cai.methods.judging.parsing import (
    VERDICT_SCHEMA,
    Vote,
    both_reasons,
    read_vote,
    why_unparsed,
)
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
)
from cai.methods.roles import Judge, candidates, draw_principles, gather_all, shared_weights
from cai.methods.settings import JudgeSettings
from cai.models.base import Completion, Model, Usage
from cai.types import Conversation, Prompt, derive_seed, user_prompt


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


def composer_for(constitution: Constitution, settings: JudgeSettings) -> Composer:
    """How verdicts under the constitution are composed where no run has been fitted."""
    rule = settings.compose or constitution.compose
    return Composer(rule, tie_margin=settings.tie_margin)


async def compare(
    judges: Sequence[Judge],
    constitution: Constitution,
    comparison: Comparison,
    settings: JudgeSettings,
    seed: int,
) -> Verdict:
    """The verdict of all judges under all principles. Raises as `ask_judges`."""
    found = await ask_judges(judges, constitution, comparison, settings, seed)
    return composer_for(constitution, settings).verdict(found)


async def ask_judges(
    judges: Sequence[Judge],
    constitution: Constitution,
    comparison: Comparison,
    settings: JudgeSettings,
    seed: int,
) -> tuple[PrincipleVerdict, ...]:
    """What every judge says under every principle; every question is asked at once.

    Raises:
        UsageError: The settings do not fit judges or constitution.
        ModelUnavailable: A call failed in a way that may pass.
    """
    check_judging(settings, constitution, judges)
    if settings.principles is None:
        principles = candidates(constitution, settings.tags)
        weights = shared_weights(principles)
    else:
        principles = draw_principles(
            constitution, settings.tags, settings.principles, derive_seed(seed, "principles")
        )
        # They were drawn by their weights, which must not count a second time in the verdict.
        weights = (1.0,) * len(principles)
    questions = [
        question
        for principle, weight in zip(principles, weights, strict=True)
        for question in questions_of(
            principle,
            weight / len(judges),
            with_negated=settings.negated,
            few_shots=settings.few_shots,
        )
    ]
    return tuple(
        await gather_all(
            judge_question(each, question, comparison, settings, seed)
            for each in judges
            for question in questions
        )
    )


async def judge_question(
    judge: Judge, question: Question, comparison: Comparison, settings: JudgeSettings, seed: int
) -> PrincipleVerdict:
    """One question to one judge, in both orders. Raises ModelUnavailable."""
    name = (question.principle_id, question.criterion_id, int(question.is_negated))
    order_ab, order_ba = await gather_all(
        _judge_order(judge, question, each, settings, derive_seed(seed, *name, order))
        for order, each in enumerate((comparison, comparison.swapped))
    )
    # Both calls are about the letter A so far. A negated question asks for the worse response, so
    # there the first order is turned and not the second: afterwards both are about response A.
    if question.is_negated:
        order_ab = order_ab.about_other_response
    else:
        order_ba = order_ba.about_other_response
    outcome, p_a = by_order(
        order_ab,
        order_ba,
        clamp=settings.clamp if settings.rationale else None,
        tie_margin=settings.tie_margin,
        is_voted=bool(order_ab.answers or order_ba.answers),
    )
    return PrincipleVerdict(
        judge=judge.name,
        principle_id=question.principle_id or question.asked.id,
        criterion_id=question.criterion_id,
        is_negated=question.is_negated,
        weight=question.weight,
        order_ab=order_ab,
        order_ba=order_ba,
        outcome=outcome,
        p_a=p_a,
        tier=question.asked.tier,
    )


async def _judge_order(
    judge: Judge, question: Question, comparison: Comparison, settings: JudgeSettings, seed: int
) -> JudgeCall:
    """One order, its samples averaged: `p_a` is the probability of the letter A."""
    # A letter by log-probabilities is the same each time: only texts are worth sampling again.
    n = settings.samples if settings.rationale or not judge.reads_logprobs else 1
    samples = await gather_all(
        _judge_once(judge, question, comparison, settings, derive_seed(seed, number))
        for number in range(n)
    )
    merged = JudgeCall(
        "unparsed",
        rationales=tuple(text for each in samples for text in each.rationales),
        answers=tuple(text for each in samples for text in each.answers),
        reason=next((each.reason for each in samples if each.reason), ""),
        usage=sum((each.usage for each in samples), Usage()),
        error=next((each.error for each in samples if each.error), ""),
        is_fallback=any(each.is_fallback for each in samples),
        n_cut_off=sum(each.n_cut_off for each in samples),
    )
    masses = [each.mass for each in samples if each.mass is not None]
    merged = replace(merged, mass=sum(masses) / len(masses) if masses else None)
    parsed = [each.p_a for each in samples if each.p_a is not None]
    if not parsed:
        outcomes: list[Outcome] = [each.outcome for each in samples]
        return replace(merged, outcome=max(outcomes, key=UNREADABLE.index))
    p_a = sum(parsed) / len(parsed)
    return replace(merged, outcome=side(p_a), p_a=p_a)


async def _judge_once(
    judge: Judge, question: Question, comparison: Comparison, settings: JudgeSettings, seed: int
) -> JudgeCall:
    """A rationale where the settings want one, then the verdict."""
    rationale: Completion | None = None
    try:
        if settings.rationale:
            turns = rationale_turns(judge.role.templates, question, comparison)
            rationale = await judge.role.complete(turns, derive_seed(seed, "rationale"))
            if rationale.stop_reason == "filtered":
                return _with_rationale(JudgeCall("refused", reason="filtered"), rationale)
        turns = judge_turns(
            judge.role.templates, question, comparison, rationale and rationale.text
        )
        call = await _verdict(judge, question, turns, settings, derive_seed(seed, "verdict"))
        return _with_rationale(call, rationale)
    except ModelUnavailable:
        raise  # may pass: the engine tries the example again
    except ModelError as error:
        failed = JudgeCall("failed", reason=str(error), error=error.cause)
        return _with_rationale(failed, rationale)


async def _verdict(
    judge: Judge, question: Question, turns: Conversation, settings: JudgeSettings, seed: int
) -> JudgeCall:
    """The verdict by log-probabilities, or in words where they are not asked for or say nothing."""
    unread = None
    if judge.reads_logprobs:
        found = await judge.read(turns, LETTERS, settings.min_mass)
        if found.probabilities is not None:
            p_a = found.probabilities[0]
            return JudgeCall(side(p_a), p_a, found.mass, usage=found.usage)
        unread = JudgeCall(
            "unparsed", None, found.mass, reason=found.reason, usage=found.usage, is_fallback=True
        )
        if not judge.has_fallback:
            return unread
    answer = await judge.role.complete(turns, seed, VERDICT_SCHEMA)
    call = _parse_verdict(answer, is_negated=question.is_negated)
    if unread is None:
        return call
    reason = both_reasons(unread.reason, call.reason) if call.p_a is None else ""
    usage = unread.usage + call.usage
    return replace(call, mass=unread.mass, reason=reason, usage=usage, is_fallback=True)


def _parse_verdict(answer: Completion, *, is_negated: bool) -> JudgeCall:
    """What a written verdict says of the letter A: 1, 0, one half for a tie, or nothing."""
    is_filtered = answer.stop_reason == "filtered"
    vote: Vote = "refused" if is_filtered else read_vote(answer.text, is_negated=is_negated)
    p_a = {"a": 1.0, "tie": 0.5, "b": 0.0}.get(vote)
    return JudgeCall(
        vote,
        p_a,
        answers=(answer.text,),
        reason="" if p_a is not None or vote == "refused" else why_unparsed(answer),
        usage=answer.usage,
        n_cut_off=int(answer.stop_reason == "length"),
    )


def _with_rationale(call: JudgeCall, rationale: Completion | None) -> JudgeCall:
    if rationale is None:
        return call
    return replace(
        call,
        rationales=(rationale.text,),
        usage=rationale.usage + call.usage,
        n_cut_off=call.n_cut_off + (rationale.stop_reason == "length"),
    )
