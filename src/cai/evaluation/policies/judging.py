"""The judging steps of an evaluation: matchups of policies, and checks of single responses.

Matchups are judged all, or prompt after prompt until every pair is decided, by a test by betting
(see `cai.evaluation.stats.sequential`).

Adherence is how far each policy's responses meet each principle of a constitution, by a judge's
pointwise checks.
"""

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
from cai.evaluation.policies.matchups import Matches, Matchups, pairs_of, read_verdicts
from cai.evaluation.policies.plan import EvaluationJudge, EvaluationPlan
from cai.evaluation.policies.policies import Policy
from cai.evaluation.policies.responses import PolicyResponses
from cai.evaluation.policies.text_metrics import ALL
from cai.evaluation.policies.win_rates import WinRate, win_rates
from cai.evaluation.spending import Spending
from cai.evaluation.stats.bootstrap import Estimate, GrowingColumns, share_estimate, unit_of
from cai.evaluation.stats.sequential import SequentialTest, bonferroni
from cai.methods.judging.pointwise import Scored
from cai.methods.judging.verdict import Candidate, Verdict
from cai.methods.settings import ScoreSettings
from cai.runs.inputs import ResponseItem
from cai.runs.judge import JudgeJob, run_judging
from cai.runs.options import WHOLE, RunOptions
from cai.runs.records import read_done
from cai.runs.score import ScoreJob, run_scoring

# Folders of an evaluation.
MATCHUPS = "matchups"
ADHERENCE = "adherence"

# Prompts judged before the first look at the test.
FIRST_LOOK = 32


@dataclass(frozen=True, slots=True)
class MatchupResults:
    """The matches on the first `n_prompts` prompts, and each pair's win rate, also of each kind.

    `undecided` are the pairs that all prompts left undecided; None where judging was not to stop.
    """

    matches: Matches
    win_rates: tuple[WinRate, ...]
    n_prompts: int
    by_kind: Mapping[str, tuple[WinRate, ...]]
    undecided: tuple[tuple[str, str], ...] | None = None


@dataclass(frozen=True, slots=True)
class JudgingSteps:
    """The judging runs of an evaluation, in folders of `out`."""

    responses: PolicyResponses
    judging: EvaluationJudge
    plan: EvaluationPlan
    out: Path
    console: Console

    @property
    def has_matchups(self) -> bool:
        return len(self.responses.by_policy) > 1

    def matchups(self) -> Matchups:
        pairs = pairs_of(tuple(self.responses.by_policy), self.plan.meeting)
        return Matchups(self.responses, pairs, self.plan.seed)

    def judge_job(self, matchups: Matchups) -> JudgeJob:
        judging = self.judging
        return JudgeJob(
            matchups, judging.constitution, judging.judges, judging.settings, seed=self.plan.seed
        )

    def score_jobs(self) -> Iterator[tuple[str, ScoreJob]]:
        """The checks of all responses, by the name of the constitution."""
        source = AdherenceSource(self.responses)
        settings = ScoreSettings.from_settings(self.judging.settings, kind="check", tags=())
        for each in self.plan.checks:
            yield each.name, ScoreJob(source, each, self.judging.judges, settings, self.plan.seed)

    def announce(self, *names: str) -> Path:
        """A folder of the evaluation, printed to the console."""
        folder = self.out.joinpath(*names)
        line = f"[bold]{names[0]}[/bold] → {escape(str(folder))}"
        self.console.print(line, highlight=False, soft_wrap=True)
        return folder

    async def check(
        self, name: str, job: ScoreJob, spending: Spending, run_options: RunOptions
    ) -> Path:
        """The folder of the finished checks by the constitution of that name."""
        folder = self.announce(ADHERENCE, name)
        result = (await run_scoring(folder, job, run_options, console=self.console)).run_result
        spending.add(result, f"adherence to {name}")
        return folder


