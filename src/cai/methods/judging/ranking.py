"""Several responses to one prompt, compared in pairs and ranked.

Example:
    panel = JudgePanel((Judge.of(model),), load_constitution("harmless"))
    readings = await judge_group(panel, Group(prompt, candidates), "swiss", seed=0)
    judged = compose_group(readings, Composer())
    print(judged.ranking, judged.strengths)

What judges said is kept (`GroupReadings`); what it means together, verdicts and strengths
(`Judged`), is composed from it each time it is read.

Which pairs are judged is one of three: `all`; `swiss`, rounds of neighbours in the standing so far;
`best-worst`, a knock-out for the best and one among the first losers for the worst, about three
comparisons for every two responses. The strengths are those of Bradley and Terry 1952, Biometrika
39, fitted to the probabilities with a library.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Literal

from cai.constitution.schema import Constitution
from cai.methods.judging.composition import Composer
from cai.methods.judging.pairwise import ask_judges, composer_for
from cai.methods.judging.verdict import Group, JudgeCall, Outcome, PrincipleVerdict, Verdict
from cai.methods.roles import Judge, gather_all
from cai.methods.settings import JudgeSettings
from cai.models.base import Usage
from cai.types import Prompt, derive_seed

Pairing = Literal["all", "swiss", "best-worst"]

# A twentieth of a win to each side, which keeps the strength of a response that wins everything
# finite; large enough to matter only where there are few matchups.
_PRIOR = 0.05


@dataclass(frozen=True, slots=True)
class MatchupReadings:
    """What judges said of the candidates of indices `first` and `second`, as A and B."""

    first: int
    second: int
    principle_verdicts: tuple[PrincipleVerdict, ...]


@dataclass(frozen=True, slots=True)
class GroupReadings:
    """A group, and what judges said of its matchups: the record of a judged run."""

    group: Group
    matchups: tuple[MatchupReadings, ...]

    @property
    def prompt(self) -> Prompt:
        return self.group.prompt

    @property
    def principle_ids(self) -> tuple[str, ...]:
        """Each principle once."""
        verdicts = [part for each in self.matchups for part in each.principle_verdicts]
        return tuple(dict.fromkeys(each.principle_id for each in verdicts))

    @property
    def calls(self) -> tuple[JudgeCall, ...]:
        """Every call to a judge."""
        verdicts = (part for each in self.matchups for part in each.principle_verdicts)
        return tuple(call for each in verdicts for call in each.calls)

    @property
    def n_cut_off(self) -> int:
        """How many texts of judges the limit of tokens ended."""
        return sum(each.n_cut_off for each in self.calls)

    @property
    def usage(self) -> Usage:
        return sum((each.usage for each in self.calls), Usage())


@dataclass(frozen=True, slots=True)
class JudgedMatchup:
    """The candidates of indices `first` and `second`, as A and B of the verdict."""

    first: int
    second: int
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Judged:
    """A group, the verdicts on its matchups, and each candidate's strength.

    `strengths` are log-odds with mean 0: the probability that i is better than j is
    1 / (1 + exp(s_j − s_i)). None where readable matchups do not connect all candidates.
    """

    group: Group
    matchups: tuple[JudgedMatchup, ...]
    strengths: tuple[float, ...] | None

    @property
    def prompt(self) -> Prompt:
        return self.group.prompt

    @property
    def ranking(self) -> tuple[int, ...] | None:
        """Candidates from best to worst; equal ones in their own order."""
        if self.strengths is None:
            return None
        strengths = self.strengths
        return tuple(sorted(range(len(strengths)), key=lambda i: (-strengths[i], i)))


def compose_group(readings: GroupReadings, composer: Composer) -> Judged:
    """The verdicts of a group by the composer's rule, and the strengths that follow."""
    matchups = tuple(
        JudgedMatchup(each.first, each.second, composer.verdict(each.principle_verdicts))
        for each in readings.matchups
    )
    return Judged(readings.group, matchups, strengths(len(readings.group.candidates), matchups))


