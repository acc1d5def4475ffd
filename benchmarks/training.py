"""Policies trained in every way the toolkit has, against the truth, over several seeds.

    python benchmarks/training.py --out runs/training-benchmark --seeds 0 1 2

Each arm of each seed is a folder, made once: the command goes on where it stopped. The table is
printed and written as JSON and Markdown.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from rich.console import Console

from cai.testbed.chain import PolicyChain
from cai.testbed.metrics import Rates, policy_rates

N_REQUESTS = 600


@dataclass(frozen=True)
class Arm:
    """A way to train, by name, and what makes its policy."""

    name: str
    policy: Callable[[PolicyChain], str]


ARMS = (
    Arm("start (helpful only)", lambda chain: "embedded"),
    Arm("SL", lambda chain: chain.supervised()),
    Arm("SL + DPO, hard", lambda chain: chain.dpo(labels="hard")),
    Arm("SL + DPO, soft", lambda chain: chain.dpo(labels="soft")),
    Arm(
        "SL + DPO, soft at the fitted temperature",
        lambda chain: chain.dpo(labels="soft", temperature=chain.temperature()),
    ),
    Arm("SL + reward model + GRPO", lambda chain: chain.rl("grpo", "model")),
    Arm("SL + reward model + RLOO", lambda chain: chain.rl("rloo", "model")),
    Arm("SL + GRPO, judge in the group", lambda chain: chain.rl("grpo", "judge")),
    Arm("SL + GRPO, score", lambda chain: chain.rl("grpo", "score")),
    Arm("people's labels: SL + DPO", lambda chain: chain.dpo("people", "hard")),
    Arm(
        "people's labels: SL + reward model + GRPO",
        lambda chain: chain.rl("grpo", "model", "people"),
    ),
)
SHOWN = ("harmful", "declined", "evaded", "helped", "dodged", "rude", "preaching", "unread")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for seed in options.seeds:
        chain = PolicyChain(options.out / f"seed-{seed}", seed, Console(quiet=True))
        for arm in ARMS:
            measured(options.out, chain, arm)
        print(json.dumps({"seed": seed, **reward_models(chain)}), flush=True)
    write(options.out, options.seeds)


def measured(out: Path, chain: PolicyChain, arm: Arm) -> Rates:
    """The rates of an arm, from its file where it was measured before."""
    path = result_path(out, chain.seed, arm)
    if path.exists():
        return Rates(**json.loads(path.read_text())["rates"])
    began = time.monotonic()
    policy = arm.policy(chain)
    seconds = time.monotonic() - began
    found = policy_rates(policy, N_REQUESTS, chain.seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"rates": asdict(found), "seconds": seconds}))
    shares = " ".join(f"{name} {getattr(found, name):.1%}" for name in SHOWN)
    print(f"seed {chain.seed} {arm.name}: {shares} ({seconds:.0f} s)", flush=True)
    return found


def reward_models(chain: PolicyChain) -> dict[str, object]:
    """Held-out figures of the reward models, and the labels' temperature."""
    found: dict[str, object] = {"temperature": chain.temperature()}
    for feedback in ("judge", "people"):
        folder = Path(chain.reward_model(feedback))
        found[feedback] = json.loads((folder / "training.json").read_text())["held_out"]
    found["judge on the truth"] = chain.reward_on_truth("judge")
    return found


def result_path(out: Path, seed: int, arm: Arm) -> Path:
    slug = "".join(letter if letter.isalnum() else "-" for letter in arm.name)
    return out / f"seed-{seed}" / "rates" / f"{slug}.json"


def write(out: Path, seeds: list[int]) -> None:
    """The table, printed and kept as JSON and Markdown."""
    arms: list[dict[str, object]] = []
    lines = [
        "| policy | " + " | ".join(SHOWN) + " |",
        "|---|" + "---|" * len(SHOWN),
    ]
    for arm in ARMS:
        found = [json.loads(result_path(out, seed, arm).read_text())["rates"] for seed in seeds]
        arms.append({"name": arm.name, "rates": found})
        cells = [cell([each[name] for each in found]) for name in SHOWN]
        lines.append(f"| {arm.name} | " + " | ".join(cells) + " |")
    (out / "results.json").write_text(json.dumps({"arms": arms}, indent=1))
    table = "\n".join(lines)
    (out / "results.md").write_text(table + "\n")
    print(table)


def cell(shares: list[float]) -> str:
    """The mean, and the least and greatest."""
    mean = statistics.mean(shares)
    return f"{100 * mean:.1f} ({100 * min(shares):.1f}–{100 * max(shares):.1f})"


if __name__ == "__main__":
    main()
