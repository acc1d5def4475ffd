"""Judges as rewards: completions compared inside their group, or each scored alone.

`PairwiseJudges` compare a completion with others of its prompt, or with the response of a reference
model, in both orders under each principle; the reward is the mean probability of winning, in
[0, 1]. `PointwiseJudges` score each completion without a reward model: direct RLAIF, Lee et al.
2023, arXiv:2309.00267, §2.4, the expected mark from 1 to 10 brought to [−1, 1].

What could not be judged has no reward, None, which TRL leaves out of the advantages: never zero.

Example:
    pairwise = PairwiseJudges(judges, constitution, JudgeSettings())
    judged = await pairwise.judge(CompletionGroup(prompt, ("Yes.", "No, because …"), (0, 1)))
    judged.rewards()  # [0.2, 0.8]; None where nothing could be judged
    most_frequent_cause([judged])  # "the answer was cut off"; "" if all could be judged
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from textwrap import shorten
from typing import Protocol, cast

from cai.constitution.schema import Constitution
from cai.errors import ModelError
from cai.methods.judging.pairwise import compare
from cai.methods.judging.pointwise import Score, Scored, score_response
from cai.methods.judging.verdict import Comparison, JudgeCall, Verdict
from cai.methods.roles import Judge, RoleModel
from cai.methods.sampling import respond
from cai.methods.settings import JudgeSettings, ScoreSettings
from cai.types import Message, MessageRole, Prompt, content_hash, derive_seed

Turns = Sequence[Mapping[str, str]]  # a conversation as TRL has it: `[{"role": …, "content": …}]`


@dataclass(frozen=True, slots=True)
class CompletionGroup:
    """A prompt and its completions; `indices` are their positions in the batch."""

    prompt: Prompt
    completions: tuple[str, ...]
    indices: tuple[int, ...]


class JudgedCompletions(Protocol):
    """A group with what judges say of it."""

    @property
    def group(self) -> CompletionGroup: ...

    def rewards(self, principle: str | None = None) -> list[float | None]:
        """One for each completion, under all principles or one; None where it was not judged."""
        ...

    def unread(self) -> Iterator[JudgeCall | Score | ModelError]:
        """The calls that gave nothing, with their reasons."""
        ...


def groups_of(
    prompts: Sequence[Turns], completions: Sequence[Turns], ids: Sequence[str]
) -> list[CompletionGroup]:
    """The batch by prompt, in the order in which the prompts appear."""
    indices: dict[str, list[int]] = {}
    for index, id in enumerate(ids):
        indices.setdefault(id, []).append(index)
    return [
        CompletionGroup(
            Prompt(id, conversation(prompts[at[0]])),
            tuple(completions[index][-1]["content"].strip() for index in at),
            tuple(at),
        )
        for id, at in indices.items()
    ]


def conversation(turns: Turns) -> tuple[Message, ...]:
    """TRL's turns as messages."""
    return tuple(Message(cast(MessageRole, turn["role"]), turn["content"]) for turn in turns)


@dataclass(frozen=True, slots=True)
class CompletionMatchup:
    """Completion `first` as A against `second` as B, or against the reference where that is None.

    `verdict` is the error where the call failed.
    """

    first: int
    second: int | None
    verdict: Verdict | ModelError


@dataclass(frozen=True, slots=True)
class ComparedCompletions:
    """A group whose completions were compared."""

    group: CompletionGroup
    matchups: tuple[CompletionMatchup, ...]

    def rewards(self, principle: str | None = None) -> list[float | None]:
        """The mean probability of winning in [0, 1], of all principles or one."""
        wins: list[list[float]] = [[] for _ in self.group.completions]
        for matchup in self.matchups:
            if isinstance(matchup.verdict, ModelError):
                continue
            # the tie of equal texts was decided without a judge: it holds under every principle
            if principle is None or not matchup.verdict.principle_verdicts:
                p = matchup.verdict.p_a
            else:
                p = matchup.verdict.by_principle.get(principle)
            if p is None:
                continue
            wins[matchup.first].append(p)
            if matchup.second is not None:
                wins[matchup.second].append(1 - p)
        return [sum(each) / len(each) if each else None for each in wins]

    def unread(self) -> Iterator[JudgeCall | Score | ModelError]:
        for matchup in self.matchups:
            if isinstance(matchup.verdict, ModelError):
                yield matchup.verdict
                continue
            for each in matchup.verdict.principle_verdicts:
                yield from (call for call in (each.order_ab, each.order_ba) if call.p_a is None)


