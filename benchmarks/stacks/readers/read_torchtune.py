"""torchtune's `chat_dataset` and `preference_dataset`, made as the written configuration says."""

import yaml
from read_rows import arguments, plain, show
from torchtune import datasets
from transformers import AutoTokenizer


class HubTokenizer:
    """A tokenizer of transformers as torchtune's data sets call one."""

    def __init__(self, folder):
        self.inner = AutoTokenizer.from_pretrained(folder)

    def tokenize_messages(self, messages, **_):
        ids, mask = [], []
        for message in messages:
            own = self.inner(message.text_content + "\n", add_special_tokens=False)["input_ids"]
            ids += own
            mask += [message.masked] * len(own)
        return ids, mask

    def __call__(self, sample, inference=False):
        ids, mask = self.tokenize_messages(sample.pop("messages"))
        return {**sample, "tokens": ids, "mask": mask}


def main():
    format, file, folder = arguments()
    with open(file.rpartition(".")[0] + ".torchtune.yaml") as text:
        config = yaml.safe_load(text)["dataset"]
    build = getattr(datasets, config.pop("_component_").rpartition(".")[2])
    tokenizer = HubTokenizer(folder)
    for row in build(tokenizer=tokenizer, **config):
        if format == "sft":
            pairs = list(zip(row["tokens"], row["labels"], strict=True))
            masked = [token for token, label in pairs if label == -100]
            trained = [token for token, label in pairs if label != -100]
            show(prompt=plain(tokenizer.inner, masked), response=plain(tokenizer.inner, trained))
        else:
            texts = {}
            for side in ("chosen", "rejected"):
                labels = row[f"{side}_labels"]
                pairs = list(zip(row[f"{side}_input_ids"], labels, strict=True))
                texts["prompt"] = plain(tokenizer.inner, [t for t, label in pairs if label == -100])
                texts[side] = plain(tokenizer.inner, [t for t, label in pairs if label != -100])
            show(**texts)


main()
