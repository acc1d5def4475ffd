"""What every training begins with: folder, TRL's config, adapters, and the model to start from.

Settings are checked, and the folder and what the model's own folder holds, before it is loaded.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from peft import LoraConfig
from transformers import TrainingArguments

from cai.training.base_model import Head, Start, memory_errors, open_start, start_hash
from cai.training.card import Feedback
from cai.training.config import config_of, default_fields, fixed_fields, quiet_libraries
from cai.training.data.load import TrainingData
from cai.training.data.trl_tables import check_rows
from cai.training.environment import is_main_process
from cai.training.folder import TrainFolder
from cai.training.lora import lora_config, lora_settings
from cai.training.plan import TrainPlan
from cai.training.settings import Settings, Trainer


@dataclass(frozen=True, slots=True)
class Ways:
    """How one trainer differs: fields that cai sets, defaults of ours, and what else decides."""

    fixed: Mapping[str, object] = field(default_factory=dict[str, object])
    defaults: Mapping[str, object] = field(default_factory=dict[str, object])
    asked: Mapping[str, object] = field(default_factory=dict[str, object])
    loss: str = ""
    """In a few words, for the card."""
    feedback: Feedback = Feedback()
    """By what was judged during the training, for the card."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A training that was checked and has its folder; `config` is of TRL's own class."""

    trainer: Trainer
    plan: TrainPlan
    folder: TrainFolder
    config: Any
    lora: LoraConfig | None
    fixed: frozenset[str]
    loss: str
    feedback: Feedback

    @property
    def done(self) -> Mapping[str, object] | None:
        """The figures, where it was done before."""
        return self.folder.figures()

    @contextmanager
    def started(self, head: Head, data: TrainingData) -> Generator[Start]:
        """The model to start from, and the libraries kept quiet until the end.

        Raises:
            CaiError: The model cannot be opened, or the rows hold control tokens that it obeys.
        """
        with quiet_libraries(self.folder), memory_errors():
            start = open_start(self.plan.model, head)
            if not start.arguments and not self.plan.allows_control_tokens:
                check_rows([*data.train, *data.evaluation], start.tokenizer, start.spec)
            yield start


@dataclass(frozen=True, slots=True)
class Configured:
    """TRL's config and the adapters of a training whose settings were checked."""

    settings: Settings
    config: TrainingArguments
    lora: LoraConfig | None
    fixed: frozenset[str]


def configure(trainer: Trainer, plan: TrainPlan, ways: Ways = Ways()) -> Configured:
    """Checks the settings; nothing is written.

    Raises:
        TrainingError: Settings that there are not or that do not go together.
    """
    settings = (
        Settings(plan.settings, {}) if not isinstance(plan.settings, Settings) else plan.settings
    )
    block = settings.block("lora")
    lora = None if block is None else lora_config(lora_settings(block), trainer)
    place = TrainFolder(plan.out)
    fixed = {**fixed_fields(place, plan.seed, plan.reports), **ways.fixed}
    config = config_of(trainer, settings, fixed, {**default_fields(), **ways.defaults})
    return Configured(settings, config, lora, frozenset(fixed))


def begin(trainer: Trainer, data: TrainingData, plan: TrainPlan, ways: Ways = Ways()) -> Begun:
    """Checks settings, model and folder.

    Raises:
        TrainingError: As `configure`, or a folder of something else, or a model that cannot be
            trained.
        ModelError: There is no such model.
    """
    made = configure(trainer, plan, ways)
    asked = {
        "trainer": trainer,
        "model": plan.model,
        "weights": start_hash(plan.model),
        "data": {
            "sources": dict(data.counts),
            "hash": data.content_hash,
            "held_out": len(data.evaluation),
        },
        **ways.asked,
        "settings": dict(made.settings.given),
        "seed": plan.seed,
    }
    if is_main_process():
        folder = TrainFolder.begin(plan.out, asked, resumes=plan.resumes)
    else:  # of several processes the first one checks, and it may have begun to write
        folder = TrainFolder(plan.out)
    return Begun(
        trainer, plan, folder, made.config, made.lora, made.fixed, ways.loss, ways.feedback
    )
