"""Small series of rounds on the embedded model, for tests of the controller and of its rules."""

import asyncio
import copy
import io
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from cai.evaluation.stats.bootstrap import Estimate
from cai.rounds.config import load_rounds
from cai.rounds.controller import run_rounds_async
from cai.rounds.state import Decision, Series
from cai.runs.options import RunOptions
from cai.testbed.chain import write_prompts
from cai.testbed.feedback import write_pairs

SETTINGS = {"per_device_train_batch_size": 4, "save_strategy": "no", "max_steps": 1}
SMALL: dict[str, Any] = {
    "cai": 1,
    "name": "small",
    "rounds": 2,
    "start": "embedded",
    "prompts": ["requests.jsonl"],
    "per_round": 6,
    "round": {
        "constitution": "testbed",
        "models": {"judge": "start"},
        "sample": {"k": 2, "max_tokens": 48},
        "judge": {"tags": ["general"]},
        "train": [{"dpo": {"settings": SETTINGS, "eval_share": 0.0}}],
    },
    "anchors": {
        "prompts": ["harmful=harmful.jsonl", "benign=benign.jsonl"],
        "people": ["people.jsonl"],
        "tags": ["general"],
        "max_tokens": 48,
        "limit": 8,
        "divergence_prompts": 4,
    },
    "rules": [],
}


def write_series(folder: Path, **changes: Any) -> Path:
    """The recipe with the files that it names; `anchors` and `round` are changed field by field."""
    folder.mkdir(parents=True, exist_ok=True)
    recipe = copy.deepcopy(SMALL)
    for name, value in changes.items():
        if name in ("anchors", "round"):
            recipe[name] |= value
        else:
            recipe[name] = value
    n = recipe["rounds"] * recipe["per_round"]
    write_prompts(folder / "requests.jsonl", n, 0)
    limit = recipe["anchors"]["limit"]
    write_prompts(folder / "harmful.jsonl", limit, 1, is_held_out=True, is_harmful=True)
    write_prompts(folder / "benign.jsonl", limit, 1, is_held_out=True, is_harmful=False)
    write_pairs(folder / "people.jsonl", limit, 1)
    path = folder / "series.yaml"
    path.write_text(yaml.safe_dump(recipe), "utf-8")
    return path


def run_series(path: Path, out: Path, answer: Decision | None = None) -> Series:
    """The series, done in this process."""
    console = Console(file=io.StringIO())
    return asyncio.run(
        run_rounds_async(load_rounds(path), out, RunOptions(), answer=answer, console=console)
    )


def told(series: Series) -> list[dict[str, object]]:
    """What every round found, without where it lies and how long it took.

    Batches differ by when they were filled, and with them the last digits of a probability.
    """
    return [
        {
            "figures": {name: _rounded(each) for name, each in found.figures.items()},
            "adherence": {name: _rounded(each) for name, each in found.adherence.items()},
            "missing": set(found.missing),
            "decision": found.decision,
            "parents": (found.parent, found.from_round),
        }
        for found in series.rounds
    ]


def _rounded(found: Estimate) -> tuple[float | None, ...]:
    ends = (found.value, found.low, found.high)
    return tuple(None if each is None else round(each, 3) + 0.0 for each in ends)
