"""A report of ten thousand examples is small, and made in memory that does not grow with them."""

import asyncio
import random
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from made_runs import RECIPE, chain, record, revised
from made_verdicts import judge_recipe, judged, principle_verdict

from cai.engine.run_folder import RunFolder
from cai.report.build import write_report
from cai.runs.config import Body, RunConfig

N = 10_000
MOST_BYTES = 5_000_000


def words(rng: random.Random, n: int) -> str:
    return " ".join(f"word{rng.randrange(400)}" for _ in range(n))


def chains(n: int) -> Iterator[Body]:
    rng = random.Random(0)
    for number in range(n):
        response = words(rng, 200)
        better = f"{response[:600]} {words(rng, 80)}"
        yield chain(str(number), response, revised(better), asked=words(rng, 20))


def verdicts(n: int) -> Iterator[Body]:
    rng = random.Random(1)
    for number in range(n):
        texts = (words(rng, 120), words(rng, rng.randrange(60, 240)))
        said = [
            principle_verdict(rng.random(), rng.random(), principle=f"p{each}") for each in range(3)
        ]
        yield judged(str(number), said, rng.choice(("a", "b", None)), texts=texts)


def fill(folder: Path, recipe: RunConfig, bodies: Iterator[Body]) -> Path:
    async def store(run: RunFolder) -> None:
        waiting = [run.store(record(place, body)) for place, body in enumerate(bodies)]
        await asyncio.gather(*waiting)

    with RunFolder.open(folder, recipe.model_dump(mode="json"), {}) as run:
        asyncio.run(store(run))
    return folder


@pytest.mark.slow
def test_ten_thousand_examples_make_a_page_of_less_than_five_megabytes(tmp_path: Path):
    fill(tmp_path / "out" / "revised", RECIPE, chains(N))
    fill(tmp_path / "out" / "judged", judge_recipe("judge"), verdicts(N))
    path = write_report(tmp_path / "out")
    assert path.stat().st_size < MOST_BYTES
    assert "10,000 prompts" in path.read_text("utf-8")


def test_memory_does_not_grow_with_the_texts(tmp_path: Path):
    """Of 450 chains some 1.5 MB are read; what is kept is a few examples and some bytes each."""
    write_report(fill(tmp_path / "warm", RECIPE, chains(50)))
    peaks: list[int] = []
    for n in (150, 450):
        folder = fill(tmp_path / str(n), RECIPE, chains(n))
        tracemalloc.start()
        write_report(folder)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 400_000