@dataclass(frozen=True, slots=True)
class JudgePanel:
    """Judges with their constitution and settings: all that decides what they say of a group.

    Pairings that depend on who won so far go by the panel's `composer`.
    """

    judges: tuple[Judge, ...]
    constitution: Constitution
    settings: JudgeSettings = JudgeSettings()

    @property
    def composer(self) -> Composer:
        return composer_for(self.constitution, self.settings)

    async def ask(self, group: Group, first: int, second: int, seed: int) -> MatchupReadings:
        """Raises as `cai.methods.judging.pairwise.ask_judges`."""
        of_pair = derive_seed(seed, group.prompt.id, first, second)
        comparison = group.comparison(first, second)
        found = await ask_judges(self.judges, self.constitution, comparison, self.settings, of_pair)
        return MatchupReadings(first, second, found)

    def outcomes(self, readings: GroupReadings) -> set[Outcome]:
        """What came of the group's matchups, each kind once."""
        verdicts = (self.composer.verdict(each.principle_verdicts) for each in readings.matchups)
        return {each.outcome for each in verdicts}


async def judge_group(
    panel: JudgePanel, group: Group, pairing: Pairing, seed: int
) -> GroupReadings:
    """All matchups that the pairing asks for; those that do not wait for each other run together.

    Raises:
        UsageError: The settings do not fit judges or constitution.
        ModelUnavailable: A call failed in a way that may pass.
    """
    n = len(group.candidates)
    if pairing == "all" or n == 2:
        matchups = await _judge_pairs(panel, group, combinations(range(n), 2), seed)
    elif pairing == "swiss":
        matchups = await _swiss(panel, group, seed)
    else:
        matchups = await _best_worst(panel, group, seed)
    return GroupReadings(group, tuple(matchups))


def strengths(n: int, matchups: Sequence[JudgedMatchup]) -> tuple[float, ...] | None:
    """The log-strength of each of `n` candidates, mean 0, by maximum likelihood with a weak prior.

    A matchup counts as its probability to the one and the rest to the other. None where the
    readable matchups leave a candidate without a path to the others.
    """
    wins = [[0.0] * n for _ in range(n)]
    for each in matchups:
        if each.verdict.p_a is not None:
            wins[each.first][each.second] += each.verdict.p_a
            wins[each.second][each.first] += 1 - each.verdict.p_a
    if not _is_connected(wins):
        return None
    if n == 2:
        # The maximum in closed form: pairs are most of all groups, and this needs no scipy.
        half = (math.log(wins[0][1] + _PRIOR) - math.log(wins[1][0] + _PRIOR)) / 2
        return (half, -half)
    import choix  # heavy: scipy
    import numpy as np

    matrix = np.array(wins, dtype=np.float64)
    matrix[matrix + matrix.T > 0] += _PRIOR
    found = choix.ilsr_pairwise_dense(matrix)
    # Noise that the iterations leave in the last digits must not order equal candidates.
    return tuple(round(float(value), 6) for value in found - found.mean())


async def _judge_pairs(
    panel: JudgePanel, group: Group, pairs: Iterable[tuple[int, int]], seed: int
) -> list[MatchupReadings]:
    return await gather_all(panel.ask(group, first, second, seed) for first, second in pairs)


async def _swiss(panel: JudgePanel, group: Group, seed: int) -> list[MatchupReadings]:
    """⌈log2 n⌉ rounds; in each, neighbours in the standing meet who have not met.

    Neighbours of whom no chain of matchups tells anything then meet too, as after many ties.
    """
    n = len(group.candidates)
    matchups: list[MatchupReadings] = []
    for _ in range(max(1, math.ceil(math.log2(n)))):
        pairs = _neighbours(_standing(panel, n, matchups), matchups)
        matchups += await _judge_pairs(panel, group, pairs, seed)
    bridges = _bridges(_standing(panel, n, matchups), matchups)
    return matchups + await _judge_pairs(panel, group, bridges, seed)


