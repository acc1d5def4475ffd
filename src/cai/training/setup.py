"""What every training starts with: TRL's config, adapters, the folder, and the model to start from.

Settings are checked before the folder is made, and the folder before the model is loaded.

Example:
    prepared = prepare_training(trainer_spec("dpo"), data, plan, Objective(LabelPlan()))
    with prepared.open_model(data) as start:
        start.model
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from transformers import set_seed

from cai.errors import TrainingError, UsageError
from cai.training.base_model import StartModel, memory_errors, open_start_model, start_hash
from cai.training.config import (
    LoraSettings,
    default_fields,
    fixed_fields,
    lora_settings,
    make_config,
    quiet_libraries,
)
from cai.training.data.load import TrainingData
from cai.training.data.trl_tables import check_rows, confident_pairs
from cai.training.environment import is_main_process
from cai.training.folder import TrainFolder
from cai.training.plan import LabelPlan, TrainPlan
from cai.training.reward_model.conditioning import ConditionPlan, condition
from cai.training.rewards.spec import RewardSpec
from cai.training.settings import TrainerSettings
from cai.training.soft_losses import check_soft_labels
from cai.training.trainers import TrainerSpec

_FIXED_BY_LABELS = {"remove_unused_columns": False}  # the target is such a column
_FIXED_BY_REWARDS = {
    "chat_template_kwargs": None,
    "remove_unused_columns": False,
    "reward_weights": None,
}


@dataclass(frozen=True, slots=True)
class Objective:
    """What is learned beyond the rows: labels of pairs, principles in the input, or rewards.

    It has only parts that the trainer takes; `for_trainer` checks that.
    """

    labels: LabelPlan | None = None
    principles: ConditionPlan | None = None
    rewards: RewardSpec | None = None

    @classmethod
    def for_trainer(
        cls,
        spec: TrainerSpec,
        labels: LabelPlan | None = None,
        principles: ConditionPlan | None = None,
        rewards: RewardSpec | None = None,
    ) -> "Objective":
        """The objective, with defaults for the parts that are not given.

        Raises:
            UsageError: A part is given that the trainer does not take.
            TrainingError: It needs a reward and has none, or a reward cannot be computed.
        """
        given = {"labels": labels, "principles": principles, "rewards": rewards}
        possible = {
            "labels": spec.takes_labels,
            "principles": not spec.is_policy,
            "rewards": spec.uses_rewards,
        }
        for name, value in given.items():
            if value is not None and not possible[name]:
                raise UsageError(f"The trainer {spec.name} takes no {name}. Leave them out.")
        if spec.uses_rewards:
            (rewards := rewards or RewardSpec()).check()
        if spec.takes_labels:
            labels = labels or LabelPlan()
        return cls(labels, principles, rewards)

    def rows_of(self, data: TrainingData, seed: int) -> TrainingData:
        """The rows to learn from: with principles, and without pairs that are too uncertain.

        Raises:
            TrainingError: No row is left.
        """
        # principles first: a pair's label under those that it is shown may be less certain
        if self.principles is not None:
            data = condition(data, self.principles, seed)
        return data if self.labels is None else confident_pairs(data, self.labels)

    def describe(self) -> dict[str, object]:
        """Everything in it that decides the result, as JSON."""
        described = {
            "labels": self.labels and self.labels.describe(),
            "principles": self.principles and self.principles.describe(),
            "rewards": self.rewards and self.rewards.describe(),
        }
        return {name: value for name, value in described.items() if value is not None}

    def loss_of(self, spec: TrainerSpec) -> str:
        """The loss in words, for the card."""
        if self.rewards is not None:
            return f"{spec.loss}; rewards: {self.rewards.in_words()}"
        return spec.loss if self.labels is None else f"{spec.loss}, {self.labels.describe()}"


@dataclass(frozen=True, slots=True)
class Configuration:
    """TRL's config and the adapters of a training with checked settings."""

    given: Mapping[str, object]
    config: Any  # of TRL's own class for the trainer
    lora: LoraSettings | None
    fixed: frozenset[str]  # the fields that cai sets


@dataclass(frozen=True, slots=True)
class PreparedTraining:
    """A training that was checked and has its folder."""

    spec: TrainerSpec
    plan: TrainPlan
    objective: Objective
    folder: TrainFolder
    configuration: Configuration

    @contextmanager
    def open_model(self, data: TrainingData) -> Generator[StartModel]:
        """The model to start from; the libraries are quiet until the context ends.

        Raises:
            CaiError: The model cannot be opened, or the rows hold control tokens that it obeys.
        """
        with quiet_libraries(self.folder), memory_errors():
            set_seed(self.plan.seed)  # a new reward head is drawn at random; TRL seeds only later
            start = open_start_model(self.plan.model, self.spec.head)
            # without arguments the template would obey control tokens in contents: see trl_tables
            if not start.arguments and not self.plan.allows_control_tokens:
                check_rows([*data.train, *data.evaluation], start.tokenizer, start.spec)
            yield start


def configure(spec: TrainerSpec, plan: TrainPlan, labels: LabelPlan | None = None) -> Configuration:
    """Checks the settings; nothing is written. Recipes call it long before the training.

    Raises:
        TrainingError: Unknown settings, or ones that exclude each other.
    """
    settings = (
        plan.settings
        if isinstance(plan.settings, TrainerSettings)
        else TrainerSettings(plan.settings, {})
    )
    block = settings.block("lora")
    lora = None if block is None else lora_settings(block)
    has_targets = labels is not None and labels.needs_loss
    fixed = {
        **fixed_fields(TrainFolder(plan.out), plan.seed, plan.reports),
        **(_FIXED_BY_LABELS if has_targets else {}),
        **(_FIXED_BY_REWARDS if spec.uses_rewards else {}),
    }
    config = make_config(spec, settings, fixed, {**default_fields(), **spec.defaults})
    if has_targets:
        check_soft_labels(config)
    if spec.uses_rewards:
        check_groups(config)
    return Configuration(settings.given, config, lora, frozenset(fixed))


def prepare_training(
    spec: TrainerSpec, data: TrainingData, plan: TrainPlan, objective: Objective
) -> PreparedTraining:
    """Checks settings, model and folder, and creates the folder.

    Raises:
        TrainingError: As `configure`, or the folder is not of this training, or the model cannot be
            trained.
        ModelError: There is no such model.
    """
    configuration = configure(spec, plan, objective.labels)
    # everything that decides the weights: a training that differs in one of these is another one,
    # and its folder is refused; where and how fast it runs is not among them
    config = {
        "trainer": spec.name,
        "model": plan.model,
        "weights": start_hash(plan.model),
        "data": {
            "sources": dict(data.counts),
            "hash": data.content_hash,
            "held_out": len(data.evaluation),
        },
        **objective.describe(),
        "settings": dict(configuration.given),
        "seed": plan.seed,
    }
    if is_main_process():
        folder = TrainFolder.begin(plan.out, config, resumes=plan.resumes)
    else:  # of several processes the first one checks, and it may already be writing
        folder = TrainFolder(plan.out)
    return PreparedTraining(spec, plan, objective, folder, configuration)


def check_groups(config: Any) -> None:
    """Checks that each process has whole groups: a process cannot judge a part of one.

    Raises:
        TrainingError: A group would be spread over processes.
    """
    if config.world_size > 1 and config.per_device_train_batch_size % config.num_generations:
        raise TrainingError(
            f"per_device_train_batch_size is {config.per_device_train_batch_size}, not a multiple "
            f"of num_generations, {config.num_generations}: a group would be spread over "
            "processes. Set a multiple."
        )