def check_request(
    policies: Sequence[Policy],
    judging: EvaluationJudge | None,
    plan: EvaluationPlan,
    run_options: RunOptions,
) -> None:
    """Checks before any call that an evaluation can be made.

    Raises:
        UsageError: As `EvaluationPlan.check`; or there are too few policies, or a part of a run.
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


async def judge_all(
    matchups: Matchups, job: JudgeJob, folder: Path, spending: Spending, console: Console
) -> MatchupResults:
    """The results of all matchups, with bootstrap intervals."""
    result = (await run_judging(folder, job, spending.run_options, console=console)).run_result
    spending.add(result, MATCHUPS)
    return _results(matchups, read_verdicts(folder), len(matchups.order))


def _results(matchups: Matchups, verdicts: Mapping[str, Verdict], n: int) -> MatchupResults:
    """The results on the first `n` prompts, with bootstrap intervals."""
    matches = matchups.matches(verdicts, n)
    by_kind = {
        kind: win_rates(matchups.matches(verdicts, n, kind), matchups.seed)
        for kind in matchups.responses.kinds
    }
    return MatchupResults(matches, win_rates(matches, matchups.seed), n, by_kind)


async def judge_until_decided(
    matchups: Matchups,
    job: JudgeJob,
    error_rate: float,
    folder: Path,
    spending: Spending,
    console: Console,
) -> MatchupResults:
    """The results of the first prompts, as many as decide of every pair which policy is better.

    The intervals of the win rates are those of the betting test, which hold at any time. Other
    figures have none: bootstrap intervals hold for a number of prompts that was fixed beforehand.
    """
    # Looking at a fixed-size interval repeatedly, and stopping when it excludes one half, is wrong
    # far more often than it claims. The test by betting may be looked at after every prompt; the
    # looks are a quarter further apart each time, since every look reads all verdicts again.
    n_all = len(matchups.order)
    n = min(FIRST_LOOK, n_all)
    while True:
        # The limit counts matchups that the judge sees. The last look has none, so that the run
        # ends as a complete one.
        n_judged = sum(each.unjudged_outcome is None for each in matchups.all(n))
        run_options = spending.run_options
        if n < n_all:
            run_options = replace(run_options, limit=n_judged)
        result = (await run_judging(folder, job, run_options, console=console)).run_result
        verdicts = read_verdicts(folder)
        tests = _sequential_tests(matchups, verdicts, n, error_rate)
        undecided = tuple(pair for pair, test in tests.items() if not test.is_decided)
        if not undecided or n == n_all:
            break
        n = min(n_all, n + max(8, n // 4))
    # Every look is the same run, whose ledger counts all calls so far: it is added once.
    spending.add(result, MATCHUPS)
    found = _results(matchups, verdicts, n)
    rates: list[WinRate] = []
    for each in found.win_rates:
        low, high = tests[each.opponent, each.policy].interval()
        rate = each.rate and replace(each.rate, low=low, high=high)
        rates.append(replace(_without_intervals(each), rate=rate))
    by_kind = {kind: tuple(map(_without_intervals, each)) for kind, each in found.by_kind.items()}
    return replace(found, win_rates=tuple(rates), by_kind=by_kind, undecided=undecided)


def _sequential_tests(
    matchups: Matchups, verdicts: Mapping[str, Verdict], n: int, error_rate: float
) -> dict[tuple[str, str], SequentialTest]:
    """A test for each pair; each gets one score in [0, 1] a prompt, in the order of the prompts."""
    scores: dict[tuple[str, str], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for each in matchups.all(n):
        match = each.match(verdicts.get(each.id))
        if match.p_first is not None:
            # 1 is a win of the second policy, the later one
            score = {"a": 0.0, "b": 1.0}.get(match.outcome, 0.5)
            scores[each.first, each.second][each.unit].append(score)
    alpha = bonferroni(error_rate, len(matchups.pairs))
    tests = {pair: SequentialTest(alpha) for pair in matchups.pairs}
    for pair, by_unit in scores.items():
        # Several responses to a prompt are one score: they are not independent, as the test needs.
        for several in by_unit.values():
            tests[pair].add(sum(several) / len(several))
    return tests


def _without_intervals(rate: WinRate) -> WinRate:
    def bare(estimate: Estimate | None) -> Estimate | None:
        return estimate and replace(estimate, low=None, high=None)

    return replace(
        rate,
        rate=bare(rate.rate),
        probability=bare(rate.probability),
        length_controlled=bare(rate.length_controlled),
    )


@dataclass(frozen=True, slots=True)
class AdherenceSource:
    """Every policy's responses, as the source of a scoring run; blank ones are not checked."""

    responses: PolicyResponses

    def check(self) -> CheckedSource[ResponseItem]:
        """The responses to check, counted and hashed.

        Raises:
            EvaluationError: All responses are empty.
        """
        digest, n = Digest(), 0
        for id, each in self.items():
            n += 1
            digest.add(id, *texts_of(each.prompt.messages), each.response.text)
        if not n:
            raise EvaluationError(
                "All responses of all policies are empty: nothing can be checked."
            )
        column = f"responses of {', '.join(self.responses.by_policy)}"
        summary = SourceSummary(
            names=(), column=column, n_items=n, content_hash=digest.hex, lines=(f"{n} {column}",)
        )
        return CheckedSource(summary, self.items)

    def items(self) -> Iterator[tuple[str, ResponseItem]]:
        for policy in self.responses.by_policy:
            # Blank responses count in the number, so that an id does not depend on their texts.
            numbers: dict[int, int] = defaultdict(int)
            for unit, prompt, response in self.responses.of(policy):
                numbers[unit] += 1
                id = f"{policy}/{prompt.prompt.id}/{numbers[unit]}"
                if response.text.strip():
                    yield id, ResponseItem(id, prompt.prompt, Candidate(response.text, policy))


