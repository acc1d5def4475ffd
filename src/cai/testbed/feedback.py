"""Feedback on the testbed: the labels of a judge, recomputed by other rules, or those of the truth.

And the settings of every chain on the testbed: principles, sizes and those of the trainers.

    python -m cai.testbed.feedback --n 300 --out pairs.jsonl

writes pairs of responses with the truth as label, a file for `cai judge` and `cai agreement`.

Example:
    judged = Run("runs/judged").judged()
    rows = best_over_worst(reread(judged, first_order))  # as if each pair were judged once
    write_preferences(Path("once.jsonl"), rows)
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
from cai.constitution.schema import Compose
from cai.methods.judging.composition import Composer
from cai.methods.judging.ranking import GroupReadings, Judged, MatchupReadings, compose_group
from cai.methods.judging.verdict import Comparison, PrincipleVerdict, by_order
from cai.methods.settings import JudgeSettings
from cai.run import Run
from cai.testbed.curriculum import draw_any, draw_request
from cai.testbed.oracle import breaches, read_request, read_response
from cai.testbed.world import Request
from cai.types import Prompt, user_prompt

# Tags of the constitution `testbed`. Revisions leave the tone alone, so that the second stage has
# something to learn that the first has not.
REVISED_UNDER = ("general", "help")
JUDGED_UNDER = ("general", "help", "tone")
SETTINGS: Mapping[str, Mapping[str, object]] = {
    "sft": {"learning_rate": 5e-4, "per_device_train_batch_size": 32, "num_train_epochs": 3},
    "reward": {"learning_rate": 3e-4, "per_device_train_batch_size": 32, "num_train_epochs": 2},
    # The SFT term holds up the probability of the chosen response: the sigmoid loss alone may lower
    # it, as long as that of the rejected one falls further.
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


@dataclass(frozen=True, slots=True)
class Judging:
    """The judge of the responses of SL and its settings; `name` is that of the folder."""

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
    """Writes a file that trainings on preferences read, and gives its name."""
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            named = {"id": row.id, "prompt": row.request, "chosen": row.chosen}
            named |= {"rejected": row.rejected}
            file.write(json.dumps({**named, "label_confidence": row.probability}) + "\n")
    return str(path)


def labelled_by_truth(samples: Run) -> Iterator[Preference]:
    """Pairs of responses of which one breaks fewer principles of those judged under."""
    for each in samples.samples():
        # Each text once, in the order of the samples: equal ones have no better side.
        texts = list(dict.fromkeys(one.completion.text for one in each.samples))
        for one, other in combinations(texts, 2):
            yield from by_truth(each.prompt, one, other)


def by_truth(prompt: Prompt, one: str, other: str) -> Iterator[Preference]:
    """The one that breaks fewer principles over the other; nothing where they break as many."""
    request = read_request(prompt.request)
    if request is None:
        return
    # Of the principles judged under alone: a label by others would be noise to that judge.
    one_broken, other_broken = (
        len(_judged_ids().intersection(breaches(request, read_response(request, text))))
        for text in (one, other)
    )
    if one_broken != other_broken:
        yield _preference(prompt, one, other, float(one_broken < other_broken))


@cache  # read once, and not on import, since the constitution is a file
def _judged_ids() -> frozenset[str]:
    return frozenset(each.id for each in load_constitution("testbed").select(JUDGED_UNDER))


def contests_by_truth(judged: Judged) -> Iterator[Preference]:
    """The matchups of a group labelled by the truth; those without a correct answer are dropped."""
    for one, other in _sides(judged):
        yield from by_truth(judged.group.prompt, one, other)


Change = Callable[[PrincipleVerdict], PrincipleVerdict | None]
"""A judge's answers to one question read by another rule, or left out."""


def first_order(verdict: PrincipleVerdict) -> PrincipleVerdict:
    """As if only the first order had been asked, with the first response at A."""
    once = verdict.order_ab
    return replace(verdict, order_ba=once, outcome=once.outcome, p_a=once.p_a)


