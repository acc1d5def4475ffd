"""What every run folder tells, whatever its method: counts, failures, cost, time and versions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cai.engine.budget import Ledger, PriceList
from cai.engine.progress import causes, last_snapshot
from cai.engine.run_files import Counts
from cai.engine.run_folder import RunFolder
from cai.evaluation.format import NONE, listed, money, percent, plural
from cai.report.model import Doubt, Fact, SectionTable, Took
from cai.report.text import clean, model_name
from cai.runs.config import Named, RoleConfig, RunConfig, Source, read_run_config

PAUSE_S = 600
"""Nobody works in a longer gap between two calls: it is left out of the time that a run took."""

FEW = 100
"""Shares of fewer examples than these differ by chance from one run to the next."""

_N_MESSAGES = 5
_SECONDS = """SELECT sum(gap) FROM
    (SELECT created - lag(created) OVER (ORDER BY created) AS gap FROM calls) WHERE gap < ?"""


@dataclass(frozen=True, slots=True)
class RunHead:
    """A run but for its records. `n_total` is the size of its source where that is known."""

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
    def n_tried(self) -> int:
        return self.counts.done + self.counts.failed

    @property
    def took(self) -> Took:
        usage = self.ledger.usage
        return Took(
            self.ledger.n_calls,
            usage.prompt_tokens,
            usage.completion_tokens,
            self.ledger.cost_usd,
            self.seconds,
        )


def head_of(run: RunFolder, prices: PriceList) -> RunHead:
    """Raises JournalError where the run is of another version of cai."""
    snapshot = last_snapshot(run)
    ((seconds,),) = run.database.rows(_SECONDS, PAUSE_S)
    failed = run.database.rows(
        "SELECT DISTINCT error FROM records WHERE status = 'failed' LIMIT ?", _N_MESSAGES
    )
    return RunHead(
        read_run_config(run),
        run.created,
        counts=run.counts(),
        n_total=snapshot.total if snapshot else None,
        failures=run.failures(),
        messages=tuple(clean(str(message)) for (message,) in failed),
        ledger=Ledger.of(run.database, prices),
        seconds=seconds,
        versions=tuple(Fact(name, version) for name, version in run.versions.items()),
    )


def run_doubts(head: RunHead) -> Iterator[Doubt]:
    """What is wrong with the run as such: failures, an unfinished source, too few examples."""
    done, failed = head.counts.done, head.counts.failed
    if head.n_total is not None and head.n_tried < head.n_total:
        yield Doubt(
            f"Not finished: {head.n_tried:,} of {head.n_total:,} examples were tried.", True
        )
    if failed:
        share = percent(failed / head.n_tried)
        yield Doubt(
            f"{plural(failed, 'example')} failed ({share}: {causes(head.failures)}) and "
            f"{'is' if failed == 1 else 'are'} in no figure.",
            failed > head.n_tried / 20,
        )
    if not done:
        yield Doubt("No example is finished, so there is nothing to report.", True)
    elif done < FEW:
        yield Doubt(f"Only {plural(done, 'example')}: shares may differ by chance.")
    n_uncounted = sum(each.n_uncounted for each in head.ledger.accounts.values())
    if n_uncounted:
        yield Doubt(f"{plural(n_uncounted, 'call')} came without numbers of tokens.")


def cost_table(head: RunHead) -> SectionTable | None:
    """Calls, tokens and dollars by role and model; None where nothing was asked."""
    rows = [
        (
            f"{role or 'call'}: {model_name(model)}",
            f"{each.n_calls:,}",
            f"{each.usage.prompt_tokens:,}",
            f"{each.usage.completion_tokens:,}",
            money(head.ledger.cost_of(model, each)),
        )
        for (role, model), each in sorted(head.ledger.accounts.items())
    ]
    headings = ("who", "calls", "tokens in", "tokens out", "cost")
    note = "" if head.ledger.cost_usd is not None else f"{NONE}: no price is known for the model."
    return SectionTable("What it took", headings, tuple(rows), note) if rows else None


def failure_table(head: RunHead) -> SectionTable | None:
    """Failures by cause, with some of their messages; None without failures."""
    if not head.failures:
        return None
    rows = tuple((cause, f"{n:,}") for cause, n in head.failures.items())
    return SectionTable(
        "Examples that failed", ("cause", "examples"), rows, " ".join(head.messages)
    )


def source_fact(source: Source) -> Fact:
    return Fact("source", f"{listed(source.files)} (content {source.hash})")


def constitution_fact(constitution: Named) -> Fact:
    return Fact("constitution", f"{constitution_name(constitution)} (content {constitution.hash})")


def constitution_name(constitution: Named) -> str:
    return f"{constitution.name} {constitution.version}".strip()


def draw_facts(role: str, draws: Sequence[RoleConfig]) -> Iterator[Fact]:
    """A line for each model: full name, templates and sampling."""
    for draw in draws:
        limits = f"temperature {draw.temperature:g}, at most {draw.max_tokens} tokens"
        templates = f"templates {draw.templates.name} ({draw.templates.hash})"
        yield Fact(role, f"{draw.model}; {limits}; {templates}")


def shown_path(path: Path, root: Path) -> str:
    """The path with the name of the root before it: nothing of what is above it."""
    return str(Path(root.resolve().name) / path.relative_to(root))
