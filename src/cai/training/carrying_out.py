"""A TRL trainer carried out: watched, logged, taken up again, saved, and its figures kept."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# transformers leaves some of its types open: what is unknown stays in this file

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from peft import PeftModel
from rich.console import Console
from transformers import PrinterCallback, Trainer, TrainerCallback

from cai.training.beginning import Begun
from cai.training.card import write_card
from cai.training.data.loading import TrainingData
from cai.training.described import card_facts
from cai.training.folder import TrainFolder
from cai.training.lengths import check_lengths
from cai.training.ranks import is_main_process
from cai.training.resuming import check_checkpoint

_TOLD = (
    ("loss", "loss", ".4f"),
    ("reward", "reward", ".3f"),
    ("accuracy", "right", ".1%"),
    ("rewards/accuracies", "right", ".1%"),
    ("kl", "KL", ".4f"),
    ("watch/length", "words", ".1f"),
    ("watch/evasive", "evasive", ".1%"),
)
"""Figures of a logged step that the console shows: name in the logs, name for people, format."""


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished training. `figures` are those of `training.json`."""

    folder: TrainFolder
    figures: Mapping[str, object]
    is_new: bool = True


def carry_out(
    trainer: Trainer,
    begun: Begun,
    data: TrainingData,
    console: Console | None = None,
    more: Callable[[], Mapping[str, object]] = dict,
    *,
    is_whole: bool = False,
) -> Trained:
    """Trains, saves the model into the folder, and writes figures and card.

    `more` adds figures, once the model is saved. `is_whole` has adapters merged before that, as is
    needed where no folder holds what they stand on. Without a console, stderr is told.

    Raises:
        TrainingError: The checkpoint to go on from is of another model, or all rows are too long.
    """
    folder, resumes = begun.folder, begun.plan.resumes
    console = console_of(console)
    check_lengths(trainer, data, console)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(_Lines(console))
    checkpoint = folder.last_checkpoint() if resumes else None
    if resumes and is_main_process():
        where = f"step {checkpoint.name.rpartition('-')[2]}" if checkpoint else "the beginning"
        console.print(f"going on from {where}")
    began_s = time.monotonic()
    if checkpoint is not None:
        check_checkpoint(checkpoint, cast(Any, trainer.model))
    trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    seconds = time.monotonic() - began_s
    evaluation = trainer.evaluate() if trainer.eval_dataset is not None else {}
    _save(trainer, folder, is_whole=is_whole)
    if not is_main_process():
        return Trained(folder, {})
    figures: dict[str, object] = {
        "steps": trainer.state.global_step,
        "seconds": round(seconds, 1),
        "train": _last_logged(trainer),
        "evaluation": _numbers(evaluation),
        **more(),
    }
    write_card(folder.path, card_facts(begun, data, figures))
    folder.finish(figures)
    return Trained(folder, figures)


def _save(trainer: Trainer, folder: TrainFolder, *, is_whole: bool) -> None:
    model = cast(Any, trainer).accelerator.unwrap_model(trainer.model)
    if not is_whole or not isinstance(model, PeftModel):
        trainer.save_model(str(folder.path))
        # pickled settings, with paths of this machine; training.yaml has what matters
        (folder.path / "training_args.bin").unlink(missing_ok=True)
        return
    if is_main_process():
        cast(Any, model).merge_and_unload().save_pretrained(str(folder.path))
        cast(Any, trainer.processing_class).save_pretrained(str(folder.path))


def console_of(console: Console | None) -> Console:
    """The console as given, or one on stderr, where one of several processes speaks."""
    return console or Console(stderr=True, quiet=not is_main_process(), soft_wrap=True)


def _last_logged(trainer: Trainer) -> dict[str, float]:
    entries = [entry for entry in trainer.state.log_history if "loss" in entry]
    return _numbers(entries[-1]) if entries else {}


def _numbers(found: Mapping[str, Any]) -> dict[str, float]:
    return {
        name.removeprefix("eval_"): float(value)
        for name, value in found.items()
        if isinstance(value, int | float) and not name.endswith(_UNKEPT)
    }


_UNKEPT = ("runtime", "per_second", "epoch", "num_tokens", "learning_rate")


class _Lines(TrainerCallback):
    """A line on the console for every logged step."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **others: Any) -> None:
        if not state.is_world_process_zero or not logs or "loss" not in logs:
            return
        parts = [f"step {state.global_step}/{state.max_steps}"]
        for name, shown, form in _TOLD:
            value = cast(float | None, logs.get(name))
            if isinstance(value, int | float):
                parts.append(f"{shown} {value:{form}}")
        self._console.print(" · ".join(parts), markup=False, highlight=False)
