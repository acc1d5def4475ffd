"""Rewards from judges under a constitution, for trainers that ask over HTTP.

A score is direct RLAIF, Lee et al. 2023, arXiv:2309.00267, §3.4: the expected mark of each
principle, averaged by weight. A comparison is the judge's, asked in both orders. The calls of all
requests go through one engine: they share the concurrency slots of the judges' endpoints, its
retries and its journal, so a question that was answered before is never sent again.
"""

from collections import defaultdict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol, get_args

from pydantic import JsonValue
from rich.console import Console

from cai.constitution.schema import Constitution
from cai.engine.budget import Ledger, load_prices
from cai.engine.calls import Retry
from cai.engine.engine import Engine
from cai.engine.run_folder import RunFolder
from cai.errors import CaiError
from cai.methods.judging.pairwise import check_judging, compare
from cai.methods.judging.pointwise import Scored, ScoreOutcome, check_scoring, score_response
from cai.methods.judging.verdict import Comparison
from cai.methods.roles import Judge, RoleModel, candidates
from cai.methods.settings import JudgeSettings, ScoreSettings
from cai.runs.config import described_constitution, described_judge
from cai.runs.execution import opened
from cai.runs.judge_preparation import prepare_judges, wrap_judges
from cai.serving.chat_format import ChatFormat
from cai.serving.schema import VERSION, CompareResult, Health, ScoreResult
from cai.types import Prompt, as_dicts, content_hash, derive_seed

# The trainer waits for its rewards: six attempts pause for about 15 seconds in all, which is short
# beside the 180 seconds after which OpenRLHF gives up.
_MAX_ATTEMPTS = 6


class Rewarder(Protocol):
    """Scores responses and compares them; what the server needs of a judge or a reward model.

    A response that cannot be scored is a result with its outcome and no reward, and never an
    exception, so that one bad item does not fail the others in its request.
    """

    @property
    def health(self) -> Health: ...

    @property
    def chat_format(self) -> ChatFormat | None:
        """The chat format that a policy of the same model family has; None if unknown."""
        ...

    async def score(self, prompt: Prompt, response: str) -> ScoreResult: ...

    async def compare(self, prompt: Prompt, response_a: str, response_b: str) -> CompareResult: ...


@dataclass(frozen=True, slots=True)
class JudgeRewards:
    """All that decides the rewards of judges."""

    judges: tuple[RoleModel, ...]
    constitution: Constitution
    scoring: ScoreSettings = ScoreSettings()
    comparing: JudgeSettings = JudgeSettings()
    seed: int = 0


