"""What a judge is asked once the responses are there: matchups, and checks by constitutions.

The matchups judged: all of them, or prompt after prompt until every pair is decided.

Looking at a fixed-size interval again and again, and stopping when it excludes one half, is wrong
far more often than it claims. Here the test is by betting, which may be looked at after every
prompt; see `cai.evaluation.stats.sequential`.

How far each policy's responses keep each principle, as a judge checks it.
"""

from array import array
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape

from cai.data.conversations import texts_of
from cai.data.source import CheckedSource, Digest, SourceSummary
from cai.engine.run_folder import RunFolder
from cai.errors import EvaluationError, UsageError
from cai.evaluation.policies.matchups import Match, Matches, Matchups, meetings, verdicts_of
from cai.evaluation.policies.plan import EvaluationJudge, EvaluationPlan
from cai.evaluation.policies.policies import Policy
from cai.evaluation.policies.responses import PolicyResponses
from cai.evaluation.policies.text_metrics import ALL
from cai.evaluation.policies.win_rates import WinRate, win_rates
from cai.evaluation.stats.bootstrap import Estimate, share_estimate, unit_of
from cai.evaluation.stats.sequential import SequentialTest, bonferroni
from cai.methods.judging.pointwise import Scored
from cai.methods.judging.verdict import Candidate, Verdict
from cai.methods.settings import ScoreSettings
from cai.runs.inputs import ResponseItem
from cai.runs.judge import JudgeJob, run_judging
from cai.runs.options import WHOLE, RunOptions
from cai.runs.records import read_done
from cai.runs.score import ScoreJob, run_scoring
from cai.runs.shared_budget import Accounts


@dataclass(frozen=True, slots=True)
class Checked:
    """Every policy's responses, as the source of a scoring run; blank ones are not checked."""

    answers: PolicyResponses

    def check(self) -> CheckedSource[ResponseItem]:
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
        summary = SourceSummary(
            names=(),
            column=f"responses of {names}",
            n_items=n,
            content_hash=digest.hex,
            lines=(f"{n} responses of {names}",),
        )
        return CheckedSource(summary, self.items)

    def items(self) -> Iterator[tuple[str, ResponseItem]]:
        for policy in self.answers.by_policy:
            numbers: dict[int, int] = defaultdict(int)
            for unit, asked, response in self.answers.of(policy):
                numbers[unit] += 1
                id = f"{policy}/{asked.prompt.id}/{numbers[unit]}"
                if response.text.strip():
                    yield id, ResponseItem(id, asked.prompt, Candidate(response.text, policy))


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

    answers: PolicyResponses
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


def adherence_of(answers: PolicyResponses, folders: Mapping[str, Path]) -> Adherence:
    """What the scoring runs of these constitutions say."""
    found = Adherence(answers)
    for constitution, folder in folders.items():
        with RunFolder.existing(folder) as run:
            for _, scored in read_done(run, Scored):
                found.add(constitution, scored)
    return found


CONTESTS = "matchups"
ADHERENCE = "adherence"


@dataclass(frozen=True, slots=True)
class Steps:
    """The judge's work on the answers, into folders of `out`."""

    answers: PolicyResponses
    judging: EvaluationJudge
    plan: EvaluationPlan
    out: Path
    console: Console

    @property
    def has_contests(self) -> bool:
        return len(self.answers.by_policy) > 1

    def matchups(self) -> Matchups:
        pairs = meetings(tuple(self.answers.by_policy), self.plan.meeting)
        return Matchups(self.answers, pairs, self.plan.seed)

    def judge_job(self, matchups: Matchups) -> JudgeJob:
        judging = self.judging
        return JudgeJob(
            matchups,
            judging.constitution,
            judging.judges,
            judging.settings,
            seed=self.plan.seed,
        )

    def score_jobs(self) -> Iterator[tuple[str, ScoreJob]]:
        """By the name of the constitution that is checked by."""
        judging, seed = self.judging, self.plan.seed
        for constitution in self.plan.checks:
            yield (
                constitution.name,
                ScoreJob(
                    Checked(self.answers),
                    constitution,
                    judges=judging.judges,
                    settings=ScoreSettings.from_settings(judging.settings, kind="check", tags=()),
                    seed=seed,
                ),
            )

    def folder(self, *names: str) -> Path:
        """A folder of the evaluation, told to whoever watches."""
        folder = self.out.joinpath(*names)
        line = f"[bold]{names[0]}[/bold] → {escape(str(folder))}"
        self.console.print(line, highlight=False, soft_wrap=True)
        return folder

    async def check(
        self, name: str, job: ScoreJob, accounts: Accounts, run_options: RunOptions
    ) -> Path:
        """The folder of the checks by that constitution, done."""
        folder = self.folder(ADHERENCE, name)
        outcome = (await run_scoring(folder, job, run_options, console=self.console)).run
        accounts.add(outcome, f"adherence to {name}")
        return folder


