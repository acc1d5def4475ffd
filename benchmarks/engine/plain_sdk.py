"""The script that one writes on a free afternoon: asyncio, the official SDK, and a semaphore."""

import asyncio

import openai
from job import (
    MAX_TOKENS,
    MODEL,
    Job,
    Message,
    finish,
    read_job,
    to_critique,
    to_respond,
    to_revise,
)


async def _run(job: Job) -> None:
    client = openai.AsyncOpenAI(base_url=job.url, api_key="none", timeout=job.timeout_s)
    semaphore = asyncio.Semaphore(job.slots)

    async def call(messages: list[Message]) -> str:
        answer = await client.chat.completions.create(
            model=MODEL, messages=messages, max_tokens=MAX_TOKENS
        )
        return answer.choices[0].message.content or ""

    async def chain(row: Message) -> Message:
        prompt = row["prompt"]
        async with semaphore:
            response = await call(to_respond(prompt))
            critique = await call(to_critique(prompt, response))
            revision = await call(to_revise(prompt, response, critique))
        return {**row, "response": response, "critique": critique, "revision": revision}

    results = await asyncio.gather(*map(chain, job.rows()), return_exceptions=True)
    finish(job, [row for row in results if not isinstance(row, BaseException)])


if __name__ == "__main__":
    asyncio.run(_run(read_job()))
