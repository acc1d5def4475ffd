"""The sections of an evaluation of policies and of standard suites.

Which policy is better, how each responds, and how well it does in suites such as HHH.
"""

from collections.abc import Iterator
from pathlib import Path

from cai.evaluation import format
from cai.evaluation.policies.results import FILE, Evaluation, PolicyFigures
from cai.evaluation.policies.text_metrics import ALL, Conduct
from cai.evaluation.results_file import load_results
from cai.evaluation.stats.bootstrap import Estimate
from cai.evaluation.suites.run import FILE as SUITES_FILE
from cai.evaluation.suites.run import SuiteResults
from cai.report.comparison import (
    match_plots,
    match_tables,
    pair_name,
    share_plot,
    share_table,
    win_headline,
)
from cai.report.model import Caveat, Fact, Headline, Plot, Section, SectionCost, SectionTable
from cai.report.text import change_headline, model_name, model_names, modified_at

BENIGN = "benign"
"""The kind of prompts that no policy should decline."""

MAX_UNREAD = 0.05
_MAX_HEADLINES = 4
_MAX_IN_LINE = 4


def evaluation_section(path: Path) -> Section:
    """The section of the evaluation in that folder.

    Raises:
        EvaluationError: Its file is damaged, or of another version of cai.
    """
    results = load_results(path / FILE, Evaluation)
    by = f", compared by {model_names(results.judges)}" if results.judges else ""
    under = f" under the constitution {results.constitution}" if results.constitution else ""
    policies = model_names(each.name for each in results.policies)
    return Section(
        title="Evaluation of policies",
        done=f"{policies} responded to {format.plural(results.n_prompts, 'prompt')}{by}{under}.",
        started=modified_at(path / FILE),
        weight=5,
        facts=(
            Fact("prompts", format.listed(results.prompts)),
            *(
                Fact("policy", f"{each.name}: {model_name(each.source)}")
                for each in results.policies
            ),
            *_judge_facts(results.judges, results.constitution),
        ),
        headlines=tuple(_headlines(results)),
        caveats=tuple(_caveats(results)),
        cost=SectionCost(n_calls=results.n_calls, cost_usd=results.cost_usd),
        tables=tuple(_tables(results)),
        plots=tuple(_plots(results)),
        judges=results.judges,
    )


def _judge_facts(judges: tuple[str, ...], constitution: str) -> Iterator[Fact]:
    yield from (Fact("judge", judge) for judge in judges)
    if constitution:
        yield Fact("constitution", constitution)


def _headlines(results: Evaluation) -> Iterator[Headline]:
    """Win rates, first those against the first policy, the anchor; then shares that decline."""
    policies = results.policies
    anchor = policies[0].name if policies else ""
    wins = sorted(results.win_rates, key=lambda win: anchor not in (win.policy, win.opponent))
    yield from [line for win in wins for line in win_headline(win)][:_MAX_HEADLINES]
    names = " → ".join(each.name for each in policies)
    kinds = _kinds(results)
    # The share over all prompts hides over-refusal: declining is right on harmful prompts only.
    for kind in [each for each in kinds if each != ALL] or kinds:
        if len(policies) <= _MAX_IN_LINE:
            shares = [_refusals(each, kind) for each in policies]
            what = f"responses that decline on {_on(kind)}, {names}"
            yield from change_headline(shares, what, " each")


def _caveats(results: Evaluation) -> Iterator[Caveat]:
    yield from (Caveat(caveat, number == 0) for number, caveat in enumerate(results.caveats))
    # The evaluation may have found the same itself, in its own caveats.
    has_length_caveat = any("equal length" in caveat for caveat in results.caveats)
    for win in results.win_rates:
        n_unread = sum(win.outcomes.get(kind, 0) for kind in ("unparsed", "refused", "failed"))
        if win.n and n_unread > MAX_UNREAD * win.n:
            share = format.percent(n_unread / win.n)
            text = f"{share} of the matches of {pair_name(win)} could not be read."
            yield Caveat(text, True)
        raw, level = win.rate, win.length_controlled
        # A product below 0: the two rates are on different sides of one half.
        is_turned = raw and level and (raw.value - 0.5) * (level.value - 0.5) < 0
        if raw and level and is_turned and not has_length_caveat:
            yield Caveat(
                f"Length decides: {model_name(win.policy)} wins {format.percent(raw.value)} as "
                f"judged, and would win {format.percent(level.value)} at equal length.",
                True,
            )
    for policy in results.policies[1:]:
        first, own = _refusals(results.policies[0], BENIGN), _refusals(policy, BENIGN)
        if first is None or own is None or first.high is None or own.low is None:
            continue
        # Disjoint intervals: a stricter test than one of the difference, but no false alarm.
        if own.low > first.high:
            shares = f"{format.percent(own.value)}, not {format.percent(first.value)}"
            text = f"{policy.name} declines more of the benign prompts: {shares}."
            yield Caveat(text, True)
    for policy in results.policies:
        if policy.n_unscored:
            n = format.plural(policy.n_unscored, "check")
            yield Caveat(f"{n} of {policy.name} could not be read and are in no adherence.")


