"""What the commands of `cai train` are given in tests: a few rows of any kind, a few steps."""

import json
from collections.abc import Sequence
from pathlib import Path

from cai.export.data_files import Kind

N_ROWS = 12
DEEDS = ("mend", "clean", "paint", "find", "carry", "lift")


def write_rows(path: Path, rows: Sequence[object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def write_data(folder: Path, kind: Kind) -> Path:
    """A file of that kind with twelve rows, each of another prompt."""
    rows: list[object] = []
    for n in range(N_ROWS):
        deed = DEEDS[n % len(DEEDS)]
        asked = {"prompt": f"How do I {deed} lamp {n}?"}
        good, bad = f"First, {deed} it with wool.", "No."
        rows.append(
            {
                "sft": {**asked, "completion": good},
                "kto": {**asked, "completion": good if n % 2 else bad, "label": bool(n % 2)},
                "preference": {
                    **asked,
                    "chosen": good,
                    "rejected": bad,
                    "chosen_probability": 0.6 + n / 40,
                },
                "prompts": asked,
            }[kind]
        )
    return write_rows(folder / f"{kind}.jsonl", rows)


def settings(n_steps: int = 2, **changes: object) -> list[str]:
    """`--set` for a training of so many steps of two rows."""
    chosen: dict[str, object] = {
        "max_steps": n_steps,
        "per_device_train_batch_size": 2,
        "logging_steps": 1,
        "learning_rate": 1e-3,
        "max_length": 64,
        **changes,
    }
    given = {name: value for name, value in chosen.items() if value is not None}
    return [part for name, value in given.items() for part in ("--set", f"{name}={value}")]


def rl_settings(n_steps: int = 2, **changes: object) -> list[str]:
    """The same for groups of four completions of six tokens."""
    return settings(
        n_steps,
        **{
            "max_length": None,
            "per_device_train_batch_size": 4,
            "num_generations": 4,
            "max_completion_length": 6,
            **changes,
        },
    )
