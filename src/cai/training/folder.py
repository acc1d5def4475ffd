"""The folder of a training: the model in front, and beside it what it was made of and how it went.

model.safetensors, config.json …   the trained model, as `hf:FOLDER` opens it (or an adapter)
README.md                          its card
training.yaml                      what was asked: the same command goes on, another is refused
training.json                      the figures, once it is done
checkpoints/                       to go on from, with --resume
logs/                              TensorBoard
watch.jsonl                        what the policy's texts looked like, step by step
judging/                           the journal of judges asked during the training
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import yaml

from cai.atomic_write import atomic_write, part_path
from cai.errors import TrainingError
from cai.training.environment import rank

ASKED, DONE = "training.yaml", "training.json"


@dataclass(frozen=True, slots=True)
class TrainFolder:
    """The folder of one training."""

    path: Path

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def judging(self) -> Path:
        """Of several processes each has a journal of its own: one process writes a run."""
        number = rank()
        return self.path / (f"judging-{number}" if number else "judging")

    @classmethod
    def begin(cls, path: Path, asked: Mapping[str, object], *, resumes: bool) -> "TrainFolder":
        """The folder for that training: new, or one of the very same training that goes on.

        Where another one was asked for and nothing came of it, not a step, the folder is as new.

        Raises:
            TrainingError: It holds something else, or a training and nobody said to go on.
        """
        folder = cls(path)
        if folder._is_new():
            folder._write(asked)
            return folder
        before = folder.asked()
        if before is None:
            raise TrainingError(
                f"{path}: is not empty, and no folder of a training. Name another with --out."
            )
        changed = _changes(before, asked)
        if changed:
            raise TrainingError(
                f"{path}: is of a training with other settings: {'; '.join(changed[:3])}. Ask for "
                "the same, or name another folder with --out."
            )
        if not resumes and folder.figures() is None:
            raise TrainingError(
                f"{path}: holds a training that was not finished. Go on with --resume, or name "
                "another folder with --out."
            )
        return folder

    def _is_new(self) -> bool:
        """Whether nothing is there, or no more than what was asked for."""
        if not self.path.is_dir():
            return not self.path.exists()
        return {each.name for each in self.path.iterdir()} <= {
            ASKED,
            part_path(self.path / ASKED).name,
        }

    def asked(self) -> dict[str, object] | None:
        """What the training was asked for; None where the folder is of none."""
        try:
            found = yaml.safe_load((self.path / ASKED).read_text("utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError):
            return None
        return cast(dict[str, object], found) if isinstance(found, dict) else None

    def figures(self) -> dict[str, object] | None:
        """The figures of a finished training; None before."""
        try:
            found = json.loads((self.path / DONE).read_text("utf-8"))
        except (OSError, ValueError):
            return None
        return cast(dict[str, object], found)

    def last_checkpoint(self) -> Path | None:
        """The newest whole checkpoint; TRL writes `trainer_state.json` last."""
        found = [
            path
            for path in self.checkpoints.glob("checkpoint-*")
            if (path / "trainer_state.json").is_file()
        ]
        return max(found, key=lambda path: int(path.name.rpartition("-")[2]), default=None)

    def finish(self, figures: Mapping[str, object]) -> None:
        """Writes the figures, which say that the training is done."""
        text = json.dumps(figures, indent=2, ensure_ascii=False) + "\n"
        atomic_write(self.path / DONE, text, TrainingError, "Free space, and run it again.")

    def _write(self, asked: Mapping[str, object]) -> None:
        text = yaml.safe_dump(dict(asked), sort_keys=False, allow_unicode=True)
        atomic_write(self.path / ASKED, text, TrainingError, "Name another folder.")


def _changes(before: Mapping[str, object], asked: Mapping[str, object]) -> list[str]:
    names = dict.fromkeys([*before, *asked])
    plain = cast(dict[str, object], yaml.safe_load(yaml.safe_dump(dict(asked))))
    return [
        f"{name} was {before.get(name)!r} and is {plain.get(name)!r}"
        for name in names
        if before.get(name) != plain.get(name)
    ]
