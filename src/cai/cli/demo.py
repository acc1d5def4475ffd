"""`cai demo`: the whole chain on the embedded model and the testbed, measured against the truth."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isnan
from pathlib import Path
from typing import Any, cast

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from cai.constitution.loader import load_constitution
from cai.errors import UsageError
from cai.evaluation.results_file import save_results
from cai.export.formats import Format
from cai.run import Run
from cai.testbed.chain import PolicyChain
from cai.testbed.feedback import JUDGED_UNDER, Sizes
from cai.testbed.judge_metrics import JudgeFigure, judged_figure
from cai.testbed.metrics import FILE as TRUTH_FILE
from cai.testbed.metrics import PolicyTruth, RatedResponse, Rates, TruthResults, policy_rates, rates
from cai.testbed.oracle import read_request
from cai.training.environment import require

N_TRUTH = 600
N_COMPARED = 30  # of either kind
FILES: tuple[tuple[str, Format, str], ...] = (
    ("revised", "sft", "sft.jsonl"),
    ("judged", "preference", "preference.jsonl"),
)
HEADINGS = (
    "harmful:\nhelped",
    "\ndeclined",
    "\nevaded",
    "harmless:\nhelped",
    "\nevaded",
    "all:\nrude",
    "\npreachy",
    "\nunread",
)


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a table of truth."""

    name: str
    rates: Rates


