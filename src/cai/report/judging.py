"""A run of `cai judge` as a part: how far its verdicts can be trusted, and examples.

The habits of the judge are those of `cai audit`, its agreement with people that of `cai agreement`.

The tables of a judged run: against people, against the truth, habits, and principles.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from cai.engine.run_folder import RunFolder
from cai.evaluation import format
from cai.evaluation.judge.agreement import AgreementReport, agreement
from cai.evaluation.judge.audit import AuditReport, audit
from cai.evaluation.judge.label_metrics import Figures
from cai.evaluation.judge.length_bias import WinShare
from cai.evaluation.stats.bootstrap import Estimate
from cai.methods.judging.ranking import Judged
from cai.methods.judging.verdict import UNREADABLE
from cai.report import runs
from cai.report.judging_plots import PlotTally, VerdictExamples, judged_plots
from cai.report.model import Doubt, Fact, Headline, Section, SectionTable
from cai.report.runs import RunHead
from cai.report.text import model_name, model_names, share_headline
from cai.report.truth import TrueVerdicts, Truth
from cai.runs.config import JudgeRunConfig
from cai.runs.records import read_done

FLIPS = 0.2
LONGER = 0.6
ECE = 0.1
LOW_KAPPA = 0.4


@dataclass(slots=True)
class _Read:
    """What else is taken from the records while the audit reads them."""

    chosen: VerdictExamples
    plots: PlotTally
    n_contests: int = 0
    has_labels: bool = False
    models: dict[str, None] = field(default_factory=dict[str, None])

    def through(self, run: RunFolder) -> Iterator[Judged]:
        for _, each in read_done(run, Judged):
            self.chosen.add(each)
            self.plots.add(each)
            self.n_contests += len(each.matchups)
            self.has_labels = self.has_labels or each.group.label is not None
            yield each


def judged_part(
    run: RunFolder,
    recipe: JudgeRunConfig,
    head: RunHead,
    path: str,
    *,
    n_examples: int,
    truth: Truth | None = None,
) -> Section:
    """The part of the run; records are read once, and a second time where people labelled any."""
    read = _Read(VerdictExamples(n_examples), PlotTally())
    failed, seed = head.counts.failed, 0
    habits = people = None
    if head.counts.done:
        habits = audit(read.through(run), recipe, n_failed=failed, seed=seed)
        if read.has_labels:
            judged = (each for _, each in read_done(run, Judged))
            people = _agreement(judged, recipe, failed)
    covers = truth is not None and truth.covers(recipe.constitution)
    verdicts = truth.verdicts(run, recipe) if truth is not None and covers else None
    tables = (
        *of_judge(habits, people),
        None if verdicts is None else verdicts.table,
        runs.failure_table(head),
        runs.cost_table(head),
    )
    return Section(
        title="Verdicts of the judge",
        path=path,
        done=_done(recipe, head, read.n_contests),
        began=head.created,
        weight=3 if people or verdicts else 1,
        facts=tuple(_facts(recipe)),
        headlines=tuple(_headlines(habits, people, verdicts)),
        doubts=tuple(_doubts(head, habits, people, people is not None or verdicts is not None)),
        took=head.took,
        tables=tuple(table for table in tables if table is not None),
        plots=tuple(judged_plots(read.plots, habits, people)),
        shelves=tuple(read.chosen.shelves()),
        versions=head.versions,
        has_truth=people is not None or verdicts is not None,
        judges=tuple(judge.model for judge in recipe.judges),
    )


def _agreement(
    judged: Iterator[Judged], recipe: JudgeRunConfig, n_failed: int
) -> AgreementReport | None:
    """None where no labelled pair was compared."""
    listed = (each for each in judged if each.group.label is not None and _is_compared(each))
    first = next(listed, None)
    if first is None:
        return None

    def again() -> Iterator[Judged]:
        yield first
        yield from listed

    return agreement(again(), recipe.settings, n_failed=n_failed)


def _is_compared(judged: Judged) -> bool:
    return any((each.first, each.second) == (0, 1) for each in judged.matchups)


def _done(recipe: JudgeRunConfig, head: RunHead, n_contests: int) -> str:
    who = model_names(judge.model for judge in recipe.judges)
    how = "by log-probabilities" if recipe.judges[0].reads_logprobs else "by what it wrote"
    return (
        f"{who} compared {format.plural(n_contests, 'pair')} of responses to "
        f"{format.plural(head.counts.done, 'prompt')} under the constitution "
        f"{runs.constitution_name(recipe.constitution)}, in both orders, read {how}."
    )


def _facts(recipe: JudgeRunConfig) -> Iterator[Fact]:
    plan = recipe.settings
    yield runs.source_fact(recipe.source)
    yield runs.constitution_fact(recipe.constitution)
    drawn = "all" if plan.principles is None else f"{plan.principles} drawn"
    tags = f" tagged {format.listed(plan.tags)}" if plan.tags else ""
    rationale = ", after a rationale" if plan.rationale else ""
    yield Fact("plan", f"principles: {drawn}{tags}{rationale}; pairing {recipe.pairing}")
    yield from runs.draw_facts("judge", recipe.judges)


def _headlines(
    habits: AuditReport | None, people: AgreementReport | None, truth: TrueVerdicts | None
) -> Iterator[Headline]:
    if truth is not None:
        yield truth.headline
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
        yield from (Doubt(caveat) for caveat in people.caveats)
        error = people.overall.ece
        if error is not None and error > ECE:
            yield Doubt(f"The judge's probabilities are off by {error:.2f} on average (ECE).", True)
        if people.overall.kappa is not None and people.overall.kappa.value < LOW_KAPPA:
            yield Doubt("Beyond chance the judge agrees little with people.", True)
    if habits is None:
        return
    yield from (Doubt(caveat) for caveat in habits.caveats if "groups failed" not in caveat)
    flips, longer = habits.positions.flips, habits.lengths.by_characters.share
    if flips is not None and flips.value > FLIPS:
        yield Doubt(f"{format.percent(flips.value)} of judgements turn with the order.", True)
    if longer is not None and longer.low is not None and longer.low > 0.5 and longer.value > LONGER:
        yield Doubt(f"The longer response wins {format.share(longer)} of matchups.")
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


Row = tuple[str, str, str]


def of_judge(habits: AuditReport | None, people: AgreementReport | None) -> Iterator[SectionTable]:
    """Those that there are figures for."""
    if people is not None:
        yield _people(people)
        if len(people.by_principle) > 1:
            yield _people_by_principle(people)
    if habits is not None:
        yield _outcomes(habits)
        yield _habits(habits)
        if habits.ownership.models:
            yield _models(habits)
        if len(habits.principles.influences) > 1:
            yield _influences(habits)


def _people(report: AgreementReport) -> SectionTable:
    headings = ("", "pairs", "right (95 %)", "kappa (95 %)", "ECE", "read")
    rows = [
        _figures("both orders", report.overall),
        _figures("the first order alone", report.one_order),
    ]
    if len(report.by_judge) > 1:
        rows += [_figures(model_name(name), each) for name, each in report.by_judge.items()]
    for tag, values in report.by_tag.items():
        rows += [_figures(f"{tag}: {value}", each) for value, each in values.items()]
    note = f"Always taking the longer response is right in {format.share(report.longer)}."
    if report.tempering is not None:
        note += (
            f" At temperature {report.tempering.temperature:.2f} the probabilities fit the labels "
            f"best, with an ECE of {report.tempering.ece:.3f}."
        )
    return SectionTable("The judge against people", headings, tuple(rows), note)


def _people_by_principle(report: AgreementReport) -> SectionTable:
    headings = ("principle", "pairs", "right (95 %)", "kappa (95 %)", "ECE", "read")
    rows = tuple(_figures(name, each) for name, each in report.by_principle.items())
    return SectionTable("Each principle alone against people", headings, rows)


def _figures(name: str, found: Figures) -> tuple[str, ...]:
    return (
        name,
        f"{found.n:,}",
        format.share(found.accuracy),
        format.value(found.kappa),
        format.number(found.ece),
        format.percent(found.coverage),
    )


def _outcomes(report: AuditReport) -> SectionTable:
    rows = tuple(
        (_OUTCOMES.get(outcome, outcome), f"{n:,}", format.percent(n / report.n))
        for outcome, n in report.outcomes.items()
    )
    return SectionTable("What the verdicts are", ("outcome", "matchups", "share"), rows)


_OUTCOMES = {"a": "A, the first response", "b": "B, the second", "inconsistent": "orders disagree"}


def _habits(report: AuditReport) -> SectionTable:
    positions, lengths = report.positions, report.lengths
    rows = [
        _row("position flips: the orders favour different responses", positions.flips),
        ("of these, the first place twice", format.percent(positions.to_first_share), ""),
        _row("verdicts that the order alone would change", positions.verdict_flips),
        ("mean probability of the first place", format.percent(positions.first_share), ""),
        *_won("won by the longer response, in characters", lengths.by_characters),
        *_won("won by the longer response, in words", lengths.by_words),
        ("correlation with the log of the length ratio", format.number(lengths.pearson), ""),
    ]
    for each in report.ownership.self_preference:
        own = "own model" if each.kin == "same" else "own family"
        rows += _won(f"won by the judge's {own}, {model_name(each.judge)}", each.own)
    readings, negations = report.readings, report.negations
    if readings.n_with_mass:
        rate = format.percent(readings.low_mass_rate)
        rows.append(("readings that give the letters less than half", rate, ""))
    if negations.n:
        rate = format.percent(negations.rate)
        rows.append(("reversed questions that contradict", rate, f"{negations.n:,}"))
    return SectionTable("Habits of the judge", ("", "share (95 %)", "of"), tuple(rows))


def _won(what: str, found: WinShare) -> Iterator[Row]:
    yield _row(what, found.share)
    if found.by_people is not None:
        yield _row(f"{what}: by people", found.by_people)


def _row(what: str, found: Estimate | None) -> Row:
    return what, format.share(found), f"{found.n:,}" if found else "0"


def _models(report: AuditReport) -> SectionTable:
    rows = tuple(
        (
            model_name(each.model),
            format.share(each.wins),
            f"{each.wins.n:,}" if each.wins else "0",
        )
        for each in report.ownership.models
    )
    return SectionTable("Models against each other", ("model", "won (95 %)", "of"), rows)


def _influences(report: AuditReport) -> SectionTable:
    rows = tuple(
        (
            each.principle_id,
            f"{each.n:,}",
            f"{each.n_unread:,}",
            format.number(each.margin),
            format.percent(each.pull),
            format.percent(each.decides),
        )
        for each in report.principles.influences
    )
    headings = ("principle", "verdicts", "unread", "margin", "pull", "decides")
    note = (
        "Margin: mean distance from one half. Pull: share of all weighted margins. Decides: share "
        "of verdicts that would be other without it."
    )
    for kind in ("redundant", "contradicting"):
        pairs = report.principles.related(kind)[:10]
        if pairs:
            names = "; ".join(f"{pair.first} and {pair.second}" for pair in pairs)
            note += f" {kind.capitalize()}: {names}."
    return SectionTable("What each principle does", headings, rows, note)
