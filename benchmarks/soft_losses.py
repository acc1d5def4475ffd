"""What soft labels cost in a step of training, beside TRL's own loss on the same batches.

    python benchmarks/soft_losses.py [--model SPEC] [--steps 60]

The two take turns, so that what else the machine does meets both; the ratio is of the medians.
"""

import argparse
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from cai.export.rows import PreferencePair
from cai.testbed.feedback import draw_labelled
from cai.training.base_model import open_start_model
from cai.training.config import default_fields, fixed_fields, make_config, quiet_libraries
from cai.training.data.load import TrainingRow
from cai.training.data.trl_tables import table_of
from cai.training.folder import TrainFolder
from cai.training.plan import LabelPlan
from cai.training.soft_losses import SoftDPOTrainer, SoftRewardTrainer, WithTargets
from cai.training.trainers import TRAINERS
from cai.training.trl import DPOTrainer, RewardTrainer

N_PAIRS = 256
BATCH = 16
LABELS = {"TRL's loss": LabelPlan("hard"), "soft labels": LabelPlan("soft")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--steps", type=int, default=60, help="of each, after 5 to warm up")
    options = parser.parse_args()
    rows = pairs()
    print("| trainer | TRL's own, ms a step | soft labels, ms a step | ratio |")
    print("|---|---|---|---|")
    for name in ("reward", "dpo"):
        with tempfile.TemporaryDirectory() as folder:
            place = TrainFolder(Path(folder))
            with quiet_libraries(place):
                trainers = [
                    made(name, options.model, rows, each, place) for each in LABELS.values()
                ]
                plain, soft = timed(trainers, options.steps)
        print(f"| {name} | {1e3 * plain:.1f} | {1e3 * soft:.1f} | {soft / plain:.3f} |")


def pairs() -> list[TrainingRow]:
    """Pairs of the testbed with a probability each."""
    rng = random.Random(0)
    drawn = draw_labelled(rng)
    rows: list[TrainingRow] = []
    for pair in (next(drawn) for _ in range(N_PAIRS)):
        texts = (pair.response_a, pair.response_b)
        chosen, rejected = texts if pair.is_a_better else texts[::-1]
        probability = rng.uniform(0.5, 1)
        unit = PreferencePair(pair.comparison.prompt, chosen, rejected, "", "", probability)
        rows.append(TrainingRow(unit, "testbed", probability))
    return rows


def made(
    name: str, model: str, rows: list[TrainingRow], labels: LabelPlan, place: TrainFolder
) -> Any:
    """The trainer as `cai train` makes it."""
    fixed = {**fixed_fields(place, 0, ()), "report_to": "none", "remove_unused_columns": False}
    defaults = (
        {**default_fields(), "precompute_ref_log_probs": True}
        if name == "dpo"
        else default_fields()
    )
    config = make_config(TRAINERS[name], {"per_device_train_batch_size": BATCH}, fixed, defaults)
    start = open_start_model(model, "reward" if name == "reward" else "language")
    kinds = {
        ("reward", False): RewardTrainer,
        ("reward", True): SoftRewardTrainer,
        ("dpo", False): DPOTrainer,
        ("dpo", True): SoftDPOTrainer,
    }
    trainer: Any = kinds[name, labels.needs_loss](
        start.model,
        args=config,
        train_dataset=table_of(rows, start.arguments, labels),
        processing_class=start.tokenizer,
    )
    if labels.needs_loss:
        trainer.data_collator = WithTargets(trainer.data_collator, labels)
    return trainer


def timed(trainers: list[Any], n_steps: int) -> list[float]:
    """Median seconds of a forward and backward pass of each."""
    batches = [list(trainer.get_train_dataloader()) for trainer in trainers]
    seconds: list[list[float]] = [[] for _ in trainers]
    for step in range(n_steps + 5):
        for place, trainer in enumerate(trainers):
            trainer.model.train()
            batch = dict(batches[place][step % len(batches[place])])
            began = time.perf_counter()
            trainer.compute_loss(trainer.model, batch).backward()
            if step >= 5:
                seconds[place].append(time.perf_counter() - began)
            trainer.model.zero_grad()
    return [statistics.median(each) for each in seconds]


if __name__ == "__main__":
    main()
