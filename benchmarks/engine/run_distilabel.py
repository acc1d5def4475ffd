"""The same job on distilabel: a pipeline of three tasks over an OpenAI-compatible server.

A task asks for one batch at a time and waits for its last answer, while the other tasks work on the
batches before it. Of batches of 32 to 256 rows and one or two replicas of each task, two replicas
with 128 rows kept 64 slots busiest on two processors. It caches in the output folder.
"""

from typing import Any

from distilabel.models import OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.steps import LoadDataFromDicts, StepResources
from distilabel.steps.tasks import Task
from job import MAX_TOKENS, MODEL, Job, finish, read_job, to_critique, to_respond, to_revise

Row = dict[str, Any]
_BATCH = 128
_PARTS = {"respond": "response", "critique": "critique", "revise": "revision"}


class Turn(Task):
    """One call; what it reads and writes follows from the name of the step."""

    @property
    def inputs(self) -> list[str]:
        columns = ["prompt", "response", "critique"]
        return columns[: 1 + list(_PARTS).index(self.name)]

    @property
    def outputs(self) -> list[str]:
        return [_PARTS[self.name], "model_name"]

    def format_input(self, input: Row) -> list[Row]:
        if self.name == "respond":
            return to_respond(input["prompt"])
        if self.name == "critique":
            return to_critique(input["prompt"], input["response"])
        return to_revise(input["prompt"], input["response"], input["critique"])

    def format_output(self, output: str | None, input: Row | None = None) -> Row:
        return {_PARTS[self.name]: output}


def _run(job: Job) -> None:
    def turn(name: str) -> Turn:
        llm = OpenAILLM(
            model=MODEL,
            base_url=job.url,
            api_key="none",
            timeout=int(job.timeout_s),
            generation_kwargs={"max_new_tokens": MAX_TOKENS},
        )
        twice = StepResources(replicas=2)
        return Turn(name=name, llm=llm, input_batch_size=_BATCH, resources=twice)

    with Pipeline(name="revision", cache_dir=str(job.out)) as pipeline:
        load = LoadDataFromDicts(data=job.rows(), batch_size=_BATCH)
        load >> turn("respond") >> turn("critique") >> turn("revise")
    rows = pipeline.run(use_cache=True)["default"]["train"]
    finish(job, rows.to_list())


if __name__ == "__main__":
    _run(read_job())
