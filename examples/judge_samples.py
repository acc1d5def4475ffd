"""Four responses to each prompt, judged pair by pair, and out again as preference data.

Run it twice: the second time every answer is there already, and nothing is asked.
"""

from pathlib import Path

import cai

HERE = Path(__file__).parent
FOLDER = Path("runs")


def main() -> None:
    model = cai.open_model("embedded")
    constitution = cai.load_constitution("testbed")

    samples = cai.Run(FOLDER / "samples")
    samples.sample(HERE / "prompts.jsonl", model=model, k=4)

    judged = cai.Run(FOLDER / "judged")
    settings = cai.JudgeSettings(tags=("general", "tone"))
    result = judged.judge(samples, model=model, constitution=constitution, settings=settings)
    print(f"{result.verdicts.n} comparisons: {dict(result.verdicts.outcomes)}")

    for each in judged.judged():
        if each.ranking is None:
            continue
        texts = [each.group.candidates[place].text for place in each.ranking]
        print(f"\n{each.group.prompt.request}")
        print(f"  best:  {texts[0]}")
        print(f"  worst: {texts[-1]}")

    path = FOLDER / "judged" / "preference.jsonl"
    print(f"\n{path}  {judged.export_file('preference', path).describe()}")


if __name__ == "__main__":
    main()
