"""Writes the table of `trainers.md` from the trainers that `cai export --for` knows.

`python docs/trainers_table.py` writes it; `tests/test_docs.py` fails where it is out of date.
"""

import re
from pathlib import Path

from cai.export.trainers.table import TRAINERS

PAGE = Path(__file__).with_name("trainers.md")
MARK = "% The table is written by `python docs/trainers_table.py`.\n"


def page() -> str:
    """The whole page, with the table as it should be."""
    rows = [
        "| `--for` | trainer | formats | files | earlier turns, in SFT |",
        "|---|---|---|---|---|",
    ]
    for name, trainer in TRAINERS.items():
        formats = ", ".join(f"`{each}`" for each in trainer.row_types)
        files = ", ".join(f"`{each}`" for each in trainer.suffixes)
        earlier = "trains on them" if trainer.trains_earlier_turns else "are masked"
        title = f"{trainer.title} {trainer.version}"
        rows.append(f"| `{name}` | {title} | {formats} | {files} | {earlier} |")
    table = "\n".join(rows)
    text = PAGE.read_text("utf-8")
    return re.sub(rf"({re.escape(MARK)})\n(?:\|.*\n)*\n?", rf"\1\n{table}\n\n", text)


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
