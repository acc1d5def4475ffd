"""A training from rows to a model folder: TRL's trainer created, run, resumed, saved and described.

Everything in which trainers differ is in the table of `trainers.py`; this file is the same for all.

Example:
    pairs = load_training_data("runs/judged", "preference")
    trained = train("dpo", pairs, TrainPlan("hf:models/sl", Path("models/dpo")))
    trained.figures["train"]  # {"loss": 0.61, "rewards/accuracies": 0.7, …}
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# TRL, transformers and peft leave some of their types open: what is unknown stays in this file

import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from peft import PeftModel
from rich.console import Console
from transformers import PrinterCallback, Trainer, TrainerCallback

from cai.export.rows import prompt_of
from cai.training.base_model import StartModel, check_checkpoint
from cai.training.card import (
    CardFacts,
    card_figures,
    data_sources,
    describe_settings,
    feedback_of,
    write_card,
)
from cai.training.config import lora_config
from cai.training.data.load import TrainingData
from cai.training.data.trl_tables import check_lengths, no_rows_errors, table_of
from cai.training.environment import is_main_process
from cai.training.folder import TrainFolder
from cai.training.monitor.callbacks import SamplingPlan, monitor_training
from cai.training.monitor.monitor import TrainingMonitor
from cai.training.plan import LabelPlan, TrainPlan
from cai.training.reward_model.checkpoint import write_facts
from cai.training.reward_model.conditioning import ConditionPlan
from cai.training.reward_model.evaluate import reward_figures
from cai.training.rewards.batch import RewardRecorder
from cai.training.rewards.functions import OpenRewards, opened_rewards
from cai.training.rewards.spec import RewardSpec
from cai.training.setup import Objective, PreparedTraining, prepare_training
from cai.training.soft_losses import SOFT_TRAINERS, WithTargets
from cai.training.trainers import shown_metrics, trainer_spec
from cai.training.trl import trainer_class

N_PROMPTS = 32  # prompts that the monitor samples responses to

MIN_STEPS = 50  # between samples of the monitor

# how fast and how far it ran, which is no figure of the result
_NOT_SAVED = ("runtime", "per_second", "epoch", "num_tokens", "learning_rate")


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished training. `figures` are those of `training.json`."""

    folder: TrainFolder
    figures: Mapping[str, object]
    is_new: bool = True  # whether this call trained it; False where it was done before


def train(
    trainer: str,
    data: TrainingData,
    plan: TrainPlan,
    console: Console | None = None,
    *,
    labels: LabelPlan | None = None,
    principles: ConditionPlan | None = None,
    rewards: RewardSpec | None = None,
) -> Trained:
    """Trains with the trainer of that name, one of those in `trainers.TRAINERS`.

    `labels` are for reward and dpo, soft by default. `principles` are for a reward model that reads
    them. `rewards` are for grpo and rloo, which need at least one. Without a console, steps are
    printed to stderr. A training that is already done is returned as it is.

    Raises:
        UsageError: There is no such trainer, or it does not take something that is given.
        TrainingError: Settings, folder or rewards cannot be used, no row is left, or memory ran
            out.
        ModelError: The model cannot be opened, or nothing of a batch could be judged.
    """
    spec = trainer_spec(trainer)
    objective = Objective.for_trainer(spec, labels, principles, rewards)
    console = console or Console(stderr=True, quiet=not is_main_process(), soft_wrap=True)
    data = objective.rows_of(data, plan.seed)
    prepared = prepare_training(spec, data, plan, objective)
    # the same command again returns its result; the folder has been checked to be of this training
    figures = prepared.folder.figures()
    if figures is not None:
        return Trained(prepared.folder, figures, is_new=False)
    rewards_open = (
        nullcontext(None)
        if objective.rewards is None
        else opened_rewards(objective.rewards, prepared.folder.judging)
    )
    with prepared.open_model(data) as start, rewards_open as opened:
        _warn(start, data, console)
        made = _make_trainer(prepared, data, start, opened)
        return run_training(
            made, prepared, data, console, rewards=opened, is_merged=start.is_merged
        )


