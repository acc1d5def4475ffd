"""Revisions, and the judge's word on whether they are better, told in one HTML file.

Run it twice: the second time every answer is there already, and nothing is asked.
"""

from pathlib import Path

import cai

HERE = Path(__file__).parent
FOLDER = Path("runs") / "told"


def main() -> None:
    model = cai.open_model("embedded")
    constitution = cai.load_constitution("testbed")

    revised = cai.Run(FOLDER / "revised")
    plan = cai.ReviseSettings(rounds=2, tags=("general", "help"))
    revised.revise(HERE / "prompts.jsonl", model=model, constitution=constitution, plan=plan)

    judged = cai.Run(FOLDER / "judged")
    tags = cai.JudgeSettings(tags=("general", "help"))
    judged.judge(revised, model=model, constitution=constitution, plan=tags)

    print(cai.write_report(FOLDER))


if __name__ == "__main__":
    main()
