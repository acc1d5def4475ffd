"""Which columns hold the prompt and its id: named by the user, or found by the names in use.

Names are found whatever their case. The second column of Alpaca (`input`) and of HarmBench
(`ContextString`) belongs to the prompt and is joined to it.
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from cai.errors import SourceError
from cai.sources.tables import Table

# The first group of which the source has a column decides; two columns of one group are ambiguous.
_PROMPT_COLUMNS = (
    ("prompt", "prompts"),
    ("messages", "conversations", "conversation", "turns", "chosen"),
    (
        *("question", "questions", "instruction", "instructions", "goal", "goals"),
        *("forbidden_prompt", "behavior", "behaviors", "query", "queries"),
    ),
    ("text", "texts"),
    ("input", "inputs"),
)
_ID_COLUMNS = (
    *("id", "prompt_id", "uid", "uuid", "question_id", "behaviorid", "behavior_id"),
    *("conversation_id", "conversation_hash", "example_id"),
)


@dataclass(frozen=True, slots=True)
class Companion:
    """A column whose text, where it is not blank, belongs before or behind the prompt's."""

    column: str
    is_before: bool
    separator: str

    def join(self, text: str, other: str) -> str:
        """Both texts as one."""
        first, second = (other, text) if self.is_before else (text, other)
        return f"{first}{self.separator}{second}"


@dataclass(frozen=True, slots=True)
class Selection:
    """The columns that are read of a source; without `id_column`, ids come from the content."""

    column: str
    id_column: str | None
    companion: Companion | None

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that is read, each once."""
        companion = [self.companion.column] if self.companion else []
        return tuple(dict.fromkeys([self.column, *filter(None, [self.id_column]), *companion]))


def select_columns(table: Table, column: str | None, id_column: str | None) -> Selection:
    """The columns of that name, or else those found; `id_column` "" says to derive the ids.

    Raises:
        SourceError: A named column is not there, or none or several could hold the prompt.
    """
    for name, option in ((column, "--column"), (id_column, "--id-column")):
        if name and name not in table.columns:
            raise SourceError(_missing(table, name, option))
    prompt = column or table.only_column or _find_prompt(table)
    ids = _matching(table.columns, _ID_COLUMNS) if id_column is None else [id_column]
    found_id = next((name for name in ids if name and name != prompt), None)
    return Selection(prompt, found_id, _companion(table.columns, prompt))


def _find_prompt(table: Table) -> str:
    for group in _PROMPT_COLUMNS:
        found = _matching(table.columns, group)
        if len(found) > 1:
            raise SourceError(
                f"{table.name}: the prompt could be in any of {_listed(found)}. "
                f"Say which with --column {found[0]}."
            )
        if found:
            return found[0]
    raise SourceError(
        f"{table.name}: no column is known to hold prompts. "
        f"Columns found: {_listed(table.columns)}. Say which with --column NAME."
    )


def _matching(columns: Sequence[str], known: Sequence[str]) -> list[str]:
    """The columns that are known, in the order in which they are known."""
    return [name for wanted in known for name in columns if name.casefold() == wanted]


def _companion(columns: Sequence[str], column: str) -> Companion | None:
    kind = column.casefold()
    if kind in ("instruction", "instructions"):
        found = _matching(columns, ("input" if kind == "instruction" else "inputs",))
        return Companion(found[0], False, "\n\n") if found else None
    if kind == "behavior":
        found = _matching(columns, ("contextstring",))
        return Companion(found[0], True, "\n\n---\n\n") if found else None
    return None


def _missing(table: Table, name: str, option: str) -> str:
    near = difflib.get_close_matches(name, table.columns, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else f"Name one of them with {option}."
    return f"{table.name}: no column {name!r}. Columns found: {_listed(table.columns)}. {hint}"


def _listed(names: Sequence[str]) -> str:
    listed = ", ".join(repr(name) for name in names[:20])
    return listed if len(names) <= 20 else f"{listed} and {len(names) - 20} more"
