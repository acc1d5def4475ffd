"""Journals in which a bit or a page has changed: every answer and record is right, or refused.

The journal is then repaired: what is saved must be what was there.
"""

import asyncio
import json
import random
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from harness import Attempt, Silent

from cai.engine.database import JOURNAL_FILE
from cai.engine.journal import journaled
from cai.engine.recovery import salvage
from cai.engine.run_files import Record
from cai.engine.run_folder import RunFolder
from cai.errors import CaiError
from cai.models.base import Sampling
from cai.models.scripted import ScriptedModel
from cai.types import Message

N_EXAMPLES = 60
CONFIG = {"n": N_EXAMPLES}


def answer_to(number: int) -> str:
    return f"lamp {number}, so they told me by the gate. " * 10


def make_run(folder: Path) -> None:
    """A finished run with an answer and a record for each example."""

    async def work(run: RunFolder) -> None:
        model = journaled(ScriptedModel([answer_to(n) for n in range(N_EXAMPLES)]), run.journal)
        for number in range(N_EXAMPLES):
            answer = await model.complete((Message("user", str(number)),), Sampling(seed=number))
            await run.store(Record(number, str(number), json.dumps(answer.text)))

    with RunFolder.open(folder, CONFIG, {}) as run:
        asyncio.run(work(run))


@contextmanager
def attempts(folder: Path) -> Generator[Attempt]:
    make_run(folder / "whole")
    size = (folder / "whole" / JOURNAL_FILE).stat().st_size

    def attempt(chance: random.Random, number: int) -> str:
        changed = folder / "changed"
        shutil.rmtree(changed, ignore_errors=True)
        shutil.copytree(folder / "whole", changed)
        with (changed / JOURNAL_FILE).open("r+b") as file:
            # every other time on the first page, with the header and the schema
            place = chance.randrange(4096 if number % 2 else size)
            file.seek(place)
            byte = file.read(1)[0]
            file.seek(place)
            file.write(bytes([byte ^ 1 << chance.randrange(8)]))
        try:
            _read(changed)
        except CaiError:
            saved = salvage(changed)
            _read(changed)
            return f"repaired{'' if saved.n_calls == N_EXAMPLES else ' in part'}"
        return "unchanged in content"

    yield attempt


def _read(folder: Path) -> None:
    with RunFolder.open(folder, CONFIG, {}) as run:
        for record in run.records():
            if json.loads(record.body) != answer_to(int(record.id)):
                raise Silent(f"record {record.id} is {record.body[:80]}")
        model = journaled(ScriptedModel(lambda *_: "asked again"), run.journal)

        async def ask() -> None:
            for number in range(N_EXAMPLES):
                asked = (Message("user", str(number)),)
                answer = (await model.complete(asked, Sampling(seed=number))).text
                if answer not in (answer_to(number), "asked again"):
                    raise Silent(f"the answer {number} is {answer[:80]}")

        asyncio.run(ask())
