"""Peak memory and speed of a judging run: `python benchmarks/judge_memory.py 10000 100000`.

Each size runs in a process of its own, over a pair file, with a judge that answers at once: what is
measured is all that `cai judge` does beside waiting for a model. Memory that does not grow with the
number of comparisons shows in equal peaks.
"""

import argparse
import asyncio
import io
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from cai.constitution.schema import Constitution, Principle
from cai.methods.roles import RoleModel
from cai.models.base import Choice, Completion, Sampling, Usage
from cai.runs.inputs import GroupSource
from cai.runs.judge import JudgeJob, run_judging
from cai.types import Message, derive_seed

SIZES = (10_000, 100_000)
WORDS = ("lamp", "wick", "brass", "cloth", "shelf", "dawn", "baker", "ladder", "window", "copper")
CONSTITUTION = Constitution(
    name="benchmark", principles=(Principle(id="clear", text="The response is clear."),)
)


class QuickJudge:
    """A judge whose letter is a function of the request, and that keeps nothing."""

    name = "quick"
    is_chat = True

    async def choose(self, messages: Sequence[Message], options: Sequence[str]) -> Choice:
        await asyncio.sleep(0)
        p = (1 + len(messages[-1].content) % 98) / 100
        return Choice((math.log(p), math.log(1 - p)), Usage(200, 1), 1.0)

    async def complete(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        return Completion("")

    async def check(self) -> None: ...

    async def close(self) -> None: ...


def write_pairs(path: Path, n: int) -> None:
    """Pairs of some hundred characters each."""
    with path.open("w") as file:
        for i in range(n):
            texts = [text(f"{i} {side}") for side in ("prompt", "response_a", "response_b")]
            row = dict(zip(("prompt", "response_a", "response_b"), texts, strict=True))
            file.write(json.dumps({"id": f"p{i}", **row}) + "\n")


def text(name: str) -> str:
    seed = derive_seed(name)
    words = [WORDS[(seed >> place) % len(WORDS)] for place in range(30)]
    return f"{name}: {' '.join(words)}"


def run(n: int) -> str:
    """A line with what a run of n comparisons took."""
    with tempfile.TemporaryDirectory() as folder:
        pairs = Path(folder) / "pairs.jsonl"
        write_pairs(pairs, n)
        job = JudgeJob(GroupSource((str(pairs),)), CONSTITUTION, (RoleModel.of(QuickJudge()),))
        began_s = time.monotonic()
        result = asyncio.run(
            run_judging(Path(folder) / "run", job, console=Console(file=io.StringIO()))
        )
        seconds = time.monotonic() - began_s
        size = sum(path.stat().st_size for path in (Path(folder) / "run").iterdir())
    assert result.verdicts.n == n
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return (
        f"{n:>9,} comparisons: peak {peak:,.0f} MB, {n / seconds:,.0f} a second, "
        f"{seconds:,.0f} s, folder {size / 2**20:,.0f} MB\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", type=int, default=list(SIZES), metavar="N")
    sizes: list[int] = parser.parse_args().sizes
    if len(sizes) == 1:
        sys.stdout.write(run(sizes[0]))
        return
    for size in sizes:
        subprocess.run([sys.executable, __file__, str(size)], check=True)


if __name__ == "__main__":
    main()
