"""Random bad input in every place that takes any: `python benchmarks/fuzz [PART …] [--share 0.1]`

Prints a table; faults are printed as they are met, and the exit code is then 1. Each part runs in a
process of its own, so that the peaks of memory do not add up.
"""

import importlib
import subprocess
import sys
import tempfile
from pathlib import Path

import click
from harness import HEAD, Findings, fuzz

PARTS = {
    "constitutions": 10_000,
    "data_sources": 5_000,
    "template_sets": 500,
    "journals": 500,
    "servers": 66,  # each of its modes once
    "reward_requests": 200,
}


def run_part(name: str, share: float, seed: int) -> Findings:
    """That share of the attempts of a part, whose module is imported for itself."""
    module = importlib.import_module(name)
    with tempfile.TemporaryDirectory() as folder, module.attempts(Path(folder)) as attempt:
        return fuzz(name.replace("_", " "), attempt, max(1, round(PARTS[name] * share)), seed)


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice([*PARTS]))
@click.option("--share", default=1.0, help="Of the attempts of each part.")
@click.option("--seed", default=0)
def main(parts: tuple[str, ...], share: float, seed: int) -> None:
    if len(parts) == 1:
        findings = run_part(parts[0], share, seed)
        print(findings.row)
        sys.exit(1 if findings.faults else 0)
    print(HEAD, flush=True)
    command = [sys.executable, str(Path(__file__).parent), "--share", str(share)]
    codes = [
        subprocess.run([*command, "--seed", str(seed), part], check=False).returncode
        for part in parts or PARTS
    ]
    sys.exit(max(codes))


if __name__ == "__main__":
    main()
