"""The section of a run of `cai judge`: how far its verdicts can be trusted, and examples.

Agreement with people is that of `cai agreement`, position and length bias those of `cai audit`.
"""

from collections.abc import Iterator

from cai.engine.run_folder import RunFolder
from cai.evaluation import format
from cai.evaluation.judge.agreement import AgreementReport, agreement
from cai.evaluation.judge.audit import AuditReport, audit
from cai.evaluation.judge.label_metrics import Figures
from cai.evaluation.judge.length_bias import WinShare
from cai.evaluation.stats.bootstrap import Estimate
from cai.methods.judging.verdict import UNREADABLE
from cai.report import runs
from cai.report.judging_plots import JudgedFigures, is_labelled
from cai.report.model import Caveat, Fact, Headline, Section, SectionTable
from cai.report.text import model_name, model_names, share_headline
from cai.report.truth import TrueVerdicts, Truth
from cai.runs.config import JudgeRunConfig
from cai.runs.judged import composer_of, read_judged

# Beyond these limits a reader is warned. Kappa below 0.4 is at most "fair" agreement on the scale
# of Landis and Koch (1977); the others are rules of thumb.
MAX_FLIPS = 0.2
MAX_LONGER_WINS = 0.6
MAX_ECE = 0.1
MIN_KAPPA = 0.4


def judging_section(
    run: RunFolder, config: JudgeRunConfig, *, n_examples: int, truth: Truth | None = None
) -> Section:
    """The section of the run; records are read again only where people labelled any pair."""
    tally, n_failed = JudgedFigures(n_examples), run.counts().failed
    habits = people = None
    if run.counts().done:
        # One reading serves both: the tally counts what passes through it on the way to the audit.
        # A list of all records would not fit into memory for a large run.
        composer = composer_of([run])
        records = (judged for _, judged in read_judged(run, composer))
        habits = audit(tally.through(records), config, composer, n_failed=n_failed, seed=0)
        if tally.has_labels:
            labelled = (each for _, each in read_judged(run, composer) if is_labelled(each))
            people = agreement(labelled, config.settings, composer, n_failed=n_failed)
    is_known = truth is not None and truth.covers(config.constitution)
    verdicts = truth.verdicts(run, config) if truth is not None and is_known else None
    has_truth = people is not None or verdicts is not None
    settings = config.settings
    drawn = "all" if settings.principles is None else f"{settings.principles} drawn"
    tags = f" tagged {format.listed(settings.tags)}" if settings.tags else ""
    rationale = ", after a rationale" if settings.rationale else ""
    how = "by log-probabilities" if config.judges[0].reads_logprobs else "by what it wrote"
    return Section(
        title="Verdicts of the judge",
        done=(
            f"{model_names(judge.model for judge in config.judges)} compared "
            f"{format.plural(tally.n_matchups, 'pair')} of responses to "
            f"{format.plural(run.counts().done, 'prompt')} under the constitution "
            f"{runs.constitution_name(config.constitution)}, in both orders, read {how}."
        ),
        weight=3 if has_truth else 1,
        facts=(
            runs.source_fact(config.source),
            runs.constitution_fact(config.constitution),
            Fact("plan", f"principles: {drawn}{tags}{rationale}; pairing {config.pairing}"),
            *runs.role_facts("judge", config.judges),
        ),
        headlines=tuple(_headlines(habits, people, verdicts)),
        caveats=tuple(_caveats(habits, people, has_truth)),
        tables=(
            *(() if people is None else agreement_tables(people)),
            *(() if habits is None else audit_tables(habits)),
            None if verdicts is None else verdicts.table,
        ),
        plots=tuple(tally.plots(habits, people)),
        examples=tuple(tally.groups()),
        has_truth=has_truth,
        judges=tuple(judge.model for judge in config.judges),
    )


def _headlines(
    habits: AuditReport | None, people: AgreementReport | None, truth: TrueVerdicts | None
) -> Iterator[Headline]:
    if truth is not None:
        yield truth.headline
    # The strongest evidence there is comes first: the truth, then people, then habits alone.
    if people is not None:
        yield from share_headline(people.overall.accuracy, "right by the labels of people")
        kappa = people.overall.kappa
        if kappa is not None:
            what = "Cohen's kappa with people: 0 is chance, 1 is full agreement"
            yield Headline(f"{kappa.value:.2f}", what, format.plain_bounds(kappa))
    if habits is not None:
        n_read = habits.n - sum(habits.outcomes[each] for each in UNREADABLE)
        what = f"verdicts could be read, n = {habits.n:,}"
        yield Headline(format.percent(n_read / habits.n), what)
        if people is None and truth is None:
            what = "position flips: the orders favour different responses"
            yield from share_headline(habits.positions.flips, what)


def _caveats(
    habits: AuditReport | None, people: AgreementReport | None, has_truth: bool
) -> Iterator[Caveat]:
    if habits is not None:
        # The audit's sentences have full model names, whose folders a page must not show.
        for warning in habits.warnings:
            yield Caveat(" ".join(model_name(word) for word in warning.split(" ")), True)
    if people is not None:
        yield from (Caveat(caveat) for caveat in people.caveats)
        ece, kappa = people.overall.ece, people.overall.kappa
        if ece is not None and ece > MAX_ECE:
            text = f"The judge's probabilities are off by {ece:.2f} on average (ECE)."
            yield Caveat(text, True)
        if kappa is not None and kappa.value < MIN_KAPPA:
            yield Caveat("Beyond chance the judge agrees little with people.", True)
    if habits is None:
        return
    # The audit counts failed groups too; those of every run are reported already.
    yield from (Caveat(caveat) for caveat in habits.caveats if "groups failed" not in caveat)
    flips, longer = habits.positions.flips, habits.lengths.by_characters.share
    if flips is not None and flips.value > MAX_FLIPS:
        yield Caveat(f"{format.percent(flips.value)} of verdicts change with the order.", True)
    # Only where it is beyond chance: in a short run a share of 60 % means nothing.
    is_sure = longer is not None and longer.low is not None and longer.low > 0.5
    if longer is not None and is_sure and longer.value > MAX_LONGER_WINS:
        yield Caveat(f"The longer response wins {format.share(longer)} of matchups.")
    never = habits.principles.never_decide
    if never:
        yield Caveat(f"No verdict would change without these principles: {format.listed(never)}.")
    if not has_truth:
        yield Caveat("No pair has a label of people: that the judge is right is not measured here.")


