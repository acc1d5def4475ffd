"""Tokens a second and memory of `cai`'s trainings, beside the same TRL trainer without it.

    python benchmarks/training_throughput.py --parameters 0.5e9 --steps 20

The model is a Llama of about that many parameters with random weights, made here; on a GPU it is
trained in bfloat16, on a CPU in float32. Each training is a process of its own; counted is from its
first step to its last, without opening the model and reading the rows. In DPO that holds the
samples by which `cai` watches the policy, at start and end: they weigh much in few steps.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from cai.models.registry import embedded_folder
from cai.training.config import default_fields, fixed_fields, make_config, quiet_libraries
from cai.training.data.load import load_training_data
from cai.training.folder import TrainFolder
from cai.training.plan import TrainPlan
from cai.training.run import train
from cai.training.trainers import TRAINERS
from cai.training.trl import trainer_class

N_ROWS, WORDS = 64, 400


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parameters", type=float, default=0.5e9)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--only", nargs=2, metavar=("TRAINER", "CLIENT"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(run(*options.only, options.folder, options.steps, options.batch)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        n = save_model(folder / "model", options.parameters)
        save_rows(folder)
        device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
        print(f"{n / 1e6:.0f}M parameters, batches of {options.batch}, {device}")
        print("| trainer | client | ms a step | tokens/s | peak memory, GiB |")
        print("|---|---|---|---|---|")
        for trainer in ("sft", "dpo"):
            for client in ("trl", "cai"):
                print(f"| {trainer} | {client} | {line(trainer, client, folder, options)} |")


def line(trainer: str, client: str, folder: Path, options: argparse.Namespace) -> str:
    command = [sys.executable, __file__, "--only", trainer, client, "--folder", str(folder)]
    command += ["--steps", str(options.steps), "--batch", str(options.batch)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    found = json.loads(done.stdout.splitlines()[-1])
    return f"{1e3 * found['step_s']:.0f} | {found['tokens_s']:,.0f} | {found['gib']:.2f}"


def run(trainer: str, client: str, folder: Path, steps: int, batch: int) -> dict[str, float]:
    """Seconds a step, tokens a second and the peak of memory."""
    settings = {
        "max_steps": steps,
        "per_device_train_batch_size": batch,
        "save_strategy": "no",
        "max_length": None,
        "logging_steps": steps,
    }
    out = folder / f"{trainer}-{client}"
    if client == "cai":
        kind = "sft" if trainer == "sft" else "preference"
        data = load_training_data(str(folder / f"{kind}.jsonl"), kind, eval_share=0)
        plan = TrainPlan(f"hf:{folder / 'model'}", out, settings, rules=())
        figures = train(trainer, data, plan, Console(quiet=True)).figures
        seconds = float(str(figures["seconds"]))
    else:
        seconds = plain(trainer, folder, out, settings)
    has_gpu = torch.cuda.is_available()
    peak = torch.cuda.max_memory_allocated() / 2**30 if has_gpu else resident_gib()
    n_tokens = (1 if trainer == "sft" else 2) * batch * WORDS * steps
    return {"step_s": seconds / steps, "tokens_s": n_tokens / seconds, "gib": peak}


def plain(trainer: str, folder: Path, out: Path, settings: dict[str, Any]) -> float:
    """Seconds that TRL's trainer takes by itself, with the same settings."""
    from datasets import load_dataset

    place = TrainFolder(out)
    kind = "sft" if trainer == "sft" else "preference"
    defaults = default_fields()
    if trainer == "dpo":
        defaults["precompute_ref_log_probs"] = True
    fixed = {**fixed_fields(place, 0, ()), "report_to": "none"}
    with quiet_libraries(place):
        rows = load_dataset("json", data_files=str(folder / f"{kind}.jsonl"), split="train")
        made = trainer_class(TRAINERS[trainer])(
            LlamaForCausalLM.from_pretrained(folder / "model"),
            args=make_config(TRAINERS[trainer], settings, fixed, defaults),
            train_dataset=rows.remove_columns(["id"]),
            processing_class=AutoTokenizer.from_pretrained(folder / "model"),
        )
        began = time.monotonic()
        made.train()
        return time.monotonic() - began


def save_model(folder: Path, parameters: float) -> int:
    """A Llama of 24 layers with the embedded model's tokenizer; returns its parameters."""
    width = max(64, round((parameters / 12 / 24) ** 0.5 / 64) * 64)
    config = LlamaConfig(
        vocab_size=2048,
        hidden_size=width,
        intermediate_size=width * 8 // 3 // 64 * 64,
        num_hidden_layers=24,
        num_attention_heads=width // 64,
        max_position_embeddings=2048,
        eos_token_id=1,
        pad_token_id=0,
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(config)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(embedded_folder()).save_pretrained(folder)
    return sum(each.numel() for each in model.parameters())


def save_rows(folder: Path) -> None:
    """Prompts and responses of one length."""

    def turns(role: str, text: str) -> list[dict[str, str]]:
        return [{"role": role, "content": text}]

    good, bad = " ".join(["lamp"] * WORDS), " ".join(["gate"] * WORDS)
    rows: dict[str, list[dict[str, object]]] = {"sft": [], "preference": []}
    for n in range(N_ROWS):
        asked = {"id": str(n), "prompt": turns("user", f"Request {n}?")}
        best = turns("assistant", f"{good} {n}")
        rows["sft"].append({**asked, "completion": best})
        other = turns("assistant", f"{bad} {n}")
        probability = 0.5 + 0.5 * (n + 1) / N_ROWS
        pair = {"chosen": best, "rejected": other, "chosen_probability": probability}
        rows["preference"].append({**asked, **pair})
    for name, found in rows.items():
        text = "".join(json.dumps(row) + "\n" for row in found)
        (folder / f"{name}.jsonl").write_text(text)


def resident_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    main()
