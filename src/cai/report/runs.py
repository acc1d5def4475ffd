"""Figures that every run folder has, whatever its method: counts, failures, cost and versions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cai.engine.budget import Ledger, PriceList
from cai.engine.progress import causes, last_snapshot
from cai.engine.run_files import Counts
from cai.engine.run_folder import RunFolder
from cai.evaluation.format import NONE, listed, money, percent, plural
from cai.report.model import Caveat, Fact, SectionCost, SectionTable
from cai.report.text import clean, model_name
from cai.runs.config import Named, RoleConfig, RunConfig, Source, read_run_config

PAUSE_S = 600
"""A longer gap between two calls is a pause: it is left out of the time that a run took."""

FEW = 100
"""Below this many examples, shares differ by chance from one run to the next."""

_N_MESSAGES = 5
_SECONDS = """SELECT sum(gap) FROM
    (SELECT created - lag(created) OVER (ORDER BY created) AS gap FROM calls) WHERE gap < ?"""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run without its records. `n_total` is the size of its source, None where unknown."""

    config: RunConfig
    created: str
    counts: Counts
    n_total: int | None
    failures: dict[str, int]
    messages: tuple[str, ...]
    ledger: Ledger
    seconds: float | None
    versions: tuple[Fact, ...]

    @property
    def cost(self) -> SectionCost:
        ledger, usage = self.ledger, self.ledger.usage
        return SectionCost(
            n_calls=ledger.n_calls,
            tokens_in=usage.prompt_tokens,
            tokens_out=usage.completion_tokens,
            cost_usd=ledger.cost_usd,
            seconds=self.seconds,
        )


def summarize_run(run: RunFolder, prices: PriceList) -> RunSummary:
    """Raises JournalError where the run was written by another version of cai."""
    snapshot = last_snapshot(run)
    ((seconds,),) = run.database.rows(_SECONDS, PAUSE_S)
    failed = run.database.rows(
        "SELECT DISTINCT error FROM records WHERE status = 'failed' LIMIT ?", _N_MESSAGES
    )
    return RunSummary(
        config=read_run_config(run),
        created=run.created,
        counts=run.counts(),
        n_total=snapshot.total if snapshot else None,
        failures=run.failures(),
        messages=tuple(clean(str(message)) for (message,) in failed),
        ledger=Ledger.of(run.database, prices),
        seconds=seconds,
        versions=tuple(Fact(name, version) for name, version in run.versions.items()),
    )


def run_caveats(summary: RunSummary) -> Iterator[Caveat]:
    """Failures, an unfinished source, too few examples, and calls without token counts."""
    done, failed = summary.counts.done, summary.counts.failed
    n_tried = done + failed
    if summary.n_total is not None and n_tried < summary.n_total:
        text = f"Not finished: {n_tried:,} of {summary.n_total:,} examples were tried."
        yield Caveat(text, True)
    if failed:
        share = percent(failed / n_tried)
        yield Caveat(
            f"{plural(failed, 'example')} failed ({share}: {causes(summary.failures)}) and "
            f"{'is' if failed == 1 else 'are'} in no figure.",
            failed > n_tried / 20,
        )
    if not done:
        yield Caveat("No example is finished, so there is nothing to report.", True)
    elif done < FEW:
        yield Caveat(f"Only {plural(done, 'example')}: shares may differ by chance.")
    n_uncounted = sum(each.n_uncounted for each in summary.ledger.accounts.values())
    if n_uncounted:
        yield Caveat(f"{plural(n_uncounted, 'call')} came without numbers of tokens.")


def run_tables(summary: RunSummary) -> Iterator[SectionTable]:
    """Failures by cause with some of their messages; and cost by role and model."""
    yield SectionTable(
        "Examples that failed",
        ("cause", "examples"),
        tuple((cause, f"{n:,}") for cause, n in summary.failures.items()),
        " ".join(summary.messages),
    )
    ledger = summary.ledger
    yield SectionTable(
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
