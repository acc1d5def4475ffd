"""axolotl's data sets, loaded as the written configuration says."""

import contextlib
import sys
from pathlib import Path

import yaml
from datasets import load_dataset
from read_rows import arguments, plain, show, split
from transformers import AutoTokenizer

with contextlib.redirect_stdout(sys.stderr):
    from axolotl.utils.dict import DictDefault


def main():
    format, file, folder = arguments()
    path = Path(file)
    settings = yaml.safe_load(path.with_name(f"{path.stem}.axolotl.yaml").read_text())
    data_set = settings["datasets"][0]
    cfg = DictDefault(
        {
            **settings,
            "sequence_len": 512,
            "chat_template": "tokenizer_default",
            "train_on_inputs": False,
        }
    )
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = load_dataset(data_set["ds_type"], data_files=data_set["path"], split=data_set["split"])
    if format in ("sft", "reward"):
        with contextlib.redirect_stdout(sys.stderr):
            strategy = load_strategy(format, tokenizer, cfg, data_set)
        for row in rows:
            found = strategy.tokenize_prompt(dict(row))
            if format == "sft":
                prompt, response = split(tokenizer, found["input_ids"], found["labels"])
                show(prompt=prompt, response=response)
            else:
                whole = {s: plain(tokenizer, found[f"{s}_ids"]) for s in ("chosen", "rejected")}
                show(prompt=whole["chosen"].removesuffix(row["chosen"]), **whole)
    elif format == "prompts":
        for row in rows:
            show(prompt="\n".join(turn["content"] for turn in row["prompt"]))
    else:
        for row in transformed(rows, data_set["type"], cfg, tokenizer, format):
            shown = {"prompt": row["prompt"]}
            if format == "kto":
                show(**shown, response=row["completion"], label=row["label"])
            else:
                show(**shown, chosen=row["chosen"], rejected=row["rejected"])


def load_strategy(format, tokenizer, cfg, data_set):
    if format == "reward":
        from axolotl.prompt_strategies.bradley_terry import load

        name = data_set["type"].partition(".")[2]
        return load(name, tokenizer, cfg, DictDefault(data_set))
    from axolotl.prompt_strategies import load

    return load(data_set["type"], tokenizer, cfg, DictDefault(data_set))


def transformed(rows, type, cfg, tokenizer, format):
    import inspect
    from functools import partial

    from axolotl.prompt_strategies.dpo import load as load_dpo
    from axolotl.prompt_strategies.kto import load as load_kto

    transform = (load_kto if format == "kto" else load_dpo)(type, cfg, dataset_idx=0)
    removed = {}
    if isinstance(transform, tuple):
        transform, removed = transform
    if "tokenizer" in inspect.signature(transform).parameters:
        transform = partial(transform, tokenizer=tokenizer)
    return rows.map(transform, **removed)


main()
