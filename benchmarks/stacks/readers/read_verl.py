"""verl's data sets for SFT, reward models and rewards."""

from omegaconf import OmegaConf
from read_rows import arguments, plain, show
from transformers import AutoTokenizer


def main():
    format, file, folder = arguments()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if format == "sft":
        from verl.utils.dataset.multiturn_sft_dataset import MultiTurnSFTDataset

        config = OmegaConf.create({"pad_mode": "no_padding", "max_length": 512})
        for row in MultiTurnSFTDataset(file, tokenizer, config):
            pairs = list(zip(row["input_ids"].tolist(), row["loss_mask"].tolist(), strict=True))
            prompt = plain(tokenizer, [token for token, mask in pairs if not mask])
            show(prompt=prompt, response=plain(tokenizer, [t for t, mask in pairs if mask]))
    elif format == "reward":
        from verl.utils.dataset.rm_dataset import RMDataset

        data = RMDataset(file, tokenizer, max_length=512)
        for row in range(len(data)):
            ids = data[row]["input_ids"].tolist()
            show(
                prompt=data.prompts[row],
                chosen=plain(tokenizer, ids[0]).removeprefix(data.prompts[row]),
                rejected=plain(tokenizer, ids[1]).removeprefix(data.prompts[row]),
            )
    else:
        from verl.utils.dataset.rl_dataset import RLHFDataset

        config = OmegaConf.create(
            {"prompt_key": "prompt", "max_prompt_length": 512, "filter_overlong_prompts": False}
        )
        data = RLHFDataset([file], tokenizer, config)
        for row in range(len(data)):
            item = data[row]
            prompt = "\n".join(turn["content"] for turn in item["raw_prompt"])
            show(prompt=prompt, of_reward=list(item["extra_info"]["prompt"]))


main()
