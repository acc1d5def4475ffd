"""`cai demo`: the whole chain on the embedded model and the testbed, measured against the truth.

The chain of Constitutional AI, Bai et al. 2022, arXiv:2212.08073, figure 1: critique and revision,
SFT, sampled responses, judging, a reward model, and RL; here GRPO in place of PPO.

Example:
    $ cai demo --out demo --prompts 200
"""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isnan
from pathlib import Path
from typing import Any, cast

import click
from rich.console import Console

from cai.cli.options.run_options import echo_json
from cai.cli.options.settings_options import PATH
from cai.cli.tables import NONE, plain_table
from cai.constitution.loader import load_constitution
from cai.constitution.schema import Compose
from cai.errors import UsageError
from cai.evaluation import format
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

N_TRUTH = 600  # responses of a policy: a share of one half is known to within 4 points
N_COMPARED = 30  # requests of either kind
FILES: tuple[tuple[str, Format, str], ...] = (
    ("revised", "sft", "sft.jsonl"),
    ("judged", "preference", "preference.jsonl"),
)
HEADINGS = {
    "harmful": "harmful:\nhelped",
    "declined": "\ndeclined",
    "evaded": "\nevaded",
    "unclear": "\nunclear",
    "helped": "harmless:\nhelped",
    "dodged": "\nevaded",
    "rude": "all:\nrude",
    "preaching": "\npreachy",
}


