"""The judge inside the group: how probably a completion is better than the others of its prompt.

Each completion meets others of its group, or the answer of a reference policy, in both orders under
each principle; its reward is the mean probability of winning, in [0, 1]. What could not be judged
has no reward, None, which TRL leaves out of the advantages: never zero.

Direct RLAIF: each completion is scored by a judge, without a reward model.

Lee et al. 2023, arXiv:2309.00267, §2.4: the mark from 1 to 10 by expectation, brought to [−1, 1].
What could not be scored has no reward, None: never zero.

What TRL hands to a reward function, in our nouns: the completions of a batch, by prompt.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeAlias, cast

from cai.constitution.schema import Constitution
from cai.errors import ModelError
from cai.methods.judging.judge import Judge
from cai.methods.judging.pairwise import compare
from cai.methods.judging.pointwise import Score, Scored, score_response
from cai.methods.judging.verdict import Comparison, Verdict
from cai.methods.roles import RoleModel
from cai.methods.sampling import respond
from cai.methods.settings import JudgeSettings, ScoreSettings
from cai.types import Message, Prompt, Role, content_hash, derive_seed

Turns = Sequence[Mapping[str, str]]
"""A conversation as TRL has it: `[{"role": …, "content": …}]`."""


@dataclass(frozen=True, slots=True)
class Group:
    """A prompt and its completions; `places` are where they stand in the batch."""

    prompt: Prompt
    completions: tuple[str, ...]
    places: tuple[int, ...]


def groups_of(
    prompts: Sequence[Turns], completions: Sequence[Turns], ids: Sequence[str]
) -> list[Group]:
    """The batch by prompt, in the order in which the prompts appear."""
    places: dict[str, list[int]] = {}
    for place, id in enumerate(ids):
        places.setdefault(id, []).append(place)
    return [
        Group(
            Prompt(id, conversation(prompts[at[0]])),
            tuple(text_of(completions[place]) for place in at),
            tuple(at),
        )
        for id, at in places.items()
    ]


def conversation(turns: Turns) -> tuple[Message, ...]:
    return tuple(Message(cast(Role, turn["role"]), turn["content"]) for turn in turns)


def text_of(completion: Turns) -> str:
    return completion[-1]["content"].strip()


Meeting: TypeAlias = tuple[int, int]
"""Two completions of a group by their numbers."""


@dataclass(frozen=True, slots=True)
class GroupPlan:
    """Whom each completion meets: `opponents` others of its group (None: all), or the reference."""

    opponents: int | None = None


@dataclass(frozen=True, slots=True)
class GroupMatchup:
    """Completion `first` as A against `second` as B, or against the reference where that is None.

    `verdict` is None where the call failed.
    """

    first: int
    second: int | None
    verdict: Verdict | None


@dataclass(frozen=True, slots=True)
class GroupJudge:
    """Judges of one or several models, all asked at once."""

    judges: Sequence[Judge]
    constitution: Constitution
    settings: JudgeSettings
    group_plan: GroupPlan = GroupPlan()
    reference: RoleModel | None = None
    seed: int = 0

    async def matchups(self, group: Group) -> list[GroupMatchup]:
        """Every matchup of the group; equal texts are even without being asked about."""
        if self.reference is not None:
            return await self._against_reference(group, self.reference)
        texts = group.completions
        # in the order of their texts, so that what meets again is not judged again
        meetings = [
            tuple(sorted(meeting, key=texts.__getitem__))
            for meeting in meetings_of(len(texts), self.group_plan.opponents)
        ]
        verdicts = await asyncio.gather(
            *(self._verdict(group, texts[first], texts[second]) for first, second in meetings)
        )
        return [
            GroupMatchup(first, second, verdict)
            for (first, second), verdict in zip(meetings, verdicts, strict=True)
        ]

    async def _against_reference(self, group: Group, reference: RoleModel) -> list[GroupMatchup]:
        try:
            answer = await respond(
                reference, group.prompt, derive_seed(self.seed, group.prompt.id, "reference")
            )
        except ModelError:
            return [GroupMatchup(number, None, None) for number in range(len(group.completions))]
        verdicts = await asyncio.gather(
            *(self._verdict(group, text, answer.text) for text in group.completions)
        )
        return [GroupMatchup(number, None, verdict) for number, verdict in enumerate(verdicts)]

    async def _verdict(self, group: Group, one: str, other: str) -> Verdict | None:
        if one.split() == other.split():
            return Verdict("tie", 0.5)
        seed = derive_seed(self.seed, group.prompt.id, content_hash(one, other))
        comparison = Comparison(group.prompt, one, other)
        try:
            return await compare(self.judges, self.constitution, comparison, self.settings, seed)
        except ModelError:
            return None


def meetings_of(n: int, opponents: int | None) -> Iterator[Meeting]:
    """Who meets whom among `n`: everyone, or each the next ones around a ring.

    In a ring of `opponents` = k each meets k others (k + 1 where k is odd), and no pair twice.
    """
    if opponents is None or opponents >= n - 1:
        yield from combinations(range(n), 2)
        return
    pairs = {
        (min(first, second), max(first, second))
        for first in range(n)
        for step in range(1, (opponents + 1) // 2 + 1)
        if (second := (first + step) % n) != first
    }
    yield from sorted(pairs)


def mean_wins(
    n: int, matchups: Sequence[GroupMatchup], principle: str | None = None
) -> list[float | None]:
    """Of each of `n` completions the mean probability of winning in [0, 1], None without a reading.

    With a principle, under that one alone.
    """
    found: list[list[float]] = [[] for _ in range(n)]
    for matchup in matchups:
        p = _probability(matchup.verdict, principle)
        if p is None:
            continue
        found[matchup.first].append(p)
        if matchup.second is not None:
            found[matchup.second].append(1 - p)
    return [sum(each) / len(each) if each else None for each in found]


def _probability(verdict: Verdict | None, principle: str | None) -> float | None:
    if verdict is None:
        return None
    if principle is None or not verdict.principle_verdicts:  # of equal texts there are none
        return verdict.p_a
    return verdict.by_principle.get(principle)


@dataclass(frozen=True, slots=True)
class DirectJudge:
    """Judges that score a completion alone."""

    judges: Sequence[Judge]
    constitution: Constitution
    settings: ScoreSettings = ScoreSettings()
    seed: int = 0

    async def scores(self, group: Group) -> list[tuple[Score, ...]]:
        """The scores of each completion; none where the calls failed."""
        return list(await asyncio.gather(*(self._score(group, each) for each in group.completions)))

    async def _score(self, group: Group, response: str) -> tuple[Score, ...]:
        seed = derive_seed(self.seed, group.prompt.id, content_hash(response))
        try:
            return await score_response(
                self.judges, self.constitution, group.prompt, response, self.settings, seed
            )
        except ModelError:
            return ()


def mean_score(group: Group, scores: tuple[Score, ...], principle: str | None) -> float | None:
    """The weighted mean in [−1, 1], under all principles or one; None where too few were read."""
    chosen = [each for each in scores if principle is None or each.principle_id == principle]
    return Scored(group.prompt, "", "", tuple(chosen)).value if chosen else None
