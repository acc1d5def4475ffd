"""The folder of a training: the model, the request it was made from, and its figures.

model.safetensors, config.json …   the trained model, as `hf:FOLDER` opens it (or an adapter)
README.md                          its card
training.yaml                      the request: the same one resumes, another is refused
training.json                      the figures, once it is done
checkpoints/                       to continue from, with --resume; the log of the trainer
logs/                              TensorBoard
watch.jsonl                        what the policy's texts looked like, step by step
judging/                           the journal of the judges of GRPO and RLOO

Example:
    folder = TrainFolder.begin(Path("models/dpo"), {"trainer": "dpo", "seed": 0}, resumes=False)
    folder.figures()  # None until `finish`
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import yaml

from cai.atomic_write import atomic_write, part_path
from cai.constitution.yaml import read_plain
from cai.errors import ConstitutionError, TrainingError
from cai.training.environment import rank

CONFIG_FILE, DONE = "training.yaml", "training.json"
STATE = "trainer_state.json"  # of transformers, with all that was logged


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
        """The journal's folder; of several processes each has its own, as one writes a run."""
        number = rank()
        return self.path / (f"judging-{number}" if number else "judging")

    @classmethod
    def begin(cls, path: Path, config: Mapping[str, object], *, resumes: bool) -> "TrainFolder":
        """The folder for that training: new, or one of the same training, to be resumed.

        A folder with another configuration, but without a single step, counts as new.

        Raises:
            TrainingError: It holds something else, or a training that is not to be resumed.
        """
        folder = cls(path)
        # a training that was stopped while it wrote its configuration has left that file alone
        first_files = {CONFIG_FILE, part_path(path / CONFIG_FILE).name}
        is_new = not path.exists() or (
            path.is_dir() and {each.name for each in path.iterdir()} <= first_files
        )
        if is_new:
            text = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)
            atomic_write(path / CONFIG_FILE, text, TrainingError, "Name another folder.")
            return folder
        before = folder.config()
        if before is None:
            raise TrainingError(
                f"{path}: is not empty, and not the folder of a training. Name another with --out."
            )
        # as it would be read from the file: tuples there are lists
        now = cast(dict[str, object], read_plain(yaml.safe_dump(dict(config)), CONFIG_FILE))
        changed = [
            f"{name} was {before.get(name)!r} and is {now.get(name)!r}"
            for name in dict.fromkeys([*before, *now])
            if before.get(name) != now.get(name)
        ]
        if changed:
            raise TrainingError(
                f"{path}: is of a training with other settings: {'; '.join(changed[:3])}. Give "
                "the same ones, or name another folder with --out."
            )
        if not resumes and folder.figures() is None:
            raise TrainingError(
                f"{path}: holds a training that was not finished. Continue with --resume, or name "
                "another folder with --out."
            )
        return folder

    def config(self) -> dict[str, object] | None:
        """What the training was started with; None where the folder is not of a training."""
        try:
            config = read_plain((self.path / CONFIG_FILE).read_bytes(), CONFIG_FILE)
        except (OSError, ConstitutionError):
            return None
        return cast(dict[str, object], config) if isinstance(config, dict) else None

    def figures(self) -> dict[str, object] | None:
        """The figures of a finished training; None before."""
        try:
            return cast(dict[str, object], json.loads((self.path / DONE).read_text("utf-8")))
        except (OSError, ValueError):
            return None

    def last_checkpoint(self) -> Path | None:
        """The newest whole checkpoint; TRL writes `trainer_state.json` last."""
        whole = [path for path in self.checkpoints.glob("checkpoint-*") if (path / STATE).is_file()]
        # by number: as text, checkpoint-1000 sorts before checkpoint-200
        return max(whole, key=lambda path: int(path.name.rpartition("-")[2]), default=None)

    def log_history(self) -> list[dict[str, object]]:
        """What the trainer logged: of a finished training all, else up to the last checkpoint."""
        last = self.last_checkpoint()
        # a finished training has its state beside its checkpoints, of which none may be left
        for folder in (self.checkpoints, *([] if last is None else [last])):
            try:
                state = json.loads((folder / STATE).read_text("utf-8"))
                return cast(list[dict[str, object]], state["log_history"])
            except (OSError, ValueError, KeyError):  # not there, or cut off
                continue
        return []

    def finish(self, figures: Mapping[str, object]) -> None:
        """Writes the figures, which say that the training is done."""
        text = json.dumps(figures, indent=2, ensure_ascii=False) + "\n"
        atomic_write(self.path / DONE, text, TrainingError, "Free space, and run it again.")