def _standing(panel: JudgePanel, n: int, matchups: Sequence[MatchupReadings]) -> list[int]:
    points = [0.0] * n
    for each in matchups:
        p_a = panel.composer.verdict(each.principle_verdicts).p_a
        if p_a is not None:
            points[each.first] += p_a
            points[each.second] += 1 - p_a
    return sorted(range(n), key=lambda i: (-points[i], i))


def _neighbours(
    standing: Sequence[int], matchups: Sequence[MatchupReadings]
) -> list[tuple[int, int]]:
    """Pairs for a round. Of an odd number one sits out: the last of those who have met most.

    Else the last of the first round, who has no points yet, would never meet anybody.
    """
    left = list(standing)
    if len(left) % 2:  # an odd one out in each round
        n_met = Counter(i for each in matchups for i in (each.first, each.second))
        left.remove(max(reversed(left), key=lambda i: n_met[i]))
    met = {frozenset((each.first, each.second)) for each in matchups}
    pairs: list[tuple[int, int]] = []
    while len(left) > 1:
        first = left.pop(0)
        for place, second in enumerate(left):
            if frozenset((first, second)) not in met:
                left.pop(place)
                pairs.append((min(first, second), max(first, second)))
                break
    return pairs


def _bridges(standing: Sequence[int], matchups: Sequence[MatchupReadings]) -> list[tuple[int, int]]:
    """The pairs of neighbours that join what the matchups have left apart."""
    part = {i: i for i in standing}

    # Union-find without ranks: a group has a handful of candidates.
    def join(first: int, second: int) -> bool:
        old, new = part[second], part[first]
        for i in standing:
            part[i] = new if part[i] == old else part[i]
        return old != new

    for each in matchups:
        join(each.first, each.second)
    return [(min(pair), max(pair)) for pair in pairwise(standing) if join(*pair)]


async def _best_worst(panel: JudgePanel, group: Group, seed: int) -> list[MatchupReadings]:
    """A knock-out; the losers of its first round, and who sat it out, play one for the worst."""
    everyone = list(range(len(group.candidates)))
    pairs = list(zip(everyone[::2], everyone[1::2], strict=False))
    matchups = await _judge_pairs(panel, group, pairs, seed)
    sat_out = everyone[2 * len(pairs) :]
    winners = [_winner(panel, each) for each in matchups] + sat_out
    losers = [_loser(panel, each) for each in matchups] + sat_out
    best, worst = await asyncio.gather(
        _knock_out(panel, group, winners, seed, is_for_best=True),
        _knock_out(panel, group, losers, seed, is_for_best=False),
    )
    return [*matchups, *best, *worst]


async def _knock_out(
    panel: JudgePanel, group: Group, left: list[int], seed: int, *, is_for_best: bool
) -> list[MatchupReadings]:
    matchups: list[MatchupReadings] = []
    while len(left) > 1:
        pairs = [(min(pair), max(pair)) for pair in zip(left[::2], left[1::2], strict=False)]
        latest = await _judge_pairs(panel, group, pairs, seed)
        matchups += latest
        chosen = _winner if is_for_best else _loser
        goes_on = [chosen(panel, each) for each in latest]
        left = goes_on + left[2 * len(pairs) :]
    return matchups


def _winner(panel: JudgePanel, matchup: MatchupReadings) -> int:
    """Who goes on; of an even or unreadable matchup, the first."""
    p_a = panel.composer.verdict(matchup.principle_verdicts).p_a
    return matchup.second if p_a is not None and p_a < 0.5 else matchup.first


def _loser(panel: JudgePanel, matchup: MatchupReadings) -> int:
    return matchup.first + matchup.second - _winner(panel, matchup)


def _is_connected(wins: Sequence[Sequence[float]]) -> bool:
    n = len(wins)
    reached, waiting = {0}, [0]
    while waiting:
        i = waiting.pop()
        for j in range(n):
            if j not in reached and wins[i][j] + wins[j][i] > 0:
                reached.add(j)
                waiting.append(j)
    return len(reached) == n
