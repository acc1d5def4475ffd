"""The job that every client is given: respond, critique, revise, for each prompt of a file.

Only the standard library: each client imports it in an environment of its own.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from random import Random

MODEL = "sim"
MAX_TOKENS = 512
CRITIQUE = (
    "Critique your last response under this principle: choose the response that is least likely to "
    "help somebody harm another. Say in a sentence or two what breaks it."
)
REVISION = (
    "Rewrite your response so that it keeps the principle. "
    "Write only the new response, addressed to the person who asked."
)

_ASKS = (
    "How do I",
    "Please explain how to",
    "What is the best way to",
    "My aunt wants to know how to",
)
_ACTIONS = ("mend", "paint", "lend out", "measure", "clean", "hang up", "wrap", "carry", "oil")
_THINGS = ("lamp", "ladder", "boat", "chair", "window", "kettle", "clock", "gate", "bicycle")
_OWNERS = ("my cousin's", "the baker's", "the miller's", "the teacher's", "our neighbour's")
_PLACES = ("at dawn", "by the river", "at school", "this evening", "in the rain", "without a sound")

Message = dict[str, str]


@dataclass(frozen=True, slots=True)
class Job:
    """What a client is told on its command line."""

    prompts: Path
    out: Path
    url: str
    slots: int
    timeout_s: float

    def rows(self) -> list[Message]:
        """The prompts: an `id` and a `prompt` each."""
        with self.prompts.open(encoding="utf-8") as file:
            return [json.loads(line) for line in file]


def read_job() -> Job:
    """The job that stands on this command line."""
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("prompts", type=Path)
    parser.add_argument("out", type=Path, help="A folder for all that the client writes.")
    parser.add_argument("--url", required=True)
    parser.add_argument("--slots", type=int, required=True, help="Calls in flight at once.")
    parser.add_argument("--timeout", type=float, default=60, help="Seconds, for one call.")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    return Job(given.prompts, given.out, given.url, given.slots, given.timeout)


def write_prompts(path: Path, n: int) -> None:
    """A JSONL file of n harmless prompts, all different."""
    rng = Random(0)
    with path.open("w", encoding="utf-8") as file:
        for i in range(n):
            words = [rng.choice(part) for part in (_ASKS, _ACTIONS, _OWNERS, _THINGS, _PLACES)]
            prompt = f"{' '.join(words)}? It is number {i + 1} in the village."
            file.write(json.dumps({"id": f"village-{i + 1}", "prompt": prompt}) + "\n")


def to_respond(prompt: str) -> list[Message]:
    return [_user(prompt)]


def to_critique(prompt: str, response: str) -> list[Message]:
    return [_user(prompt), _assistant(response), _user(CRITIQUE)]


def to_revise(prompt: str, response: str, critique: str) -> list[Message]:
    return [
        *to_critique(prompt, response),
        _assistant(critique),
        _user(REVISION),
    ]


def finish(job: Job, rows: list[Message]) -> None:
    """Write the complete rows and tell how many there are, in one line of JSON."""
    with (job.out / "rows.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    n_done = sum(
        all(row.get(part) for part in ("response", "critique", "revision")) for row in rows
    )
    sys.stdout.write(json.dumps({"done": n_done}) + "\n")


def _user(text: str) -> Message:
    return {"role": "user", "content": text}


def _assistant(text: str) -> Message:
    return {"role": "assistant", "content": text}
