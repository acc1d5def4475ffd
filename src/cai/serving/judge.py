"""Rewards of a judge under a constitution, asked through the engine and journalled.

A score is direct RLAIF, Lee et al. 2023, arXiv:2309.00267, §3.4. Calls of all requests share the
seats of the judge's servers; a question that the journal knows is not asked again.

What stands behind the server: something that scores responses and compares them.
"""

from collections import defaultdict
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol, get_args

from pydantic import JsonValue, TypeAdapter
from rich.console import Console

from cai.constitution.schema import Constitution
from cai.engine.budget import Ledger, load_prices
from cai.engine.calls import Retry
from cai.engine.engine import Engine
from cai.engine.run_folder import RunFolder
from cai.errors import CaiError
from cai.methods.judging.pairwise import Judge, JudgePlan, compare
from cai.methods.judging.pointwise import Scored, ScorePlan, check_samples, score_response
from cai.methods.judging.pointwise import ScoreOutcome as Outcome
from cai.methods.judging.verdict import Comparison
from cai.methods.roles import Speaker, candidates
from cai.runs.config import described_constitution, described_judge
from cai.runs.job import opened
from cai.runs.judge import Trial, Verdicts, asked_through, first_question, read_judges
from cai.serving.chat_format import ChatForm
from cai.serving.schema import VERSION, CompareResult, Health, ScoreResult
from cai.types import Prompt, as_dicts, content_hash, derive_seed

_ATTEMPTS = 6  # a trainer waits, and about 15 seconds of pauses are what it bears


@dataclass(frozen=True, slots=True)
class Bench:
    """All that decides the rewards of judges."""

    judges: tuple[Speaker, ...]
    constitution: Constitution
    scoring: ScorePlan = ScorePlan()
    comparing: JudgePlan = JudgePlan()
    verdicts: Verdicts = "auto"
    seed: int = 0


@dataclass(frozen=True, slots=True)
class JudgeRewarder:
    """Judges that are read and asked as they are given here."""

    judges: tuple[Judge, ...]
    bench: Bench

    @property
    def health(self) -> Health:
        constitution = self.bench.constitution
        asked = candidates(constitution, self.bench.scoring.tags)
        return Health(
            status="ok",
            kind="judge",
            name=", ".join(judge.name for judge in self.judges),
            version=VERSION,
            constitution=f"{constitution.name}@{constitution.hash}",
            principles=tuple(each.id for each in asked),
        )

    @property
    def chat_form(self) -> None:
        """A judge knows nothing of the policy."""

    async def score(self, prompt: Prompt, response: str) -> ScoreResult:
        bench = self.bench
        seed = derive_seed(bench.seed, _id(prompt, response))
        try:
            scores = await score_response(
                self.judges, bench.constitution, prompt, response, bench.scoring, seed
            )
        except CaiError as error:
            return ScoreResult(reward=None, outcome="failed", reason=str(error))
        scored = Scored(prompt, response, "", scores)
        by_principle = _by_principle(scored)
        if scored.value is not None:
            return ScoreResult(reward=scored.value, outcome="scored", by_principle=by_principle)
        lost: dict[Outcome, float] = defaultdict(float)
        for each in scores:
            lost[each.outcome] += each.weight if each.value is None else 0.0
        outcome = max(get_args(Outcome), key=lambda each: lost[each])
        reason = next((each.reason for each in scores if each.outcome == outcome), "")
        return ScoreResult(reward=None, outcome=outcome, reason=reason, by_principle=by_principle)

    async def compare(self, prompt: Prompt, response_a: str, response_b: str) -> CompareResult:
        bench = self.bench
        seed = derive_seed(bench.seed, _id(prompt, response_a, response_b))
        comparison = Comparison(prompt, response_a, response_b)
        try:
            verdict = await compare(
                self.judges, bench.constitution, comparison, bench.comparing, seed
            )
        except CaiError as error:
            return CompareResult(p_a=None, outcome="failed", reason=str(error))
        readings = [r for each in verdict.judgements for r in (each.there, each.back)]
        reason = next((each.reason for each in readings if each.reason), "")
        return CompareResult(
            p_a=verdict.p_a,
            outcome=verdict.outcome,
            reason=reason if verdict.p_a is None else "",
            by_principle=dict(verdict.by_principle),
        )


@asynccontextmanager
async def judge_rewarder(
    bench: Bench, folder: Path | None, console: Console
) -> AsyncGenerator[JudgeRewarder]:
    """The judges, opened and read, with a journal in the folder, or in one that is deleted after.

    Raises:
        UsageError: The plans do not fit the judges or the constitution.
        JournalError: The folder is a run of another recipe, or cannot be used.
        ModelError: A judge cannot be used.
    """
    bench.comparing.check((), bench.constitution)
    async with opened([judge.model for judge in bench.judges]):
        principle = candidates(bench.constitution, bench.comparing.tags)[0]
        trial = Trial(
            lambda judge: first_question(judge, principle), "it is read from what it writes"
        )
        judges = await read_judges(bench.judges, bench.verdicts, trial, console)
        bench.comparing.check(judges, bench.constitution)
        check_samples(judges, bench.scoring)
        with TemporaryDirectory(prefix="cai-serve-") as passing:
            place = folder or Path(passing) / "journal"
            with RunFolder.open(place, _recipe(bench, judges), {"cai-toolkit": VERSION}) as run:
                ledger = Ledger.of(run.database, load_prices(None))
                engine = Engine(run.journal, ledger, retry=Retry(_ATTEMPTS))
                yield JudgeRewarder(asked_through(judges, engine.through, "judge"), bench)


def _by_principle(scored: Scored) -> dict[str, float | None]:
    """The mean over the judges that could be read, for each principle."""
    values: dict[str, list[float]] = {each.principle_id: [] for each in scored.scores}
    for each in scored.scores:
        if each.value is not None:
            values[each.principle_id].append(each.value)
    return {id: sum(found) / len(found) if found else None for id, found in values.items()}


def _id(prompt: Prompt, *responses: str) -> str:
    turns = [text for turn in as_dicts(prompt.messages) for text in turn.values()]
    return content_hash(*turns, *responses)


def _recipe(bench: Bench, judges: Sequence[Judge]) -> dict[str, JsonValue]:
    return {
        "method": "serve",
        "constitution": described_constitution(bench.constitution).model_dump(mode="json"),
        "judges": [described_judge(judge).model_dump(mode="json") for judge in judges],
        "scoring": TypeAdapter(ScorePlan).dump_python(bench.scoring, mode="json"),
        "comparing": TypeAdapter(JudgePlan).dump_python(bench.comparing, mode="json"),
        "seed": bench.seed,
    }


class Rewarder(Protocol):
    """Gives rewards. What cannot be scored is a result with its outcome, and raises nothing."""

    @property
    def health(self) -> Health: ...

    @property
    def chat_form(self) -> ChatForm | None:
        """What a policy of the same family writes around turns, where that is known."""
        ...

    async def score(self, prompt: Prompt, response: str) -> ScoreResult: ...

    async def compare(self, prompt: Prompt, response_a: str, response_b: str) -> CompareResult: ...
