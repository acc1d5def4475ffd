"""Round after round: the steps, the measuring against the anchors, and what follows.

Killed at any moment, the same call goes on: every step is a run or a training that goes on itself,
and a round counts once its figures stand in `rounds.json`.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console

from cai.arena.accounts import Accounts
from cai.engine.spending.ledger import Ledger
from cai.engine.spending.prices import load_prices
from cai.engine.storage.recipe import RUN_FILE
from cai.engine.storage.run_folder import RunFolder
from cai.evaluation.kept import keep, kept
from cai.evaluation.matches import Matches
from cai.evaluation.ratings import Rating, ratings
from cai.evaluation.rules import Rule
from cai.evaluation.win_rates import win_rates
from cai.jobs.pace import Pace
from cai.recipe.casting import cast_of
from cai.recipe.running import run_recipe
from cai.rounds.anchorage import Anchorage
from cai.rounds.beginning import begin
from cai.rounds.dealing import check_enough, deal, freeze, kinds
from cai.rounds.deciding import best_of, broken_rules, decision_of, lineage
from cai.rounds.found import FILE, Decision, RoundFound, Series
from cai.rounds.measuring import measure
from cai.rounds.metrics import metrics, rules_of
from cai.rounds.places import Places, name_of
from cai.rounds.remarks import remarks
from cai.rounds.schema import RoundsRecipe


async def run_rounds_async(
    recipe: RoundsRecipe,
    out: Path,
    pace: Pace = Pace(),
    *,
    answer: Decision | None = None,
    console: Console,
) -> Series:
    """The rounds that are not done yet, until all are, a rule ends the series, or one asks.

    `answer` is what follows from the last round, where a rule asked, or stopped the series.

    Raises:
        UsageError: The recipe cannot be followed, or the folder is of another series.
        CaiError: As the steps of a round. What was done until then is kept.
    """
    recipe.check()
    anchors = recipe.anchors
    known = metrics(
        [kind for kind, _ in kinds(anchors.prompts)],
        has_people=bool(anchors.people),
        has_checks=anchors.checks,
        has_tokens=bool(anchors.divergence_prompts),
    )
    rules = rules_of(recipe.rules, known)
    check_enough(recipe)
    begin(recipe, out)
    freeze(recipe, out, is_begun=(out / FILE).exists())
    places = Places(out)
    accounts = Accounts(pace)
    rounds = list(kept(out / FILE, Series).rounds) if (out / FILE).exists() else []
    for number in range(len(rounds)):
        _enter(accounts, places.round(number))
    anchorage = Anchorage(recipe, places, accounts, console)
    return await _Controller(recipe, anchorage, rules, known, rounds, console).run(answer)


@dataclass(slots=True)
class _Controller:
    recipe: RoundsRecipe
    anchorage: Anchorage
    rules: Sequence[Rule]
    known: dict[str, str]
    rounds: list[RoundFound]
    console: Console
    matches: Matches = field(default_factory=Matches)

    async def run(self, answer: Decision | None) -> Series:
        for each in self.rounds[1:]:
            await self.anchorage.add_matches(self.matches, each.number, each.parent)
        if not self.rounds:
            await self._begin()
        self._answer(answer)
        while not (ended := self._ended()):
            await self._round()
        return self._keep(ended)

    def _answer(self, answer: Decision | None) -> None:
        last = self.rounds[-1]
        if last.decision in ("ask", "stop") and answer is not None:
            self.rounds[-1] = self._decided(last, answer)
            self._keep("")

    async def _begin(self) -> None:
        self._say(f"[bold]round 0[/bold]: {self.recipe.start}")
        began_s = time.monotonic()
        found = await measure(self.anchorage, 0, {0: self.recipe.start}, 0)
        seconds = time.monotonic() - began_s
        self._add(self._judged(found.of_round(0, self.recipe.start, (), 0, seconds)))

    async def _round(self) -> None:
        number, parent = len(self.rounds), self.rounds[-1].from_round
        start = self.rounds[parent].policy
        self._say(f"[bold]round {number}[/bold] of {self.recipe.rounds}, from round {parent}")
        began_s = time.monotonic()
        policy = await self._steps(number, start)
        policies = {each.number: each.policy for each in self.rounds} | {number: policy}
        found = await measure(self.anchorage, number, policies, parent)
        await self.anchorage.add_matches(self.matches, number, parent)
        judges = self.recipe.judges_after(start)
        seconds = time.monotonic() - began_s
        self._add(self._judged(found.of_round(number, policy, judges, parent, seconds)))

    async def _steps(self, number: int, start: str) -> str:
        """The round's policy."""
        accounts, places = self.anchorage.accounts, self.anchorage.places
        recipe = self.recipe.recipe_of(number, start)
        source = deal(self.recipe, number, places.out)
        folder = places.steps(number)
        await run_recipe(
            recipe, cast_of(recipe, start), source, folder, accounts.pace, self.console
        )
        _enter(accounts, folder)
        return f"hf:{folder / self.recipe.policy_name}"

    def _judged(self, new: RoundFound) -> RoundFound:
        """The round by the rules."""
        path = lineage(self.rounds, new.parent, new.number)
        history = [*(self.rounds[each].figures for each in path), new.figures]
        broken = broken_rules(self.rules, history)
        new = replace(new, broken=tuple(sentence for _, sentence in broken))
        return self._decided(new, decision_of([rule for rule, _ in broken]))

    def _decided(self, found: RoundFound, decision: Decision) -> RoundFound:
        """The round with its decision; what goes on from elsewhere goes on from the best before."""
        if decision not in ("stop", "roll back"):
            return replace(found, decision=decision, from_round=found.number)
        before = self.rounds[: found.number]
        from_round = best_of(before, self._ratings([*before, found]))
        return replace(found, decision=decision, from_round=from_round)

    def _ended(self) -> str:
        """Why nothing more follows; "" where something does."""
        last, n = self.rounds[-1], len(self.rounds) - 1
        why = "; ".join(last.broken)
        if last.decision == "stop":
            best = f"The best round before it is round {last.from_round}." if n else ""
            return f"Round {last.number} ends the series by its rules: {why}. {best}".strip()
        if last.decision == "ask":
            return f"Round {last.number} is to be decided on: {why}. Say how with --decide."
        if n > 1 and all(each.decision == "roll back" for each in self.rounds[-2:]):
            return f"Two rounds in a row were rolled back; the last because {why}."
        return f"All {n} rounds are done." if n >= self.recipe.rounds else ""

    def _add(self, found: RoundFound) -> None:
        self.rounds.append(found)
        self.anchorage.forget()
        for sentence in found.broken:
            self._say(f"round {found.number}: {sentence}", is_plain=True)
        if found.decision != "go on":
            self._say(f"round {found.number}: {found.decision}", is_plain=True)
        self._keep("")

    def _ratings(self, rounds: Sequence[RoundFound]) -> tuple[Rating, ...]:
        names = [name_of(each.number) for each in rounds]
        return ratings(self.matches, names, names[0], self.recipe.seed)

    def _keep(self, ended: str) -> Series:
        rated = self._ratings(self.rounds)
        accounts = self.anchorage.accounts
        series = Series(
            self.recipe.name,
            self.recipe.rounds,
            self.anchorage.frozen_judges,
            self.known,
            tuple(self.rounds),
            win_rates(self.matches, self.recipe.seed),
            rated,
            best_of(self.rounds, rated),
            ended,
            accounts.cost_usd,
            tuple(remarks(self.recipe, self.rounds)),
        )
        keep(self.anchorage.places.out / FILE, series)
        return series

    def _say(self, text: str, *, is_plain: bool = False) -> None:
        self.console.print(text, markup=not is_plain, highlight=False)


def _enter(accounts: Accounts, folder: Path) -> None:
    """Takes in what all runs below a folder took."""
    for path in sorted(folder.rglob(RUN_FILE)):
        with RunFolder.existing(path.parent) as run:
            accounts.enter(Ledger.of(run.database, load_prices(accounts.pace.prices)))
