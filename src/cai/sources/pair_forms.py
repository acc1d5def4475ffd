"""Where the prompt of a pair stands: in a column, in one text for all rows, or in the dialogues.

Like the form of a prompt column, the form of the two sides is decided once, from the first rows:
where prompts have a column of their own, one response that imitates turn markers stays a response.
"""

from collections.abc import Sequence

from cai.errors import UnknownColumns, UsageError
from cai.sources.answers import opening
from cai.sources.columns import find_companion, find_prompt_column, listed
from cai.sources.conversations import (
    Form,
    column_form,
    is_message_list,
    is_transcript,
    read_turns,
)
from cai.sources.prompt_column import PromptColumn
from cai.sources.tables import Row, RowError, Table


def find_prompt(
    table: Table,
    sides: tuple[str, str],
    head: Sequence[Row],
    *,
    column: str | None,
    text: str | None,
) -> tuple[PromptColumn | str | None, Form]:
    """The prompt's column, or its text, or None where the sides hold it; and the sides' form.

    Raises:
        UsageError: The user gives a prompt, and the sides are dialogues with one.
        SourceError: Nothing holds the prompts, or several columns could.
    """
    values = [row[side] for row in head for side in sides if row.get(side) is not None]
    form = _form(values)
    if form == "transcript" or (form == "messages" and all(map(_begins_with_user, values))):
        if column is not None or text is not None:
            option = "--prompt-text" if column is None else "--prompt-column"
            raise UsageError(
                f"{option}: the dialogues of {table.name} hold their prompts. Leave it out."
            )
        return None, form
    if text is not None:
        return text, form
    found = column or find_prompt_column(table, sides, "--prompt-column")
    if found is not None:
        prompts = column_form(found, [row.get(found) for row in head])
        return PromptColumn(found, find_companion(table.columns, found), prompts), form
    if any(map(is_transcript, values)):
        return None, "transcript"
    if any(map(_begins_with_user, values)):
        return None, form
    raise UnknownColumns(
        f"{table.name}: no column is known to hold the prompts. "
        f"Columns found: {listed(table.columns)}. Say which with --prompt-column NAME, or give one "
        "prompt for all rows with --prompt-text TEXT."
    )


def _form(values: Sequence[object]) -> Form:
    if any(map(is_message_list, values)):
        return "messages"
    said = [value for value in values if not isinstance(value, str) or value.strip()]
    return "transcript" if said and all(map(is_transcript, said)) else "text"


def _begins_with_user(value: object) -> bool:
    """Whether it is a message list whose first turn, after a system turn, is the user's."""
    try:
        turns = read_turns("messages", value, "messages")
    except RowError:
        return False
    return opening(turns) == "user"