def _warn(start: StartModel, data: TrainingData, console: Console) -> None:
    """Says what the chat template does to the rows that nobody would expect."""
    rows = (*data.train, *data.evaluation)
    has_system = any(turn.role == "system" for row in rows for turn in prompt_of(row.unit).messages)
    if start.folds_system and has_system:
        console.print(
            f"WARNING: the chat template of {start.spec} takes no system turn; its text goes to "
            "the head of the user's next turn.",
            markup=False,
        )
    if not start.ends_turn:
        console.print(
            f"WARNING: the chat template of {start.spec} writes no end-of-turn token behind an "
            "answer, so a policy trained on it never learns to stop. Add the EOS token to the "
            "template (chat_template.jinja).",
            markup=False,
        )


def _make_trainer(
    prepared: PreparedTraining, data: TrainingData, start: StartModel, rewards: OpenRewards | None
) -> Trainer:
    """TRL's trainer with its data, adapters, labels or rewards, and its monitor."""
    spec, config = prepared.spec, prepared.configuration.config
    labels = prepared.objective.labels
    monitor = TrainingMonitor(prepared.folder.path, prepared.plan.rules)
    recorder = RewardRecorder()
    own: dict[str, Any] = {}
    held_out = data.evaluation
    if rewards is not None:
        # users cannot set these fields, as they follow from the rewards and the tokenizer
        config.reward_weights = rewards.weights
        config.chat_template_kwargs = dict(start.arguments)
        own["reward_funcs"] = recorder.columns(rewards.functions, rewards.weights, is_joint=True)
        if config.eval_strategy == "no":  # an evaluation at the end would cost judge calls
            held_out = ()
    has_targets = labels is not None and labels.needs_loss
    made_by = SOFT_TRAINERS[spec.name] if has_targets else trainer_class(spec)
    lora = prepared.configuration.lora
    table = partial(
        table_of, arguments=start.arguments, labels=labels, folds_system=start.folds_system
    )
    with no_rows_errors(getattr(config, "max_length", None)):
        trainer = made_by(
            model=start.model,
            args=config,
            train_dataset=table(data.train),
            eval_dataset=table(held_out) if held_out else None,
            processing_class=start.tokenizer,
            peft_config=None if lora is None else lora_config(lora, spec.head),
            **own,
        )
    if labels is not None and has_targets:
        # TRL's own collator drops the column of the targets
        trainer.data_collator = WithTargets(trainer.data_collator, labels)
    if rewards is not None:
        monitor_training(trainer, monitor, recorder=recorder)
    elif spec.is_sampled:
        # responses to the first held-out prompts, at the start, the end, and up to three times
        # between; each of these costs about as much as three steps of DPO, hence the least distance
        rows = data.evaluation or data.train
        prompts = list(dict.fromkeys(prompt_of(row.unit).messages for row in rows))[:N_PROMPTS]
        args = trainer.args
        n_steps = args.max_steps
        if n_steps <= 0:
            batch = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
            n_rows = len(trainer.train_dataset)  # pyright: ignore[reportArgumentType]: it has one
            n_steps = int(args.num_train_epochs * n_rows / batch)
        every = max(MIN_STEPS, n_steps // 4)
        plan = SamplingPlan(prompts, every=every, seed=prepared.plan.seed)
        monitor_training(trainer, monitor, plan=plan)
    return trainer


def run_training(
    trainer: Trainer,
    prepared: PreparedTraining,
    data: TrainingData,
    console: Console,
    *,
    rewards: OpenRewards | None,
    is_merged: bool,
) -> Trained:
    """Trains, saves the model into the folder, and writes figures and card.

    `is_merged` says that the start has an adapter merged into it; adapters on it are merged too, as
    no folder holds their base.

    Raises:
        TrainingError: The checkpoint to resume from is of another model, or all rows are too long.
    """
    folder, resumes = prepared.folder, prepared.plan.resumes
    # TRL has tokenized the rows by now, and left out those that are too long
    check_lengths(trainer, data, console)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(_StepLines(console))
    checkpoint = folder.last_checkpoint() if resumes else None
    if resumes and is_main_process():
        where = f"step {checkpoint.name.rpartition('-')[2]}" if checkpoint else "the beginning"
        console.print(f"going on from {where}")
    if checkpoint is not None:
        check_checkpoint(checkpoint, cast(Any, trainer.model))
    began_s = time.monotonic()
    trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    seconds = time.monotonic() - began_s
    trainer.save_state()  # the report draws its curves from the log
    evaluation = trainer.evaluate() if trainer.eval_dataset is not None else {}
    model = cast(Any, trainer).accelerator.unwrap_model(trainer.model)
    if not is_merged or not isinstance(model, PeftModel):
        # in all processes: each may hold a part of the weights
        trainer.save_model(str(folder.path))
        # pickled settings, with paths of this machine; training.yaml has those that matter
        (folder.path / "training_args.bin").unlink(missing_ok=True)
    elif is_main_process():
        # the base of the adapter was merged in memory and is in no folder, so that the adapter,
        # saved alone, could not be opened
        cast(Any, model).merge_and_unload().save_pretrained(str(folder.path))
        cast(Any, trainer.processing_class).save_pretrained(str(folder.path))
    if not is_main_process():  # one process writes the figures
        return Trained(folder, {})
    # the last entry of the history is a summary of the run, without a loss of its own
    logged = [entry for entry in trainer.state.log_history if "loss" in entry]
    figures: dict[str, object] = {
        "steps": trainer.state.global_step,
        "seconds": round(seconds, 1),
        "train": _numbers(logged[-1]) if logged else {},
        "evaluation": _numbers(evaluation),
    }
    if not prepared.spec.is_policy:
        principles, held_out = prepared.objective.principles, data.evaluation
        if principles is not None:  # before the figures: they are those of the folder as it is
            write_facts(folder.path, principles.facts)
        figures["held_out"] = reward_figures(folder.path, held_out, console) if held_out else {}
    if rewards is not None and rewards.judge_thread is not None:
        journal = rewards.judge_thread.engine.journal
        figures["judging"] = {
            "calls": journal.calls,
            "from_journal": journal.hits,
            "prompt_tokens": journal.usage.prompt_tokens,
            "completion_tokens": journal.usage.completion_tokens,
        }
    # the figures come last: the file of figures marks the training as done
    write_card(folder.path, card_facts(prepared, data, figures))
    folder.finish(figures)
    return Trained(folder, figures)


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    return {
        name.removeprefix("eval_"): float(value)
        for name, value in values.items()
        if isinstance(value, int | float) and not name.endswith(_NOT_SAVED)
    }


def card_facts(
    prepared: PreparedTraining, data: TrainingData, figures: Mapping[str, object]
) -> CardFacts:
    """What the card of a finished training says."""
    objective, configuration = prepared.objective, prepared.configuration
    from_rewards = objective.rewards and objective.rewards.feedback()
    has_judges = from_rewards is not None and from_rewards.judges
    return CardFacts(
        path=str(prepared.plan.out),
        base_model=prepared.plan.model,
        trainer=prepared.spec,
        loss=objective.loss_of(prepared.spec),
        data=data_sources(data),
        data_hash=data.content_hash,
        feedback=from_rewards if from_rewards and has_judges else feedback_of(data.provenance),
        settings=describe_settings(configuration.config, configuration.fixed),
        lora=configuration.lora and configuration.lora.model_dump(),
        figures=list(card_figures(figures, len(data.evaluation))),
    )


class _StepLines(TrainerCallback):
    """A line on the console for every logged step."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **others: Any) -> None:
        if not state.is_world_process_zero or not logs or "loss" not in logs:
            return
        step = f"step {state.global_step}/{state.max_steps}"
        line = " · ".join([step, *shown_metrics(logs, is_result=False)])
        self._console.print(line, markup=False, highlight=False)
