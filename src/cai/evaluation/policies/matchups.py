"""Who meets whom on which prompt: what is put before the judge, and what comes of it.

Policies against each other: two responses to one prompt, and the verdict about them.

A match is read from either side. Some seventy bytes each are kept.
"""

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, pairwise
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from cai.data.conversations import texts_of
from cai.data.source import CheckedSource, Digest, SourceSummary
from cai.engine.run_folder import RunFolder
from cai.errors import EvaluationError
from cai.evaluation.policies.responses import PolicyResponses
from cai.evaluation.policies.text_metrics import ALL
from cai.evaluation.stats.bootstrap import Floats, Integers
from cai.methods.judging.ranking import Judged
from cai.methods.judging.verdict import Candidate, Group, Outcome, Verdict
from cai.runs.records import load
from cai.types import Prompt, derive_seed

MatchOutcome: TypeAlias = Literal["equal", "empty"] | Outcome
"""`a` is won by the first policy, `b` by the second.

`equal`: both say the same, which is a tie without a judge. `empty`: one of them says nothing, which
is not judged either, and counts for nobody.
"""

OUTCOMES: tuple[MatchOutcome, ...] = (
    *("a", "b", "tie", "inconsistent", "equal"),
    *("unparsed", "refused", "failed", "empty"),
)
READABLE: tuple[MatchOutcome, ...] = OUTCOMES[:5]

_UNKNOWN = float("nan")  # inside these arrays alone


@dataclass(frozen=True, slots=True)
class Match:
    """Two policies on one prompt.

    `unit` is the prompt's (see `bootstrap.unit_of`), `p_first` the probability that the first
    policy's response is better, None where nothing could be read; lengths are in characters.
    """

    unit: int
    first: str
    second: str
    outcome: MatchOutcome
    p_first: float | None
    length_first: int
    length_second: int


@dataclass(frozen=True, slots=True)
class MatchTable:
    """Matches of two policies, one a place, as seen from the first of them.

    `outcomes` are places in `OUTCOMES`; `p` is nan where nothing could be read.
    """

    units: Integers
    outcomes: Integers
    p: Floats
    lengths: Floats
    """Of shape (n, 2): characters of either response."""

    def __len__(self) -> int:
        return len(self.units)


@dataclass(slots=True)
class _Pair:
    units: "array[int]" = field(default_factory=lambda: array("q"))
    outcomes: "array[int]" = field(default_factory=lambda: array("b"))
    p: "array[float]" = field(default_factory=lambda: array("d"))
    lengths: "array[float]" = field(default_factory=lambda: array("d"))


class Matches:
    """All matches of an evaluation; grows by `add`."""

    def __init__(self) -> None:
        self._pairs: dict[tuple[str, str], _Pair] = {}

    def __len__(self) -> int:
        return sum(len(pair.units) for pair in self._pairs.values())

    def add(self, match: Match) -> None:
        pair = self._pairs.setdefault((match.first, match.second), _Pair())
        pair.units.append(match.unit)
        pair.outcomes.append(OUTCOMES.index(match.outcome))
        pair.p.append(_UNKNOWN if match.p_first is None else match.p_first)
        pair.lengths.extend((match.length_first, match.length_second))

    @property
    def pairs(self) -> Sequence[tuple[str, str]]:
        """Who met whom, in the order of their first matches; of two orders the first that came."""
        found: dict[frozenset[str], tuple[str, str]] = {}
        for pair in self._pairs:
            found.setdefault(frozenset(pair), pair)
        return list(found.values())

    def of(self, policy: str, opponent: str) -> MatchTable:
        """The matches of these two, as seen from the first named."""
        tables = (
            [_table(self._pairs[policy, opponent])] if (policy, opponent) in self._pairs else []
        )
        if (opponent, policy) in self._pairs:
            tables.append(_turned(_table(self._pairs[opponent, policy])))
        if not tables:
            return _table(_Pair())
        return MatchTable(
            np.concatenate([each.units for each in tables]),
            np.concatenate([each.outcomes for each in tables]),
            np.concatenate([each.p for each in tables]),
            np.concatenate([each.lengths for each in tables]),
        )


def _table(pair: _Pair) -> MatchTable:
    return MatchTable(
        np.array(pair.units, np.int64),
        np.array(pair.outcomes, np.int64),
        np.array(pair.p, np.float64),
        np.array(pair.lengths, np.float64).reshape(-1, 2),
    )


