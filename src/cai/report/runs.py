"""Figures that every run folder has, whatever its method: counts, failures, cost and versions."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from cai.engine.budget import Ledger, PriceList
from cai.engine.progress import causes, last_snapshot
from cai.engine.run_folder import RunFolder
from cai.evaluation.format import NONE, listed, money, percent, plural
from cai.report.model import Caveat, Fact, Section, SectionCost, SectionTable
from cai.report.text import clean, model_name
from cai.runs.config import Named, RoleConfig, Source

PAUSE_S = 600
"""A longer gap between two calls is a pause: it is left out of the time that a run took."""

FEW = 100
"""Below this many examples, shares differ by chance from one run to the next."""

_N_MESSAGES = 5
_SECONDS = """SELECT sum(gap) FROM
    (SELECT created - lag(created) OVER (ORDER BY created) AS gap FROM calls) WHERE gap < ?"""


def with_run_facts(section: Section, run: RunFolder, prices: PriceList) -> Section:
    """The section of a run with what every run has: start, failures, cost and versions."""
    # The time between first and last call would count the night in which a run was stopped.
    ledger = Ledger.of(run.database, prices)
    ((seconds,),) = run.database.rows(_SECONDS, PAUSE_S)
    # Counts are by cause; a few whole messages show what to do about them. A page with all would
    # grow with the run.
    messages = run.database.rows(
        "SELECT DISTINCT error FROM records WHERE status = 'failed' LIMIT ?", _N_MESSAGES
    )
    failures = SectionTable(
        "Examples that failed",
        ("cause", "examples"),
        tuple((cause, f"{n:,}") for cause, n in run.failures().items()),
        " ".join(clean(str(message)) for (message,) in messages),
    )
    costs = SectionTable(
        "What it took",
        ("role and model", "calls", "tokens in", "tokens out", "cost"),
        tuple(
            (
                f"{role or 'call'}: {model_name(model)}",
                f"{each.n_calls:,}",
                f"{each.usage.prompt_tokens:,}",
                f"{each.usage.completion_tokens:,}",
                money(ledger.cost_of(model, each)),
            )
            for (role, model), each in sorted(ledger.accounts.items())
        ),
        "" if ledger.cost_usd is not None else f"{NONE}: no price is known for the model.",
    )
    return replace(
        section,
        started=run.created,
        caveats=(*_run_caveats(run, ledger), *section.caveats),
        cost=SectionCost(
            n_calls=ledger.n_calls,
            tokens_in=ledger.usage.prompt_tokens,
            tokens_out=ledger.usage.completion_tokens,
            cost_usd=ledger.cost_usd,
            seconds=seconds,
        ),
        tables=(*section.tables, failures, costs),
        versions=tuple(Fact(name, version) for name, version in run.versions.items()),
    )


def _run_caveats(run: RunFolder, ledger: Ledger) -> Iterator[Caveat]:
    """An unfinished source, failures, too few examples, and calls without token counts."""
    done, failed = run.counts().done, run.counts().failed
    n_tried, snapshot = done + failed, last_snapshot(run)
    # The folder has the examples that were tried; how many there were to be, only the snapshot.
    n_total = snapshot.total if snapshot else None
    if n_total is not None and n_tried < n_total:
        yield Caveat(f"Not finished: {n_tried:,} of {n_total:,} examples were tried.", True)
    if failed:
        share = percent(failed / n_tried)
        yield Caveat(
            f"{plural(failed, 'example')} failed ({share}: {causes(run.failures())}) and "
            f"{'is' if failed == 1 else 'are'} in no figure.",
            failed > n_tried / 20,
        )
    if not done:
        yield Caveat("No example is finished, so there is nothing to report.", True)
    elif done < FEW:
        yield Caveat(f"Only {plural(done, 'example')}: shares may differ by chance.")
    n_uncounted = sum(each.n_uncounted for each in ledger.accounts.values())
    if n_uncounted:
        yield Caveat(f"{plural(n_uncounted, 'call')} came without numbers of tokens.")


def source_fact(source: Source) -> Fact:
    return Fact("source", f"{listed(source.files)} (content {source.hash})")


def constitution_fact(constitution: Named) -> Fact:
    return Fact("constitution", f"{constitution_name(constitution)} (content {constitution.hash})")


def constitution_name(constitution: Named) -> str:
    return f"{constitution.name} {constitution.version}".strip()


def role_facts(role: str, configs: Sequence[RoleConfig]) -> Iterator[Fact]:
    """A fact for each model: full name, sampling and templates."""
    for config in configs:
        limits = f"temperature {config.temperature:g}, at most {config.max_tokens} tokens"
        templates = f"templates {config.templates.name} ({config.templates.hash})"
        yield Fact(role, f"{config.model}; {limits}; {templates}")
