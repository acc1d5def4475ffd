"""OpenRLHF's data sets, with the flags that were written beside the rows."""

from pathlib import Path
from types import SimpleNamespace

from datasets import load_dataset
from read_rows import arguments, plain, show
from transformers import AutoTokenizer


def flags_of(file):
    """The values of `--data.…` in the written flags."""
    path = Path(file)
    words = path.with_name(f"{path.stem}.openrlhf.args").read_text().split()
    values = {}
    for place, word in enumerate(words):
        if word.startswith("--data."):
            value = words[place + 1] if place + 1 < len(words) else "--"
            values[word.removeprefix("--data.")] = True if value.startswith("--") else value
    return values


def main():
    format, file, folder = arguments()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    strategy = SimpleNamespace(
        args=SimpleNamespace(data=SimpleNamespace(**flags_of(file))), is_rank_0=lambda: True
    )
    rows = load_dataset("json", data_files=file, split="train")
    if format == "sft":
        from openrlhf.datasets import SFTDataset

        data = SFTDataset(rows, tokenizer, 512, strategy, num_processors=1)
        for i in range(len(data)):
            ids, _, mask = data[i]
            pairs = list(zip(ids[0].tolist(), [0, *mask[0].tolist()[:-1]], strict=True))
            show(
                prompt=plain(tokenizer, [t for t, m in pairs if not m]),
                response=plain(tokenizer, [t for t, m in pairs if m]),
            )
    elif format == "prompts":
        from openrlhf.datasets import PromptDataset

        for _, prompt, _, _ in PromptDataset(rows, tokenizer, strategy):
            show(prompt=plain(tokenizer, tokenizer(prompt)["input_ids"]))
    else:
        from openrlhf.datasets import RewardDataset

        data = RewardDataset(rows, tokenizer, 512, strategy, is_dpo=True, num_processors=1)
        for i in range(len(data)):
            chosen, _, rejected, _, length = data[i]
            show(
                prompt=plain(tokenizer, chosen[0][:length]),
                chosen=plain(tokenizer, chosen[0][length:]),
                rejected=plain(tokenizer, rejected[0][length:]),
            )


main()
