"""The table of trainers: one row for each trainer of TRL, with everything that sets it apart.

The commands of `cai train`, the items of a recipe's `train:`, the defaults and checks of settings,
the rows that are loaded and the names in reports and cards are derived from this table. A trainer
that learns from one of the kinds of rows below is added by adding one row.

Nothing heavy is imported here, because the command line reads this file: TRL's classes are named by
what they begin with and imported when a training is prepared.

Example:
    spec = trainer_spec("dpo")
    spec.rows        # "preference": what `load_training_data` is to load
    spec.is_policy   # True: its result can generate, and later trainings can start from it
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from cai.errors import UsageError
from cai.export.data_files import Kind
from cai.suggest import did_you_mean

Head = Literal["language", "reward"]
"""What the trained network ends in: a language-model head, or one scalar."""

KL_COEFFICIENT = 0.05
"""β of the KL penalty where the settings give none: that of Lee et al. 2023, arXiv:2309.00267."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerSpec:
    """One trainer of TRL, as data."""

    name: str  # of the command, of the recipe's item, and by default of the folder
    trl: str  # how TRL's classes begin: `DPO` for `DPOConfig` and `DPOTrainer`
    title: str  # the method in words, for reports
    summary: str  # first line of the command's help
    paper: str
    details: str = ""  # rest of the command's help
    example: str  # a command line after `cai train NAME`
    rows: Kind
    loss: str  # in a few words, for the card
    head: Head = "language"
    takes_labels: bool = False  # whether the loss can be computed on soft labels (`LabelPlan`)
    # whether the monitor samples the policy: for trainers that generate nothing themselves
    is_sampled: bool = False
    # fields of TRL's config that differ from TRL's own defaults
    defaults: Mapping[str, object] = field(default_factory=dict[str, object])
    # values of text fields that TRL checks only after the model is loaded
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    next_commands: tuple[str, ...] = ("cai sample PROMPTS -m hf:{out} …",)

    @property
    def method(self) -> str:
        """The title with its abbreviation, where there is one."""
        return f"{self.title} ({self.trl})" if self.is_policy else self.title

    @property
    def is_policy(self) -> bool:
        """Whether the result generates text, so that others can start from it."""
        return self.head == "language"

    @property
    def uses_rewards(self) -> bool:
        """Whether it learns from prompts by reinforcement, with reward functions."""
        return self.rows == "prompts"


