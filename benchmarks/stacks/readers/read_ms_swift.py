"""ms-swift's `load_dataset` and the template that its trainers encode the rows with."""

import contextlib
import sys

from read_rows import arguments, show, split

with contextlib.redirect_stdout(sys.stderr):
    from swift.dataset import load_dataset
    from swift.model import get_processor
    from swift.template import get_template


MODES = {"sft": "train", "preference": "rlhf", "reward": "rlhf", "kto": "kto", "prompts": "train"}


def main():
    format, file, folder = arguments()
    with contextlib.redirect_stdout(sys.stderr):
        data, _ = load_dataset([file], split_dataset_ratio=0.0, shuffle=False)
        processor = get_processor(folder, model_type="llama", template_type="chatml")
        template = get_template(processor, template_type="chatml", max_length=512)
        template.set_mode(MODES[format])
    tokenizer = template.tokenizer
    for row in data:
        if format == "prompts":
            show(prompt="\n".join(turn["content"] for turn in row["messages"]))
            continue
        found = template.encode(dict(row))
        if format == "sft":
            prompt, response = split(tokenizer, found["input_ids"], found["labels"])
            show(prompt=prompt, response=response)
        elif format == "kto":
            prompt, response = split(
                tokenizer,
                found["completion_input_ids"]
                if "completion_input_ids" in found
                else found["chosen_input_ids"],
                found.get("completion_labels", found.get("chosen_labels")),
            )
            show(prompt=prompt, response=response, label=found["label"])
        else:
            prompt, chosen = split(tokenizer, found["chosen_input_ids"], found["chosen_labels"])
            _, rejected = split(tokenizer, found["rejected_input_ids"], found["rejected_labels"])
            show(prompt=prompt, chosen=chosen, rejected=rejected)


main()
