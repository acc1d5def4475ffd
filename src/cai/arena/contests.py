"""Who meets whom on which prompt: what is put before the judge, and what comes of it."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from pathlib import Path
from typing import Literal

from cai.arena.answers import Answers
from cai.engine.storage.run_folder import RunFolder
from cai.errors import EvaluationError
from cai.evaluation.conduct import ALL
from cai.evaluation.matches import Match, Matches, MatchOutcome
from cai.jobs.described import described_source
from cai.jobs.groups import GroupSummary
from cai.judging.comparisons import Candidate, Group
from cai.judging.ranking import Judged
from cai.judging.verdicts import Verdict
from cai.records.bodies import load
from cai.sources.rows import texts_of
from cai.sources.scanning import Digest
from cai.types import Prompt, derive_seed

Meeting = Literal["all", "anchor", "next"]
"""Every two policies; each with the first; or each with the one before it."""

Pairs = tuple[tuple[str, str], ...]


def meetings(policies: tuple[str, ...], meeting: Meeting) -> Pairs:
    """The pairs of policies that meet, the earlier one first."""
    if meeting == "anchor":
        return tuple((policies[0], each) for each in policies[1:])
    return tuple(pairwise(policies) if meeting == "next" else combinations(policies, 2))


@dataclass(frozen=True, slots=True)
class Contest:
    """Two policies' responses of the same number to one prompt."""

    id: str
    unit: int
    prompt: Prompt
    first: str
    second: str
    responses: tuple[Candidate, Candidate]

    @property
    def foregone(self) -> MatchOutcome | None:
        """The outcome that no judge is needed for."""
        a, b = (each.text.strip() for each in self.responses)
        if not a or not b:
            return "empty"
        return "equal" if a == b else None

    def match(self, verdict: Verdict | None) -> Match:
        """The match that the verdict makes of it; None stands for one that failed."""
        a, b = self.responses
        outcome: MatchOutcome = self.foregone or (verdict.outcome if verdict else "failed")
        p = 0.5 if outcome == "equal" else verdict and verdict.p_a
        return Match(self.unit, self.first, self.second, outcome, p, len(a.text), len(b.text))


@dataclass(frozen=True, slots=True)
class Contests:
    """All contests of some pairs of policies, prompt by prompt, the prompts in a drawn order.

    A source of a judging run: of its groups, the candidates' models are the policies' names. Whose
    own judge sits there is said beside the figures.
    """

    answers: Answers
    pairs: Pairs
    seed: int

    def check(self) -> GroupSummary:
        """What there is to judge.

        Raises:
            EvaluationError: Nothing is: all responses are equal or empty.
        """
        digest, n, foregone = Digest(), 0, Counter[str]()
        for each in self.all():
            if each.foregone is not None:
                foregone[each.foregone] += 1
                continue
            n += 1
            digest.add(each.id, *texts_of(each.prompt.messages), *(r.text for r in each.responses))
        if not n:
            counts = ", ".join(f"{count} {why}" for why, count in sorted(foregone.items()))
            raise EvaluationError(
                f"There is nothing to judge between {_listed(self.pairs)}: of all contests, "
                f"{counts}. Is it the same model twice? Name others, sample at a temperature above "
                "0, or ask more."
            )
        names = dict.fromkeys(name for pair in self.pairs for name in pair)
        line = f"{n} contests of {len(names)} policies on {len(self.answers.asked)} prompts"
        described = described_source((), f"contests of {', '.join(names)}", digest.hex)
        return GroupSummary(described, (line,), n, 0, frozenset(), foregone, {})

    def items(self) -> Iterator[tuple[str, Group]]:
        """What is to be judged."""
        for each in self.all():
            if each.foregone is None:
                a, b = each.responses
                named = (Candidate(a.text, each.first), Candidate(b.text, each.second))
                yield each.id, Group(each.prompt, named)

    def all(self, n_prompts: int | None = None) -> Iterator[Contest]:
        """The contests of the first so many prompts, foregone ones too."""
        for unit in self.order[:n_prompts]:
            asked = self.answers.asked[unit]
            for first, second in self.pairs:
                one, other = (self.answers.by_policy[name][unit] for name in (first, second))
                for number, responses in enumerate(zip(one, other, strict=False), 1):
                    id = f"{asked.prompt.id}/{first}/{second}/{number}"
                    yield Contest(id, unit, asked.prompt, first, second, responses)

    @property
    def order(self) -> list[int]:
        """The units of the prompts as they are judged: drawn, so that a part is like the whole."""
        units = self.answers.asked
        return sorted(units, key=lambda unit: derive_seed(self.seed, "contests", unit))

    def matches(
        self, verdicts: Mapping[str, Verdict], n_prompts: int | None = None, kind: str = ALL
    ) -> Matches:
        """The matches on those of the first so many prompts that are of the kind, by the verdicts
        on their contests.
        """
        found = Matches()
        for each in self.all(n_prompts):
            if kind in (ALL, self.answers.asked[each.unit].kind):
                found.add(each.match(verdicts.get(each.id)))
        return found


def verdicts_of(folder: Path) -> dict[str, Verdict]:
    """The verdicts of a judged run by the contest's id, without their judgements."""
    found: dict[str, Verdict] = {}
    with RunFolder.existing(folder) as run:
        for record in run.records("done"):
            verdict = load(Judged, record.body).contests[0].verdict
            found[record.id] = replace(verdict, judgements=())
    return found


def _listed(pairs: Pairs) -> str:
    return ", ".join(f"{first} and {second}" for first, second in pairs[:3]) + (
        " …" if len(pairs) > 3 else ""
    )
