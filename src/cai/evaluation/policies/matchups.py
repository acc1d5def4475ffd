"""Matchups of policies: which responses a judge compares, and the matches that its verdicts make.

A matchup is two policies' responses to one prompt, before judging; a match is its outcome. Matches
are stored in arrays, at some forty bytes each, and read from the side of either policy.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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
from cai.evaluation.stats.bootstrap import Floats, GrowingColumns, Integers
from cai.methods.judging.ranking import GroupReadings
from cai.methods.judging.verdict import Candidate, Group, Outcome, Verdict
from cai.runs.judged import composer_of
from cai.runs.records import load
from cai.types import Prompt, derive_seed

MatchOutcome: TypeAlias = Literal["equal", "empty"] | Outcome
"""`a` is won by the first policy, `b` by the second.

`equal`: both texts are the same, a tie without a judge. `empty`: one of them is blank, which is not
judged either and counts for neither.
"""

# The readable ones come first: `READABLE` is a slice, and `readable` of win rates compares codes.
OUTCOMES: tuple[MatchOutcome, ...] = (
    *("a", "b", "tie", "inconsistent", "equal"),
    *("unparsed", "refused", "failed", "empty"),
)
READABLE: tuple[MatchOutcome, ...] = OUTCOMES[:5]

# Every two policies; each with the first; or each with the one before it.
Meeting = Literal["all", "anchor", "next"]

Pairs = tuple[tuple[str, str], ...]


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
    """Matches of two policies, one a row, as seen from the first of them.

    `outcomes` are indices into `OUTCOMES`; `p` is nan where nothing could be read; `lengths` has
    shape (n, 2), the characters of either response.
    """

    units: Integers
    outcomes: Integers
    p: Floats
    lengths: Floats

    def __len__(self) -> int:
        return len(self.units)


class Matches:
    """All matches of an evaluation; grows by `add`."""

    def __init__(self) -> None:
        self._columns: defaultdict[tuple[str, str], GrowingColumns] = defaultdict(_columns)

    def __len__(self) -> int:
        return sum(map(len, self._columns.values()))

    def add(self, match: Match) -> None:
        outcome, lengths = OUTCOMES.index(match.outcome), (match.length_first, match.length_second)
        self._columns[match.first, match.second].add(match.unit, outcome, match.p_first, *lengths)

    @property
    def pairs(self) -> Sequence[tuple[str, str]]:
        """The pairs with matches, by their first match; of both orders the one added first."""
        found: dict[frozenset[str], tuple[str, str]] = {}
        for pair in self._columns:
            found.setdefault(frozenset(pair), pair)
        return list(found.values())

    def of(self, policy: str, opponent: str) -> MatchTable:
        """The matches of these two, as seen from `policy`."""
        own = _table(self._columns.get((policy, opponent), _columns()))
        other = _table(self._columns.get((opponent, policy), _columns()))
        # Rows added from the opponent's side are swapped: a win of `b` becomes one of `a`.
        swapped = np.array([1, 0, *range(2, len(OUTCOMES))])
        return MatchTable(
            np.concatenate((own.units, other.units)),
            np.concatenate((own.outcomes, swapped[other.outcomes])),
            np.concatenate((own.p, 1 - other.p)),
            np.concatenate((own.lengths, other.lengths[:, ::-1])),
        )


def _columns() -> GrowingColumns:
    return GrowingColumns(units="q", outcomes="b", p="d", length_first="d", length_second="d")


def _table(columns: GrowingColumns) -> MatchTable:
    lengths = np.column_stack((columns.floats("length_first"), columns.floats("length_second")))
    return MatchTable(
        columns.integers("units"), columns.integers("outcomes"), columns.floats("p"), lengths
    )


def pairs_of(policies: tuple[str, ...], meeting: Meeting) -> Pairs:
    """The pairs of policies to compare, the earlier one first."""
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
    def unjudged_outcome(self) -> MatchOutcome | None:
        """The outcome that needs no judge: `equal` or `empty`; None where one is needed."""
        a, b = (each.text.strip() for each in self.responses)
        if not a or not b:
            return "empty"
        return "equal" if a == b else None

    def match(self, verdict: Verdict | None) -> Match:
        """The match by this verdict; None stands for a matchup whose judging failed."""
        a, b = self.responses
        outcome: MatchOutcome = self.unjudged_outcome or (verdict.outcome if verdict else "failed")
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
    """All matchups of some pairs of policies, prompt by prompt, the prompts in random order.

    A source of a judging run: in its groups, the candidates' models are the policies' names. A
    judge that is one of the policies is reported beside the figures.
    """

    responses: PolicyResponses
    pairs: Pairs
    seed: int

    def check(self) -> CheckedSource[Group]:
        """The matchups to judge, counted and hashed.

        Raises:
            EvaluationError: All responses are equal or empty.
        """
        digest, n, skipped = Digest(), 0, Counter[str]()
        for each in self.all():
            if each.unjudged_outcome is not None:
                skipped[each.unjudged_outcome] += 1
                continue
            n += 1
            digest.add(each.id, *texts_of(each.prompt.messages), *(r.text for r in each.responses))
        if not n:
            pairs = ", ".join(f"{first} and {second}" for first, second in self.pairs[:3])
            counts = ", ".join(f"{count} {why}" for why, count in sorted(skipped.items()))
            raise EvaluationError(
                f"There is nothing to judge between {pairs}{' …' if len(self.pairs) > 3 else ''}: "
                f"of all matchups, {counts}. Is it the same model twice? Name others, sample at a "
                "temperature above 0, or ask more."
            )
        names = dict.fromkeys(name for pair in self.pairs for name in pair)
        line = f"{n} matchups of {len(names)} policies on {len(self.responses.prompts)} prompts"
        summary = SourceSummary(
            names=(),
            column=f"matchups of {', '.join(names)}",
            n_items=n,
            content_hash=digest.hex,
            lines=(line,),
            skipped=skipped,
        )
        return CheckedSource(summary, self.items)

    def items(self) -> Iterator[tuple[str, Group]]:
        """The matchups to judge, as groups of two."""
        for each in self.all():
            if each.unjudged_outcome is None:
                a, b = each.responses
                named = (Candidate(a.text, each.first), Candidate(b.text, each.second))
                yield each.id, Group(each.prompt, named)

    def all(self, n_prompts: int | None = None) -> Iterator[Matchup]:
        """The matchups of the first `n_prompts` prompts, those that need no judge too."""
        for unit in self.order[:n_prompts]:
            prompt = self.responses.prompts[unit].prompt
            for first, second in self.pairs:
                one, other = (self.responses.by_policy[name][unit] for name in (first, second))
                # Policies may have different numbers of responses; the surplus has no opponent.
                for number, responses in enumerate(zip(one, other, strict=False), 1):
                    id = f"{prompt.id}/{first}/{second}/{number}"
                    yield Matchup(
                        id, unit, prompt=prompt, first=first, second=second, responses=responses
                    )

    @property
    def order(self) -> list[int]:
        """The units of the prompts in the order of judging.

        Random, since judging may stop early and the test needs the prompts judged so far to be
        like all of them; files are often sorted by topic.
        """
        units = self.responses.prompts
        return sorted(units, key=lambda unit: derive_seed(self.seed, "contests", unit))

    def matches(
        self, verdicts: Mapping[str, Verdict], n_prompts: int | None = None, kind: str = ALL
    ) -> Matches:
        """The matches on those of the first `n_prompts` prompts that are of the kind."""
        found = Matches()
        for each in self.all(n_prompts):
            if kind in (ALL, self.responses.prompts[each.unit].kind):
                found.add(each.match(verdicts.get(each.id)))
        return found


def read_verdicts(folder: Path) -> dict[str, Verdict]:
    """The verdicts of a judging run by the matchup's id, without those of single principles."""
    found: dict[str, Verdict] = {}
    with RunFolder.existing(folder) as run:
        composer = composer_of([run])
        for record in run.records("done"):
            readings = load(GroupReadings, record.body)
            verdict = composer.verdict(readings.matchups[0].principle_verdicts)
            # The single judge calls are most of a record, and no figure of policies needs them.
            found[record.id] = replace(verdict, principle_verdicts=(), votes=())
    return found
