"""Round after round: train, measure against the anchors, and decide by rules how to go on.

A killed series continues with the same call: every step is a run or a training that continues
itself, and a round counts once its figures are in `rounds.json`. Rules compare a round with the
rounds that led to its policy; see `cai.evaluation.rules` for how they are written.

Example:
    from cai.rounds.controller import run_rounds

    series = run_rounds("examples/recipes/testbed-rounds.yaml", "runs/rounds")
    series.best, series.ended  # (2, "All 3 rounds are done.")
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
from cai.evaluation.spending import Spending
from cai.evaluation.stats.bootstrap import Estimate
from cai.pipeline.runner import run_recipe
from cai.pipeline.train_runner import open_role_models
from cai.rounds.anchors import AnchorMeasurements
from cai.rounds.config import RoundsRecipe, kinds, load_rounds
from cai.rounds.measure import measure, metrics, rules_of
from cai.rounds.splits import assign_prompts, check_enough, freeze
from cai.rounds.state import (
    FILE,
    Decision,
    RoundResult,
    Series,
    SeriesFolders,
    begin,
    caveats,
    name_of,
)
from cai.runs.options import RunOptions

# From the mildest to the most severe; broken rules are decided by the most severe of them.
_DECISIONS: dict[Consequence, Decision] = {
    "warn": "go on",
    "ask": "ask",
    "roll back": "roll back",
    "stop": "stop",
}


def lineage(rounds: Sequence[RoundResult], parent: int, number: int) -> list[int]:
    """The rounds that led to round `number`, which started from `parent`: round 0 first."""
    if not number:
        return []
    # Not simply all rounds before it: those that were rolled back are no ancestors, and a rule such
    # as `last` would compare with a policy that this one did not start from.
    found = [parent]
    while found[0]:
        found.insert(0, rounds[found[0]].parent)
    return found


def broken_rules(
    rules: Sequence[Rule], history: Sequence[Mapping[str, Estimate]]
) -> list[tuple[Rule, str]]:
    """The rules that the last of these figures breaks, each with a sentence.

    `history` are the figures along the lineage, in order. A rule about a metric that the last round
    could not measure is not broken; the missing metric is reported elsewhere.
    """
    broken: list[tuple[Rule, str]] = []
    for rule in rules:
        if rule.metric not in history[-1]:
            continue
        known = [figures[rule.metric] for figures in history if rule.metric in figures]
        values = [each.value for each in known]
        # A rule with "surely" compares the end of the interval next to the limit. Without an
        # interval nothing is sure: the infinite end breaks no rule.
        if rule.comparison in (">", ">="):
            ends = [float("-inf") if each.low is None else each.low for each in known]
        else:
            ends = [float("inf") if each.high is None else each.high for each in known]
        if rule.holds(values, ends):
            last, interval = known[-1], ""
            if last.low is not None and last.high is not None:
                interval = f" ({last.low:.3g} to {last.high:.3g})"
            limit = f", which is {rule.limit(values):.3g}" if rule.reference else ""
            sentence = f"{rule.metric} is {last.value:.3g}{interval}: rule {rule.text!r}{limit}"
            broken.append((rule, sentence))
    return broken


def decision_of(rules: Sequence[Rule]) -> Decision:
    """The most severe consequence of broken rules."""
    consequences: list[Consequence] = ["warn", *(rule.then for rule in rules)]
    return _DECISIONS[max(consequences, key=list(_DECISIONS).index)]


def best_of(rounds: Sequence[RoundResult], ratings: Sequence[Rating]) -> int:
    """The best rated of the rounds that no rule rejected; of equal ones the earliest.

    Round 0 is never rejected: there is nothing before it.
    """
    # There may be more ratings than rounds: the latest round, whose decision this is about, takes
    # part in the matches only.
    best, highest = 0, float("-inf")
    for each, rating in zip(rounds, ratings, strict=False):
        is_rejected = each.number > 0 and each.decision in ("stop", "roll back")
        if not is_rejected and rating.value is not None and rating.value > highest:
            best, highest = each.number, rating.value
    return best


def run_rounds(
    recipe: str | Path | RoundsRecipe,
    out: str | Path,
    *,
    answer: Decision | None = None,
    run_options: RunOptions = RunOptions(),
    is_quiet: bool = False,
) -> Series:
    """Runs the missing rounds of a YAML file or a recipe, and waits for them: all figures so far.

    In a notebook too, whose event loop already runs.

    Raises:
        CaiError: As `cai.rounds.controller.run_rounds_async`.
    """
    loaded = recipe if isinstance(recipe, RoundsRecipe) else load_rounds(Path(recipe))
    console = Console(stderr=True, quiet=is_quiet)
    return wait_for(
        run_rounds_async(loaded, Path(out), run_options, answer=answer, console=console)
    )


async def run_rounds_async(
    recipe: RoundsRecipe,
    out: Path,
    run_options: RunOptions = RunOptions(),
    *,
    answer: Decision | None = None,
    console: Console,
) -> Series:
    """Runs the missing rounds, until all are done, or a rule stops the series or asks.

    `answer` is the decision about the last round, where a rule asked, or stopped the series.

    Raises:
        UsageError: The recipe cannot be followed, or the folder is of another series.
        CaiError: As the steps of a round. Finished steps are stored, and not run again.
    """
    recipe.check()
    anchors = recipe.anchors
    known = metrics(
        [kind for kind, _ in kinds(anchors.prompts)],
        has_people=bool(anchors.people),
        has_checks=anchors.checks,
        has_tokens=bool(anchors.divergence_prompts),
    )
    # All checks come before the first file, and the recipe before the anchors: those of another
    # series must not be written beside its rounds.
    rules = rules_of(recipe.rules, known)
    check_enough(recipe)
    begin(recipe, out)
    freeze(recipe, out, is_started=(out / FILE).exists())
    folders = SeriesFolders(out)
    spending = Spending(run_options)
    rounds = list(load_results(out / FILE, Series).rounds) if (out / FILE).exists() else []
    # The budget is for the whole series: what earlier calls spent on its rounds counts too.
    for number in range(len(rounds)):
        _add_runs_below(spending, folders.round(number))
    measuring = AnchorMeasurements(recipe, folders, spending, console)
    controller = _Controller(recipe, measuring, rules=rules, known=known, rounds=rounds)
    return await controller.run(answer)


@dataclass(slots=True)
class _Controller:
    recipe: RoundsRecipe
    measurements: AnchorMeasurements
    rules: Sequence[Rule]
    known: dict[str, str]
    rounds: list[RoundResult]
    matches: Matches = field(default_factory=Matches)

    async def run(self, answer: Decision | None) -> Series:
        # `rounds.json` has the win rates alone; ratings are fitted to the matches of all rounds.
        for each in self.rounds[1:]:
            await self.measurements.add_matches(self.matches, each.number, each.parent)
        if not self.rounds:
            await self._run_round()
        if answer is not None and self.rounds[-1].decision in ("ask", "stop"):
            self.rounds[-1] = self._decide(self.rounds[-1], answer)
            # Saved before the next round: should that be interrupted, nobody is asked again.
            self._save("")
        while not (ended := self._ended()):
            await self._run_round()
        return self._save(ended)

    async def _run_round(self) -> None:
        """The next round: its steps (round 0 has none), its figures, and the decision."""
        number, started_s = len(self.rounds), time.monotonic()
        parent = self.rounds[-1].from_round if number else 0
        start = self.rounds[parent].policy if number else self.recipe.start
        of = f" of {self.recipe.rounds}, from round {parent}" if number else f": {start}"
        self._print(f"[bold]round {number}[/bold]{of}")
        policy = await self._train(number, start) if number else start
        policies = {each.number: each.policy for each in self.rounds} | {number: policy}
        measured = await measure(self.measurements, number, policies, parent)
        # After `measure`, which stores the verdicts, and before the decision, which rates by them.
        if number:
            await self.measurements.add_matches(self.matches, number, parent)
        history = [self.rounds[i].figures for i in lineage(self.rounds, parent, number)]
        broken = broken_rules(self.rules, [*history, measured.figures])
        result = RoundResult(
            number=number,
            policy=policy,
            judges=self.recipe.judges_after(start) if number else (),
            figures=measured.figures,
            missing=measured.missing,
            adherence=measured.adherence,
            undecided=measured.undecided,
            broken=tuple(sentence for _, sentence in broken),
            decision="go on",  # until `_decide` has looked at the whole round
            from_round=number,
            seconds=time.monotonic() - started_s,
            parent=parent,
        )
        self.rounds.append(self._decide(result, decision_of([rule for rule, _ in broken])))
        # The next round trains a policy: no model of this one may stay in the GPU's memory.
        self.measurements.close()
        for sentence in result.broken:
            self._print(f"round {number}: {sentence}", is_plain=True)
        if self.rounds[-1].decision != "go on":
            self._print(f"round {number}: {self.rounds[-1].decision}", is_plain=True)
        self._save("")

    async def _train(self, number: int, start: str) -> str:
        """The spec of the policy that the round's steps train from `start`."""
        spending, folders = self.measurements.spending, self.measurements.folders
        recipe, folder = self.recipe.recipe_of(number, start), folders.steps(number)
        # Called again in the same folder, it goes on with what is there: a round that was killed
        # repeats no step and no call.
        await run_recipe(
            recipe,
            open_role_models(recipe, start),
            source=assign_prompts(self.recipe, number, folders.out),
            out=folder,
            run_options=spending.run_options,
            console=self.measurements.console,
        )
        _add_runs_below(spending, folder)
        return f"hf:{folder / self.recipe.policy_name}"

    def _decide(self, result: RoundResult, decision: Decision) -> RoundResult:
        """The round with its decision; a rejected one is followed by the best round before it."""
        from_round = result.number
        if decision in ("stop", "roll back"):
            before = self.rounds[: result.number]
            from_round = best_of(before, self._ratings([*before, result]))
        return replace(result, decision=decision, from_round=from_round)

    def _ended(self) -> str:
        """Why the series has ended; "" where another round follows."""
        # A rule that stops or asks is heeded even in the last round: "all done" would hide it.
        last, n = self.rounds[-1], len(self.rounds) - 1
        why = "; ".join(last.broken)
        if last.decision == "stop":
            best = f"The best round before it is round {last.from_round}." if n else ""
            return f"Round {last.number} ends the series by its rules: {why}. {best}".strip()
        if last.decision == "ask":
            return f"Round {last.number} needs a decision: {why}. Give it with --decide."
        # A third try from the same policy and prompts would most likely end in the same way.
        if n > 1 and all(each.decision == "roll back" for each in self.rounds[-2:]):
            return f"Two rounds in a row were rolled back; the last because {why}."
        return f"All {n} rounds are done." if n >= self.recipe.rounds else ""

    def _ratings(self, rounds: Sequence[RoundResult]) -> tuple[Rating, ...]:
        names = [name_of(each.number) for each in rounds]
        return ratings(self.matches, names, names[0], self.recipe.seed)

    def _save(self, ended: str) -> Series:
        rated = self._ratings(self.rounds)
        series = Series(
            name=self.recipe.name,
            n_rounds=self.recipe.rounds,
            frozen_judges=self.measurements.frozen_judges,
            metrics=self.known,
            rounds=tuple(self.rounds),
            win_rates=win_rates(self.matches, self.recipe.seed),
            ratings=rated,
            best=best_of(self.rounds, rated),
            ended=ended,
            cost_usd=self.measurements.spending.cost_usd,
            caveats=tuple(caveats(self.recipe, self.rounds)),
        )
        save_results(self.measurements.folders.out / FILE, series)
        return series

    def _print(self, text: str, *, is_plain: bool = False) -> None:
        # Rules hold brackets, which the console would read as markup.
        self.measurements.console.print(text, markup=not is_plain, highlight=False)


def _add_runs_below(spending: Spending, folder: Path) -> None:
    """Counts what all runs below a folder cost towards the budget."""
    for path in sorted(folder.rglob(RUN_FILE)):
        with RunFolder.existing(path.parent) as run:
            spending.add_ledger(Ledger.of(run.database, load_prices(spending.run_options.prices)))