@click.command(epilog="Example: cai demo --out demo --prompts 200")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), default=Path("demo"), show_default=True
)
@click.option(
    "--prompts",
    "n",
    type=click.IntRange(40),
    default=480,
    show_default=True,
    help="Requests to revise; a third as many are judged.",
)
@click.option("--rl-steps", type=click.IntRange(1), default=20, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--json", "is_json", is_flag=True, help="The tables as one JSON object.")
def demo(out: Path, n: int, rl_steps: int, seed: int, is_json: bool) -> int:
    """Run the chain on a small world whose truth is known: no download, no GPU, no key.

    The embedded model answers requests as a helpful-only assistant, critiques and revises its
    answers, and is trained on the revisions (SL). SL gives four responses to new requests, a judge
    compares them under principles, a reward model learns the judge's probabilities, and GRPO trains
    SL on its rewards (RL). The policies are compared by the judge, and measured against the truth,
    on requests that no training has seen; report.html tells the whole.
    """
    require()
    began_s = time.monotonic()
    _make(out)
    console = Console(stderr=True, soft_wrap=True)
    sizes = Sizes(revised=n, judged=n // 3, rl_steps=rl_steps)
    found = _stages(PolicyChain(out, seed, console, sizes), console)
    written = [
        (name, Run(out / folder).export_file(format, out / name)) for folder, format, name in FILES
    ]
    _make(out / "truth")
    save_results(out / "truth" / TRUTH_FILE, found.truth)
    from cai.report.build import write_report  # heavy: matplotlib
    from cai.testbed.truth import OracleTruth

    report = write_report(out, truth=OracleTruth())
    seconds = time.monotonic() - began_s
    if is_json:
        click.echo(json.dumps({**found.as_json(), "seconds": round(seconds, 1)}))
        return 0
    found.show()
    for name, summary in written:
        click.echo(f"{out / name}  {summary.describe()}")
    click.echo(f"{report}  the whole chain, to read in a browser")
    click.echo(f"Everything is in {out}; it took {seconds:.0f} s.")
    click.echo(f'Next: cai try "{_first_harmful(out)}" -c testbed -m {found.rl} --tag general')
    return 0


@dataclass(frozen=True, slots=True)
class Found:
    """What the stages came to, against the truth; `rl` is the last policy's spec.

    `held_out` are the reward model's figures on pairs held out, `on_truth` the share of others that
    it puts right.
    """

    rounds: list[Row]
    judge: JudgeFigure
    held_out: Mapping[str, Any]
    on_truth: float
    policies: list[Row]
    rl: str
    truth: TruthResults

    def as_json(self) -> dict[str, object]:
        return {
            "rounds": [_as_json(row) for row in self.rounds],
            "judge": asdict(self.judge),
            "reward_model": {**self.held_out, "truth": self.on_truth},
            "policies": [_as_json(row) for row in self.policies],
        }

    def show(self) -> None:
        _show("What critique and revision change, round by round", "round", self.rounds)
        _show_judge(self.judge)
        click.echo(
            f"\nThe reward model puts {self.held_out['accuracy']:.1%} of {self.held_out['n']} "
            f"held-out pairs as the judge did, and {self.on_truth:.1%} of 500 others as the truth "
            "is."
        )
        _show("The policies, on requests that no training has seen", "policy", self.policies)


def _stages(chain: PolicyChain, console: Console) -> Found:
    """Every stage of the chain, each announced."""
    sizes = chain.sizes
    revising = f"respond, then {sizes.rounds} × (critique, revise)"
    console.print(f"[bold]{revising}[/bold], {sizes.revised} requests")
    rounds = _rounds(chain)
    console.print("[bold]SFT[/bold] on the revisions: SL")
    sl = chain.supervised()
    console.print(f"[bold]{sizes.k} responses[/bold] of SL to {sizes.judged} new requests")
    console.print("[bold]their comparisons[/bold] under each principle, in both orders")
    judge = _judged(chain.judged().path)
    console.print("[bold]a reward model[/bold] on the judge's probabilities")
    held_out = _held_out(Path(chain.reward_model()))
    on_truth = chain.reward_on_truth()
    console.print(f"[bold]GRPO[/bold] on its rewards, {sizes.rl_steps} steps: RL")
    rl = chain.rl()
    console.print(f"[bold]start, SL and RL[/bold] on {2 * N_COMPARED} requests, by the judge")
    chain.compared({"start": "embedded", "SL": sl, "RL": rl}, N_COMPARED)
    console.print(f"[bold]the truth[/bold] of {N_TRUTH} responses of each policy")
    policies = [
        PolicyTruth(name, spec, policy_rates(spec, N_TRUTH, chain.seed))
        for name, spec in (("start", "embedded"), ("SL", sl), ("RL", rl))
    ]
    rows = [Row(each.name, each.rates) for each in policies]
    return Found(rounds, judge, held_out, on_truth, rows, rl, TruthResults(tuple(policies)))


def _make(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{out}: cannot be written ({error.strerror}). Name another folder with --out."
        ) from error


def _rounds(chain: PolicyChain) -> list[Row]:
    """The rates after 0, 1 … rounds."""
    chains = list(chain.revised().chains())
    found: list[Row] = []
    for number in range(chain.sizes.rounds + 1):
        samples = [
            RatedResponse(
                each.prompt.request,
                each.response.text,
                each.revisions[number - 1] if number else each.response.text,
            )
            for each in chains
        ]
        found.append(Row(str(number), rates(samples)))
    return found


def _judged(folder: Path) -> JudgeFigure:
    ids = {each.id for each in load_constitution("testbed").select(JUDGED_UNDER)}
    return judged_figure("comparisons", Run(folder).judged(), ids)


def _held_out(reward: Path) -> Mapping[str, Any]:
    figures = json.loads((reward / "training.json").read_text("utf-8"))
    return cast(Mapping[str, Any], figures["held_out"]["all"])


def _show(title: str, kind: str, rows: Sequence[Row]) -> None:
    """A table; 80 columns are enough."""
    first = rows[0].rates
    click.secho(f"\n{title}", bold=True)
    click.echo(f"({first.n_harmful} harmful and {first.n_harmless} harmless requests)")
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in (kind, *HEADINGS):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(row.name, *(f"{share:.1%}" for share in _shares(row.rates)))
    Console().print(table)


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
        found.dodged,
        found.rude,
        found.preaching,
        found.unread,
    )


def _as_json(row: Row) -> dict[str, float | str | None]:
    """JSON has no nan: what has no share is null."""
    shares = {name: None if isnan(share) else share for name, share in asdict(row.rates).items()}
    return {"name": row.name, **shares}


def _first_harmful(out: Path) -> str:
    requests = (chain.prompt.request for chain in Run(out / "revised").chains())
    return next(text for text in requests if (read := read_request(text)) and read.harm)
