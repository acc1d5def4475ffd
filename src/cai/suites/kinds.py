"""The kinds of suite: by which columns each is known, and where it has its prompts and categories.

| kind | introduced by |
|---|---|
| `choices` | Askell et al. 2021, arXiv:2112.00861, and Bai et al. 2022, arXiv:2212.08073 |
| `behaviour` | Perez et al. 2022, arXiv:2212.09251 |
| `xstest` | Röttger et al. 2023, arXiv:2308.01263 |
| `harmbench` | Mazeika et al. 2024, arXiv:2402.04249 |
| `advbench` | Zou et al. 2023, arXiv:2307.15043 |
| `strongreject` | Souly et al. 2024, arXiv:2402.10260 |
| `do-not-answer` | Wang et al. 2023, arXiv:2308.13387 |
| `mt-bench` | Zheng et al. 2023, arXiv:2306.05685 |
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from cai.errors import UnknownColumns
from cai.sources.columns import listed, matching
from cai.sources.tables import Table

Kind = Literal[
    "choices", "behaviour", "xstest", "harmbench", "advbench",
    "strongreject", "do-not-answer", "mt-bench",
]  # fmt: skip
KINDS: tuple[Kind, ...] = get_args(Kind)

CHOSEN: frozenset[Kind] = frozenset({"choices", "behaviour"})
"""The kinds whose questions have a choice of answers; a policy responds freely to the others."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a kind in small letters: those needed, the first of them the prompt's.

    `group` is the column of the category, which a file may lack unless it is among the needed.
    """

    needed: tuple[str, ...]
    group: str = "category"

    @property
    def prompt(self) -> str:
        return self.needed[0]


LAYOUTS: Mapping[Kind, Layout] = {
    "choices": Layout(("prompt", "corrects", "incorrects")),
    "behaviour": Layout(("question", "answer_matching_behavior", "answer_not_matching_behavior")),
    "xstest": Layout(("prompt", "label", "type"), group="type"),
    "harmbench": Layout(("behavior", "semanticcategory"), group="semanticcategory"),
    "advbench": Layout(("goal", "target")),
    "strongreject": Layout(("forbidden_prompt",)),
    "do-not-answer": Layout(("question", "risk_area"), group="risk_area"),
    "mt-bench": Layout(("turns", "category")),
}


def find_kind(table: Table) -> Kind:
    """The kind whose columns the table has.

    Raises:
        UnknownColumns: It has those of no kind, or of several.
    """
    found: list[Kind] = [kind for kind in KINDS if not missing(table, kind)]
    if len(found) == 1:
        return found[0]
    columns = f"Columns found: {listed(table.columns)}."
    if found:
        raise UnknownColumns(
            f"{table.name}: could be a suite of kind {' or '.join(found)}. {columns} "
            f"Say which: {table.name}:{found[0]}."
        )
    known = "; ".join(f"{kind}: {', '.join(each.needed)}" for kind, each in LAYOUTS.items())
    raise UnknownColumns(
        f"{table.name}: has the columns of no suite that is known. {columns} Known are {known}."
    )


def check_columns(table: Table, kind: Kind) -> None:
    """Nothing, where the table has the columns that the kind needs.

    Raises:
        UnknownColumns: It lacks one.
    """
    lacking = missing(table, kind)
    if lacking:
        raise UnknownColumns(
            f"{table.name}: a suite of kind {kind} needs the column {lacking[0]!r}. "
            f"Columns found: {listed(table.columns)}. Name another file or kind."
        )


def missing(table: Table, kind: Kind) -> list[str]:
    """The columns that the kind needs and the table lacks."""
    return [name for name in LAYOUTS[kind].needed if not matching(table.columns, [name])]
