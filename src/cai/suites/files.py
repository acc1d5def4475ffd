"""The files of suites: named by path, opened once to see their kind, and read row by row."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cai.errors import SourceError, UsageError
from cai.sources.columns import matching
from cai.sources.files import open_table
from cai.sources.tables import Row, RowError
from cai.suites.kinds import KINDS, LAYOUTS, Kind, check_columns, find_kind


@dataclass(frozen=True, slots=True)
class SuiteFile:
    """A file of a suite; `name` is its own without the endings, and that of its results."""

    path: str
    kind: Kind
    name: str

    def column(self, name: str) -> str | None:
        """How the file spells the column of that name; None where it has none."""
        return next(iter(matching(open_table(self.path).columns, [name])), None)

    def rows(self) -> Iterator[tuple[str, Row]]:
        """Each row with where it stands, its columns in small letters.

        Raises:
            SourceError: The file or a row of it cannot be read.
        """
        table = open_table(self.path)
        layout = LAYOUTS[self.kind]
        columns = matching(table.columns, [*layout.needed, layout.group])
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
    table = open_table(path)
    if kind is None:
        kind = find_kind(table)
    else:
        check_columns(table, kind)
    return SuiteFile(path, kind, _name(path))


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
