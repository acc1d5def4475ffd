"""A TRL trainer carried out: watched, logged, taken up again, saved, and its figures kept.

Whether a checkpoint is of the model that is trained, found out before it is loaded.

Of a checkpoint of another shape torch writes a page of tensor names.

Watches the policy of a trainer that samples nothing itself, on prompts of its own rows.

A training as its card tells it.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# safetensors and peft leave some of their types open: what is unknown stays in this file
# transformers leaves some of its types open: what is unknown stays in this file

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast

from peft import PeftModel, get_peft_model_state_dict
from rich.console import Console
from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformers import PreTrainedModel, PrinterCallback, Trainer, TrainerCallback

from cai.errors import TrainingError
from cai.export.provenance import Provenance
from cai.export.rows import prompt_of
from cai.training.card import CardFacts, DataSource, Feedback, Figure, describe_settings, write_card
from cai.training.data.load import TrainingData
from cai.training.data.trl_tables import check_lengths
from cai.training.environment import is_main_process
from cai.training.folder import TrainFolder
from cai.training.lora import LoraSettings, lora_settings
from cai.training.monitor.attach import watch
from cai.training.monitor.monitor import Watcher
from cai.training.monitor.sampling_callback import SamplingPlan
from cai.training.settings import Settings
from cai.training.setup import Begun

_WHOLE, _ADAPTER = "model*.safetensors", "adapter_model.safetensors"


def check_checkpoint(path: Path, model: PreTrainedModel | PeftModel) -> None:
    """Compares names and shapes of the weights; what is in pieces of another format is not read.

    Raises:
        TrainingError: They are of another model, or the file is damaged.
    """
    is_adapter = isinstance(model, PeftModel)
    other, pattern = (_WHOLE, _ADAPTER) if is_adapter else (_ADAPTER, _WHOLE)
    files = sorted(path.glob(pattern))
    if not files:
        if any(path.glob(other)):
            kinds = (
                ("a whole model", "an adapter") if is_adapter else ("an adapter", "a whole model")
            )
            raise _other(path, f"it holds {kinds[0]}, and {kinds[1]} is trained")
        return
    wanted = _adapter(model) if isinstance(model, PeftModel) else model.state_dict()
    shapes = {name: tuple(value.shape) for name, value in _tensors(wanted).items()}
    found = _found(files)
    for name in shapes.keys() & found.keys():
        if shapes[name] != found[name]:
            was, is_now = (" × ".join(map(str, each[name])) for each in (found, shapes))
            raise _other(path, f"its {name} is {was}, and the model's is {is_now}")
    if not shapes.keys() & found.keys():  # some names differ in files, never all of them
        raise _other(path, "no weight in it has a name of the model's")


def _adapter(model: PeftModel) -> Mapping[str, object]:
    return get_peft_model_state_dict(model, save_embedding_layers=False)


def _found(files: list[Path]) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    for file in files:
        try:
            with safe_open(file, framework="pt") as opened:
                for name in opened.keys():  # noqa: SIM118, it is no mapping
                    found[name] = tuple(opened.get_slice(name).get_shape())
        except (SafetensorError, OSError) as error:
            raise TrainingError(
                f"{file}: cannot be read ({error}). Delete this checkpoint, and --resume goes on "
                "from the one before."
            ) from error
    return found


def _tensors(state: Mapping[str, object]) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if isinstance(value, Tensor)}


def _other(path: Path, found: str) -> TrainingError:
    return TrainingError(
        f"{path}: is a checkpoint of another model: {found}. Delete it, or name another folder "
        "with --out."
    )


_SHOWN = {
    "loss": "loss",
    "accuracy": "pairs put right",
    "rewards/accuracies": "pairs put right",
    "reward": "reward",
    "kl": "KL from the reference",
    "mean_token_accuracy": "tokens put right",
}


def card_facts(begun: Begun, data: TrainingData, figures: Mapping[str, object]) -> CardFacts:
    """All that the card of a finished training tells."""
    return CardFacts(
        path=str(begun.plan.out),
        base_model=begun.plan.model,
        trainer=begun.trainer,
        loss=begun.loss,
        data=list(_sources(data)),
        data_hash=data.content_hash,
        feedback=begun.feedback if begun.feedback.judges else _feedback(data.provenance),
        settings=describe_settings(begun.config, begun.fixed),
        lora=_lora(begun),
        figures=list(_figures(data, figures)),
    )


def _sources(data: TrainingData) -> Iterator[DataSource]:
    mixed = {outcome.mix.file for outcome in data.mixed}
    has_labels = data.kind in ("preference", "kto")
    for name, n in data.counts.items():
        is_people = name in mixed or data.provenance.methods == ("people",)
        labels: Literal["ai", "people", "none"] = "people" if is_people else "ai"
        yield DataSource(name, n, labels if has_labels else "none")


def _feedback(provenance: Provenance) -> Feedback:
    """By what the rows were made; of several constitutions the names together."""
    constitutions = provenance.constitutions
    names = ", ".join(f"{each.name} {each.version}".strip() for each in constitutions)
    return Feedback(
        constitution=names or None,
        constitution_hash=", ".join(each.hash for each in constitutions if each.hash) or None,
        principles=provenance.principle_ids,
        responders=provenance.models,
        judges=provenance.judges,
    )


def _lora(begun: Begun) -> Mapping[str, object] | None:
    settings = begun.plan.settings
    block = (settings if isinstance(settings, Settings) else Settings(settings, {})).block("lora")
    chosen: LoraSettings | None = None if block is None else lora_settings(block)
    return None if chosen is None else cast(dict[str, object], asdict(chosen))


def _figures(data: TrainingData, figures: Mapping[str, object]) -> Iterator[Figure]:
    for part, where in (("train", "last step"), ("evaluation", "held-out rows")):
        found = cast(Mapping[str, Any], figures.get(part) or {})
        n = len(data.evaluation) if part == "evaluation" else None
        for name, shown in _SHOWN.items():
            if name in found:
                yield Figure(f"{shown}, {where}", float(found[name]), n)
    held_out = cast(Mapping[str, Mapping[str, Any]], figures.get("held_out") or {})
    for source, found in held_out.items():
        if found.get("accuracy") is not None:
            yield Figure(f"held-out pairs put right ({source})", found["accuracy"], found["n"])
        yield Figure(f"calibration error ({source})", found["calibration_error"], found["n"])


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
