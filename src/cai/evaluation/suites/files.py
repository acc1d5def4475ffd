"""The files of standard suites: their kinds, recognized by columns, and their rows.

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

Example:
    for suite in open_suites(["xstest.csv", "questions.jsonl:choices"]):
        print(suite.name, suite.kind, sum(1 for _ in suite.rows()))
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from cai.data.columns import listed, matching
from cai.data.open_table import open_table
from cai.data.tables import Row, RowError, Table
from cai.errors import SourceError, UnknownColumns, UsageError

Kind = Literal[
    "choices", "behaviour", "xstest", "harmbench", "advbench",
    "strongreject", "do-not-answer", "mt-bench",
]  # fmt: skip
KINDS: tuple[Kind, ...] = get_args(Kind)

# The kinds whose questions have a choice of answers; a policy responds freely to the others.
CHOSEN: frozenset[Kind] = frozenset({"choices", "behaviour"})


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a kind in lower case: those required, the first of them the prompt's.

    `group` is the column of the category, which is optional unless it is among the required.
    """

    required: tuple[str, ...]
    group: str = "category"

    @property
    def prompt(self) -> str:
        return self.required[0]


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


@dataclass(frozen=True, slots=True)
class SuiteFile:
    """A file of a suite; `name` is its own without the extensions, and that of its results.

    `table` is the opened file; its format and columns are not detected again.
    """

    path: str
    kind: Kind
    name: str
    table: Table

    def column(self, name: str) -> str | None:
        """How the file spells the column of that name; None if it has none."""
        return next(iter(matching(self.table.columns, [name])), None)

    def rows(self) -> Iterator[tuple[str, Row]]:
        """Each row with its place in the file, its columns in lower case.

        Raises:
            SourceError: The file or a row of it cannot be read.
        """
        layout = LAYOUTS[self.kind]
        columns = matching(self.table.columns, [*layout.required, layout.group])
        with self.table.reopened() as table:
            for number, row in table.rows(columns):
                origin = table.origin(number)
                if isinstance(row, RowError):
                    raise bad_row(origin, row)
                yield origin, {name.casefold(): value for name, value in row.items()}


def bad_row(origin: str, error: RowError | str) -> SourceError:
    """The error of a row that cannot be used."""
    return SourceError(f"{origin}: {error}. Fix the row, or leave it out of the file.")


def open_suites(specs: Sequence[str]) -> tuple[SuiteFile, ...]:
    """The suites of these files, each written as PATH or as PATH:KIND.

    Raises:
        UsageError: The kind does not exist, or two files have one name.
        SourceError: A file cannot be read.
        UnknownColumns: A file has the columns of no kind, of several, or not of the given one.
    """
    suites: list[SuiteFile] = []
    for spec in specs:
        path, kind = _split_spec(spec)
        with open_table(path) as table:
            kind = _checked_kind(table, kind)
            # .jsonl.gz are two extensions; a dot before them is part of the name
            name = Path(path).name
            for ending in (".gz", Path(name.removesuffix(".gz")).suffix):
                name = name.removesuffix(ending)
            suites.append(SuiteFile(path, kind, name, table))
    names = Counter(each.name for each in suites)
    twice = next((name for name, n in names.items() if n > 1), None)
    if twice is not None:
        paths = ", ".join(each.path for each in suites if each.name == twice)
        raise UsageError(
            f"{paths}: are both the suite {twice!r}, and their results would be one. "
            "Rename a file, or name it once."
        )
    return tuple(suites)


def _split_spec(spec: str) -> tuple[str, Kind | None]:
    path, colon, last = spec.rpartition(":")
    # A colon may belong to the path itself, as in C:/suites or a file called a:b.
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


def _checked_kind(table: Table, given: Kind | None) -> Kind:
    """The given kind, or the only one whose columns the table has."""
    # Columns identify a suite better than file names, which people change. Some are those of
    # several kinds, and a guess would give the figures of another suite without any sign of it.

    def missing(kind: Kind) -> list[str]:
        return [each for each in LAYOUTS[kind].required if not matching(table.columns, [each])]

    columns = f"Columns found: {listed(table.columns)}."
    if given is not None:
        if lacking := missing(given):
            raise UnknownColumns(
                f"{table.name}: a suite of kind {given} needs the column {lacking[0]!r}. "
                f"{columns} Name another file or kind."
            )
        return given
    found: list[Kind] = [kind for kind in KINDS if not missing(kind)]
    if len(found) == 1:
        return found[0]
    if found:
        raise UnknownColumns(
            f"{table.name}: could be a suite of kind {' or '.join(found)}. {columns} "
            f"Specify one: {table.name}:{found[0]}."
        )
    known = "; ".join(f"{kind}: {', '.join(each.required)}" for kind, each in LAYOUTS.items())
    raise UnknownColumns(
        f"{table.name}: does not have the columns of any known suite. {columns} Known are {known}."
    )
