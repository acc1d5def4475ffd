"""The figures of a training by step, as JSON lines in its folder, and the rules that they break.

Over-optimised policies grow long, refuse everything, or say one thing to everyone (Bai et al. 2022,
arXiv:2212.08073, §4.3); each such sign is a metric here, and a rule over metrics warns or ends the
run. The rules themselves are those of `cai.evaluation.rules`.

Example:
    monitor = TrainingMonitor(folder, [parse_rule("length > 2*start for 3 then stop")])
    monitor.begin(0)
    monitor.record(1, {"length": 40.0})
    monitor.stop  # the broken rule that ends the run, or None
"""

import json
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import cast

from cai.atomic_write import atomic_write
from cai.errors import TrainingError
from cai.evaluation import rules
from cai.evaluation.metrics import TRAINING, descriptions
from cai.evaluation.policies.text_metrics import ResponseBatch, text_figures
from cai.evaluation.rules import Rule, Vocabulary

Figures = dict[str, float]  # values by metric; a figure that could not be measured is not in it

# our metric, and its name in the logs of TRL
_AS_LOGGED = {
    "entropy": "entropy",
    "reward": "reward",
    "reward_std": "reward_std",
    "cut_off": "completions/clipped_ratio",
}

OF_REWARDS = ("reward", "reward_std")


def trainer_figures(logs: Mapping[str, object]) -> Figures:
    """The metrics among the numbers that a trainer of TRL logs at a step.

    GRPO and RLOO log the KL divergence as a mean over tokens; times the mean length in tokens it is
    in nats a response, which does not fall when a policy hides its drift in longer answers.
    """
    numbers = {name: float(value) for name, value in logs.items() if isinstance(value, int | float)}
    figures = {ours: numbers[theirs] for ours, theirs in _AS_LOGGED.items() if theirs in numbers}
    if "kl" in numbers and "completions/mean_length" in numbers:
        figures["kl"] = numbers["kl"] * numbers["completions/mean_length"]
    return {name: value for name, value in figures.items() if value == value}  # without NaN


VOCABULARY = Vocabulary(descriptions(TRAINING.values()))


def parse_rule(text: str) -> Rule:
    """The rule of a training that a text says. Raises UsageError, as `rules.parse_rule`."""
    return rules.parse_rule(text, VOCABULARY)


DEFAULT_RULES: tuple[Rule, ...] = tuple(
    parse_rule(text)
    for text in (
        "length > 2*start for 3",
        "length < 0.5*start for 3",
        "empty > 0.1",
        "cut_off > 0.5 for 3",
        "distinct_2 < 0.5*start",
        "self_similarity > start+0.2",
        "boilerplate > start+0.3",
        "refusals > start+0.3",
        "evasive > 0.3",
        "reward_length_correlation > 0.8 for 3",
        "kl > 30",
        "kl_start > 30",
        "entropy < 0.25*start for 3",
    )
)
"""They only warn: what is wrong in one run is the aim of another."""


FILE = "watch.jsonl"
_ADVICE = "Free space or give another output folder, then resume the run."

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BrokenRule:
    """A rule that the figures of a step meet and did not before, with what it compares with."""

    step: int
    rule: Rule
    value: float
    limit: float

    @property
    def line(self) -> str:
        """One line for people: step, value, rule, and whether the run stops."""
        rule = self.rule
        limit = f", limit {self.limit:.3g}" if rule.reference else ""
        outcome = "The run stops here." if rule.then == "stop" else "A warning; the run goes on."
        reached = f"Step {self.step}: {rule.metric} is {self.value:.3g}"
        return f"{reached} (rule {rule.text!r}{limit}). {outcome}"


class TrainingMonitor:
    """The figures of one run by step, and the rules that they break.

    Each record is appended to `watch.jsonl` in the folder as it comes; without a folder nothing is
    written.
    """

    def __init__(self, folder: Path | None, rules: Sequence[Rule] = DEFAULT_RULES) -> None:
        self.rules = tuple(rules)
        self.history: list[tuple[int, Figures]] = []
        self.broken: list[BrokenRule] = []
        self._path = None if folder is None else folder / FILE
        self._values: dict[str, list[float]] = defaultdict(list)
        self._is_writing = True

    @property
    def stop(self) -> BrokenRule | None:
        """The first broken rule that ends the run, if any is."""
        return next((broken for broken in self.broken if broken.rule.then == "stop"), None)

    def begin(self, step: int, *, is_writing: bool = True) -> None:
        """Prepares for a run that begins after `step`: 0 for a new one, more for a resumed one.

        Figures of earlier steps are read from the folder, so that a resumed run has the same start;
        those of later ones are dropped. Of several processes only one may write and warn.
        """
        self.history.clear()
        self.broken.clear()
        self._values.clear()
        self._is_writing = is_writing
        if self._path is None:
            return
        earlier = [
            entry for entry in _read(self._path) if cast(int, entry["step"]) <= step and step
        ]
        for entry in earlier:
            # a rule that ended the run is not replayed: it would end the resumed run at once
            if "rule" not in entry:
                figures = {
                    name: float(value)
                    for name, value in entry.items()
                    if name in TRAINING and isinstance(value, int | float)
                }
                self._add(cast(int, entry["step"]), figures)
        if not is_writing:
            return
        text = "".join(f"{json.dumps(entry)}\n" for entry in earlier)
        atomic_write(self._path, text, TrainingError, _ADVICE)

    def observe(self, step: int, batch: ResponseBatch) -> Figures:
        """The figures of a batch of responses, recorded at this step."""
        figures = text_figures(batch)
        self.record(step, figures)
        return figures

    def record(self, step: int, figures: Mapping[str, float]) -> list[BrokenRule]:
        """Adds figures of a step; returns the rules that they break and the last ones did not.

        A warning is given once, and again only after the metric has returned within its limit.
        """
        figures = {metric: value for metric, value in figures.items() if isfinite(value)}
        if not figures:
            return []
        self._add(step, figures)
        self._append({"step": step, **figures})
        # a rule that also holds without the newest value was reported before
        newly_broken = [
            BrokenRule(step, rule, figures[rule.metric], rule.limit(values))
            for rule in self.rules
            if rule.metric in figures
            and rule.holds(values := self._values[rule.metric])
            and not rule.holds(values[:-1])
        ]
        for broken in newly_broken:
            then = broken.rule.then
            entry = {"step": step, "rule": broken.rule.text, "value": broken.value, "then": then}
            self._append(entry)
            if self._is_writing:
                _logger.warning("%s", broken.line)
        self.broken += newly_broken
        return newly_broken

    def _add(self, step: int, figures: Mapping[str, float]) -> None:
        self.history.append((step, dict(figures)))
        for metric, value in figures.items():
            self._values[metric].append(value)

    def _append(self, entry: Mapping[str, object]) -> None:
        if self._path is None or not self._is_writing:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
        except OSError as error:
            raise TrainingError(
                f"{self._path}: cannot be written ({error.strerror}). {_ADVICE}"
            ) from error


def _read(path: Path) -> list[dict[str, object]]:
    """The lines of an earlier run; a last one that was cut short is left out."""
    entries: list[dict[str, object]] = []
    try:
        lines = path.read_text("utf-8", errors="replace").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return []
    for line in lines:
        try:
            entry: object = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and isinstance(cast(dict[str, object], entry).get("step"), int):
            entries.append(cast(dict[str, object], entry))
    return entries
