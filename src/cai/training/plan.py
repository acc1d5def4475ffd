"""What a training is given, whatever it trains; and for preference pairs, what their labels become.

Soft labels did much better than hard ones without chain of thought in Bai et al. 2022,
arXiv:2212.08073, §4.1; Lee et al. 2023, arXiv:2309.00267, §2.2, train the reward model on them.

Example:
    plan = TrainPlan("hf:models/sl", Path("models/dpo"), {"learning_rate": 1e-6})
    labels = LabelPlan("soft", min_margin=0.1)  # without pairs from 0.4 to 0.6
    labels.target(0.9)  # 0.9
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from cai.errors import TrainingError
from cai.evaluation.rules import Rule
from cai.evaluation.stats.calibration import apply_temperature
from cai.training.monitor.monitor import DEFAULT_RULES


@dataclass(frozen=True, slots=True)
class TrainPlan:
    """From which model, into which folder, with which settings.

    `model` is a spec: `embedded`, or `hf:` with a folder or name. `settings` are fields of TRL's
    config, and the block `lora`. `resumes` continues from the last checkpoint. `reports` are
    trackers beside TensorBoard: trackio, wandb. `rules` warn of a run that degenerates, or end it.
    `allows_control_tokens` accepts rows that hold some, with a chat template that would obey them.
    """

    model: str
    out: Path
    settings: Mapping[str, object] = field(default_factory=dict[str, object])
    seed: int = 0
    resumes: bool = False
    reports: tuple[str, ...] = ()
    rules: Sequence[Rule] = DEFAULT_RULES
    allows_control_tokens: bool = False


LabelKind = Literal["soft", "hard", "drawn"]
LABEL_KINDS: tuple[LabelKind, ...] = get_args(LabelKind)

_ROUNDING = 1e-9  # 0.6 − 0.5 is a little less than 0.1 in floating point


@dataclass(frozen=True, slots=True)
class LabelPlan:
    """How the probability p that the chosen response is better becomes the loss's target.

    `soft` is p itself, `hard` is 1, `drawn` is 1 or 0 drawn from p anew each time a pair is used:
    its mean loss is that of `soft`. Pairs with |p − ½| under `min_margin` are left out. A
    `temperature` T turns p into σ(logit(p) / T): below 1 it sharpens, which suits a mean over many
    principles, as few of them apply to a pair; `fit_temperature` fits it to labels of people.
    `smoothing` ε then moves every target t to (1 − ε) t + ε (1 − t).
    """

    kind: LabelKind = "soft"
    min_margin: float = 0.0
    smoothing: float = 0.0
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.min_margin < 0.5:
            raise TrainingError(
                f"The least margin is {self.min_margin:g}, and |p − ½| is from 0 to 0.5. Give a "
                "number from 0 to below 0.5."
            )
        if not 0 <= self.smoothing < 0.5:
            raise TrainingError(
                f"The label smoothing is {self.smoothing:g}. At 0.5 nothing would be learned; give "
                "a number from 0 to below 0.5."
            )
        if not self.temperature > 0:
            raise TrainingError(
                f"The temperature of the labels is {self.temperature:g}. Give a number above 0."
            )
        if self.kind == "hard" and self.temperature != 1:
            raise TrainingError(
                f"Hard labels are 1 at any temperature, and {self.temperature:g} is given. Leave "
                "it out, or train on soft or drawn labels."
            )

    @property
    def needs_loss(self) -> bool:
        """Whether some target is not 1, so that TRL's own loss is not enough."""
        return self.kind != "hard" or self.smoothing > 0

    def is_confident(self, probability: float) -> bool:
        """Whether a pair of that probability is trained on."""
        return abs(probability - 0.5) >= self.min_margin - _ROUNDING

    def target(self, probability: float) -> float:
        """The target in [0, 1] before smoothing; of a drawn label the probability of a 1."""
        return 1.0 if self.kind == "hard" else apply_temperature(probability, self.temperature)

    def describe(self) -> str:
        parts = [f"{self.kind} labels"]
        if self.min_margin:
            parts.append(f"|p − ½| at least {self.min_margin:g}")
        if self.temperature != 1:
            parts.append(f"temperature {self.temperature:.3g}")
        if self.smoothing:
            parts.append(f"smoothing {self.smoothing:g}")
        return ", ".join(parts)
