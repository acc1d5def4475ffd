"""A data set through the loop into a run folder, and out again as rows for training.

Run it twice: the second time every answer is there already, and nothing is asked.
"""

from pathlib import Path

import cai

HERE = Path(__file__).parent
FOLDER = Path("runs") / "village"


def main() -> None:
    run = cai.Run(FOLDER)
    result = run.revise(
        HERE / "prompts.jsonl",
        model=cai.open_model("embedded"),
        constitution=cai.load_constitution(HERE / "own_constitution.yaml"),
        settings=cai.ReviseSettings(rounds=2, tags=("harm",)),
        seed=0,
    )
    print(f"{result.counts.done} done, {result.counts.failed} failed, {result.n_calls} calls")

    for chain in run.chains():
        print(f"\n{chain.prompt.request}")
        print(f"  before: {chain.response.text}")
        print(f"  after:  {chain.final}")

    dataset = run.export("sft")  # a datasets.Dataset, as TRL's SFTTrainer takes it
    print(f"\n{dataset}")
    for format in ("sft", "preference"):
        path = FOLDER / f"{format}.jsonl"
        print(f"{path}  {run.export_file(format, path, cai.Selection(sft_share=0.5)).describe()}")


if __name__ == "__main__":
    main()
