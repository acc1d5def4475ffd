"""The files of suites: named by path, opened once to see their kind, and read row by row.

The kinds of suite: by which columns each is known, and where it has its prompts and categories.

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

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from cai.data.columns import listed, matching
from cai.data.formats import open_table
from cai.data.tables import Row, RowError, Table
from cai.errors import SourceError, UnknownColumns, UsageError

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


@dataclass(frozen=True, slots=True)
class SuiteFile:
    """A file of a suite; `name` is its own without the endings, and that of its results.

    `table` is what the file was opened as; its format and columns are not detected again.
    """

    path: str
    kind: Kind
    name: str
    table: Table

    def column(self, name: str) -> str | None:
        """How the file spells the column of that name; None where it has none."""
        return next(iter(matching(self.table.columns, [name])), None)

    def rows(self) -> Iterator[tuple[str, Row]]:
        """Each row with where it stands, its columns in small letters.

        Raises:
            SourceError: The file or a row of it cannot be read.
        """
        layout = LAYOUTS[self.kind]
        columns = matching(self.table.columns, [*layout.needed, layout.group])
        with self.table.reopened() as table:
            for number, row in table.rows(columns):
                origin = table.origin(number)
                if isinstance(row, RowError):
                    raise bad_row(origin, row)
                yield origin, {name.casefold(): value for name, value in row.items()}


def bad_row(origin: str, error: RowError | str) -> SourceError:
    """What is raised of a row that cannot be used."""
    return SourceError(f"{origin}: {error}. Mend the row, or leave it out of the file.")


def open_suites(specs: Sequence[str]) -> tuple[SuiteFile, ...]:
    """The suites of these files, each written as PATH, or PATH:KIND to say its kind.

    Raises:
        UsageError: There is no such kind, or two files have one name.
        SourceError: A file cannot be read, or its columns are those of no kind.
    """
    suites = tuple(_open(spec) for spec in specs)
    names = Counter(each.name for each in suites)
    twice = next((name for name, n in names.items() if n > 1), None)
    if twice is not None:
        paths = ", ".join(each.path for each in suites if each.name == twice)
        raise UsageError(
            f"{paths}: are both the suite {twice!r}, and their results would be one. "
            "Rename a file, or name it once."
        )
    return suites


def _open(spec: str) -> SuiteFile:
    path, kind = _parted(spec)
    with open_table(path) as table:
        if kind is None:
            kind = find_kind(table)
        else:
            check_columns(table, kind)
        return SuiteFile(path, kind, _name(path), table)


def _parted(spec: str) -> tuple[str, Kind | None]:
    """Path and kind; the path is the whole where there is such a file, or no kind is meant."""
    path, colon, last = spec.rpartition(":")
    if not colon or Path(spec).exists():
        return spec, None
    for kind in KINDS:
        if kind == last:
            return path, kind
    if Path(path).exists():
        raise UsageError(
            f"{spec}: there is no kind of suite {last!r}. The kinds are {', '.join(KINDS)}."
        )
    return spec, None


def _name(path: str) -> str:
    """The last part without the endings of a format; a dot before them stays."""
    name = Path(path).name
    for ending in (".gz", Path(name.removesuffix(".gz")).suffix):
        name = name.removesuffix(ending)
    return name