@dataclass(frozen=True, slots=True)
class JudgeRewarder:
    """A `Rewarder` that asks judges as they are given here: probed, and wrapped in the engine."""

    judges: tuple[Judge, ...]
    settings: JudgeRewards

    @property
    def health(self) -> Health:
        constitution = self.settings.constitution
        principles = candidates(constitution, self.settings.scoring.tags)
        return Health(
            status="ok",
            kind="judge",
            name=", ".join(judge.name for judge in self.judges),
            version=VERSION,
            constitution=f"{constitution.name}@{constitution.hash}",
            principles=tuple(each.id for each in principles),
        )

    @property
    def chat_format(self) -> None:
        """None: a judge need not be of the policy's model family."""

    async def score(self, prompt: Prompt, response: str) -> ScoreResult:
        settings = self.settings
        # The seed comes from the content, not from a counter: the same question has the same seed
        # whenever it arrives, and so the same key in the journal.
        seed = derive_seed(settings.seed, _content_id(prompt, response))
        try:
            scores = await score_response(
                self.judges, settings.constitution, prompt, response, settings.scoring, seed
            )
        except CaiError as error:
            return ScoreResult(reward=None, outcome="failed", reason=str(error))
        scored = Scored(prompt, response, "", scores)
        by_principle = _by_principle(scored)
        if scored.value is not None:
            return ScoreResult(reward=scored.value, outcome="scored", by_principle=by_principle)
        # Less than half of the weight was scored, perhaps for several reasons: the outcome that
        # cost the most weight is reported.
        weights: dict[ScoreOutcome, float] = defaultdict(float)
        for each in scores:
            weights[each.outcome] += each.weight if each.value is None else 0.0
        outcome = max(get_args(ScoreOutcome), key=lambda each: weights[each])
        reason = next((each.reason for each in scores if each.outcome == outcome), "")
        return ScoreResult(reward=None, outcome=outcome, reason=reason, by_principle=by_principle)

    async def compare(self, prompt: Prompt, response_a: str, response_b: str) -> CompareResult:
        settings = self.settings
        seed = derive_seed(settings.seed, _content_id(prompt, response_a, response_b))
        comparison = Comparison(prompt, response_a, response_b)
        try:
            verdict = await compare(
                self.judges, settings.constitution, comparison, settings.comparing, seed
            )
        except CaiError as error:
            return CompareResult(p_a=None, outcome="failed", reason=str(error))
        calls = [
            call for each in verdict.principle_verdicts for call in (each.order_ab, each.order_ba)
        ]
        reason = next((call.reason for call in calls if call.reason), "")
        return CompareResult(
            p_a=verdict.p_a,
            outcome=verdict.outcome,
            reason=reason if verdict.p_a is None else "",
            by_principle=dict(verdict.by_principle),
        )


@asynccontextmanager
async def open_rewarder(
    settings: JudgeRewards, folder: Path | None, console: Console
) -> AsyncGenerator[JudgeRewarder]:
    """The judges, opened and probed, with a journal in the folder, or in one that is deleted after.

    Raises:
        UsageError: The settings do not fit the judges or the constitution.
        JournalError: The folder is a run with other settings, or cannot be used.
        ModelError: A judge cannot be used.

    Example:
        settings = JudgeRewards(judges, load_constitution("harmless"))
        async with open_rewarder(settings, Path("runs/served"), console) as rewarder:
            result = await rewarder.score(prompt, "I will not help with that.")
    """
    # Twice: the first check needs no judge, so a wrong tag is reported before any model is loaded.
    check_judging(settings.comparing, settings.constitution)
    async with opened([judge.model for judge in settings.judges]):
        judges = await prepare_judges(
            settings.judges, settings.constitution, settings.comparing, console
        )
        check_scoring(settings.scoring, settings.constitution, judges)
        with TemporaryDirectory(prefix="cai-serve-") as temporary:
            path = folder or Path(temporary) / "journal"
            # What the journal belongs to: it is refused for any other constitution, judge or plan.
            constitution = described_constitution(settings.constitution)
            config: dict[str, JsonValue] = {
                "method": "serve",
                "constitution": constitution.model_dump(mode="json"),
                "judges": [described_judge(judge).model_dump(mode="json") for judge in judges],
                "scoring": settings.scoring.decisive(),
                "comparing": settings.comparing.decisive(),
                "seed": settings.seed,
            }
            with RunFolder.open(path, config, {"cai-toolkit": VERSION}) as run:
                ledger = Ledger.of(run.database, load_prices(None))
                engine = Engine(run.journal, ledger, retry=Retry(_MAX_ATTEMPTS))
                yield JudgeRewarder(wrap_judges(judges, engine.wrap, "judge"), settings)


def _by_principle(scored: Scored) -> dict[str, float | None]:
    """For each principle, the mean over the judges whose score was parsed; None without one."""
    values: dict[str, list[float]] = {each.principle_id: [] for each in scored.scores}
    for each in scored.scores:
        if each.value is not None:
            values[each.principle_id].append(each.value)
    return {id: sum(known) / len(known) if known else None for id, known in values.items()}


def _content_id(prompt: Prompt, *responses: str) -> str:
    texts = [text for message in as_dicts(prompt.messages) for text in message.values()]
    return content_hash(*texts, *responses)
