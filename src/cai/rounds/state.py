"""The figures of a series of rounds, as `rounds.json` stores them, and the series' folder.

rounds.yaml            the recipe: the same one continues the series, another is refused
rounds.json            every finished round's figures, and how the series ended
anchors/               prompts and people's pairs, frozen at the start
round-K/prompts.jsonl  the prompts of the round
round-K/steps/         its runs, files and trainings, as `cai run` makes them
round-K/anchors/       its policy's responses, and the judges' verdicts on them

Example:
    series = load_results(out / FILE, Series)
    series.rounds[series.best].figures["win_start"].value
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import yaml

from cai.atomic_write import atomic_write
from cai.constitution.yaml import read_plain
from cai.errors import ConstitutionError, UsageError
from cai.evaluation.policies.ratings import Rating
from cai.evaluation.policies.win_rates import WinRate
from cai.evaluation.stats.bootstrap import Estimate
from cai.rounds.config import POLICY, START, RoundsRecipe

FILE = "rounds.json"

Decision = Literal["go on", "stop", "roll back", "ask"]


@dataclass(frozen=True, slots=True)
class RoundResult:
    """A round and its policy; round 0 is the start, before any training.

    `policy` is the model's spec, `judges` gave this round's labels (none in round 0). `figures` are
    by metric, see `cai.rounds.measure`; `missing` are the reasons of those not measured.
    `adherence` is by principle; no verdict would change without the principles of `undecided`.
    `broken` are the rules that the round breaks, as sentences, and `decision` follows from them.
    The round started from the policy of round `parent`; the next starts from that of `from_round`.
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
    """Rounds so far. `best` is the best round by the frozen judge that no rule rejected.

    `metrics` says in words what each figure is. `win_rates` and `ratings` are by the frozen judge,
    over all rounds; policies are named `round 0`, `round 1` …. `ended` is a sentence once the
    series has ended, else "".
    """

    name: str
    n_rounds: int
    frozen_judges: tuple[str, ...]
    metrics: Mapping[str, str]
    rounds: tuple[RoundResult, ...]
    win_rates: tuple[WinRate, ...]
    ratings: tuple[Rating, ...]
    best: int
    ended: str
    cost_usd: float | None
    caveats: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SeriesFolders:
    """The folders of one series."""

    out: Path

    def round(self, number: int) -> Path:
        return self.out / f"round-{number}"

    def steps(self, number: int) -> Path:
        return self.round(number) / "steps"

    def anchors(self, number: int) -> Path:
        return self.round(number) / "anchors"

    def responses(self, number: int) -> Path:
        """The run of the policy's responses to the anchors' prompts."""
        # As `Policy.folder` names it, since the collector of responses samples into that one.
        return self.anchors(number) / "responses" / name_of(number).replace(" ", "-")


def name_of(number: int) -> str:
    """The policy of a round, as tables name it."""
    return f"round {number}"


RECIPE_FILE = "rounds.yaml"

_MAY_CHANGE = ("description", "rounds", "rules")
"""More rounds may be added, and other rules apply from the next round on."""


def begin(recipe: RoundsRecipe, out: Path) -> None:
    """Writes the recipe, or checks that the folder is of the same series.

    Raises:
        UsageError: The folder cannot be written, or is of another series or of something else.
    """
    path = out / RECIPE_FILE
    # As JSON, in which a tuple is a list as it is in the file; or no series would be its own.
    content = recipe.model_dump(mode="json", by_alias=True)
    if path.exists():
        try:
            stored = read_plain(path.read_bytes(), str(path)) or {}
        except (OSError, ConstitutionError) as error:
            raise UsageError(f"{error} Restore a copy of it, or name another folder.") from error
        before = cast("dict[str, Any]", stored if isinstance(stored, dict) else {})
        changed = [
            name
            for name in dict.fromkeys([*before, *content])
            if name not in _MAY_CHANGE and before.get(name) != content.get(name)
        ]
        if changed:
            raise UsageError(
                f"{out}: is of a series with another {', '.join(changed)}. Ask for the same "
                f"({', '.join(_MAY_CHANGE)} may change), or name another folder with -o."
            )
    elif out.exists() and any(out.iterdir()):
        raise UsageError(f"{out}: is not empty, and not a series of rounds. Name another with -o.")
    # Written again for a series that goes on, whose rules and number of rounds may be new.
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    atomic_write(path, text, UsageError, "Name another folder with -o.")


def caveats(recipe: RoundsRecipe, rounds: Sequence[RoundResult]) -> Iterator[str]:
    """What a reader must know beside the figures, the most important first."""
    anchors = recipe.anchors
    frozen = (anchors.judge, *anchors.jury)
    feedback = (recipe.round.models.get("judge", POLICY), *recipe.round.jury)
    if set(frozen) == set(feedback):
        yield (
            "The judge that gives the labels is also the one that measures: what it does not see "
            "is not measured. Freeze another judge under anchors: judge:."
        )
    if START in frozen or recipe.start in frozen:
        yield (
            "The frozen judge is the policy of round 0 as well, which may prefer its own words: "
            "that holds against later rounds, not for them."
        )
    if not anchors.people:
        yield (
            "No pairs of people are among the anchors, so that no figure here rests on people. "
            "Name labelled pairs under anchors: people:."
        )
    missing = {(name, reason) for each in rounds[1:] for name, reason in each.missing.items()}
    for reason in sorted({reason for _, reason in missing}):
        names = ", ".join(sorted(name for name, why in missing if why == reason))
        yield f"Not measured in every round: {names} ({reason})."
