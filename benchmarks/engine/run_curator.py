"""The same job on curator (bespokelabs-curator): three LLMs, each over the data set of the last.

As its documentation has it for an OpenAI-compatible server: backend `openai` with a `base_url`,
and limits per minute raised so far that only `max_concurrent_requests` counts. It resumes from its
working folder.
"""

from typing import Any

from bespokelabs import curator
from datasets import Dataset
from job import MAX_TOKENS, MODEL, Job, finish, read_job, to_critique, to_respond, to_revise

Row = dict[str, Any]


class Respond(curator.LLM):
    def prompt(self, input: Row) -> list[Row]:
        return to_respond(input["prompt"])

    def parse(self, input: Row, response: str) -> Row:
        return {**input, "response": response}


class Critique(curator.LLM):
    def prompt(self, input: Row) -> list[Row]:
        return to_critique(input["prompt"], input["response"])

    def parse(self, input: Row, response: str) -> Row:
        return {**input, "critique": response}


class Revise(curator.LLM):
    def prompt(self, input: Row) -> list[Row]:
        return to_revise(input["prompt"], input["response"], input["critique"])

    def parse(self, input: Row, response: str) -> Row:
        return {**input, "revision": response}


def _run(job: Job) -> None:
    settings: Row = {
        "model_name": MODEL,
        "backend": "openai",
        "generation_params": {"max_tokens": MAX_TOKENS},
        "backend_params": {
            "base_url": job.url,
            "max_requests_per_minute": 1_000_000,
            "max_tokens_per_minute": 1_000_000_000,
            "max_concurrent_requests": job.slots,
            "request_timeout": int(job.timeout_s),
            "require_all_responses": False,
        },
    }
    rows = Dataset.from_list(job.rows())
    for step in (Respond, Critique, Revise):
        rows = step(**settings)(rows, working_dir=str(job.out / step.__name__)).dataset
    finish(job, rows.to_list())


if __name__ == "__main__":
    _run(read_job())
