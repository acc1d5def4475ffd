"""A run of two calls an example on a slow model, which notes what it was asked: to be killed."""

import asyncio
import json
import os
import sys
from pathlib import Path

from cai.engine.calls import Answer, Call, CallNext, wrap_model
from cai.engine.journal import journaled
from cai.engine.run_folder import Record, RunFolder
from cai.engine.stream import AtMost, stream
from cai.models.base import Sampling
from cai.models.scripted import ScriptedModel
from cai.types import Message, derive_seed


async def main(path: Path, log: Path, n_examples: int) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(event: str, text: str) -> None:
        os.write(descriptor, f"{event} {text}\n".encode())

    async def slowly(call: Call, ask: CallNext) -> Answer:
        note("asked", call.messages[0].content)
        await asyncio.sleep(0.01 + derive_seed(call.messages[0].content) % 20 / 1000)
        return await ask()

    slow = wrap_model(ScriptedModel(lambda messages, _: messages[0].content.upper()), slowly)

    with RunFolder.open(path, {"n": n_examples}, {}) as run:
        model = journaled(slow, run.journal)

        async def work(number: int) -> str:
            texts: list[str] = []
            for step in ("respond", "revise"):
                asked = f"{step}-{number}"
                completion = await model.complete((Message("user", asked),), Sampling(seed=number))
                note("answered", asked)
                texts.append(completion.text)
            return json.dumps(texts)

        to_do = (number for number in range(n_examples) if run.to_do(str(number)))
        async for number, body in stream(to_do, work, AtMost(8)):
            assert isinstance(body, str)
            await run.store(Record(number, str(number), body))


asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
