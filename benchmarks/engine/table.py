"""Tables in Markdown."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Table:
    """`columns` are separated by bars. A column with nothing in it is not shown."""

    title: str
    columns: str
    rows: list[list[str]] = field(default_factory=list[list[str]])

    def add(self, *cells: object) -> None:
        self.rows.append([str(cell) for cell in cells])

    def __str__(self) -> str:
        heads = self.columns.split("|")
        shown = [i for i in range(len(heads)) if any(row[i] for row in self.rows)]
        lines = [_line([heads[i] for i in shown]), _line(["---"] * len(shown))]
        lines += [_line([row[i] for i in shown]) for row in self.rows]
        return f"{self.title}\n\n" + "\n".join(lines) + "\n"


def per_cent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