def check_request(
    policies: Sequence[Policy],
    judging: EvaluationJudge | None,
    plan: EvaluationPlan,
    run_options: RunOptions,
) -> None:
    """Finds out before a call whether an evaluation can be made.

    Raises:
        UsageError: It cannot; the message says why.
    """
    plan.check(judging)
    if not policies:
        raise UsageError("There is no policy to evaluate. Name one or several.")
    if judging is not None and len(policies) < 2 and not plan.checks:
        raise UsageError(
            f"There is one policy, {policies[0].name}, and nothing to compare it with. Name "
            "another with -p, or constitutions to check its responses by with --check."
        )
    if run_options.part != WHOLE:
        raise UsageError(
            "An evaluation compares all responses in one place and cannot be done in parts. Leave "
            "--part out; sample each part with `cai sample` where several machines are needed."
        )


FIRST_LOOK = 32
"""Prompts before the first look."""


@dataclass(frozen=True, slots=True)
class MatchupResults:
    """The matches on the first `n_prompts` prompts, and each pair's rate, also of each kind.

    `undecided` are the pairs that all prompts left undecided; None where nobody asked to stop.
    """

    matches: Matches
    win_rates: tuple[WinRate, ...]
    n_prompts: int
    by_kind: Mapping[str, tuple[WinRate, ...]]
    undecided: tuple[tuple[str, str], ...] | None = None


async def judge_all(
    matchups: Matchups, job: JudgeJob, folder: Path, accounts: Accounts, console: Console
) -> MatchupResults:
    """Every matchup."""
    accounts.add(
        (await run_judging(folder, job, accounts.run_options, console=console)).run, CONTESTS
    )
    verdicts, n, seed = verdicts_of(folder), len(matchups.order), matchups.seed
    matches = matchups.matches(verdicts)
    by_kind = {
        kind: win_rates(matchups.matches(verdicts, n, kind), seed)
        for kind in matchups.answers.kinds
    }
    return MatchupResults(matches, win_rates(matches, seed), n, by_kind)


async def judge_until_decided(
    matchups: Matchups,
    job: JudgeJob,
    error_rate: float,
    folder: Path,
    accounts: Accounts,
    console: Console,
) -> MatchupResults:
    """Matchups of one prompt after the other, until it is decided of each pair who is better.

    The intervals of the win rates are those of the betting test, which hold at any time. The other
    figures have none: those by resampling hold for a number of prompts that was fixed before.
    """
    n_all = len(matchups.order)
    n = min(FIRST_LOOK, n_all)
    while True:
        n_contests = sum(each.foregone is None for each in matchups.all(n))
        run_options = (
            replace(accounts.run_options, limit=n_contests) if n < n_all else accounts.run_options
        )
        outcome = (await run_judging(folder, job, run_options, console=console)).run
        bets = _bets(matchups, verdicts_of(folder), n, error_rate)
        undecided = tuple(pair for pair, bet in bets.items() if not bet.is_decided)
        if not undecided or n == n_all:
            break
        n = min(n_all, n + max(8, n // 4))
    accounts.add(outcome, CONTESTS)
    verdicts, seed = verdicts_of(folder), matchups.seed
    matches = matchups.matches(verdicts, n)
    rates = tuple(_anytime(each, bets) for each in win_rates(matches, seed))
    by_kind = {
        kind: tuple(map(_bare_all, win_rates(matchups.matches(verdicts, n, kind), seed)))
        for kind in matchups.answers.kinds
    }
    return MatchupResults(matches, rates, n, by_kind, undecided)


def _bets(
    matchups: Matchups, verdicts: Mapping[str, Verdict], n: int, error_rate: float
) -> dict[tuple[str, str], SequentialTest]:
    """A test for each pair; each is fed one score a prompt, in the order of the prompts."""
    scores: dict[tuple[str, str], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for each in matchups.all(n):
        score = _score(each.match(verdicts.get(each.id)))
        if score is not None:
            scores[each.first, each.second][each.unit].append(score)
    alpha = bonferroni(error_rate, len(matchups.pairs))
    bets = {pair: SequentialTest(alpha) for pair in matchups.pairs}
    for pair, by_unit in scores.items():
        for several in by_unit.values():
            bets[pair].add(sum(several) / len(several))
    return bets


def _score(match: Match) -> float | None:
    """1 where the second policy, the later one, wins, ½ for neither; None where nothing is read."""
    if match.p_first is None:
        return None
    return {"a": 0.0, "b": 1.0}.get(match.outcome, 0.5)


def _anytime(found: WinRate, bets: Mapping[tuple[str, str], SequentialTest]) -> WinRate:
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
