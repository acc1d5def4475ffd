"""What an evaluation of policies finds: all its figures, as `evaluation.json` keeps them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cai.evaluation.bootstrap import Estimate
from cai.evaluation.conduct import Conduct
from cai.evaluation.ratings import Rating
from cai.evaluation.win_rates import WinRate

FILE = "evaluation.json"


@dataclass(frozen=True, slots=True)
class PolicyFigures:
    """One policy: where its responses came from, and what they are like.

    `adherence` is the judge's mean probability in [0, 1] that a response keeps a principle, by kind
    of prompts and by `constitution/principle`; under the constitution's name alone, the weighted
    mean over its principles. Empty where it was not asked for. `n_unscored` are checks that could
    not be read.
    """

    name: str
    source: str
    n_responses: int
    conduct: tuple[Conduct, ...]
    adherence: Mapping[str, Mapping[str, Estimate]]
    n_unscored: int


@dataclass(frozen=True, slots=True)
class Suite:
    """A standard suite: what is measured there, in words, and each policy's figures by name.

    `differences` are those of the last policy less the first, over the prompts that both answered;
    empty where there is one policy alone. `n` counts the prompts that have a figure.
    """

    name: str
    kind: str
    measures: Mapping[str, str]
    n: int
    found: Mapping[str, Mapping[str, Estimate]]
    differences: Mapping[str, Estimate] = field(default_factory=dict[str, Estimate])


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Policies on the same prompts; the first of them is the anchor of the ratings.

    `judges` and `constitution` say who judged by what; empty where nobody did. `n_failed` examples,
    of any step, are in no figure. `remarks` are plain sentences that a reader must know, the most
    important first. `by_kind` has the win rates on the prompts of each kind, where they are given
    in kinds.
    """

    prompts: tuple[str, ...]
    n_prompts: int
    judges: tuple[str, ...]
    constitution: str
    policies: tuple[PolicyFigures, ...]
    win_rates: tuple[WinRate, ...]
    ratings: tuple[Rating, ...]
    n_calls: int
    cost_usd: float | None
    remarks: tuple[str, ...]
    n_failed: int = 0
    by_kind: Mapping[str, tuple[WinRate, ...]] = field(
        default_factory=dict[str, tuple[WinRate, ...]]
    )
