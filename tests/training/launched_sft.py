"""What several processes run in the tests of launching: a command that trains two steps, or fails.

Run as `python -m launched_sft DO FOLDER [MODEL]`, the way a launch runs `cai`.
"""

import json
import sys
import time
import warnings
from pathlib import Path

from cai.errors import TrainingError
from cai.training.environment import hand_over, is_launched, is_main_process, rank


def train(folder: Path, model: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from datasets import Dataset
        from trl import SFTTrainer

        from cai.training.config import make_config
        from cai.training.trainers import TRAINERS

        rows = [
            {"prompt": f"Part {n}?", "completion": f" It is lamp {n * 7} of the row."}
            for n in range(8)
        ]
        fixed = {"output_dir": str(folder / "out"), "report_to": "none"}
        block = {"max_steps": 2, "per_device_train_batch_size": 2, "learning_rate": 1e-2}
        defaults = {"save_strategy": "no", "logging_steps": 1, "disable_tqdm": True}
        trainer = SFTTrainer(
            model,
            make_config(TRAINERS["sft"], block, fixed, defaults),
            train_dataset=Dataset.from_list(rows),
        )
        trainer.train()
    weights = sum(float(value.detach().double().sum()) for value in trainer.model.parameters())
    told = {
        "world": trainer.accelerator.num_processes,
        "distributed": trainer.accelerator.distributed_type.value,
        "device": trainer.accelerator.device.type,
        "steps": trainer.state.global_step,
        "losses": [entry["loss"] for entry in trainer.state.log_history if "loss" in entry],
        "weights": weights,
        "is_main": is_main_process(),
        "is_launched": is_launched(),
    }
    (folder / f"rank{rank()}.json").write_text(json.dumps(told))


def wait(folder: Path) -> int:
    (folder / f"waits{rank()}").touch()
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        (folder / f"interrupted{rank()}").touch()
        return 130
    return 0


def main(do: str, folder: Path, *rest: str) -> int:
    if do == "train":
        train(folder, *rest)
    elif do == "wait":
        return wait(folder)
    elif do == "crash":
        raise RuntimeError("a crash")
    elif do == "fail":
        assert hand_over(str(TrainingError("rows.jsonl:3: no prompt.")))
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:]))
