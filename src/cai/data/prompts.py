"""Prompts out of files and hub data sets.

Example:
    source = PromptSource(("red-team.jsonl",), column="question")
    checked = source.check()            # SourceError names the first bad row
    print(checked.summary.describe())   # red-team.jsonl: 500 prompts from column 'question' (texts)
    for prompt in source.read():        # or without a check before
        print(prompt.id, prompt.request)
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from cai.data.candidates import find_candidates
from cai.data.columns import (
    check_named,
    find_id_column,
    find_prompt_column,
    listed,
    prompt_column,
    unknown_columns,
)
from cai.data.companions import unused_texts
from cai.data.conversations import Form, texts_of
from cai.data.pair_columns import side_columns
from cai.data.roles import RoleNames
from cai.data.source import CheckedSource, FileSource, ItemKind, RowReader
from cai.data.tables import Table
from cai.types import Prompt

_ID_COLUMNS = (
    *("id", "prompt_id", "uid", "uuid", "question_id", "behaviorid", "behavior_id"),
    *("conversation_id", "conversation_hash", "example_id"),
)
_FORM_NOTES: dict[Form, str] = {
    "text": "texts",
    "messages": "conversations up to the last user turn",
    "turns": "first turn of each",
}
_PROMPTS: ItemKind[Prompt] = ItemKind(
    noun="prompt",
    with_id=lambda prompt, id: Prompt(id, prompt.messages, prompt.origin, prompt.metadata),
    with_metadata=lambda prompt, metadata: replace(prompt, metadata=metadata),
    id_of=lambda prompt: prompt.id,
    id_texts=lambda prompt: texts_of(prompt.messages),
    other_texts=lambda prompt: (prompt.metadata,),
)


@dataclass(frozen=True, slots=True)
class PromptSource:
    """Files or hub data sets of prompts, and how they are read.

    Answers after the user's last turn are left out.
    """

    files: tuple[str, ...]
    column: str | None = None  # None: a column with a known name
    id_column: str | None = None  # None: a column with a known name; "": ids from the content
    skip_bad_rows: bool = False
    roles: RoleNames = ()  # names of roles that are not known

    @classmethod
    def together(cls, files: Sequence[str]) -> "PromptSource":
        """All of these files; several files get ids from the content, as their own may clash."""
        return cls(tuple(files), id_column=None if len(files) == 1 else "")

    def check(self) -> CheckedSource[Prompt]:
        """What the files hold, after reading them to the end. Raises as `FileSource.check`."""
        return self._source.check()

    def read(self) -> Iterator[Prompt]:
        """The prompts in their order, streamed, without a check before. Raises as `check`."""
        return self._source.read()

    @property
    def _source(self) -> FileSource[Prompt]:
        select = partial(select_prompts, column=self.column, id_column=self.id_column)
        return FileSource(self.files, "prompts", select, self.skip_bad_rows, self.roles)


def select_prompts(table: Table, column: str | None, id_column: str | None) -> RowReader[Prompt]:
    """The named columns, or else those with known names; `id_column` "" derives the ids.

    Raises:
        SourceError: The source lacks a named column, or none or several could hold the prompt.
    """
    check_named(table, {"column": column, "id_column": id_column})
    # A list of bare texts has one column, whatever its name.
    name = column or table.only_column or find_prompt_column(table, (), "--column")
    if name is None:
        raise unknown_columns(
            table, "column is known to hold prompts", "Name it with --column NAME."
        )
    head = table.head(table.columns)
    prompts = prompt_column(table, name, head)
    ids = find_id_column(table, id_column, _ID_COLUMNS, exclude=prompts.columns)
    columns = prompts.columns if ids is None else (*prompts.columns, ids)
    joined = prompts.companions.columns
    notes = [_FORM_NOTES.get(prompts.form, f"{prompts.form} dialogues, last answer split off")]
    notes += [f"joined with {listed(joined)}"] if joined else []
    candidates = find_candidates(table, head)
    answers = (*side_columns(table), *(candidates.columns if candidates else ()))
    unused = unused_texts(table, columns, head, known=_ID_COLUMNS)
    return RowReader(
        kind=_PROMPTS,
        table=table,
        columns=columns,
        id_column=ids,
        parse=lambda row, origin: [Prompt("", prompts.up_to_user(row), origin)],
        column=name,
        answers=answers,
        description=f" from column {name!r} ({', '.join(notes)})"
        + (f", not used: {listed(unused)}" if unused else ""),
    )
