"""What do five rounds of self-improvement come to, with and without rules about drift?

    python examples/experiments/rounds.py --seeds 3

The policy of a round critiques and revises its own answers, judges them, and is trained on both; no
other model and no person takes part. A judge that never changes, prompts kept apart and labelled
pairs measure it, and here the truth does as well.
"""

import json
from collections.abc import Callable
from functools import cache

from experiment import POLICY, Arm, Column, Experiment, Figures, Trial, run

from cai.rounds.config import load_rounds
from cai.rounds.controller import best_of, broken_rules, decision_of, run_rounds
from cai.rounds.measure import metrics, rules_of
from cai.rounds.splits import kinds
from cai.rounds.state import Series
from cai.testbed.chain import write_prompts
from cai.testbed.feedback import write_pairs

N_ROUNDS, PER_ROUND, N_ANCHORS, N_PEOPLE = 5, 120, 50, 60
_COMMON = {"lr_scheduler_type": "cosine", "per_device_train_batch_size": 16, "save_strategy": "no"}
SERIES = {
    "cai": 1,
    "name": "self-improvement",
    "rounds": N_ROUNDS,
    "start": "embedded",
    "prompts": ["requests.jsonl"],
    "per_round": PER_ROUND,
    "round": {
        "constitution": "testbed",
        "models": {"sample": "train/sft", "judge": "policy"},
        "revise": {
            "rounds": 2,
            "tags": ["general", "help"],
            "revision_temperature": 1.0,
            "max_tokens": 96,
        },
        "sample": {"k": 2, "max_tokens": 96},
        "judge": {"tags": ["general", "help"]},
        "train": [
            {"sft": {"settings": {**_COMMON, "learning_rate": 5e-4, "num_train_epochs": 3}}},
            {
                "dpo": {
                    "settings": {
                        **_COMMON,
                        "learning_rate": 1e-4,
                        "num_train_epochs": 2,
                        "loss_type": ["sigmoid", "sft"],
                        "loss_weights": [1.0, 0.2],
                    }
                }
            },
        ],
    },
    "anchors": {
        "judge": "start",
        "tags": ["general", "help"],
        "prompts": ["harmful=harmful.jsonl", "benign=benign.jsonl"],
        "people": ["people.jsonl"],
        "checks": False,
        "max_tokens": 96,
        "divergence_prompts": 16,
    },
    "rules": [],
}
"""No rule, so that all five rounds are done; what the rules would have said is told from these."""


def main() -> None:
    columns = [
        *POLICY,
        Column("rating", "rating", is_share=False, digits=0),
        Column("gap", "judge's gap"),
        Column("agreement", "agrees with the truth"),
        Column("entropy", "entropy", is_share=False, digits=3),
        Column("rounds", "rounds done", is_share=False),
    ]
    arms = [Arm("start", of_round(0))]
    arms += [Arm(f"round {number}", of_round(number)) for number in range(1, N_ROUNDS + 1)]
    arms.append(Arm("with the rules", by_rules))
    run(Experiment("rounds", "policy", arms, columns, ["harmful", "helped", "faultless"]))


def of_round(number: int) -> Callable[[Trial], Figures]:
    def measured(trial: Trial) -> Figures:
        return _figures(trial, series(trial), number) | {"rounds": float(number)}

    return measured


def by_rules(trial: Trial) -> Figures:
    """The policy that a series with the rules that hold by default comes to, and after how many."""
    found = series(trial)
    known = metrics(
        [kind for kind, _ in kinds(SERIES["anchors"]["prompts"])],
        has_people=True,
        has_checks=False,
        has_tokens=True,
    )
    rules = rules_of(None, known)
    for number in range(1, N_ROUNDS + 1):
        history = [each.figures for each in found.rounds[: number + 1]]
        broken = broken_rules(rules, history)
        for _, sentence in broken:
            print(f"seed {trial.chain.seed}, round {number}: {sentence}", flush=True)
        if decision_of([rule for rule, _ in broken]) == "stop":
            best = best_of(found.rounds[:number], found.ratings)
            return _figures(trial, found, best) | {"rounds": float(number)}
    best = best_of(found.rounds, found.ratings)
    return _figures(trial, found, best) | {"rounds": float(N_ROUNDS)}


@cache
def series(trial: Trial) -> Series:
    """All rounds of a seed, done once."""
    folder, seed = trial.chain.folder / "rounds", trial.chain.seed
    folder.mkdir(parents=True, exist_ok=True)
    recipe = folder / "series.yaml"
    if not recipe.exists():
        write_prompts(folder / "requests.jsonl", N_ROUNDS * PER_ROUND, f"rounds {seed}")
        for name in ("harmful", "benign"):
            path, is_harmful = folder / f"{name}.jsonl", name == "harmful"
            write_prompts(
                path, N_ANCHORS, f"anchors {seed}", is_held_out=True, is_harmful=is_harmful
            )
        write_pairs(folder / "people.jsonl", N_PEOPLE, seed)
        recipe.write_text(json.dumps({**SERIES, "seed": seed}), "utf-8")
    return run_rounds(load_rounds(recipe), folder / "out", is_quiet=True)


def _figures(trial: Trial, found: Series, number: int) -> dict[str, float]:
    each, rating = found.rounds[number], found.ratings[number].value
    shown = {"gap": "judge_gap", "agreement": "agreement", "entropy": "entropy"}
    figures = {key: each.figures[name].value for key, name in shown.items() if name in each.figures}
    if rating is not None:
        figures["rating"] = rating
    return {**trial.policy(each.policy), **figures}


if __name__ == "__main__":
    main()
