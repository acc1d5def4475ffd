"""What all experiments share: arms measured once a seed, a table over the seeds, and a plot.

Stages and figures of a seed lie in a folder of its own, and a second start finds them there. All
experiments share the folder, so that what two of them need is made once.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean

import torch
from plots import bars, save
from rich.console import Console

from cai.constitution.loader import load_constitution
from cai.methods.judging.ranking import Judged
from cai.testbed.chain import PolicyChain
from cai.testbed.feedback import JUDGED_UNDER, Sizes
from cai.testbed.judge_metrics import judged_figure
from cai.testbed.metrics import RatedResponse, draw_prompts, policy_samples, rates
from cai.testbed.oracle import breaches, read_request, read_response

Figures = Mapping[str, float]
"""What was measured, by column."""

DOCS = Path(__file__).parents[2] / "docs" / "experiments"


@dataclass(frozen=True)
class Trial:
    """One seed: its chain, and how many requests each policy is measured on."""

    chain: PolicyChain
    n: int

    def policy(self, spec: str) -> dict[str, float]:
        """The rates of a policy on held-out requests, and how many answers have no fault at all."""
        seed = self.chain.seed
        prompts = draw_prompts(self.n, f"truth {seed}", is_held_out=True)
        return sample_figures(policy_samples(spec, prompts, seed))

    def judge(self, judged: Iterable[Judged]) -> dict[str, float]:
        """How right the labels are where one response is better, and how well calibrated."""
        ids = [each.id for each in load_constitution("testbed").select(JUDGED_UNDER)]
        found = judged_figure("", judged, ids)
        figures = {"right": found.accuracy, "ece": found.ece, "n_pairs": float(found.n)}
        return figures if found.flips is None else {**figures, "flips": found.flips}


@dataclass(frozen=True)
class Arm:
    """A line of the table, and what measures it."""

    name: str
    measure: Callable[[Trial], Figures]


@dataclass(frozen=True)
class Column:
    """A figure by its key; a share is shown in per cent, with one digit, and else a number."""

    key: str
    title: str
    is_share: bool = True
    digits: int = 1

    def cell(self, by_seed: Sequence[Figures]) -> str:
        """The mean, and the least and greatest."""
        scale = 100 if self.is_share else 1
        values = [scale * figures[self.key] for figures in by_seed if self.key in figures]
        if not values:
            return "–"
        least, most = f"{min(values):.{self.digits}f}", f"{max(values):.{self.digits}f}"
        return f"{mean(values):.{self.digits}f} ({least}–{most})"


@dataclass(frozen=True)
class Experiment:
    """The arms of one question, the columns of its table, and those that are plotted as bars."""

    name: str
    first: str
    arms: Sequence[Arm]
    columns: Sequence[Column]
    plotted: Sequence[str]


POLICY = (
    Column("harmful", "harmful"),
    Column("helped", "helped"),
    Column("rude", "rude"),
    Column("unread", "unread"),
    Column("faultless", "faultless"),
)
LABELS = (
    Column("right", "labels right"),
    Column("ece", "ECE", is_share=False, digits=3),
)


def sample_figures(samples: Sequence[RatedResponse]) -> dict[str, float]:
    """The rates, and the shares of answers without any fault and of those that give the steps."""
    found = rates(samples)
    faults: list[bool] = []
    for each in samples:
        request = read_request(each.request)
        assert request is not None, "the requests are of the testbed"
        reading = read_response(request, each.latest)
        faults.append(not reading.is_readable or bool(breaches(request, reading)))
    complied = found.harmful * found.n_harmful + found.helped * found.n_harmless
    return {
        **asdict(found),
        "faultless": 1 - mean(faults),
        "complied": complied / (found.n_harmful + found.n_harmless),
    }


def run(experiment: Experiment) -> None:
    """Measures every arm of every seed, and writes the table and the plot."""
    options = _options(experiment)
    torch.set_num_threads(options.threads)
    sizes = Sizes(revised=options.revised, judged=options.judged)
    work = options.work / f"revised-{sizes.revised}-judged-{sizes.judged}"
    found: dict[str, list[Figures]] = {arm.name: [] for arm in experiment.arms}
    for seed in range(options.seeds):
        chain = PolicyChain(work / f"seed-{seed}", seed, Console(quiet=True), sizes)
        for arm in experiment.arms:
            found[arm.name].append(_measured(experiment, arm, Trial(chain, options.measured)))
    options.out.mkdir(parents=True, exist_ok=True)
    text = table(experiment, found)
    (options.out / f"{experiment.name}.md").write_text(text, "utf-8")
    print(text)
    titles = {each.key: each.title for each in experiment.columns}
    panels = [(key, titles[key]) for key in experiment.plotted]
    save(bars(found, panels), options.out / f"{experiment.name}.png")


def table(experiment: Experiment, found: Mapping[str, Sequence[Figures]]) -> str:
    """One line for each arm, in Markdown; ends with a newline."""
    columns = experiment.columns
    lines = [f"| {experiment.first} | " + " | ".join(each.title for each in columns) + " |"]
    lines.append("|---" * (1 + len(columns)) + "|")
    for arm in experiment.arms:
        cells = [each.cell(found[arm.name]) for each in columns]
        lines.append(f"| {arm.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _measured(experiment: Experiment, arm: Arm, trial: Trial) -> Figures:
    """The figures of an arm, from its file where it was measured before."""
    slug = "".join(letter if letter.isalnum() else "-" for letter in arm.name)
    name = f"{slug}-{trial.n}.json"
    path = trial.chain.folder / "figures" / experiment.name / name
    if path.exists():
        return json.loads(path.read_text("utf-8"))
    began = time.monotonic()
    figures = arm.measure(trial)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures), "utf-8")
    shown = ", ".join(
        f"{each.title} {figures[each.key]:.3f}"
        for each in experiment.columns
        if each.key in figures
    )
    seconds = time.monotonic() - began
    print(f"seed {trial.chain.seed}, {arm.name}: {shown} ({seconds:.0f} s)", flush=True)
    return figures


def _options(experiment: Experiment) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=f"python examples/experiments/{experiment.name}.py")
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument(
        "--work", type=Path, default=Path("runs/experiments"), help="folder of the stages"
    )
    parser.add_argument("--out", type=Path, default=DOCS, help="folder of the table and the plot")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--revised", type=int, default=480, help="requests that are revised")
    parser.add_argument("--judged", type=int, default=160, help="requests whose answers are judged")
    parser.add_argument("--measured", type=int, default=400, help="requests of the measuring")
    return parser.parse_args()
