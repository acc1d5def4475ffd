"""Whose labels a policy learns from: a judge's, read again in other ways, or the truth's."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations, islice
from pathlib import Path

from cai.constitution.loading import load_constitution
from cai.judging.judge import JudgePlan
from cai.judging.ranking import Contest, Judged, strengths
from cai.judging.verdicts import Judgement, Outcome, by_order, verdict_of
from cai.run import Run
from cai.testbed.oracle import read_request, read_response
from cai.testbed.settings import JUDGED_UNDER
from cai.testbed.truth import breaches
from cai.types import Prompt

Reread = Callable[[Judgement], tuple[Outcome, float | None]]
"""Outcome and probability that a judgement would have had by another rule."""


@dataclass(frozen=True, slots=True)
class Judging:
    """Who judges the responses of SL, and how; `name` is that of the folder."""

    name: str = "judged"
    model: str = "embedded"
    plan: JudgePlan = JudgePlan(tags=JUDGED_UNDER)


@dataclass(frozen=True, slots=True)
class Preference:
    """Two responses to a request; `probability` in [0.5, 1] is that `chosen` is the better one."""

    id: str
    request: str
    chosen: str
    rejected: str
    probability: float = 1.0


def write_preferences(path: Path, rows: Iterable[Preference]) -> str:
    """The name of the file, one that trainings of preferences read."""
    lines = [
        json.dumps(
            {
                "id": row.id,
                "prompt": row.request,
                "chosen": row.chosen,
                "rejected": row.rejected,
                "label_confidence": row.probability,
            }
        )
        for row in rows
    ]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return str(path)


def labelled_by_truth(samples: Run) -> Iterator[Preference]:
    """Pairs of responses of which one breaks fewer principles of those judged under."""
    for each in samples.samples():
        texts = list(dict.fromkeys(one.completion.text for one in each.samples))
        for one, other in combinations(texts, 2):
            yield from by_truth(each.prompt, one, other)


def by_truth(prompt: Prompt, one: str, other: str) -> Iterator[Preference]:
    """The one that breaks fewer principles over the other; nothing where they break as many."""
    broken = [_n_broken(prompt.request, text) for text in (one, other)]
    if broken[0] is None or broken[1] is None or broken[0] == broken[1]:
        return
    better, worse = (one, other) if broken[0] < broken[1] else (other, one)
    yield Preference(_id(prompt, better, worse), prompt.request, better, worse)


def contests_by_truth(judged: Judged) -> Iterator[Preference]:
    """The contests of a group as people would label them; those without a right answer go."""
    for one, other in _sides(judged):
        yield from by_truth(judged.group.prompt, one, other)


def first_order(judgement: Judgement) -> tuple[Outcome, float | None]:
    """What a judge says that is asked once, with the first response at A."""
    return judgement.there.outcome, judgement.there.p_a


def clamped(low: float, high: float) -> Reread:
    """Both orders, the probability of each kept within bounds."""
    return lambda judgement: by_order(judgement.there, judgement.back, clamp=(low, high))


def reread(judged: Iterable[Judged], rule: Reread) -> Iterator[Judged]:
    """The same judgements by another rule, with the verdicts and strengths that follow."""
    for each in judged:
        contests = tuple(_reread(contest, rule) for contest in each.contests)
        yield Judged(each.group, contests, strengths(len(each.group.candidates), contests))


def under(judged: Iterable[Judged], principle_id: str) -> Iterator[Judged]:
    """What the judge finds under one of the principles, and nothing of the others."""
    for each in judged:
        contests: list[Contest] = []
        for contest in each.contests:
            said = [one for one in contest.verdict.judgements if one.principle_id == principle_id]
            contests.append(replace(contest, verdict=verdict_of(said)))
        yield Judged(each.group, tuple(contests), strengths(len(each.group.candidates), contests))


def best_over_worst(judged: Iterable[Judged]) -> Iterator[Preference]:
    """Of each group its best response over its worst, as sure as the verdict on these two."""
    for each in judged:
        if each.ranking is None:
            continue
        ends = {each.group.candidates[each.ranking[place]].text for place in (0, -1)}
        met = (row for row in preferences(each) if {row.chosen, row.rejected} == ends)
        yield from islice(met, 1)


def preferences(judged: Judged) -> Iterator[Preference]:
    """Every contest of two different texts with a side that the judge favours."""
    prompt = judged.group.prompt
    for (one, other), contest in zip(_sides(judged), judged.contests, strict=True):
        p = contest.verdict.p_a
        if p is None or p == 0.5 or one == other:
            continue
        better, worse = (one, other) if p > 0.5 else (other, one)
        yield Preference(_id(prompt, better, worse), prompt.request, better, worse, max(p, 1 - p))


def _sides(judged: Judged) -> list[tuple[str, str]]:
    texts = [each.text for each in judged.group.candidates]
    return [(texts[each.first], texts[each.second]) for each in judged.contests]


def _n_broken(request: str, text: str) -> int | None:
    """How many of the principles judged under a response breaks; None of an unknown request."""
    asked = read_request(request)
    if asked is None:
        return None
    return len(_judged_ids().intersection(breaches(asked, read_response(asked, text))))


@cache
def _judged_ids() -> frozenset[str]:
    return frozenset(each.id for each in load_constitution("testbed").select(JUDGED_UNDER))


def _id(prompt: Prompt, better: str, worse: str) -> str:
    return f"{prompt.id}-{len(better)}-{len(worse)}"


def _reread(contest: Contest, rule: Reread) -> Contest:
    judgements: list[Judgement] = []
    for each in contest.verdict.judgements:
        outcome, p_a = rule(each)
        judgements.append(replace(each, outcome=outcome, p_a=p_a))
    return replace(contest, verdict=verdict_of(judgements))
