"""How a training is carried out, whatever it trains."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cai.evaluation.rules import Rule
from cai.training.watching.watcher import DEFAULT_RULES


@dataclass(frozen=True, slots=True)
class TrainPlan:
    """From which model, into which folder, with which settings.

    `model` is a spec: `embedded`, or `hf:` with a folder or name. `settings` are fields of TRL's
    config, and the block `lora`. `resumes` goes on from the last checkpoint. `reports` are trackers
    beside TensorBoard: trackio, wandb. `rules` say when a run that degenerates is warned of or
    ended. `allows_control_tokens` is for rows that hold some, with a chat template that cannot keep
    them text.
    """

    model: str
    out: Path
    settings: Mapping[str, object] = field(default_factory=dict[str, object])
    seed: int = 0
    resumes: bool = False
    reports: tuple[str, ...] = ()
    rules: Sequence[Rule] = DEFAULT_RULES
    allows_control_tokens: bool = False
