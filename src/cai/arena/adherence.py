"""How far each policy's responses keep each principle, as a judge checks it."""

from array import array
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cai.arena.answers import Answers
from cai.engine.storage.run_folder import RunFolder
from cai.errors import EvaluationError
from cai.evaluation.bootstrap import Estimate, share_estimate, unit_of
from cai.evaluation.conduct import ALL
from cai.jobs.described import described_source
from cai.jobs.response_source import Answer, ResponseSummary
from cai.judging.comparisons import Candidate
from cai.judging.scoring import Scored
from cai.records.bodies import read_done
from cai.sources.rows import texts_of
from cai.sources.scanning import Digest


@dataclass(frozen=True, slots=True)
class Checked:
    """Every policy's responses, as the source of a scoring run; blank ones are not checked."""

    answers: Answers

    def check(self) -> ResponseSummary:
        """What there is to check.

        Raises:
            EvaluationError: Nothing is: all responses are empty.
        """
        digest, n = Digest(), 0
        for id, each in self.items():
            n += 1
            digest.add(id, *texts_of(each.prompt.messages), each.response.text)
        if not n:
            raise EvaluationError(
                "All responses of all policies are empty: nothing can be checked."
            )
        names = ", ".join(self.answers.by_policy)
        described = described_source((), f"responses of {names}", digest.hex)
        return ResponseSummary(described, (f"{n} responses of {names}",), n, {})

    def items(self) -> Iterator[tuple[str, Answer]]:
        for policy in self.answers.by_policy:
            numbers: dict[int, int] = defaultdict(int)
            for unit, asked, response in self.answers.of(policy):
                numbers[unit] += 1
                id = f"{policy}/{asked.prompt.id}/{numbers[unit]}"
                if response.text.strip():
                    yield id, Answer(id, asked.prompt, Candidate(response.text, policy))


@dataclass(slots=True)
class _Column:
    units: "array[int]" = field(default_factory=lambda: array("q"))
    kept: "array[float]" = field(default_factory=lambda: array("d"))

    def add(self, unit: int, probability: float) -> None:
        self.units.append(unit)
        self.kept.append(probability)

    def estimate(self, seed: int) -> Estimate | None:
        kept = np.array(self.kept)
        return share_estimate(kept, np.ones(len(kept)), np.array(self.units, np.int64), seed)


@dataclass(slots=True)
class Adherence:
    """Figures by policy, kind of prompts, and principle; grows by `add`."""

    answers: Answers
    columns: dict[tuple[str, str, str], _Column] = field(
        default_factory=dict[tuple[str, str, str], _Column]
    )
    n_unscored: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, constitution: str, scored: Scored) -> None:
        unit = unit_of(scored.prompt)
        asked = self.answers.asked.get(unit)
        assert asked is not None, "checked were the answers to the common prompts"
        values = {f"{constitution}/{each.principle_id}": each.value for each in scored.scores}
        values[constitution] = scored.value
        self.n_unscored[scored.model] += sum(each.value is None for each in scored.scores)
        for kind in {ALL, asked.kind}:
            for name, value in values.items():
                if value is not None:
                    column = self.columns.setdefault((scored.model, kind, name), _Column())
                    column.add(unit, (value + 1) / 2)

    def of(self, policy: str, seed: int) -> Mapping[str, Mapping[str, Estimate]]:
        """The mean probability that a response of the policy keeps it, by kind and principle."""
        found: dict[str, dict[str, Estimate]] = {}
        for (name, kind, principle), column in self.columns.items():
            estimate = column.estimate(seed) if name == policy else None
            if estimate is not None:
                found.setdefault(kind, {})[principle] = estimate
        return found


def adherence_of(answers: Answers, folders: Mapping[str, Path]) -> Adherence:
    """What the scoring runs of these constitutions say."""
    found = Adherence(answers)
    for constitution, folder in folders.items():
        with RunFolder.existing(folder) as run:
            for _, scored in read_done(run, Scored):
                found.add(constitution, scored)
    return found