def _turned(table: MatchTable) -> MatchTable:
    swapped = np.array([1, 0, *range(2, len(OUTCOMES))])
    return MatchTable(table.units, swapped[table.outcomes], 1 - table.p, table.lengths[:, ::-1])


Meeting = Literal["all", "anchor", "next"]
"""Every two policies; each with the first; or each with the one before it."""

Pairs = tuple[tuple[str, str], ...]


def meetings(policies: tuple[str, ...], meeting: Meeting) -> Pairs:
    """The pairs of policies that meet, the earlier one first."""
    if meeting == "anchor":
        return tuple((policies[0], each) for each in policies[1:])
    return tuple(pairwise(policies) if meeting == "next" else combinations(policies, 2))


@dataclass(frozen=True, slots=True)
class Matchup:
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
        return Match(
            self.unit,
            first=self.first,
            second=self.second,
            outcome=outcome,
            p_first=p,
            length_first=len(a.text),
            length_second=len(b.text),
        )


@dataclass(frozen=True, slots=True)
class Matchups:
    """All matchups of some pairs of policies, prompt by prompt, the prompts in a drawn order.

    A source of a judging run: of its groups, the candidates' models are the policies' names. Whose
    own judge sits there is said beside the figures.
    """

    answers: PolicyResponses
    pairs: Pairs
    seed: int

    def check(self) -> CheckedSource[Group]:
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
                f"There is nothing to judge between {_listed(self.pairs)}: of all matchups, "
                f"{counts}. Is it the same model twice? Name others, sample at a temperature above "
                "0, or ask more."
            )
        names = dict.fromkeys(name for pair in self.pairs for name in pair)
        line = f"{n} matchups of {len(names)} policies on {len(self.answers.asked)} prompts"
        summary = SourceSummary(
            names=(),
            column=f"matchups of {', '.join(names)}",
            n_items=n,
            content_hash=digest.hex,
            lines=(line,),
            skipped=foregone,
        )
        return CheckedSource(summary, self.items)

    def items(self) -> Iterator[tuple[str, Group]]:
        """What is to be judged."""
        for each in self.all():
            if each.foregone is None:
                a, b = each.responses
                named = (Candidate(a.text, each.first), Candidate(b.text, each.second))
                yield each.id, Group(each.prompt, named)

    def all(self, n_prompts: int | None = None) -> Iterator[Matchup]:
        """The matchups of the first so many prompts, foregone ones too."""
        for unit in self.order[:n_prompts]:
            asked = self.answers.asked[unit]
            for first, second in self.pairs:
                one, other = (self.answers.by_policy[name][unit] for name in (first, second))
                for number, responses in enumerate(zip(one, other, strict=False), 1):
                    id = f"{asked.prompt.id}/{first}/{second}/{number}"
                    yield Matchup(
                        id,
                        unit,
                        prompt=asked.prompt,
                        first=first,
                        second=second,
                        responses=responses,
                    )

    @property
    def order(self) -> list[int]:
        """The units of the prompts as they are judged: drawn, so that a part is like the whole."""
        units = self.answers.asked
        return sorted(units, key=lambda unit: derive_seed(self.seed, "contests", unit))

    def matches(
        self, verdicts: Mapping[str, Verdict], n_prompts: int | None = None, kind: str = ALL
    ) -> Matches:
        """The matches on those of the first so many prompts that are of the kind, by the verdicts
        on their matchups.
        """
        found = Matches()
        for each in self.all(n_prompts):
            if kind in (ALL, self.answers.asked[each.unit].kind):
                found.add(each.match(verdicts.get(each.id)))
        return found


def verdicts_of(folder: Path) -> dict[str, Verdict]:
    """The verdicts of a judged run by the matchup's id, without their judgements."""
    found: dict[str, Verdict] = {}
    with RunFolder.existing(folder) as run:
        for record in run.records("done"):
            verdict = load(Judged, record.body).matchups[0].verdict
            found[record.id] = replace(verdict, principle_verdicts=())
    return found


def _listed(pairs: Pairs) -> str:
    return ", ".join(f"{first} and {second}" for first, second in pairs[:3]) + (
        " …" if len(pairs) > 3 else ""
    )
