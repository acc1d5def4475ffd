"""LLaMA-Factory's `get_dataset`, with the written `dataset_info.json` and settings."""

import contextlib
import os
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import yaml
from read_rows import arguments, plain, show, split

# Ours is a later transformers than it was tried with, which its data sets do not notice.
os.environ["DISABLE_VERSION_CHECK"] = "1"
# It imports it for sound, which no row has.
sys.modules["torchaudio"] = ModuleType("torchaudio")
sys.modules["torchaudio"].__spec__ = ModuleSpec("torchaudio", None)

from llamafactory.data import get_dataset, get_template_and_fix_tokenizer  # noqa: E402
from llamafactory.hparams import get_train_args  # noqa: E402
from llamafactory.model import load_tokenizer  # noqa: E402


def main():
    _format, file, folder = arguments()
    path = Path(file)
    settings = yaml.safe_load(path.with_name(f"{path.stem}.llamafactory.yaml").read_text())
    stage = settings["stage"]
    more = {
        "model_name_or_path": folder,
        "template": "default",
        "output_dir": str(path.parent / "out"),
        "cutoff_len": 512,
        "overwrite_cache": True,
        "do_train": True,
        "finetuning_type": "full",
        "use_cpu": True,
    }
    if stage == "ppo":
        more["reward_model"] = folder
        more["finetuning_type"] = "lora"
    with contextlib.redirect_stdout(sys.stderr):
        model_args, data_args, training_args, _finetuning_args, _ = get_train_args(
            {**settings, **more}
        )
        loaded = load_tokenizer(model_args)
        tokenizer = loaded["tokenizer"]
        template = get_template_and_fix_tokenizer(tokenizer, data_args)
        stage_name = "rm" if stage in ("dpo", "rm") else stage
        rows = get_dataset(
            template, model_args, data_args, training_args, stage=stage_name, **loaded
        )
    for row in rows["train_dataset"]:
        if stage_name == "rm":
            prompt, chosen = split(tokenizer, row["chosen_input_ids"], row["chosen_labels"])
            _, rejected = split(tokenizer, row["rejected_input_ids"], row["rejected_labels"])
            show(prompt=prompt, chosen=chosen, rejected=rejected)
        elif stage == "ppo":
            show(prompt=plain(tokenizer, row["input_ids"]))
        else:
            prompt, response = split(tokenizer, row["input_ids"], row["labels"])
            label = {"label": row["kto_tags"]} if stage == "kto" else {}
            show(prompt=prompt, response=response, **label)


main()
