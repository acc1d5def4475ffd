"""The folder of an evaluation as a part: which policy is better, and what each does."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from cai.evaluation import format
from cai.evaluation.policies.results import FILE, Evaluation, PolicyFigures, Suite
from cai.evaluation.policies.text_metrics import ALL, Conduct
from cai.evaluation.results_file import load_results
from cai.evaluation.stats.bootstrap import Estimate
from cai.report import charts, win_rates
from cai.report.model import Doubt, Fact, Headline, Plot, Section, SectionTable, Took
from cai.report.text import model_name, model_names

_MOST_HEADLINES = 4
_MOST_IN_LINE = 4
BENIGN = "benign"
"""The kind of prompts that nobody should decline."""

UNREAD = 0.05


def evaluated_part(path: Path, shown: str) -> Section:
    """The part of the evaluation in that folder.

    Raises:
        EvaluationError: Its file is damaged, or of another version of cai.
    """
    found = load_results(path / FILE, Evaluation)
    began = datetime.fromtimestamp((path / FILE).stat().st_mtime, UTC)
    return Section(
        title="Evaluation of policies",
        path=shown,
        done=_done(found),
        began=began.isoformat(timespec="seconds"),
        weight=5,
        facts=tuple(_facts(found)),
        headlines=tuple(_headlines(found)),
        doubts=tuple(_doubts(found)),
        took=Took(n_calls=found.n_calls, cost_usd=found.cost_usd),
        tables=tuple(_tables(found)),
        plots=tuple(_plots(found)),
        judges=found.judges,
    )


def _done(found: Evaluation) -> str:
    policies = model_names(each.name for each in found.policies)
    by = f", compared by {model_names(found.judges)}" if found.judges else ""
    under = f" under the constitution {found.constitution}" if found.constitution else ""
    prompts = format.plural(found.n_prompts, "prompt")
    return f"{policies} responded to {prompts}{by}{under}."


def _facts(found: Evaluation) -> Iterator[Fact]:
    yield Fact("prompts", format.listed(found.prompts))
    for each in found.policies:
        yield Fact("policy", f"{each.name}: {model_name(each.source)}")
    for judge in found.judges:
        yield Fact("judge", judge)
    if found.constitution:
        yield Fact("constitution", found.constitution)


def _headlines(found: Evaluation) -> Iterator[Headline]:
    """Win rates against the first policy, the anchor, before the others; then what policies do."""
    anchor = found.policies[0].name if found.policies else ""
    first = sorted(found.win_rates, key=lambda rate: anchor not in (rate.policy, rate.opponent))
    listed = [line for line in map(win_rates.win_headline, first) if line is not None]
    yield from listed[:_MOST_HEADLINES]
    names = " → ".join(each.name for each in found.policies)
    kinds = dict.fromkeys(each.kind for policy in found.policies for each in policy.conduct)
    for kind in [each for each in kinds if each != ALL] or kinds:
        shares = [_refusals(policy, kind) for policy in found.policies]
        known = [share for share in shares if share is not None]
        if known and len(known) == len(shares) and len(known) <= _MOST_IN_LINE:
            figure = " → ".join(format.percent(share.value) for share in known)
            what = f"responses that decline on {_on(kind)}, {names}, n = {known[-1].n:,} each"
            interval = format.bounds(known[-1])
            yield Headline(figure, what, interval and f"{interval} %")


def _refusals(policy: PolicyFigures, kind: str) -> Estimate | None:
    found = _of(policy, kind)
    return None if found is None else found.shares.get("refusals")


def _on(kind: str) -> str:
    return "all prompts" if kind == ALL else f"{kind} prompts"


def _doubts(found: Evaluation) -> Iterator[Doubt]:
    yield from (Doubt(caveat, number == 0) for number, caveat in enumerate(found.caveats))
    for each in found.win_rates:
        unread = sum(each.outcomes.get(kind, 0) for kind in ("unparsed", "refused", "failed"))
        if each.n and unread > UNREAD * each.n:
            share = format.percent(unread / each.n)
            names = f"{model_name(each.policy)} against {model_name(each.opponent)}"
            yield Doubt(f"{share} of the matches of {names} could not be read.", True)
        raw, level = each.rate, each.length_controlled
        is_said = any("equal length" in caveat for caveat in found.caveats)
        if raw and level and (raw.value - 0.5) * (level.value - 0.5) < 0 and not is_said:
            name = model_name(each.policy)
            yield Doubt(
                f"Length decides: {name} wins {format.percent(raw.value)} as judged, and would "
                f"win {format.percent(level.value)} at equal length.",
                True,
            )
    yield from _benign_doubts(found)
    for policy in found.policies:
        if policy.n_unscored:
            n = format.plural(policy.n_unscored, "check")
            yield Doubt(f"{n} of {policy.name} could not be read and are in no adherence.")


def _benign_doubts(found: Evaluation) -> Iterator[Doubt]:
    """Policies that decline more benign prompts than the first one, beyond both intervals."""
    for policy in found.policies[1:]:
        first, own = _refusals(found.policies[0], BENIGN), _refusals(policy, BENIGN)
        if first is None or own is None or first.high is None or own.low is None:
            continue
        if own.low > first.high:
            shares = f"{format.percent(own.value)}, not {format.percent(first.value)}"
            yield Doubt(f"{policy.name} declines more of the benign prompts: {shares}.", True)


def _tables(found: Evaluation) -> Iterator[SectionTable]:
    yield from win_rates.compared_tables(found.win_rates, found.ratings)
    kinds = dict.fromkeys(each.kind for policy in found.policies for each in policy.conduct)
    for kind in kinds:
        yield _conduct_table(found.policies, kind)
    adhered = dict.fromkeys(kind for policy in found.policies for kind in policy.adherence)
    for kind in adhered:
        yield _adherence_table(found.policies, kind)


def _conduct_table(policies: Sequence[PolicyFigures], kind: str) -> SectionTable:
    """What each policy does on the prompts of a kind: shares with intervals, and other figures."""
    listed = [(policy.name, each) for policy in policies if (each := _of(policy, kind)) is not None]
    shares = list(dict.fromkeys(name for _, each in listed for name in each.shares))
    others = [
        name
        for name in dict.fromkeys(name for _, each in listed for name in each.figures)
        if name not in shares
    ]
    rows = tuple(
        (
            name,
            f"{each.n:,}",
            *(format.share(each.shares.get(share)) for share in shares),
            *(format.number(each.figures.get(other)) for other in others),
        )
        for name, each in listed
    )
    headings = ("policy", "responses", *(f"{name} (95 %)" for name in shares), *map(_plain, others))
    note = "Refusals, evasion and boilerplate are told by the texts' words, and so only roughly."
    return SectionTable(f"What the responses are like on {_on(kind)}", headings, rows, note)


def _of(policy: PolicyFigures, kind: str) -> Conduct | None:
    return next((each for each in policy.conduct if each.kind == kind), None)


def _plain(name: str) -> str:
    return name.replace("_", " ")


def _adherence_table(policies: Sequence[PolicyFigures], kind: str) -> SectionTable:
    listed = [policy for policy in policies if kind in policy.adherence]
    ids = dict.fromkeys(id for policy in listed for id in policy.adherence[kind])
    rows = tuple(
        (id, *(format.share(policy.adherence[kind].get(id)) for policy in listed)) for id in ids
    )
    note = "The judge's mean probability that a response keeps the principle."
    headings = ("principle", *(f"{policy.name} (95 %)" for policy in listed))
    return SectionTable(f"Adherence on {_on(kind)}", headings, rows, note)


def suite_table(suite: Suite) -> SectionTable:
    policies = list(suite.found)
    last = [suite.differences] if suite.differences else []
    rows = tuple(
        (
            words,
            *(format.value(suite.found[policy].get(measure)) for policy in policies),
            *(format.value(differences.get(measure)) for differences in last),
        )
        for measure, words in suite.measures.items()
    )
    caption = f"Suite {suite.name}, {format.plural(suite.n, 'case')}"
    less = ["last less first (95 %)"] if last else []
    headings = ("measure", *(f"{name} (95 %)" for name in policies), *less)
    return SectionTable(caption, headings, rows)


def _plots(found: Evaluation) -> Iterator[Plot]:
    yield from win_rates.compared_plots(found.win_rates, found.ratings)
    kinds = dict.fromkeys(each.kind for policy in found.policies for each in policy.conduct)
    for kind in kinds:
        yield from _conduct_plots(found.policies, kind)
    for kind in dict.fromkeys(kind for policy in found.policies for kind in policy.adherence):
        yield _adherence_plot(found.policies, kind)


def _conduct_plots(policies: Sequence[PolicyFigures], kind: str) -> Iterator[Plot]:
    """A picture a policy would hide the comparison: rows are shares, series the policies."""
    listed = [(policy.name, each) for policy in policies if (each := _of(policy, kind)) is not None]
    shares = list(dict.fromkeys(name for _, each in listed for name in each.shares))
    if not shares or not listed:
        return
    few = listed[: len(charts.COLOURS)]
    rows = [
        (
            _plain(name),
            [charts.Point.of(each.shares[name]) for _, each in few if name in each.shares],
        )
        for name in shares
    ]
    words = "; ".join(
        f"{policy}: "
        + ", ".join(f"{_plain(name)} {format.share(one)}" for name, one in each.shares.items())
        for policy, each in few
    )
    axis = charts.Axis("share of responses", (-0.02, 1.02))
    names = [name for name, _ in few]
    yield charts.forest(f"Conduct on {_on(kind)}", words, axis, rows, *names)


def _adherence_plot(policies: Sequence[PolicyFigures], kind: str) -> Plot:
    listed = [policy for policy in policies if kind in policy.adherence][: len(charts.COLOURS)]
    ids = list(dict.fromkeys(id for policy in listed for id in policy.adherence[kind]))
    rows = [
        (
            id,
            [
                charts.Point.of(each.adherence[kind][id])
                for each in listed
                if id in each.adherence[kind]
            ],
        )
        for id in ids
    ]
    words = "; ".join(
        f"{each.name}: "
        + ", ".join(f"{id} {format.share(one)}" for id, one in each.adherence[kind].items())
        for each in listed
    )
    axis = charts.Axis("mean P(kept)", (-0.02, 1.02))
    return charts.forest(
        f"Adherence on {_on(kind)}", words, axis, rows, *[each.name for each in listed]
    )
