"""Round after round: the steps, the measuring against the anchors, and what follows.

Killed at any moment, the same call goes on: every step is a run or a training that goes on itself,
and a round counts once its figures stand in `rounds.json`.

What follows from a round's figures: rules over the rounds that led to its policy.

A series of rounds from Python: waiting for the result, in a notebook too.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console

from cai.engine.budget import Ledger, load_prices
from cai.engine.engine import wait_for
from cai.engine.run_files import RUN_FILE
from cai.engine.run_folder import RunFolder
from cai.evaluation.policies.matchups import Matches
from cai.evaluation.policies.ratings import Rating, ratings
from cai.evaluation.policies.win_rates import win_rates
from cai.evaluation.results_file import load_results, save_results
from cai.evaluation.rules import Consequence, Rule
from cai.evaluation.stats.bootstrap import Estimate
from cai.pipeline.runner import run_recipe
from cai.pipeline.train_runner import open_role_models
from cai.rounds.anchors import Anchorage
from cai.rounds.config import RoundsRecipe, load_rounds
from cai.rounds.measure import measure, metrics, rules_of
from cai.rounds.splits import check_enough, deal, freeze, kinds
from cai.rounds.state import (
    FILE,
    Decision,
    RoundFound,
    Series,
    SeriesFolders,
    begin,
    caveats,
    name_of,
)
from cai.runs.options import RunOptions
from cai.runs.shared_budget import Accounts

_WEIGHT: Mapping[Consequence, int] = {"warn": 0, "ask": 1, "roll back": 2, "stop": 3}


def lineage(rounds: Sequence[RoundFound], parent: int, number: int) -> list[int]:
    """The rounds that led to round `number`, which started from `parent`: round 0 first."""
    if not number:
        return []
    found = [parent]
    while found[0]:
        found.insert(0, rounds[found[0]].parent)
    return found


def broken_rules(
    rules: Sequence[Rule], history: Sequence[Mapping[str, Estimate]]
) -> list[tuple[Rule, str]]:
    """The rules that the last of these figures breaks, each with a sentence.

    `history` are the figures along the lineage, in order. A rule about what the last round could
    not measure breaks nothing; that it is missing is said elsewhere.
    """
    found: list[tuple[Rule, str]] = []
    for rule in rules:
        if rule.metric not in history[-1]:
            continue
        known = [figures[rule.metric] for figures in history if rule.metric in figures]
        values = [each.value for each in known]
        if rule.holds(values, [_edge(rule, each) for each in known]):
            found.append((rule, _sentence(rule, known[-1], rule.limit(values))))
    return found


def decision_of(rules: Sequence[Rule]) -> Decision:
    """The weightiest consequence of broken rules."""
    decisions: dict[Consequence, Decision] = {
        "warn": "go on",
        "ask": "ask",
        "roll back": "roll back",
        "stop": "stop",
    }
    heaviest = max(rules, key=lambda rule: _WEIGHT[rule.then], default=None)
    return "go on" if heaviest is None else decisions[heaviest.then]


def best_of(rounds: Sequence[RoundFound], ratings: Sequence[Rating]) -> int:
    """The best rated of the rounds that no rule threw out; of equal ones the earliest.

    The start is not thrown out: there is nothing before it.
    """
    found, highest = 0, float("-inf")
    for each, rating in zip(rounds, ratings, strict=False):
        is_out = each.number > 0 and each.decision in ("stop", "roll back")
        if not is_out and rating.value is not None and rating.value > highest:
            found, highest = each.number, rating.value
    return found


def _edge(rule: Rule, estimate: Estimate) -> float:
    """The end of the interval next to the limit; where there is none, nothing is sure."""
    is_above = rule.comparison in (">", ">=")
    edge = estimate.low if is_above else estimate.high
    if edge is None:
        return float("-inf") if is_above else float("inf")
    return edge


def _sentence(rule: Rule, estimate: Estimate, limit: float) -> str:
    span = ""
    if estimate.low is not None and estimate.high is not None:
        span = f" ({estimate.low:.3g} to {estimate.high:.3g})"
    against = f", which is {limit:.3g}" if rule.reference else ""
    return f"{rule.metric} is {estimate.value:.3g}{span}: rule {rule.text!r}{against}"


async def run_rounds_async(
    recipe: RoundsRecipe,
    out: Path,
    run_options: RunOptions = RunOptions(),
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
    places = SeriesFolders(out)
    accounts = Accounts(run_options)
    rounds = list(load_results(out / FILE, Series).rounds) if (out / FILE).exists() else []
    for number in range(len(rounds)):
        _enter(accounts, places.round(number))
    anchorage = Anchorage(recipe, places, accounts, console)
    return await _Controller(
        recipe, anchorage, rules=rules, known=known, rounds=rounds, console=console
    ).run(answer)


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
            recipe,
            open_role_models(recipe, start),
            source=source,
            out=folder,
            run_options=accounts.run_options,
            console=self.console,
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
            frozen_judges=self.anchorage.frozen_judges,
            metrics=self.known,
            rounds=tuple(self.rounds),
            win_rates=win_rates(self.matches, self.recipe.seed),
            ratings=rated,
            best=best_of(self.rounds, rated),
            ended=ended,
            cost_usd=accounts.cost_usd,
            caveats=tuple(caveats(self.recipe, self.rounds)),
        )
        save_results(self.anchorage.places.out / FILE, series)
        return series

    def _say(self, text: str, *, is_plain: bool = False) -> None:
        self.console.print(text, markup=not is_plain, highlight=False)


def _enter(accounts: Accounts, folder: Path) -> None:
    """Takes in what all runs below a folder took."""
    for path in sorted(folder.rglob(RUN_FILE)):
        with RunFolder.existing(path.parent) as run:
            accounts.enter(Ledger.of(run.database, load_prices(accounts.run_options.prices)))


def run_rounds(
    recipe: str | Path | RoundsRecipe,
    out: str | Path,
    *,
    answer: Decision | None = None,
    run_options: RunOptions = RunOptions(),
    is_quiet: bool = False,
) -> Series:
    """The rounds of a YAML file, or of a recipe, that are not done yet; all figures so far.

    Raises:
        CaiError: As `cai.rounds.controller.run_rounds_async`.
    """
    loaded = recipe if isinstance(recipe, RoundsRecipe) else load_rounds(Path(recipe))
    console = Console(stderr=True, quiet=is_quiet)
    return wait_for(
        run_rounds_async(loaded, Path(out), run_options, answer=answer, console=console)
    )