@dataclass(frozen=True, slots=True, eq=False)
class PairwiseJudges:
    """Judges of one or several models, all called at once.

    Each completion is compared with `opponents` others of its group (None: all), or with the
    response of `reference`, which responds to each prompt once.
    """

    judges: Sequence[Judge]
    constitution: Constitution
    settings: JudgeSettings
    opponents: int | None = None
    reference: RoleModel | None = None
    seed: int = 0

    async def judge(self, group: CompletionGroup) -> ComparedCompletions:
        """Every matchup of the group; equal texts tie without a call."""
        texts = group.completions
        if self.reference is None:
            # A and B in the order of their texts, so that the same pair in another batch, where
            # the completions may come in another order, is the same call and in the journal
            pairs = [
                tuple(sorted(pair, key=texts.__getitem__))
                for pair in pairs_of(len(texts), self.opponents)
            ]
            verdicts = await asyncio.gather(
                *(self._verdict(group, texts[first], texts[second]) for first, second in pairs)
            )
        else:
            pairs = [(number, None) for number in range(len(texts))]
            seed = derive_seed(self.seed, group.prompt.id, "reference")
            # seeded by the prompt alone: every group of it, in any epoch, meets the same response
            try:
                answer = await respond(self.reference, group.prompt, seed)
            except ModelError as error:
                verdicts = [error] * len(texts)
            else:
                verdicts = await asyncio.gather(
                    *(self._verdict(group, text, answer.text) for text in texts)
                )
        matchups = (
            CompletionMatchup(first, second, verdict)
            for (first, second), verdict in zip(pairs, verdicts, strict=True)
        )
        return ComparedCompletions(group, tuple(matchups))

    async def _verdict(self, group: CompletionGroup, one: str, other: str) -> Verdict | ModelError:
        # equal but for spaces: a judge could only guess, by position, and would be paid for it
        if one.split() == other.split():
            return Verdict("tie", 0.5)
        seed = derive_seed(self.seed, group.prompt.id, content_hash(one, other))
        comparison = Comparison(group.prompt, one, other)
        try:
            return await compare(self.judges, self.constitution, comparison, self.settings, seed)
        except ModelError as error:
            return error


def pairs_of(n: int, opponents: int | None) -> Iterator[tuple[int, int]]:
    """The pairs among `n` that are compared: all, or each with the next ones around a ring.

    In a ring with `opponents` = k each is compared with k others (k + 1 where k is odd), and no
    pair comes twice.
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


@dataclass(frozen=True, slots=True)
class ScoredCompletions:
    """A group whose completions were scored: the scores of each, or the error of its calls."""

    group: CompletionGroup
    scores: tuple[tuple[Score, ...] | ModelError, ...]

    def rewards(self, principle: str | None = None) -> list[float | None]:
        """The weighted mean in [−1, 1]; None where under half the weight could be scored."""

        def reward(scores: tuple[Score, ...] | ModelError) -> float | None:
            if isinstance(scores, ModelError):
                return None
            chosen = [
                each for each in scores if principle is None or each.principle_id == principle
            ]
            return Scored(self.group.prompt, "", "", tuple(chosen)).value

        return [reward(each) for each in self.scores]

    def unread(self) -> Iterator[JudgeCall | Score | ModelError]:
        for scores in self.scores:
            if isinstance(scores, ModelError):
                yield scores
            else:
                yield from (each for each in scores if each.value is None)


@dataclass(frozen=True, slots=True, eq=False)
class PointwiseJudges:
    """Judges that score a completion alone."""

    judges: Sequence[Judge]
    constitution: Constitution
    settings: ScoreSettings = ScoreSettings()
    seed: int = 0

    async def judge(self, group: CompletionGroup) -> ScoredCompletions:
        """The scores of each completion."""

        async def scores(response: str) -> tuple[Score, ...] | ModelError:
            seed = derive_seed(self.seed, group.prompt.id, content_hash(response))
            try:
                return await score_response(
                    self.judges, self.constitution, group.prompt, response, self.settings, seed
                )
            except ModelError as error:
                return error

        scored = await asyncio.gather(*map(scores, group.completions))
        return ScoredCompletions(group, tuple(scored))


def most_frequent_cause(groups: Iterable[JudgedCompletions]) -> str:
    """The most frequent reason why calls of these groups gave nothing; "" where all did.

    Of answers without a reason, which could not be parsed or declined to judge, one is quoted.
    """
    counts, quoted = Counter[str](), dict[str, str]()
    for group in groups:
        for call in group.unread():
            # answers differ in their words, so they are counted by their outcome alone
            cause = str(call) if isinstance(call, ModelError) else call.reason or call.outcome
            counts[cause] += 1
            if not isinstance(call, ModelError) and not call.reason and call.answers:
                quoted.setdefault(cause, shorten(call.answers[0], 100, placeholder=" …"))
    if not counts:
        return ""
    cause = counts.most_common(1)[0][0]
    return f"{cause}, such as {quoted[cause]!r}" if cause in quoted else cause
