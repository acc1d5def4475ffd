"""`cai demo`: the whole chain on the embedded model and the testbed, measured against the truth."""

import json
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import isnan
from pathlib import Path

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from cai.constitution.loading import load_constitution
from cai.engine.loop import run_async
from cai.errors import UsageError
from cai.export.formats import Format
from cai.export.selecting import Selection
from cai.jobs.pace import Pace
from cai.jobs.prompt_source import PromptSource
from cai.jobs.revision import RevisionJob, run_revision
from cai.judging.judge import JudgePlan
from cai.models.opening import open_model
from cai.models.protocol import Sampling
from cai.revision import Chain, RevisionPlan, Speakers, speakers_of
from cai.run import Run
from cai.testbed.curriculum import draw_request
from cai.testbed.judge_figures import JudgeFigure, judged_figure
from cai.testbed.measure import Rates, Sample, rates
from cai.testbed.oracle import read_request

ROUNDS = 4
MAX_TOKENS = 96
RUNS = (("general harm principles", "harm", ("general",)), ("whole constitution", "whole", ()))
FILES: tuple[tuple[str, Format, str], ...] = (
    ("harm", "sft", "sft.jsonl"),
    ("judged", "preference", "preference.jsonl"),
)
K = 4
N_SAMPLED = 120
JUDGED = "general"
HEADINGS = (
    "harmful:\nhelped",
    "\ndeclined",
    "\nevaded",
    "harmless:\nhelped",
    "content\nkept",
    "all:\nrude",
    "\npreachy",
    "\nunread",
)


@dataclass(frozen=True, slots=True)
class Result:
    """One run of the demo: its name, and the rates after 0, 1 … rounds."""

    name: str
    by_round: tuple[Rates, ...]


@click.command(epilog="Example: cai demo --out demo --prompts 200")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), default=Path("demo"), show_default=True
)
@click.option("--prompts", "n", type=click.IntRange(10), default=300, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--json", "is_json", is_flag=True, help="The table as one JSON object.")
def demo(out: Path, n: int, seed: int, is_json: bool) -> int:
    """Run the chain on a small world whose truth is known: no download, no GPU, no key.

    The embedded model answers held-out requests as a helpful-only assistant, critiques and revises
    its answers in four rounds, once under the general harm principles and once under the whole
    constitution. Then it gives four responses to some of the requests and judges them pair by
    pair, and the data sets for training are written.
    """
    console = Console(stderr=True)
    began_s = time.monotonic()
    speakers = _speakers()  # opened before anything is written
    source = PromptSource((str(write_prompts(out, n, seed)),))
    results: list[Result] = []
    for name, folder, tags in RUNS:
        console.print(f"[bold]{name}[/bold]: respond, then {ROUNDS} × (critique, revise)")
        plan = RevisionPlan(rounds=ROUNDS, tags=tags)
        job = RevisionJob(source, load_constitution("testbed"), speakers, plan, seed)
        results.append(Result(name, _revise(out / folder, job, console)))
    console.print(f"[bold]{K} responses[/bold] to each of the first {N_SAMPLED} requests")
    policy = speakers.respond
    Run(out / "samples").sample(source, model=policy, k=K, seed=seed, pace=Pace(limit=N_SAMPLED))
    console.print("[bold]their comparisons[/bold] under each general harm principle, both orders")
    Run(out / "judged").judge(
        out / "samples",
        model=policy.model,
        constitution=load_constitution("testbed"),
        plan=JudgePlan(tags=(JUDGED,)),
        seed=seed,
    )
    figure = _judged(out / "judged")
    written = [
        (name, Run(out / folder).export_file(format, out / name, Selection(sft_share=0.5)))
        for folder, format, name in FILES
    ]
    if is_json:
        rates_ = {result.name: _as_json(result) for result in results}
        click.echo(json.dumps({**rates_, "judge": asdict(figure)}))
        return 0
    _show(results)
    _show_judge(figure)
    for name, summary in written:
        click.echo(f"{out / name}  {summary.describe()}")
    click.echo(f"Everything is in {out}; it took {time.monotonic() - began_s:.0f} s.")
    click.echo(f'Next: cai try "{_first_harmful(out)}" -c testbed -m embedded --tag general')
    return 0


def write_prompts(out: Path, n: int, seed: int) -> Path:
    """A file of requests that no training has seen, two of three of them harmful."""
    rng = random.Random(f"demo {seed}")
    requests = [draw_request(rng, is_held_out=True, is_harmful=i % 3 != 0) for i in range(n)]
    texts = list(dict.fromkeys(request.text for request in requests))
    path = out / f"prompts-{n}-{seed}.jsonl"
    lines = [json.dumps({"id": f"request-{i}", "prompt": text}) for i, text in enumerate(texts)]
    try:
        out.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be written ({error.strerror}). Name another folder with --out."
        ) from error
    return path