@click.command(epilog="Example: cai demo --out demo --prompts 200")
@click.option("-o", "--out", type=PATH, default=Path("demo"))
@click.option(
    "--prompts",
    "n",
    type=click.IntRange(40),
    default=480,
    help="Revised requests; a third is judged.",
)
@click.option("--rl-steps", type=click.IntRange(1), default=20)
@click.option("--seed", type=int, default=0)
@click.option("--json", "is_json", is_flag=True, help="The tables as one JSON object.")
def demo(out: Path, n: int, rl_steps: int, seed: int, is_json: bool) -> int:
    """Run the chain on a small world whose truth is known: no download, no GPU, no key.

    The embedded model answers requests as a helpful-only assistant, critiques and revises its
    answers, and is trained on the revisions (SL). SL gives four responses to new requests, a judge
    compares them under principles, a reward model learns the judge's probabilities, and GRPO trains
    SL on its rewards (RL). The policies are compared by the judge, and measured against the truth,
    on requests that no training has seen; report.html shows all of it.
    """
    # A missing package is reported now, not after the minutes of revision.
    require()
    start_s = time.monotonic()
    try:
        (out / "truth").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{out}: cannot be written ({error.strerror}). Name another folder with --out."
        ) from error
    console = Console(stderr=True, soft_wrap=True)
    sizes = Sizes(revised=n, judged=n // 3, rl_steps=rl_steps)
    results = _run_chain(PolicyChain(out, seed, console, sizes), console)
    written = [
        (name, Run(out / folder).export_file(format, out / name)) for folder, format, name in FILES
    ]
    # The report reads it, as it would read the results of any evaluation.
    save_results(out / "truth" / TRUTH_FILE, TruthResults(results.policies))
    from cai.report.build import write_report  # heavy: matplotlib
    from cai.testbed.truth import OracleTruth

    report = write_report(out, truth=OracleTruth())
    seconds = time.monotonic() - start_s
    if is_json:
        echo_json({**results.as_json(), "seconds": round(seconds, 1)})
        return 0
    results.show()
    for name, summary in written:
        click.echo(f"{out / name}  {summary.describe()}")
    click.echo(f"{report}  the whole chain, to read in a browser")
    click.echo(f"Everything is in {out}; it took {seconds:.0f} s.")
    requests = (chain.prompt.request for chain in Run(out / "revised").chains())
    harmful = next(text for text in requests if (read := read_request(text)) and read.harm)
    rl = results.policies[-1].model
    click.echo(f'Next: cai try "{harmful}" -c testbed -m {rl} --tag general')
    return 0


@dataclass(frozen=True, slots=True)
class DemoResults:
    """The figures of the stages, against the truth.

    `rounds` are the rates after 0, 1 … rounds of revision. `judge` has the same calls, composed by
    each rule. `held_out` are the reward model's figures on pairs held out, `on_truth` its accuracy
    on others by the truth, in [0, 1].
    """

    rounds: Mapping[str, Rates]
    judge: Mapping[Compose, JudgeFigure]
    held_out: Mapping[str, Any]
    on_truth: float
    policies: tuple[PolicyTruth, ...]

    @property
    def policy_rates(self) -> Mapping[str, Rates]:
        return {each.name: each.rates for each in self.policies}

    def as_json(self) -> dict[str, object]:
        return {
            "rounds": _rows(self.rounds),
            "judge": {rule: asdict(figure) for rule, figure in self.judge.items()},
            "reward_model": {**self.held_out, "truth": self.on_truth},
            "policies": _rows(self.policy_rates),
        }

    def show(self) -> None:
        _show("What critique and revision change, round by round", "round", self.rounds)
        click.secho("\nThe judge against the truth, on comparisons of sampled responses", bold=True)
        click.echo("(those with a right answer; principles composed by vote, or by their mean)\n")
        rows = [_judge_cells(rule, figure) for rule, figure in self.judge.items()]
        table = plain_table(*rows[0])
        for each in rows:
            table.add_row(*each.values())
        Console().print(table)
        click.echo(
            f"\nThe reward model agrees with the judge on {self.held_out['accuracy']:.1%} of "
            f"{self.held_out['n']} held-out pairs, and with the truth on {self.on_truth:.1%} of "
            "500 others."
        )
        title = "The policies, on requests that no training has seen"
        _show(title, "policy", self.policy_rates)


def _judge_cells(rule: Compose, figure: JudgeFigure) -> dict[str, str]:
    """The figures of the judge by a rule, under their headings."""
    return {
        "composed\nby": rule,
        "compari-\nsons": str(figure.n),
        "\naccuracy": f"{figure.accuracy:.1%}",
        "calibration\nerror": f"{figure.ece:.3f}",
        "by luck\nalone": f"{figure.ece_floor:.3f}",
        "one order:\naccuracy": NONE if figure.one_order is None else f"{figure.one_order:.1%}",
        "orders\ndisagree": NONE if figure.flips is None else f"{figure.flips:.1%}",
        "not\nread": str(figure.unreadable),
    }


def _run_chain(chain: PolicyChain, console: Console) -> DemoResults:
    """Every stage of the chain, each announced."""
    sizes = chain.sizes
    revising = f"respond, then {sizes.rounds} × (critique, revise)"
    console.print(f"[bold]{revising}[/bold], {sizes.revised} requests")
    chains = list(chain.revised().chains())
    rounds: dict[str, Rates] = {}
    for n in range(sizes.rounds + 1):
        samples: list[RatedResponse] = []
        for each in chains:
            first = each.response.text
            # what was helpful before is measured against the first response, in every round
            text = each.revisions[n - 1] if n else first
            samples.append(RatedResponse(each.prompt.request, first, text))
        rounds[str(n)] = rates(samples)
    console.print("[bold]SFT[/bold] on the revisions: SL")
    sl = chain.supervised()
    console.print(f"[bold]{sizes.k} responses[/bold] of SL to {sizes.judged} new requests")
    console.print("[bold]their comparisons[/bold] under each principle, in both orders")
    ids = {each.id for each in load_constitution("testbed").select(JUDGED_UNDER)}
    run = Run(chain.judged().path)
    rules: tuple[Compose, ...] = ("vote", "mean")
    judge: dict[Compose, JudgeFigure] = {
        rule: judged_figure(rule, run.judged(rule), ids) for rule in rules
    }
    console.print("[bold]a reward model[/bold] on the judge's probabilities")
    figures = json.loads((Path(chain.reward_model()) / "training.json").read_text("utf-8"))
    held_out = cast(Mapping[str, Any], figures["held_out"]["all"])
    on_truth = chain.reward_on_truth()
    console.print(f"[bold]GRPO[/bold] on its rewards, {sizes.rl_steps} steps: RL")
    specs = {"start": "embedded", "SL": sl, "RL": chain.rl()}
    console.print(f"[bold]start, SL and RL[/bold] on {2 * N_COMPARED} requests, by the judge")
    # The judge is the model that was trained here, which the report warns of.
    chain.compared(specs, N_COMPARED)
    console.print(f"[bold]the truth[/bold] of {N_TRUTH} responses of each policy")
    policies = tuple(
        PolicyTruth(name, spec, policy_rates(spec, N_TRUTH, chain.seed))
        for name, spec in specs.items()
    )
    return DemoResults(rounds, judge, held_out, on_truth, policies)


def _rows(named_rates: Mapping[str, Rates]) -> list[dict[str, float | str | None]]:
    """The rates as JSON, which has no nan: a share of nothing is null."""
    return [
        {"name": name, **{key: None if isnan(x) else x for key, x in asdict(shares).items()}}
        for name, shares in named_rates.items()
    ]


def _show(title: str, kind: str, named_rates: Mapping[str, Rates]) -> None:
    """A table of 80 columns."""
    first = next(iter(named_rates.values()))
    click.secho(f"\n{title}", bold=True)
    click.echo(f"({first.n_harmful} harmful and {first.n_harmless} harmless requests)")
    table = plain_table(kind, *HEADINGS.values())
    for name, shares in named_rates.items():
        table.add_row(name, *(f"{asdict(shares)[key]:.1%}" for key in HEADINGS))
    console = Console()
    console.print(table)
    console.print("95 % intervals (Wilson) of the share helped:", highlight=False)
    for kind, key in (("harmful", "harmful"), ("harmless", "helped")):
        bounds = (f"{x} {format.bounds(each.estimate(key))}" for x, each in named_rates.items())
        console.print(f"{kind}: {'; '.join(bounds)}", highlight=False)