_VLLM_MODES = ("server", "colocate")
_SPECS = (
    TrainerSpec(
        name="sft",
        trl="SFT",
        title="supervised fine-tuning",
        summary="Supervised fine-tuning on revisions, or on any prompts with responses.",
        paper="Bai et al. 2022, arXiv:2212.08073, §3",
        details="The loss is computed on the responses only.",
        example="runs/first -m hf:MODEL --mix helpful.jsonl:helpfulness -o models/sl",
        rows="sft",
        loss="cross-entropy of the responses",
        next_commands=(
            "cai sample PROMPTS -m hf:{out} -k 4 -o runs/samples",
            "cai judge runs/samples -c CONSTITUTION -m JUDGE -o runs/judged",
        ),
    ),
    TrainerSpec(
        name="reward",
        trl="Reward",
        title="reward modelling",
        summary="A reward model on preference pairs, by default on the judge's probabilities.",
        paper="Bai et al. 2022, arXiv:2212.08073, §4.1; Lee et al. 2023, arXiv:2309.00267, §2.2; "
        "with principles Sun et al. 2023, arXiv:2310.05910, §3",
        details="With --read-principles, principles of the constitution are part of the model's "
        "input, so that others can be used later without training again. The run must be judged "
        "under all of them.",
        example="runs/judged -m hf:models/sl --pairs all -o models/reward",
        rows="preference",
        loss="cross-entropy of σ(r_a − r_b)",
        head="reward",
        takes_labels=True,
        next_commands=(
            "cai train grpo PROMPTS -m hf:POLICY --reward-model {out} -o models/rl",
            "cai serve --reward-model {out}",
        ),
    ),
    TrainerSpec(
        name="dpo",
        trl="DPO",
        title="direct preference optimization",
        summary="Direct preference optimization on pairs, by default on the judge's probabilities.",
        paper="Rafailov et al. 2023, arXiv:2305.18290",
        example="runs/judged -m hf:models/sl --set beta=0.2 -o models/dpo",
        rows="preference",
        loss="DPO",
        takes_labels=True,
        is_sampled=True,
        # soft labels need the reference's log-probabilities beside the policy's
        defaults={"precompute_ref_log_probs": True},
        choices={
            "loss_type": (
                "sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair",
                "sppo_hard", "aot", "aot_unpaired", "apo_zero", "apo_down", "discopop", "sft",
                "sigmoid_norm",
            ),
            "f_divergence_type": (
                "reverse_kl", "forward_kl", "js_divergence", "alpha_divergence",
            ),
        },
    ),
    TrainerSpec(
        name="kto",
        trl="KTO",
        title="Kahneman-Tversky optimization",
        summary="Kahneman-Tversky optimization on single responses labelled good or bad.",
        paper="Ethayarajh et al. 2024, arXiv:2402.01306",
        example="runs/judged -m hf:models/sl -o models/kto",
        rows="kto",
        loss="KTO",
        is_sampled=True,
    ),
    TrainerSpec(
        name="grpo",
        trl="GRPO",
        title="group relative policy optimization",
        summary="Group relative policy optimization on prompts, with rewards from principles.",
        paper="Shao et al. 2024, arXiv:2402.03300; as the RL stage of Bai et al. 2022, "
        "arXiv:2212.08073, §4, and Lee et al. 2023, arXiv:2309.00267, §2.3",
        example="prompts.jsonl -m hf:models/sl --judge hf:JUDGE -c harmless --opponents 2 "
        "-o models/rl",
        rows="prompts",
        loss="GRPO with a KL penalty",
        # TRL's own default is 0, with which nothing holds the policy near its start: over-optimized
        # against a judge it ends in whatever that judge likes
        defaults={"beta": KL_COEFFICIENT},
        choices={
            "loss_type": (
                "grpo", "dr_grpo", "dapo", "bnpo", "cispo", "sapo", "luspo", "vespo",
            ),
            "importance_sampling_level": ("token", "sequence"),
            "scale_rewards": ("group", "batch", "none"),
            "multi_objective_aggregation": ("sum_then_normalize", "normalize_then_sum"),
            "vllm_mode": _VLLM_MODES,
        },
    ),
    TrainerSpec(
        name="rloo",
        trl="RLOO",
        title="REINFORCE leave-one-out",
        summary="REINFORCE with a leave-one-out baseline, with rewards from principles.",
        paper="Ahmadian et al. 2024, arXiv:2402.14740",
        example="prompts.jsonl -m hf:models/sl --reward-model models/reward -o models/rl",
        rows="prompts",
        loss="RLOO with a KL penalty",
        defaults={"beta": KL_COEFFICIENT},
        choices={"vllm_mode": _VLLM_MODES},
    ),
)  # fmt: skip

TRAINERS: Mapping[str, TrainerSpec] = {spec.name: spec for spec in _SPECS}


LABELLED_ROWS: tuple[Kind, ...] = ("preference", "kto")
"""Kinds of rows with labels, of a judge or of people."""


@dataclass(frozen=True, slots=True)
class LoggedMetric:
    """A number that TRL logs: its label and format for people."""

    label: str
    format: str
    is_result: bool = True  # whether it is shown of a finished training, and not only while it runs


METRICS: Mapping[str, LoggedMetric] = {
    "loss": LoggedMetric("loss", ".4f"),
    "accuracy": LoggedMetric("pair accuracy", ".1%"),
    "rewards/accuracies": LoggedMetric("pair accuracy", ".1%"),
    "mean_token_accuracy": LoggedMetric("token accuracy", ".1%"),
    "reward": LoggedMetric("reward", ".3f"),
    "kl": LoggedMetric("KL from the reference", ".4f"),
    "watch/length": LoggedMetric("words", ".1f", is_result=False),
    "watch/evasive": LoggedMetric("evasive", ".1%", is_result=False),
}
"""What is shown of a step or an evaluation, by its name in the logs, in the order of showing."""


def shown_metrics(values: Mapping[str, object], *, is_result: bool = True) -> list[str]:
    """The metrics among these values, each as label and value: `loss 0.6931`."""
    # `>=` of booleans: with `is_result` only results, without it every metric
    return [
        f"{metric.label} {value:{metric.format}}"
        for name, metric in METRICS.items()
        if isinstance(value := values.get(name), int | float) and metric.is_result >= is_result
    ]


def trainer_spec(name: str) -> TrainerSpec:
    """The row of that name.

    Raises:
        UsageError: There is none.
    """
    if name not in TRAINERS:
        raise UsageError(
            f"There is no trainer {name!r}. "
            + did_you_mean(name, TRAINERS, f"The trainers are {', '.join(TRAINERS)}.", n=3)
        )
    return TRAINERS[name]
