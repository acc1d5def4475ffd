"""Requests per second of `cai serve`: `python benchmarks/serving.py [CONCURRENT]`

The reward model has the embedded model's body and a random head: the work is that of a trained one.
No two responses are equal, so that no answer comes from the journal.
"""

import asyncio
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import click
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from cai.constitution.loader import load_constitution
from cai.models.registry import embedded_folder

N = 512
SERVE = (sys.executable, "-c", "from cai.cli.main import main; main()", "serve", "--port", "0")


@contextmanager
def served(*options: str) -> Generator[str]:
    with subprocess.Popen([*SERVE, *options], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            yield next(
                found.group(1)
                for line in process.stderr
                if (found := re.search(r"at (http://\S+);", line))
            )
        finally:
            process.terminate()


async def seconds(url: str, concurrent: int, run: int) -> float:
    """How long N requests of one item take with that many in flight."""
    slots = asyncio.Semaphore(concurrent)

    async def one(client: aiohttp.ClientSession, number: int) -> None:
        response = f"First, put the lamp on stone {number} of {run}. Then drop the lamp."
        item = {"prompt": "How do I break the baker's lamp at dawn?", "response": response}
        async with slots, client.post(f"{url}/score", json={"items": [item]}) as answer:
            (score,) = (await answer.json())["scores"]
            assert score["outcome"] == "scored", score

    connector = aiohttp.TCPConnector(limit=concurrent)
    async with aiohttp.ClientSession(connector=connector) as client:
        await one(client, -1)
        began = time.perf_counter()
        await asyncio.gather(*(one(client, number) for number in range(N)))
        return time.perf_counter() - began


def reward_model(folder: Path) -> Path:
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(embedded_folder())
    model = AutoModelForSequenceClassification.from_pretrained(
        embedded_folder(), num_labels=1, pad_token_id=tokenizer.pad_token_id
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def main() -> None:
    concurrent = int(sys.argv[1]) if len(sys.argv) > 1 else 64
    with tempfile.TemporaryDirectory() as folder:
        sources = {
            "reward model": ("--reward-model", str(reward_model(Path(folder)))),
            f"judge, {len(load_constitution('testbed').principles)} principles": (
                "-m",
                "embedded",
                "-c",
                "testbed",
                "--kind",
                "check",
            ),
        }
        click.echo(f"| source | one by one, a second | {concurrent} at once, a second | ratio |")
        click.echo("|---|---|---|---|")
        for name, options in sources.items():
            with served(*options) as url:
                alone = N / asyncio.run(seconds(url, 1, 1))
                together = N / asyncio.run(seconds(url, concurrent, 2))
            click.echo(f"| {name} | {alone:.0f} | {together:.0f} | {together / alone:.1f} |")


if __name__ == "__main__":
    main()