@dataclass(slots=True)
class Adherence:
    """Probabilities in [0, 1] by policy, kind of prompts, and principle; grows by `add`."""

    responses: PolicyResponses
    columns: dict[tuple[str, str, str], GrowingColumns] = field(
        default_factory=lambda: defaultdict(lambda: GrowingColumns(units="q", p="d"))
    )
    n_unscored: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, constitution: str, scored: Scored) -> None:
        unit = unit_of(scored.prompt)
        prompt = self.responses.prompts.get(unit)
        assert prompt is not None, "only responses to the common prompts are checked"
        values = {f"{constitution}/{each.principle_id}": each.value for each in scored.scores}
        values[constitution] = scored.value
        self.n_unscored[scored.model] += sum(each.value is None for each in scored.scores)
        for kind in dict.fromkeys((ALL, prompt.kind)):
            for name, value in values.items():
                if value is not None:
                    # a score lies in [−1, 1]
                    self.columns[scored.model, kind, name].add(unit, (value + 1) / 2)

    def of(self, policy: str, seed: int) -> Mapping[str, Mapping[str, Estimate]]:
        """The mean probability that the policy's responses meet it, by kind and principle."""
        found: dict[str, dict[str, Estimate]] = {}
        for (name, kind, principle), columns in self.columns.items():
            if name == policy:
                p, units = columns.floats("p"), columns.integers("units")
                estimate = share_estimate(p, np.ones(len(p)), units, seed)
                if estimate is not None:
                    found.setdefault(kind, {})[principle] = estimate
        return found


def read_adherence(responses: PolicyResponses, folders: Mapping[str, Path]) -> Adherence:
    """The figures of the scoring runs in these folders, by the name of the constitution."""
    found = Adherence(responses)
    for constitution, folder in folders.items():
        with RunFolder.existing(folder) as run:
            for _, scored in read_done(run, Scored):
                found.add(constitution, scored)
    return found