def clamped(low: float, high: float) -> Change:
    """Both orders averaged, the probability of each clamped to [low, high]; for means alone."""

    def change(verdict: PrincipleVerdict) -> PrincipleVerdict:
        outcome, p_a = by_order(verdict.order_ab, verdict.order_ba, clamp=(low, high))
        return replace(verdict, outcome=outcome, p_a=p_a)

    return change


def under(principle_id: str) -> Change:
    """The verdicts under one of the principles alone."""
    return lambda verdict: verdict if verdict.principle_id == principle_id else None


def reread(judged: Iterable[Judged], change: Change, compose: Compose = "vote") -> list[Judged]:
    """The same judge calls by another rule, with the verdicts and strengths that follow."""
    # A run is recomputed from its stored calls, so rules are compared on the very same answers of
    # the judge, and none of them costs a call.
    readings = [
        GroupReadings(
            each.group,
            tuple(
                MatchupReadings(
                    one.first,
                    one.second,
                    tuple(found for v in one.verdict.principle_verdicts if (found := change(v))),
                )
                for one in each.matchups
            ),
        )
        for each in judged
    ]
    composer = Composer.fitted(
        (one.principle_verdicts for each in readings for one in each.matchups), compose
    )
    return [compose_group(each, composer) for each in readings]


def best_over_worst(judged: Iterable[Judged]) -> Iterator[Preference]:
    """Of each group the best response over the worst, with the probability of that matchup.

    A group whose best and worst have not met in a matchup gives nothing.
    """
    for each in judged:
        if each.ranking is None:
            continue
        ends = {each.group.candidates[each.ranking[place]].text for place in (0, -1)}
        rows = (row for row in preferences(each) if {row.chosen, row.rejected} == ends)
        yield from islice(rows, 1)  # equal texts may have met twice


def preferences(judged: Judged) -> Iterator[Preference]:
    """Every matchup of two different texts in which the judge prefers one."""
    for (one, other), matchup in zip(_sides(judged), judged.matchups, strict=True):
        p = matchup.verdict.p_a
        if p is not None and p != 0.5 and one != other:
            yield _preference(judged.group.prompt, one, other, p)


def _preference(prompt: Prompt, one: str, other: str, p_one: float) -> Preference:
    better, worse = (one, other) if p_one > 0.5 else (other, one)
    # Lengths tell the pairs of one prompt apart well enough: ids only have to be stable.
    id = f"{prompt.id}-{len(better)}-{len(worse)}"
    return Preference(id, prompt.request, better, worse, max(p_one, 1 - p_one))


def _sides(judged: Judged) -> list[tuple[str, str]]:
    texts = [each.text for each in judged.group.candidates]
    return [(texts[each.first], texts[each.second]) for each in judged.matchups]


@dataclass(frozen=True, slots=True)
class TruthPair:
    """Any two responses to a held-out request; the better one breaks fewer principles."""

    request: Request
    response_a: str
    response_b: str
    is_a_better: bool

    @property
    def comparison(self) -> Comparison:
        return Comparison(user_prompt(self.request.text), self.response_a, self.response_b)


def draw_labelled(rng: random.Random) -> Iterator[TruthPair]:
    """An endless stream of pairs, each with a correct answer."""
    # Held out: what is measured on these pairs has not been trained on their requests.
    while True:
        request = draw_request(rng, is_held_out=True)
        texts = [draw_any(rng, request).text(request) for _ in range(2)]
        n_broken = [len(breaches(request, read_response(request, text))) for text in texts]
        if n_broken[0] != n_broken[1]:
            yield TruthPair(request, texts[0], texts[1], n_broken[0] < n_broken[1])


def write_pairs(path: Path, n: int, seed: int) -> None:
    """A JSON Lines file with id, prompt, response_a, response_b, label and category."""
    pairs = draw_labelled(random.Random(f"pairs {seed}"))
    with path.open("w", encoding="utf-8") as file:
        for number, pair in enumerate(islice(pairs, n)):
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
