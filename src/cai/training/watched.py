"""Watches the policy of a trainer that samples nothing itself, on prompts of its own rows."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# transformers leaves some of its types open: what is unknown stays in this file

from pathlib import Path

from transformers import Trainer

from cai.export.units import prompt_of
from cai.training.beginning import Begun
from cai.training.data.loading import TrainingData
from cai.training.watching.attaching import watch
from cai.training.watching.sampling import SamplingPlan
from cai.training.watching.watcher import Watcher

N_PROMPTS = 32
LEAST_STEPS = 50
"""Between observations, of which each costs about as much as three steps of DPO."""


def watch_samples(trainer: Trainer, begun: Begun, data: TrainingData) -> None:
    """Has responses to the first held-out prompts watched, or to the first where none is held out.

    At the start, at the end, and up to three times between.
    """
    rows = data.evaluation or data.train
    prompts = list(dict.fromkeys(prompt_of(row.unit).messages for row in rows))[:N_PROMPTS]
    every = max(LEAST_STEPS, _n_steps(trainer) // 4)
    watcher = Watcher(Path(begun.folder.path), begun.plan.rules)
    watch(trainer, watcher, plan=SamplingPlan(prompts, every, seed=begun.plan.seed))


def _n_steps(trainer: Trainer) -> int:
    """About how many updates there will be."""
    args = trainer.args
    if args.max_steps > 0:
        return args.max_steps
    batch = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
    n_rows = len(trainer.train_dataset)  # pyright: ignore[reportArgumentType]: it has a length
    return int(args.num_train_epochs * n_rows / batch)
