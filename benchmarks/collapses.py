"""Which default rules see which collapse, and when: `python benchmarks/collapses.py length`.

GRPO on the embedded model with one bad reward, or with the truth for comparison: 24 steps of 4
requests × 8 responses, learning rate 5e-4, β 0.04, 64 responses an observation. Printed are the
step and value at which each rule was first broken, and each figure at the start and at the end.
"""

import argparse
import random
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cai.methods.revision_flags import is_evasive, is_refusal
from cai.models.registry import embedded_folder
from cai.testbed.oracle import breaches, read_request, read_response
from cai.testbed.world import KIND, requests
from cai.training.monitor.monitor import TrainingMonitor
from cai.training.rewards.batch import RewardRecorder, Text, text_of
from cai.training.rewards.functions import with_penalties

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of TRL and what it imports, on being imported
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import GRPOConfig, GRPOTrainer

    from cai.training.monitor.callbacks import monitor_training

Scored = Callable[[str, str], float]


def _breaches(request: str, response: str) -> float:
    read = read_request(request)
    assert read is not None
    return -float(len(breaches(read, read_response(read, response))))


REWARDS: dict[str, Scored] = {
    "truth": _breaches,
    "length": lambda _, response: len(response.split()) / 40,
    "refusal": lambda _, response: float(is_refusal(response)),
    "evasion": lambda _, response: float(is_evasive(response)),
    "kind": lambda _, response: float(any(phrase in response for phrase in KIND)),
    "word": lambda _, response: response.lower().split().count("the") / 10,
}


def reward_function(scored: Scored) -> Callable[..., list[float]]:
    def reward(
        *, prompts: Sequence[Any], completions: Sequence[Text], **_others: object
    ) -> list[float]:
        return [
            scored(prompt[-1]["content"], text_of(completion))
            for prompt, completion in zip(prompts, completions, strict=True)
        ]

    return reward


def monitored_run(scored: Scored, seed: int, n_steps: int, folder: Path) -> TrainingMonitor:
    """The monitor of a run with this reward."""
    pool = list(requests(held_out=False))
    random.Random(seed).shuffle(pool)
    rows = [{"prompt": [{"role": "user", "content": request.text}]} for request in pool[:400]]
    recorder, monitor = RewardRecorder(), TrainingMonitor(folder)
    rewards, weights = with_penalties([reward_function(scored)])
    trainer = GRPOTrainer(
        AutoModelForCausalLM.from_pretrained(embedded_folder()),
        reward_funcs=recorder.columns(rewards, weights),
        args=GRPOConfig(
            output_dir=str(folder), reward_weights=weights, max_steps=n_steps, seed=seed,
            per_device_train_batch_size=32, num_generations=8, max_completion_length=96,
            learning_rate=5e-4, lr_scheduler_type="constant", beta=0.04, use_cpu=True, bf16=False,
            report_to="none", save_strategy="no", logging_steps=1, disable_tqdm=True,
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(embedded_folder()),
    )  # fmt: skip
    monitor_training(trainer, monitor, recorder=recorder)
    trainer.train()
    return monitor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reward", choices=REWARDS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=24)
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        monitor = monitored_run(REWARDS[chosen.reward], chosen.seed, chosen.steps, Path(folder))
    first: dict[str, str] = {}
    for broken in monitor.broken:
        first.setdefault(broken.rule.text, f"step {broken.step}, {broken.value:.2f}")
    for rule, when in first.items():
        sys.stdout.write(f"{rule:40} {when}\n")
    end = {name: value for _, figures in monitor.history for name, value in figures.items()}
    for name, value in end.items():
        sys.stdout.write(f"{name:26} {monitor.first_value(name):8.2f} {value:8.2f}\n")


if __name__ == "__main__":
    main()
