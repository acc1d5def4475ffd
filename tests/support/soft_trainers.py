"""TRL's trainers and ours on the same pairs and the same tiny model, for tests of their losses."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from tiny import QUIETLY
from tiny_rewards import save_reward_model
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from cai.training.plan import LabelPlan
from cai.training.soft_losses import SOFT_TRAINERS, TARGET, WithTargets
from cai.training.trainers import TRAINERS
from cai.training.trl import config_class, trainer_class

SIDES = (
    ("How does a lock work?", "A key lifts the pins.", "I would rather not."),
    ("What is in the garden?", "Apples and pears.", "A small gate, and foxes, and more foxes."),
    ("Where is the lamp?", "On the table.", "Jump over the dog."),
    ("Is it safe?", "Yes, if you go first.", "No no no."),
)


def save_models(folder: Path) -> Path:
    """A reward model in the folder, and the language model of the same body below it."""
    save_reward_model(folder)
    return folder


def pairs(p: Sequence[float] | float, *, is_flipped: bool = False) -> Dataset:
    """Four pairs with those probabilities that the chosen side is better."""
    ps = [p] * len(SIDES) if isinstance(p, float) else p
    return Dataset.from_list(
        [_row(*sides, q, is_flipped) for sides, q in zip(SIDES, ps, strict=True)]
    )


def _row(asked: str, better: str, worse: str, p: float, is_flipped: bool) -> dict[str, object]:
    chosen, rejected = (worse, better) if is_flipped else (better, worse)
    return {
        "prompt": [{"role": "user", "content": asked}],
        "chosen": [{"role": "assistant", "content": chosen}],
        "rejected": [{"role": "assistant", "content": rejected}],
        TARGET: p,
    }


def trainer_of(
    kind: str,
    models: Path,
    out: Path,
    rows: Dataset,
    labels: LabelPlan | None = None,
    *,
    peft: Any = None,
    model: Any = None,
    **changes: Any,
) -> Any:
    """TRL's own trainer, or with `labels` ours. `kind` is reward or dpo."""
    settings: dict[str, Any] = {
        "output_dir": str(out),
        "max_steps": 1,
        "per_device_train_batch_size": 4,
        "learning_rate": 1e-2,
        **QUIETLY,
        "activation_checkpointing": False,
        **({} if labels is None else {"remove_unused_columns": False}),
        **({"precompute_ref_log_probs": True, "beta": 0.5} if kind == "dpo" else {}),
        **changes,
    }
    spec = TRAINERS[kind]
    trainer: Any = (trainer_class(spec) if labels is None else SOFT_TRAINERS[kind])(
        model or model_of(kind, models),
        args=config_class(spec)(**settings),
        train_dataset=rows,
        eval_dataset=rows,
        processing_class=AutoTokenizer.from_pretrained(models),
        peft_config=peft,
    )
    if labels is not None:
        trainer.data_collator = WithTargets(trainer.data_collator, labels)
    return trainer


def model_of(kind: str, models: Path) -> Any:
    """The same weights at each call; a language model is a little off its own reference."""
    if kind == "dpo":
        return AutoModelForCausalLM.from_pretrained(models / "body", dtype=torch.float32)
    return AutoModelForSequenceClassification.from_pretrained(models, dtype=torch.float32)


def moved(model: Any) -> None:
    """Moves the weights a little, the same at each call, so that margins are not zero."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for value in model.parameters():
            value += 0.02 * torch.randn(value.shape, generator=generator)


def loss_and_gradients(trainer: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Of the whole data set as one batch, in its order, without dropout."""
    batch = trainer.data_collator([trainer.train_dataset[n] for n in range(len(SIDES))])
    trainer.model.train()
    trainer.model.zero_grad()
    loss = trainer.compute_loss(trainer.model, batch)
    loss.backward()
    found = {
        name: value.grad.clone()
        for name, value in trainer.model.named_parameters()
        if value.grad is not None
    }
    return loss.detach(), found
