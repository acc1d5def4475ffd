"""The tables of a judged run: against people, against the truth, habits, and principles."""

from collections.abc import Iterator

from cai.constitution.loading import load_constitution
from cai.engine.storage.run_folder import RunFolder
from cai.evaluation import format
from cai.evaluation.agreement_report import AgreementReport
from cai.evaluation.audit import AuditReport
from cai.evaluation.bootstrap import Estimate
from cai.evaluation.figures import Figures
from cai.evaluation.lengths import WinShare
from cai.judging.ranking import Judged
from cai.records.bodies import read_done
from cai.records.recipes import JudgeRecipe
from cai.report import known_truth
from cai.report.pieces import Table
from cai.report.wording import model_name
from cai.testbed.judge_figures import JudgeFigure, judged_figure

Row = tuple[str, str, str]


def of_judge(habits: AuditReport | None, people: AgreementReport | None) -> Iterator[Table]:
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


def truth_of(run: RunFolder, recipe: JudgeRecipe) -> JudgeFigure | None:
    """How right the judge is where the truth is known; None elsewhere than on the testbed."""
    if not known_truth.has_truth(recipe.constitution):
        return None
    chosen = load_constitution("testbed").select(recipe.plan.tags)
    judged = (each for _, each in read_done(run, Judged))
    found = judged_figure("", judged, {each.id for each in chosen})
    return found if found.n else None


def of_truth(found: JudgeFigure) -> Table:
    rows = (
        ("right, of contests with a right answer", format.percent(found.accuracy)),
        ("right by the first order alone", format.percent(found.one_order)),
        ("expected calibration error", format.number(found.ece)),
        ("not read", f"{found.unreadable:,}"),
    )
    note = (
        f"On the testbed it is known which principles a response breaks: {found.n:,} contests are "
        "of responses of which one breaks fewer."
    )
    return Table("The judge against the truth", ("", "figure"), rows, note)


def _people(report: AgreementReport) -> Table:
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
    return Table("The judge against people", headings, tuple(rows), note)


def _people_by_principle(report: AgreementReport) -> Table:
    headings = ("principle", "pairs", "right (95 %)", "kappa (95 %)", "ECE", "read")
    rows = tuple(_figures(name, each) for name, each in report.by_principle.items())
    return Table("Each principle alone against people", headings, rows)


def _figures(name: str, found: Figures) -> tuple[str, ...]:
    return (
        name,
        f"{found.n:,}",
        format.share(found.accuracy),
        format.value(found.kappa),
        format.number(found.ece),
        format.percent(found.coverage),
    )


def _outcomes(report: AuditReport) -> Table:
    rows = tuple(
        (_OUTCOMES.get(outcome, outcome), f"{n:,}", format.percent(n / report.n))
        for outcome, n in report.outcomes.items()
    )
    return Table("What the verdicts are", ("outcome", "contests", "share"), rows)


_OUTCOMES = {"a": "A, the first response", "b": "B, the second", "inconsistent": "orders disagree"}


def _habits(report: AuditReport) -> Table:
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
    return Table("Habits of the judge", ("", "share (95 %)", "of"), tuple(rows))


def _won(what: str, found: WinShare) -> Iterator[Row]:
    yield _row(what, found.share)
    if found.by_people is not None:
        yield _row(f"{what}: by people", found.by_people)


def _row(what: str, found: Estimate | None) -> Row:
    return what, format.share(found), f"{found.n:,}" if found else "0"


def _models(report: AuditReport) -> Table:
    rows = tuple(
        (
            model_name(each.model),
            format.share(each.wins),
            f"{each.wins.n:,}" if each.wins else "0",
        )
        for each in report.ownership.models
    )
    return Table("Models against each other", ("model", "won (95 %)", "of"), rows)


def _influences(report: AuditReport) -> Table:
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
    return Table("What each principle does", headings, rows, note)
