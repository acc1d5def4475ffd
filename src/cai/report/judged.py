"""A run of `cai judge` as a part: how far its verdicts can be trusted, and examples.

The habits of the judge are those of `cai audit`, its agreement with people that of `cai agreement`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from cai.engine.storage.run_folder import RunFolder
from cai.evaluation import format
from cai.evaluation.agreement import agreement
from cai.evaluation.agreement_report import AgreementReport
from cai.evaluation.audit import AuditReport, audit
from cai.judging.ranking import Judged
from cai.judging.verdicts import UNREADABLE
from cai.records.bodies import read_done
from cai.records.recipes import JudgeRecipe
from cai.report import judged_tables, runs
from cai.report.judged_examples import Chosen
from cai.report.judged_plots import PlotTally, judged_plots
from cai.report.pieces import Doubt, Fact, Headline, Part
from cai.report.runs import RunHead
from cai.report.wording import model_name, model_names, share_headline
from cai.testbed.judge_figures import JudgeFigure

FLIPS = 0.2
LONGER = 0.6
ECE = 0.1
LOW_KAPPA = 0.4


@dataclass(slots=True)
class _Read:
    """What else is taken from the records while the audit reads them."""

    chosen: Chosen
    plots: PlotTally
    n_contests: int = 0
    has_labels: bool = False
    models: dict[str, None] = field(default_factory=dict[str, None])

    def through(self, run: RunFolder) -> Iterator[Judged]:
        for _, each in read_done(run, Judged):
            self.chosen.add(each)
            self.plots.add(each)
            self.n_contests += len(each.contests)
            self.has_labels = self.has_labels or each.group.label is not None
            yield each


def judged_part(
    run: RunFolder, recipe: JudgeRecipe, head: RunHead, path: str, n_examples: int
) -> Part:
    """The part of the run; records are read once, and a second time where people labelled any."""
    read = _Read(Chosen(n_examples), PlotTally())
    failed, seed = head.counts.failed, 0
    habits = people = None
    if head.counts.done:
        habits = audit(read.through(run), recipe, n_failed=failed, seed=seed)
        if read.has_labels:
            judged = (each for _, each in read_done(run, Judged))
            people = _agreement(judged, recipe, failed)
    truth = judged_tables.truth_of(run, recipe)
    tables = (
        *judged_tables.of_judge(habits, people),
        None if truth is None else judged_tables.of_truth(truth),
        runs.failure_table(head),
        runs.cost_table(head),
    )
    return Part(
        title="Verdicts of the judge",
        path=path,
        done=_done(recipe, head, read.n_contests),
        began=head.created,
        weight=3 if people or truth else 1,
        facts=tuple(_facts(recipe)),
        headlines=tuple(_headlines(habits, people, truth)),
        doubts=tuple(_doubts(head, habits, people, people is not None or truth is not None)),
        took=head.took,
        tables=tuple(table for table in tables if table is not None),
        plots=tuple(judged_plots(read.plots, habits, people)),
        shelves=tuple(read.chosen.shelves()),
        versions=head.versions,
        has_truth=people is not None or truth is not None,
        judges=tuple(judge.model for judge in recipe.judges),
    )


def _agreement(
    judged: Iterator[Judged], recipe: JudgeRecipe, n_failed: int
) -> AgreementReport | None:
    """None where no labelled pair was compared."""
    listed = (each for each in judged if each.group.label is not None and _is_compared(each))
    first = next(listed, None)
    if first is None:
        return None

    def again() -> Iterator[Judged]:
        yield first
        yield from listed

    return agreement(again(), recipe.plan, n_failed=n_failed)


def _is_compared(judged: Judged) -> bool:
    return any((each.first, each.second) == (0, 1) for each in judged.contests)


def _done(recipe: JudgeRecipe, head: RunHead, n_contests: int) -> str:
    who = model_names(judge.model for judge in recipe.judges)
    how = "by log-probabilities" if recipe.judges[0].reads_logprobs else "by what it wrote"
    return (
        f"{who} compared {format.plural(n_contests, 'pair')} of responses to "
        f"{format.plural(head.counts.done, 'prompt')} under the constitution "
        f"{runs.constitution_name(recipe.constitution)}, in both orders, read {how}."
    )


def _facts(recipe: JudgeRecipe) -> Iterator[Fact]:
    plan = recipe.plan
    yield runs.source_fact(recipe.source)
    yield runs.constitution_fact(recipe.constitution)
    drawn = "all" if plan.n_principles is None else f"{plan.n_principles} drawn"
    tags = f" tagged {format.listed(plan.tags)}" if plan.tags else ""
    rationale = ", after a rationale" if plan.has_rationale else ""
    yield Fact("plan", f"principles: {drawn}{tags}{rationale}; pairing {recipe.pairing}")
    yield from runs.draw_facts("judge", recipe.judges)


def _headlines(
    habits: AuditReport | None, people: AgreementReport | None, truth: JudgeFigure | None
) -> Iterator[Headline]:
    if truth is not None:
        what = f"verdicts are right by the truth of the testbed, n = {truth.n:,}"
        yield Headline(format.percent(truth.accuracy), what)
    if people is not None:
        line = share_headline(people.overall.accuracy, "right by the labels of people")
        if line is not None:
            yield line
        if people.overall.kappa is not None:
            yield Headline(
                f"{people.overall.kappa.value:.2f}",
                "Cohen's kappa with people: 0 is chance, 1 is full agreement",
                format.plain_bounds(people.overall.kappa),
            )
    if habits is not None:
        n_read = habits.n - sum(habits.outcomes[each] for each in UNREADABLE)
        what = f"verdicts could be read, n = {habits.n:,}"
        yield Headline(format.percent(n_read / habits.n), what)
        flips = habits.positions.flips if people is None and truth is None else None
        line = share_headline(flips, "position flips: the orders favour different responses")
        if line is not None:
            yield line


def _doubts(
    head: RunHead,
    habits: AuditReport | None,
    people: AgreementReport | None,
    has_truth: bool,
) -> Iterator[Doubt]:
    if habits is not None:
        yield from (Doubt(warning, True) for warning in map(_named, habits.warnings))
    yield from runs.run_doubts(head)
    if people is not None:
        yield from (Doubt(remark) for remark in people.remarks)
        error = people.overall.ece
        if error is not None and error > ECE:
            yield Doubt(f"The judge's probabilities are off by {error:.2f} on average (ECE).", True)
        if people.overall.kappa is not None and people.overall.kappa.value < LOW_KAPPA:
            yield Doubt("Beyond chance the judge agrees little with people.", True)
    if habits is None:
        return
    yield from (Doubt(remark) for remark in habits.remarks if "groups failed" not in remark)
    flips, longer = habits.positions.flips, habits.lengths.by_characters.share
    if flips is not None and flips.value > FLIPS:
        yield Doubt(f"{format.percent(flips.value)} of judgements turn with the order.", True)
    if longer is not None and longer.low is not None and longer.low > 0.5 and longer.value > LONGER:
        yield Doubt(f"The longer response wins {format.share(longer)} of contests.")
    never = habits.principles.never_decide
    if never:
        yield Doubt(
            f"Without these principles no verdict would be another: {format.listed(never)}."
        )
    if not has_truth:
        yield Doubt("No pair has a label of people: that the judge is right is not measured here.")


def _named(warning: str) -> str:
    """The warning with models as people say them."""
    return " ".join(model_name(word) for word in warning.split(" "))
