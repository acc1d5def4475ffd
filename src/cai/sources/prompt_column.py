"""The prompt of a row: the conversation in one column, joined with its companion's text."""

from dataclasses import dataclass

from cai.sources.answers import last_spoken
from cai.sources.columns import Companion
from cai.sources.conversations import Form, read_text, read_turns, up_to_user
from cai.sources.tables import Row, RowError
from cai.types import Conversation, Message


@dataclass(frozen=True, slots=True)
class PromptColumn:
    """Where prompts stand in a source, and in which form."""

    column: str
    companion: Companion | None
    form: Form

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column, self.companion.column) if self.companion else (self.column,)

    def up_to_user(self, row: Row) -> Conversation:
        """The conversation up to the user's last turn; answers behind it are left out.

        Raises:
            RowError: The row has none.
        """
        return self._joined(up_to_user(self.form, self._turns(row), self.column), row)

    def whole(self, row: Row) -> Conversation:
        """The conversation, of which the user's turn is the last: its answer stands elsewhere.

        Raises:
            RowError: The row has none, or it ends in words of the assistant.
        """
        turns = self._turns(row)
        messages = up_to_user(self.form, turns, self.column)
        if last_spoken(turns) != "user":
            raise RowError(
                f"{self.column!r} ends in a turn of the assistant, and a prompt ends in the user's",
                "malformed",
            )
        return self._joined(messages, row)

    def _turns(self, row: Row) -> Conversation:
        return read_turns(self.form, cell(row, self.column), self.column)

    def _joined(self, messages: Conversation, row: Row) -> Conversation:
        other = row.get(self.companion.column) if self.companion else None
        if self.companion is None or other is None:
            return messages
        text = read_text(other, self.companion.column)
        if not text.strip():
            return messages
        joined = self.companion.join(messages[-1].content, text)
        return (*messages[:-1], Message("user", joined))


def cell(row: Row, column: str) -> object:
    """The value of a row in that column.

    Raises:
        RowError: The row has no such entry.
    """
    if column not in row:
        raise RowError(f"has no {column!r}, only {', '.join(map(repr, row)):.300}", "missing")
    return row[column]
