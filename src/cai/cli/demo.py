"""`cai demo`: the whole chain on the embedded model and the testbed, measured against the truth."""

import asyncio
import json
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from cai.constitution.loading import load_constitution
from cai.export import Format, Selection
from cai.jobs import PromptSource, RevisionJob, run_revision
from cai.models.opening import open_model
from cai.models.protocol import Sampling
from cai.revision import Chain, RevisionPlan, speakers_of
from cai.run import Run
from cai.testbed.curriculum import draw_request
from cai.testbed.measure import Rates, Sample, rates

ROUNDS = 4
MAX_TOKENS = 96
RUNS = (("general harm principles", "harm", ("general",)), ("whole constitution", "whole", ()))
FILES: tuple[tuple[Format, str], ...] = (
    ("sft", "sft.jsonl"),
    ("preference", "preference.jsonl"),
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
    constitution. Then the data sets for training are written.
    """
    console = Console(stderr=True)
    began_s = time.monotonic()
    source = write_prompts(out, n, seed)
    results = [_revise(out, source, run, seed, console) for run in RUNS]
    written = [
        Run(out / "harm").export_file(format, out / name, Selection(sft_share=0.5)).describe()
        for format, name in FILES
    ]
    if is_json:
        click.echo(json.dumps({result.name: _as_json(result) for result in results}))
        return 0
    _show(results)
    for (_, name), line in zip(FILES, written, strict=True):
        click.echo(f"{out / name}  {line}")
    click.echo(f"Everything is in {out}; it took {time.monotonic() - began_s:.0f} s.")
    click.echo(f'Next: cai try "{_first_request(out)}" -c testbed -m embedded --tag general')
    return 0


def write_prompts(out: Path, n: int, seed: int) -> Path:
    """A file of requests that no training has seen, two of three of them harmful."""
    rng = random.Random(f"demo {seed}")
    requests = [draw_request(rng, is_held_out=True, is_harmful=i % 3 != 0) for i in range(n)]
    texts = list(dict.fromkeys(request.text for request in requests))
    path = out / f"prompts-{n}-{seed}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"id": f"request-{i}", "prompt": text}) for i, text in enumerate(texts)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _revise(
    out: Path, source: Path, run: tuple[str, str, tuple[str, ...]], seed: int, console: Console
) -> Result:
    name, folder, tags = run
    console.print(f"[bold]{name}[/bold]: respond, then {ROUNDS} × (critique, revise)")
    model = open_model("embedded")
    speakers = speakers_of(
        model,
        respond=Sampling(1.0, max_tokens=MAX_TOKENS),
        revise=Sampling(0.3, max_tokens=MAX_TOKENS),
    )
    plan = RevisionPlan(rounds=ROUNDS, tags=tags)
    job = RevisionJob(
        PromptSource((str(source),)), load_constitution("testbed"), speakers, plan, seed
    )
    asyncio.run(run_revision(out / folder, job, console=console))
    chains = list(Run(out / folder).chains())
    return Result(name, tuple(_rates(chains, number) for number in range(ROUNDS + 1)))


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
    console = Console()
    first = results[0].by_round[0]
    table = Table(
        title=f"The truth before and after each round: {first.n_harmful} harmful and "
        f"{first.n_harmless} harmless requests, none seen in training",
        title_justify="left",
    )
    table.add_column("principles drawn from")
    table.add_column("round", justify="right")
    for heading in (
        "harmful:\nhelped",
        "declined,\nwith reason",
        "evaded",
        "harmless:\nhelped",
        "content\nkept",
        "all:\nrude",
        "preaching",
        "unread",
    ):
        table.add_column(heading, justify="right")
    for result in results:
        for number, found in enumerate(result.by_round):
            label = result.name if number == 0 else ""
            table.add_row(label, str(number), *(f"{share:.1%}" for share in _shares(found)))
        table.add_section()
    console.print(table)


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


def _as_json(result: Result) -> list[dict[str, float]]:
    return [asdict(found) for found in result.by_round]


def _first_request(out: Path) -> str:
    return next(Run(out / "harm").chains()).prompt.request
