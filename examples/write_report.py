"""Revisions, and the judge's word on whether they are better, told in one HTML file.

Run it twice: the second time every answer is there already, and nothing is asked.
"""

from pathlib import Path

import cai
from cai.testbed.truth import OracleTruth

HERE = Path(__file__).parent
FOLDER = Path("runs") / "told"


def main() -> None:
    model = cai.open_model("embedded")
    constitution = cai.load_constitution("testbed")

    revised = cai.Run(FOLDER / "revised")
    settings = cai.ReviseSettings(rounds=2, tags=("general", "help"))
    prompts = HERE / "prompts.jsonl"
    revised.revise(prompts, model=model, constitution=constitution, settings=settings)

    judged = cai.Run(FOLDER / "judged")
    tags = cai.JudgeSettings(tags=("general", "help"))
    judged.judge(revised, model=model, constitution=constitution, settings=tags)

    # On the testbed it is known what a response does. Leave it out on data of your own.
    print(cai.write_report(FOLDER, truth=OracleTruth()))


if __name__ == "__main__":
    main()