def agreement_tables(people: AgreementReport) -> Iterator[SectionTable]:
    """The judge against people: overall, by judge, by tag, and by principle."""
    rows = [_row("both orders", people.overall), _row("the first order alone", people.one_order)]
    if len(people.by_judge) > 1:
        rows += [_row(model_name(name), each) for name, each in people.by_judge.items()]
    for tag, values in people.by_tag.items():
        rows += [_row(f"{tag}: {value}", each) for value, each in values.items()]
    note = f"Always taking the longer response is right in {format.share(people.longer)}."
    if people.tempering is not None:
        note += (
            f" At temperature {people.tempering.temperature:.2f} the probabilities fit the labels "
            f"best; fitted on other prompts, the ECE is {format.decimal(people.tempering.ece)}."
        )
    headings = ("pairs", "right (95 %)", "kappa (95 %)", "ECE", "read")
    yield SectionTable("The judge against people", ("", *headings), tuple(rows), note)
    if len(people.by_principle) > 1:
        by_principle = tuple(_row(name, each) for name, each in people.by_principle.items())
        caption = "Each principle alone against people"
        yield SectionTable(caption, ("principle", *headings), by_principle)


def _row(name: str, figures: Figures) -> tuple[str, ...]:
    return (
        name,
        f"{figures.n:,}",
        format.share(figures.accuracy),
        format.value(figures.kappa),
        format.number(figures.ece),
        format.percent(figures.coverage),
    )


_OUTCOMES = {"a": "A, the first response", "b": "B, the second", "inconsistent": "orders disagree"}


def audit_tables(habits: AuditReport) -> Iterator[SectionTable]:
    """Outcomes, the biases of the judge, win rates of models, and what each principle does."""
    yield SectionTable(
        "What the verdicts are",
        ("outcome", "matchups", "share"),
        tuple(
            (_OUTCOMES.get(outcome, outcome), f"{n:,}", format.percent(n / habits.n))
            for outcome, n in habits.outcomes.items()
        ),
    )
    rows = tuple(_habit_rows(habits))
    yield SectionTable("Habits of the judge", ("", "share (95 %)", "of"), rows)
    yield SectionTable(
        "Models against each other",
        ("model", "won (95 %)", "of"),
        tuple(_share_row(model_name(each.model), each.wins) for each in habits.ownership.models),
    )
    principles = habits.principles
    if len(principles.influences) < 2:
        return
    note = (
        "Margin: mean distance from one half. Pull: share of all weighted margins. Decides: share "
        "of verdicts that would change without it."
    )
    for kind in ("redundant", "contradicting"):
        pairs = principles.related(kind)[:10]
        if pairs:
            names = "; ".join(f"{pair.first} and {pair.second}" for pair in pairs)
            note += f" {kind.capitalize()}: {names}."
    yield SectionTable(
        "What each principle does",
        ("principle", "verdicts", "unread", "margin", "pull", "decides"),
        tuple(
            (
                each.principle_id,
                f"{each.n:,}",
                f"{each.n_unread:,}",
                format.number(each.margin),
                format.percent(each.pull),
                format.percent(each.decides),
            )
            for each in principles.influences
        ),
        note,
    )


def _habit_rows(habits: AuditReport) -> Iterator[tuple[str, str, str]]:
    positions, lengths = habits.positions, habits.lengths
    yield _share_row("position flips: the orders favour different responses", positions.flips)
    yield "of these, the first place twice", format.percent(positions.to_first_share), ""
    yield _share_row("verdicts that the order alone would change", positions.verdict_flips)
    yield "mean probability of the first place", format.percent(positions.first_share), ""
    yield from _win_rows("won by the longer response, in characters", lengths.by_characters)
    yield from _win_rows("won by the longer response, in words", lengths.by_words)
    yield "correlation with the log of the length ratio", format.number(lengths.pearson), ""
    for each in habits.ownership.self_preference:
        own = "own model" if each.relation == "same" else "own family"
        yield from _win_rows(f"won by the judge's {own}, {model_name(each.judge)}", each.own)
    calls, negations = habits.readings, habits.negations
    if calls.n_with_mass:
        what = "judge calls that give the letters less than half, or than --min-mass"
        yield what, format.percent(calls.low_mass_rate), ""
    if negations.n:
        rate = format.percent(negations.rate)
        yield "reversed questions that contradict", rate, f"{negations.n:,}"


def _win_rows(what: str, wins: WinShare) -> Iterator[tuple[str, str, str]]:
    yield _share_row(what, wins.share)
    if wins.by_people is not None:
        yield _share_row(f"{what}: by people", wins.by_people)


def _share_row(what: str, estimate: Estimate | None) -> tuple[str, str, str]:
    return what, format.share(estimate), f"{estimate.n:,}" if estimate else "0"
