"""Whose labels a policy learns from: a judge's, read again in other ways, or the truth's.

Pairs of responses of the testbed with the truth as their label.

`python -m cai.testbed.feedback --n 300 --out pairs.jsonl` writes them as a file for `cai judge` and
`cai agreement`.

What every chain on the testbed is made with: principles, sizes and the settings of trainers.
"""

import argparse
import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations, islice
from pathlib import Path

from cai.constitution.loader import load_constitution
from cai.methods.judging.ranking import Judged, JudgedMatchup, strengths
from cai.methods.judging.verdict import Comparison, Outcome, PrincipleVerdict, by_order, verdict_of
from cai.methods.settings import JudgeSettings
from cai.run import Run
from cai.testbed.curriculum import draw_any, draw_request
from cai.testbed.oracle import breaches, read_request, read_response
from cai.testbed.world import Request
from cai.types import Prompt, user_prompt

REVISED_UNDER = ("general", "help")
JUDGED_UNDER = ("general", "help", "tone")
SETTINGS: Mapping[str, Mapping[str, object]] = {
    "sft": {"learning_rate": 5e-4, "per_device_train_batch_size": 32, "num_train_epochs": 3},
    "reward": {"learning_rate": 3e-4, "per_device_train_batch_size": 32, "num_train_epochs": 2},
    "dpo": {
        "learning_rate": 1e-4,
        "per_device_train_batch_size": 16,
        "num_train_epochs": 3,
        "loss_type": ["sigmoid", "sft"],
        "loss_weights": [1.0, 0.2],
    },
    "kto": {"learning_rate": 1e-4, "per_device_train_batch_size": 16, "num_train_epochs": 3},
    "rl": {
        "learning_rate": 2e-4,
        "per_device_train_batch_size": 64,
        "num_generations": 8,
        "max_completion_length": 64,
        "logging_steps": 5,
    },
}
COMMON: Mapping[str, object] = {
    "lr_scheduler_type": "cosine",
    "warmup_steps": 5,
    "save_strategy": "no",
}


@dataclass(frozen=True, slots=True)
class Sizes:
    """Requests of each stage, and the updates of reinforcement learning."""

    revised: int = 800
    rounds: int = 4
    judged: int = 200
    k: int = 4
    rl_prompts: int = 800
    rl_steps: int = 20


Reread = Callable[[PrincipleVerdict], tuple[Outcome, float | None]]
"""Outcome and probability that a judgement would have had by another rule."""


@dataclass(frozen=True, slots=True)
class Judging:
    """Who judges the responses of SL, and how; `name` is that of the folder."""

    name: str = "judged"
    model: str = "embedded"
    settings: JudgeSettings = JudgeSettings(tags=JUDGED_UNDER)


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
    """The matchups of a group as people would label them; those without a right answer go."""
    for one, other in _sides(judged):
        yield from by_truth(judged.group.prompt, one, other)


def first_order(principle_verdict: PrincipleVerdict) -> tuple[Outcome, float | None]:
    """What a judge says that is asked once, with the first response at A."""
    return principle_verdict.order_ab.outcome, principle_verdict.order_ab.p_a


def clamped(low: float, high: float) -> Reread:
    """Both orders, the probability of each kept within bounds."""
    return lambda principle_verdict: by_order(
        principle_verdict.order_ab, principle_verdict.order_ba, clamp=(low, high)
    )


def reread(judged: Iterable[Judged], rule: Reread) -> Iterator[Judged]:
    """The same judgements by another rule, with the verdicts and strengths that follow."""
    for each in judged:
        matchups = tuple(_reread(matchup, rule) for matchup in each.matchups)
        yield Judged(each.group, matchups, strengths(len(each.group.candidates), matchups))


def under(judged: Iterable[Judged], principle_id: str) -> Iterator[Judged]:
    """What the judge finds under one of the principles, and nothing of the others."""
    for each in judged:
        matchups: list[JudgedMatchup] = []
        for matchup in each.matchups:
            said = [
                one
                for one in matchup.verdict.principle_verdicts
                if one.principle_id == principle_id
            ]
            matchups.append(replace(matchup, verdict=verdict_of(said)))
        yield Judged(each.group, tuple(matchups), strengths(len(each.group.candidates), matchups))


def best_over_worst(judged: Iterable[Judged]) -> Iterator[Preference]:
    """Of each group its best response over its worst, as sure as the verdict on these two."""
    for each in judged:
        if each.ranking is None:
            continue
        ends = {each.group.candidates[each.ranking[place]].text for place in (0, -1)}
        met = (row for row in preferences(each) if {row.chosen, row.rejected} == ends)
        yield from islice(met, 1)


def preferences(judged: Judged) -> Iterator[Preference]:
    """Every matchup of two different texts with a side that the judge favours."""
    prompt = judged.group.prompt
    for (one, other), matchup in zip(_sides(judged), judged.matchups, strict=True):
        p = matchup.verdict.p_a
        if p is None or p == 0.5 or one == other:
            continue
        better, worse = (one, other) if p > 0.5 else (other, one)
        yield Preference(_id(prompt, better, worse), prompt.request, better, worse, max(p, 1 - p))


def _sides(judged: Judged) -> list[tuple[str, str]]:
    texts = [each.text for each in judged.group.candidates]
    return [(texts[each.first], texts[each.second]) for each in judged.matchups]


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


def _reread(matchup: JudgedMatchup, rule: Reread) -> JudgedMatchup:
    principle_verdicts: list[PrincipleVerdict] = []
    for each in matchup.verdict.principle_verdicts:
        outcome, p_a = rule(each)
        principle_verdicts.append(replace(each, outcome=outcome, p_a=p_a))
    return replace(matchup, verdict=verdict_of(principle_verdicts))


@dataclass(frozen=True, slots=True)
class LabelledPair:
    """Any two responses to a held-out request; the better one breaks fewer principles."""

    request: Request
    response_a: str
    response_b: str
    is_a_better: bool

    @property
    def comparison(self) -> Comparison:
        return Comparison(user_prompt(self.request.text), self.response_a, self.response_b)


def draw_labelled(rng: random.Random) -> Iterator[LabelledPair]:
    """Pairs without end, each with a right answer."""
    while True:
        request = draw_request(rng, is_held_out=True)
        texts = [draw_any(rng, request).text(request) for _ in range(2)]
        n_broken = [len(breaches(request, read_response(request, text))) for text in texts]
        if n_broken[0] != n_broken[1]:
            yield LabelledPair(request, texts[0], texts[1], n_broken[0] < n_broken[1])


def write_pairs(path: Path, n: int, seed: int) -> None:
    """A JSON Lines file with id, prompt, response_a, response_b, label and category."""
    pairs = draw_labelled(random.Random(f"pairs {seed}"))
    with path.open("w", encoding="utf-8") as file:
        for number in range(n):
            pair = next(pairs)
            row = {
                "id": f"pair-{number}",
                "prompt": pair.request.text,
                "response_a": pair.response_a,
                "response_b": pair.response_b,
                "label": "a" if pair.is_a_better else "b",
                "category": "harmful" if pair.request.harm else "harmless",
            }
            file.write(json.dumps(row) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m cai.testbed.feedback", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    parser.add_argument("--n", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    write_pairs(options.out, options.n, options.seed)


if __name__ == "__main__":
    main()