def _tables(results: Evaluation) -> Iterator[SectionTable]:
    yield from match_tables(results.win_rates, results.ratings)
    for kind in _kinds(results):
        conducts = _conducts(results, kind)
        # A policy may lack a figure, as of cut-off responses where a file does not tell: every
        # name that any policy has gets its column. What has a share is not shown as a number too.
        shares = dict.fromkeys(name for each in conducts.values() for name in each.shares)
        numbers = dict.fromkeys(name for each in conducts.values() for name in each.figures)
        others = [name for name in numbers if name not in shares]
        yield SectionTable(
            f"What the responses are like on {_on(kind)}",
            (
                *("policy", "responses"),
                *(f"{name} (95 %)" for name in shares),
                *(name.replace("_", " ") for name in others),
            ),
            tuple(
                (
                    name,
                    f"{each.n:,}",
                    *(format.share(each.shares.get(share)) for share in shares),
                    *(format.number(each.figures.get(other)) for other in others),
                )
                for name, each in conducts.items()
            ),
            "Refusals, evasion and boilerplate are recognized by words, and so only roughly.",
        )
    for kind, shares in _adherence(results).items():
        note = "The judge's mean probability that a response follows the principle."
        yield share_table(f"Adherence on {_on(kind)}", "principle", shares, note)


def _plots(results: Evaluation) -> Iterator[Plot]:
    yield from match_plots(results.win_rates, results.ratings)
    for kind in _kinds(results):
        shares = {
            name: {share.replace("_", " "): value for share, value in each.shares.items()}
            for name, each in _conducts(results, kind).items()
        }
        if any(shares.values()):
            yield share_plot(f"Conduct on {_on(kind)}", "share of responses", shares)
    for kind, shares in _adherence(results).items():
        yield share_plot(f"Adherence on {_on(kind)}", "mean P(principle followed)", shares)


def _kinds(results: Evaluation) -> list[str]:
    """The kinds of prompts, each once."""
    kinds = (each.kind for policy in results.policies for each in policy.conduct)
    return list(dict.fromkeys(kinds))


def _conducts(results: Evaluation, kind: str) -> dict[str, Conduct]:
    """By policy, what is measured of its texts on prompts of a kind."""
    return {
        policy.name: each
        for policy in results.policies
        for each in policy.conduct
        if each.kind == kind
    }


def _adherence(results: Evaluation) -> dict[str, dict[str, dict[str, Estimate]]]:
    """By kind of prompts, policy and principle."""
    found: dict[str, dict[str, dict[str, Estimate]]] = {}
    for policy in results.policies:
        for kind, shares in policy.adherence.items():
            found.setdefault(kind, {})[policy.name] = dict(shares)
    return found


def _refusals(policy: PolicyFigures, kind: str) -> Estimate | None:
    found = (each.shares.get("refusals") for each in policy.conduct if each.kind == kind)
    return next(found, None)


def _on(kind: str) -> str:
    return "all prompts" if kind == ALL else f"{kind} prompts"


def suites_section(path: Path) -> Section:
    """The section of standard suites: a table for each suite, a column for each policy.

    Raises:
        EvaluationError: The file is damaged, or of another version of cai.
    """
    results = load_results(path / SUITES_FILE, SuiteResults)
    judged = f", judged by {model_names(results.judges)}" if results.judges else ""
    suites = format.listed(each.name for each in results.suites)
    n_failed = format.plural(results.n_failed, "example")
    failed = [Caveat(f"{n_failed} failed and are in no figure.", True)] if results.n_failed else []
    # Only measures with a description: the figures of every category would fill pages.
    headlines: list[Headline] = []
    tables: list[SectionTable] = []
    for suite in results.suites:
        columns = {f"{policy} (95 %)": values for policy, values in suite.found.items()}
        if suite.differences:
            columns["last less first (95 %)"] = suite.differences
        rows = tuple(
            (words, *(format.value(values.get(measure)) for values in columns.values()))
            for measure, words in suite.measures.items()
        )
        caption = f"Suite {suite.name}, {format.plural(suite.n, 'case')}"
        tables.append(SectionTable(caption, ("measure", *columns), rows))
        # The first measure of every suite: of the last policy less the first, or of the one.
        for measure, words in list(suite.measures.items())[:1]:
            difference = suite.differences.get(measure)
            first = next((each.get(measure) for each in suite.found.values()), None)
            if difference is not None:
                what = f"{suite.name}: {words}, last policy less first, n = {difference.n:,}"
                bounds = format.plain_bounds(difference)
                headlines.append(Headline(f"{difference.value:+.3f}", what, bounds))
            elif first is not None:
                what, bounds = f"{suite.name}: {words}, n = {first.n:,}", format.plain_bounds(first)
                headlines.append(Headline(format.number(first.value), what, bounds))
    policies = results.policies.items()
    return Section(
        title="Standard suites",
        done=f"{format.listed(results.policies)} were evaluated on {suites}{judged}.",
        started=modified_at(path / SUITES_FILE),
        weight=4,
        facts=(
            *(Fact("policy", f"{name}: {model_name(model)}") for name, model in policies),
            *_judge_facts(results.judges, results.constitution),
        ),
        headlines=tuple(headlines[:_MAX_HEADLINES]),
        caveats=(*failed, Caveat("A model may have seen a published suite in its training.")),
        cost=SectionCost(n_calls=results.n_calls, cost_usd=results.cost_usd),
        tables=tuple(tables),
        judges=results.judges,
    )
