"""Run by two processes at once: a monitored GRPO and DPO run, and what each process saw."""

import json
import sys
import warnings
from pathlib import Path

warnings.simplefilter("ignore")

import torch  # noqa: E402
from test_dpo import trainer_of, watched  # noqa: E402
from test_grpo import watched_run  # noqa: E402
from transformers import AutoModelForCausalLM  # noqa: E402

from cai.training.monitor.monitor import parse_rule  # noqa: E402


def main(model: Path, folder: Path) -> None:
    torch.set_num_threads(1)
    rules = [parse_rule("tokens > 1 for 3 then stop")]
    trainer, monitor = watched_run(model, folder / "grpo", rules=rules, max_steps=6)
    rank = trainer.args.process_index
    seen = {"step": trainer.state.global_step, "history": monitor.history}
    (folder / f"grpo-{rank}.json").write_text(json.dumps(seen), "utf-8")
    trainer = trainer_of(
        AutoModelForCausalLM.from_pretrained(model), folder / "dpo", model, max_steps=8
    )
    monitor = watched(
        trainer, folder / "dpo", [parse_rule("kl > 0.5 then stop")], has_reference=True
    )
    seen = {"step": trainer.state.global_step, "history": monitor.history}
    (folder / f"dpo-{rank}.json").write_text(json.dumps(seen), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
