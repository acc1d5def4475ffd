"""What a series of rounds finds: each round's figures, as `rounds.json` keeps them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from cai.evaluation.bootstrap import Estimate
from cai.evaluation.ratings import Rating
from cai.evaluation.win_rates import WinRate

FILE = "rounds.json"

Decision = Literal["go on", "stop", "roll back", "ask"]


@dataclass(frozen=True, slots=True)
class RoundFound:
    """A round and its policy; round 0 is the start, before any training.

    `policy` is the model's spec, `judges` those who gave this round's labels (none in round 0).
    `figures` are by metric, see `cai.rounds.metrics`; what could not be measured is in `missing`,
    with the reason. `adherence` is by principle. `undecided` are principles without which no
    verdict would be another. `broken` are the rules that the round breaks, as sentences; `decision`
    is what follows from them, and `from_round` whose policy the next round starts from. `parent` is
    the round whose policy this one started from.
    """

    number: int
    policy: str
    judges: tuple[str, ...]
    figures: Mapping[str, Estimate]
    missing: Mapping[str, str]
    adherence: Mapping[str, Estimate]
    undecided: tuple[str, ...]
    broken: tuple[str, ...]
    decision: Decision
    from_round: int
    seconds: float
    parent: int = 0


@dataclass(frozen=True, slots=True)
class Series:
    """Rounds so far. `best` is the number of the best round by the frozen judge, of
    those that no rule threw out.

    `metrics` says in words what each figure is. `win_rates` and `ratings` are by the frozen judge,
    over all rounds; policies are named `round 0`, `round 1` …. `ended` is a sentence once nothing
    more follows, else "".
    """

    name: str
    n_rounds: int
    frozen_judges: tuple[str, ...]
    metrics: Mapping[str, str]
    rounds: tuple[RoundFound, ...]
    win_rates: tuple[WinRate, ...]
    ratings: tuple[Rating, ...]
    best: int
    ended: str
    cost_usd: float | None
    remarks: tuple[str, ...]
