"""The model calls that measure a round: responses to the anchors, and verdicts about them.

Every call is stored in a run folder of the round, so that none is repeated after a restart.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console

from cai.constitution.loader import load_constitution
from cai.constitution.schema import Constitution
from cai.data.source import ItemSource
from cai.evaluation.policies.judging import Adherence, AdherenceSource, read_adherence
from cai.evaluation.policies.matchups import Matches, Matchups, read_verdicts
from cai.evaluation.policies.policies import Policy
from cai.evaluation.policies.responses import PolicyResponses, Prompts, ResponseCollector
from cai.evaluation.spending import Spending
from cai.methods.judging.verdict import Group, Verdict
from cai.methods.roles import RoleModel
from cai.methods.settings import JudgeSettings, ScoreSettings
from cai.models.base import Model, Sampling
from cai.models.registry import open_model
from cai.rounds.config import START, RoundsRecipe
from cai.rounds.splits import ANCHORS, PEOPLE, frozen_prompts
from cai.rounds.state import SeriesFolders, name_of
from cai.runs.inputs import GroupSource
from cai.runs.judge import JudgeJob, run_judging
from cai.runs.score import ScoreJob, run_scoring


@dataclass(frozen=True, slots=True)
class AnchorMeasurements:
    """The anchors of a series, and the models that are called to measure on them."""

    recipe: RoundsRecipe
    folders: SeriesFolders
    spending: Spending
    console: Console
    _opened: dict[str, Model] = field(default_factory=dict[str, Model])

    @property
    def constitution(self) -> Constitution:
        return load_constitution(
            self.recipe.anchors.constitution or self.recipe.round.constitution or "harmless"
        )

    @property
    def settings(self) -> JudgeSettings:
        return JudgeSettings(tags=self.recipe.anchors.tags)

    @property
    def frozen_judges(self) -> tuple[str, ...]:
        anchors, start = self.recipe.anchors, self.recipe.start
        return tuple(start if spec == START else spec for spec in (anchors.judge, *anchors.jury))

    async def responses(self, number: int, policy: str, others: Sequence[int]) -> PolicyResponses:
        """The policy's responses, sampled, together with those of earlier rounds."""
        anchors = self.recipe.anchors
        sampling = Sampling(anchors.temperature, max_tokens=anchors.max_tokens)
        role_model = RoleModel.of(self.open(policy), sampling)
        # A policy without a role model is read from its run: earlier rounds are never sampled
        # again, so that their figures stay what they were.
        policies = [self._policy(other) for other in others]
        policies.append(replace(self._policy(number), role_model=role_model))
        return await self._collector(number).collect(policies, self.spending)

    def matchups(self, responses: PolicyResponses, number: int, parent: int) -> Matchups:
        """The round against round 0, and against the one that it started from."""
        others = sorted({0, parent} - {number})
        pairs = tuple((name_of(other), name_of(number)) for other in others)
        return Matchups(responses, pairs, self.recipe.seed)

    async def add_matches(self, found: Matches, number: int, parent: int) -> None:
        """Adds the round's matches by the frozen judge, whose verdicts are stored."""
        policies = [self._policy(each) for each in sorted({0, parent, number})]
        responses = await self._collector(number).collect(policies, self.spending)
        matchups = self.matchups(responses, number, parent)
        folder = self.folders.anchors(number) / "frozen"
        verdicts = read_verdicts(folder) if folder.is_dir() else {}
        # Without a verdict where judging failed, and where both texts are equal or one is empty.
        for each in matchups.all():
            found.add(each.match(verdicts.get(each.id)))

    async def judge(
        self,
        groups: ItemSource[Group],
        specs: Sequence[str],
        folder: Path,
        *,
        is_shared: bool = False,
    ) -> dict[str, Verdict]:
        """By the group's id, the verdicts of these judges.

        The cost of a folder that rounds share counts in the round that makes the calls only.
        """
        self.console.print(
            f"[bold]verdicts[/bold] of {', '.join(specs)} → {folder}", highlight=False
        )
        judges = self._judges(specs)
        job = JudgeJob(groups, self.constitution, judges, self.settings, seed=self.recipe.seed)
        result = await run_judging(folder, job, self.spending.run_options, console=self.console)
        if result.run_result.n_calls or not is_shared:
            self.spending.add(result.run_result)
        return read_verdicts(folder)

    @property
    def people(self) -> ItemSource[Group]:
        """The pairs that people labelled."""
        return GroupSource((str(self.folders.out / ANCHORS / PEOPLE),))

    async def check(self, responses: PolicyResponses, number: int) -> Adherence:
        """Whether the round's responses follow each principle, by the frozen judge."""
        name, folder = name_of(number), self.folders.anchors(number) / "adherence"
        # Those of earlier rounds, which came along for the matchups, have been checked already.
        own = replace(responses, by_policy={name: responses.by_policy[name]})
        self.console.print(f"[bold]adherence[/bold] → {folder}", highlight=False)
        job = ScoreJob(
            AdherenceSource(own),
            self.constitution,
            self._judges(self.frozen_judges),
            ScoreSettings(kind="check", tags=self.recipe.anchors.tags),
            seed=self.recipe.seed,
        )
        result = await run_scoring(folder, job, self.spending.run_options, console=self.console)
        self.spending.add(result.run_result)
        return read_adherence(own, {self.constitution.name: folder})

    def same_judges(self, one: Sequence[str], other: Sequence[str]) -> bool:
        """Whether they are the same models, by their contents."""
        # A name has the hash of the weights: two specs may be one model, and one spec two of them.
        return [self.open(spec).name for spec in one] == [self.open(spec).name for spec in other]

    def open(self, spec: str) -> Model:
        """The model, opened once."""
        if spec not in self._opened:
            self._opened[spec] = open_model(spec)
        return self._opened[spec]

    def close(self) -> None:
        """Drops the models of a round, so that their memory is free for the next training."""
        self._opened.clear()

    # At temperature 0 a judge that writes its verdict gives the same one whenever it is asked: what
    # changes from round to round is then the policy.
    def _judges(self, specs: Sequence[str]) -> tuple[RoleModel, ...]:
        return tuple(RoleModel.of(self.open(spec), Sampling(0.0)) for spec in specs)

    def _collector(self, number: int) -> ResponseCollector:
        prompts = tuple(
            Prompts(source, kind) for kind, source in frozen_prompts(self.recipe, self.folders.out)
        )
        folder = self.folders.anchors(number)
        return ResponseCollector(prompts, 1, self.recipe.seed, folder, self.console)

    def _policy(self, number: int) -> Policy:
        return Policy(name_of(number), str(self.folders.responses(number)))