def _speakers() -> Speakers:
    return speakers_of(
        open_model("embedded"),
        respond=Sampling(1.0, max_tokens=MAX_TOKENS),
        revise=Sampling(0.3, max_tokens=MAX_TOKENS),
    )


def _revise(folder: Path, job: RevisionJob, console: Console) -> tuple[Rates, ...]:
    """The rates after 0, 1 … rounds."""
    run_async(run_revision(folder, job, console=console))
    chains = list(Run(folder).chains())
    return tuple(_rates(chains, number) for number in range(ROUNDS + 1))


def _rates(chains: Sequence[Chain], number: int) -> Rates:
    return rates(
        [
            Sample(
                chain.prompt.request,
                chain.response.text,
                chain.revisions[number - 1] if number else chain.response.text,
            )
            for chain in chains
        ]
    )


def _show(results: Sequence[Result]) -> None:
    """A table for each run; 80 columns are enough."""
    first = results[0].by_round[0]
    click.echo(
        f"The truth before and after each round, on {first.n_harmful} harmful and "
        f"{first.n_harmless} harmless\nrequests that no training has seen:"
    )
    for result in results:
        click.secho(f"\nPrinciples drawn from: {result.name}", bold=True)
        table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
        for heading in ("round", *HEADINGS):
            table.add_column(heading, justify="right")
        for number, found in enumerate(result.by_round):
            table.add_row(str(number), *(f"{share:.1%}" for share in _shares(found)))
        Console().print(table)


def _judged(folder: Path) -> JudgeFigure:
    ids = {each.id for each in load_constitution("testbed").select((JUDGED,))}
    return judged_figure("comparisons", Run(folder).judged(), ids)


def _show_judge(figure: JudgeFigure) -> None:
    """The judge's table."""
    click.secho("\nThe judge against the truth, on comparisons of sampled responses", bold=True)
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in (
        "comparisons with\na right answer",
        "both orders:\nright",
        "calibration\nerror",
        "one order:\nright",
        "orders\ndisagree",
        "not\nread",
    ):
        table.add_column(heading, justify="right")
    table.add_row(
        str(figure.n),
        f"{figure.accuracy:.1%}",
        f"{figure.ece:.3f}",
        "–" if figure.one_order is None else f"{figure.one_order:.1%}",
        "–" if figure.flips is None else f"{figure.flips:.1%}",
        str(figure.unreadable),
    )
    Console().print(table)


def _shares(found: Rates) -> tuple[float, ...]:
    return (
        found.harmful,
        found.declined,
        found.evaded,
        found.helped,
        found.kept,
        found.rude,
        found.preaching,
        found.unread,
    )


def _as_json(result: Result) -> list[dict[str, float | None]]:
    """JSON has no nan: what has no share is null."""
    return [
        {name: None if isnan(share) else share for name, share in asdict(found).items()}
        for found in result.by_round
    ]


def _first_harmful(out: Path) -> str:
    requests = (chain.prompt.request for chain in Run(out / "harm").chains())
    return next(text for text in requests if (read := read_request(text)) and read.harm)
