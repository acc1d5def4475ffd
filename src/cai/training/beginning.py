"""What every training begins with: folder, TRL's config, adapters, and the model to start from.

Settings are checked, and the folder too, before a model is loaded.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from peft import LoraConfig
from transformers import TrainingArguments

from cai.training.config import config_of
from cai.training.data.loading import TrainingData
from cai.training.defaults import default_fields, fixed_fields, quiet_libraries
from cai.training.folder import TrainFolder
from cai.training.lora import lora_config, lora_settings
from cai.training.plan import TrainPlan
from cai.training.settings import Settings, Trainer
from cai.training.start import Head, Start, open_start


@dataclass(frozen=True, slots=True)
class Ways:
    """How one trainer differs: fields that cai sets, defaults of ours, and what else decides."""

    fixed: Mapping[str, object] = field(default_factory=dict[str, object])
    defaults: Mapping[str, object] = field(default_factory=dict[str, object])
    asked: Mapping[str, object] = field(default_factory=dict[str, object])
    loss: str = ""
    """In a few words, for the card."""


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

    @property
    def done(self) -> Mapping[str, object] | None:
        """The figures, where it was done before."""
        return self.folder.figures()

    @contextmanager
    def started(self, head: Head) -> Generator[Start]:
        """The model to start from, and the libraries kept quiet until the end."""
        with quiet_libraries(self.folder):
            yield open_start(self.plan.model, head)


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
    """Checks settings and folder.

    Raises:
        TrainingError: As `configure`, or a folder of something else.
    """
    made = configure(trainer, plan, ways)
    asked = {
        "trainer": trainer,
        "model": plan.model,
        "data": {"sources": dict(data.counts), "hash": data.content_hash},
        **ways.asked,
        "settings": dict(made.settings.given),
        "seed": plan.seed,
    }
    folder = TrainFolder.begin(plan.out, asked, resumes=plan.resumes)
    return Begun(trainer, plan, folder, made.config, made.lora, made.fixed, ways.loss)
