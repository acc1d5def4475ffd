"""The contests judged: all of them, or prompt after prompt until every pair is decided.

Looking at a fixed-size interval again and again, and stopping when it excludes one half, is wrong
far more often than it claims. Here the test is by betting, which may be looked at after every
prompt; see `cai.evaluation.sequential`.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from cai.arena.accounts import Accounts
from cai.arena.contests import Contests, verdicts_of
from cai.arena.steps import CONTESTS
from cai.evaluation.bootstrap import Estimate
from cai.evaluation.matches import Match, Matches
from cai.evaluation.sequential import Betting, share_of_error
from cai.evaluation.win_rates import WinRate, win_rates
from cai.jobs.judging import JudgeJob, run_judging
from cai.judging.verdicts import Verdict

FIRST_LOOK = 32
"""Prompts before the first look."""


@dataclass(frozen=True, slots=True)
class Judged:
    """The matches on the first `n_prompts` prompts, and each pair's rate, also of each kind.

    `undecided` are the pairs that all prompts left undecided; None where nobody asked to stop.
    """

    matches: Matches
    win_rates: tuple[WinRate, ...]
    n_prompts: int
    by_kind: Mapping[str, tuple[WinRate, ...]]
    undecided: tuple[tuple[str, str], ...] | None = None


async def judge_all(
    contests: Contests, job: JudgeJob, folder: Path, accounts: Accounts, console: Console
) -> Judged:
    """Every contest."""
    accounts.add((await run_judging(folder, job, accounts.pace, console=console)).run, CONTESTS)
    verdicts, n, seed = verdicts_of(folder), len(contests.order), contests.seed
    matches = contests.matches(verdicts)
    by_kind = {
        kind: win_rates(contests.matches(verdicts, n, kind), seed)
        for kind in contests.answers.kinds
    }
    return Judged(matches, win_rates(matches, seed), n, by_kind)


async def judge_until_decided(
    contests: Contests,
    job: JudgeJob,
    error_rate: float,
    folder: Path,
    accounts: Accounts,
    console: Console,
) -> Judged:
    """Contests of one prompt after the other, until it is decided of each pair who is better.

    The intervals of the win rates are those of the betting test, which hold at any time. The other
    figures have none: those by resampling hold for a number of prompts that was fixed before.
    """
    n_all = len(contests.order)
    n = min(FIRST_LOOK, n_all)
    while True:
        n_contests = sum(each.foregone is None for each in contests.all(n))
        pace = replace(accounts.pace, limit=n_contests) if n < n_all else accounts.pace
        outcome = (await run_judging(folder, job, pace, console=console)).run
        bets = _bets(contests, verdicts_of(folder), n, error_rate)
        undecided = tuple(pair for pair, bet in bets.items() if not bet.is_decided)
        if not undecided or n == n_all:
            break
        n = min(n_all, n + max(8, n // 4))
    accounts.add(outcome, CONTESTS)
    verdicts, seed = verdicts_of(folder), contests.seed
    matches = contests.matches(verdicts, n)
    rates = tuple(_anytime(each, bets) for each in win_rates(matches, seed))
    by_kind = {
        kind: tuple(map(_bare_all, win_rates(contests.matches(verdicts, n, kind), seed)))
        for kind in contests.answers.kinds
    }
    return Judged(matches, rates, n, by_kind, undecided)


def _bets(
    contests: Contests, verdicts: Mapping[str, Verdict], n: int, error_rate: float
) -> dict[tuple[str, str], Betting]:
    """A test for each pair; each is fed one score a prompt, in the order of the prompts."""
    scores: dict[tuple[str, str], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for each in contests.all(n):
        score = _score(each.match(verdicts.get(each.id)))
        if score is not None:
            scores[each.first, each.second][each.unit].append(score)
    alpha = share_of_error(error_rate, len(contests.pairs))
    bets = {pair: Betting(alpha) for pair in contests.pairs}
    for pair, by_unit in scores.items():
        for several in by_unit.values():
            bets[pair].add(sum(several) / len(several))
    return bets


def _score(match: Match) -> float | None:
    """1 where the second policy, the later one, wins, ½ for neither; None where nothing is read."""
    if match.p_first is None:
        return None
    return {"a": 0.0, "b": 1.0}.get(match.outcome, 0.5)


def _anytime(found: WinRate, bets: Mapping[tuple[str, str], Betting]) -> WinRate:
    low, high = bets[found.opponent, found.policy].interval()
    return replace(_bare_all(found), rate=found.rate and replace(found.rate, low=low, high=high))


def _bare_all(found: WinRate) -> WinRate:
    """The same without intervals."""
    return replace(
        found,
        rate=_bare(found.rate),
        probability=_bare(found.probability),
        length_controlled=_bare(found.length_controlled),
    )


def _bare(found: Estimate | None) -> Estimate | None:
    return found and replace(found, low=None, high=None)
