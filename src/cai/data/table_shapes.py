"""Tables whose cells or rows are not yet what they stand for, brought to rows of prompts.

- Cells with JSON, as CSV files have them, or with the Python list that `pandas.to_csv` writes: the
  lists and objects themselves. Which columns these are is decided from the first rows.
- One message a row, as in OASST, whose rows name their parent (Köpf et al. 2023, arXiv:2304.07327),
  and its trees: one row for each turn of a user, with the turns before it and all answers to it.

Example:
    with open_table("oasst.jsonl") as table:
        table.columns      # ("id", "messages", "responses", "lang")
"""

import ast
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import cast

from cai.data.conversations import ROLE_KEYS, is_text_list, message_items, read_text
from cai.data.roles import ROLES, RoleNames, read_role
from cai.data.tables import NumberedRows, Row, RowError, Table, TableShape
from cai.data.text_files import parse_json
from cai.types import MessageRole

# What an object in a list of a cell has, if it is a message or a response.
_ENTRY_KEYS = {
    *("role", "from", "content", "value", "text", "response", "answer", "completion", "output"),
    *("user", "human", "assistant", "generation", "speaker"),
}
# How numpy prints an array of objects: without commas between them.
_ROWS_WITHOUT_COMMAS = re.compile(r"\}\s*\n\s*\{")


def in_rows_of_prompts(table: Table, roles: RoleNames = ()) -> Table:
    """The table with one row for each prompt or pair, and its cells decoded.

    `roles` are further names of roles, which the messages in its rows may have.
    """
    head = table.head(table.columns)
    encoded = tuple(column for column in table.columns if _is_encoded(column, head))
    if encoded:
        table = table.shaped(TableShape(partial(_with_decoded, encoded)))
        head = table.head(table.columns)
    if roles:
        known: dict[str, MessageRole] = {name.casefold(): role for name, role in roles}
        table = table.shaped(TableShape(partial(_with_roles, known)))
        head = table.head(table.columns)
    names = {column.casefold(): column for column in table.columns}
    if _has_message_rows(names, head):
        return _shaped_threads(table, partial(_messages_of_rows, names), tuple(names.values()))
    if _has_trees(head):
        return _shaped_threads(table, _messages_of_trees, ("prompt",))
    return table


def _is_encoded(column: str, head: Sequence[Row]) -> bool:
    cells = [row[column] for row in head if row.get(column) not in (None, "", [])]
    return bool(cells) and all(isinstance(cell, str) and decoded(cell) != cell for cell in cells)


def decoded(cell: str) -> object:
    """The messages, texts or responses that the cell is JSON of; the cell itself otherwise."""
    text = cell.strip()
    if text[:1] not in ("[", "{") or text[-1:] not in ("]", "}"):
        return cell
    try:
        value = parse_json(text)
    except RowError:
        try:
            value = cast(object, ast.literal_eval(_ROWS_WITHOUT_COMMAS.sub("}, {", text)))
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return cell
    return value if _is_known(value) else cell


def _is_known(value: object) -> bool:
    if is_text_list(value):
        return True
    if isinstance(value, dict):
        return message_items(cast(object, value)) is not None
    if not isinstance(value, list):
        return False
    items = cast(list[object], value)
    return bool(items) and all(
        is_text_list(item)
        or (isinstance(item, dict) and not _ENTRY_KEYS.isdisjoint(cast(Row, item)))
        for item in items
    )


def _with_decoded(columns: Sequence[str], rows: NumberedRows) -> NumberedRows:
    for number, row in rows:
        if not isinstance(row, RowError):
            cells = {c: decoded(v) for c in columns if isinstance(v := row.get(c), str)}
            row = {**row, **cells}
        yield number, row


def _with_roles(roles: Mapping[str, MessageRole], rows: NumberedRows) -> NumberedRows:
    """The rows, with the known names of roles in place of those of their messages."""

    def renamed(value: object, key: str = "") -> object:
        if isinstance(value, str):
            return roles.get(value.strip().casefold(), value) if key in ROLE_KEYS else value
        if isinstance(value, list):  # messages, or the roles of a struct of lists
            return [renamed(item, key) for item in cast(list[object], value)]
        if isinstance(value, dict):
            return {name: renamed(item, name) for name, item in cast(Row, value).items()}
        return value

    for number, row in rows:
        if not isinstance(row, RowError):
            # Of the columns themselves only that of a table with a message in each row.
            row = {c: renamed(v, c if c == "role" else "") for c, v in row.items()}
        yield number, row


@dataclass(slots=True)
class _TreeMessage:
    """A message of a tree, with the row that it is in."""

    number: int
    id: str
    parent: str | None
    role: str
    text: str
    rank: object
    lang: object
    answers: list["_TreeMessage"] = field(default_factory=list["_TreeMessage"])


def _has_message_rows(names: Mapping[str, str], head: Sequence[Row]) -> bool:
    if not {"message_id", "parent_id", "role", "text"} <= names.keys():
        return False
    return any(str(row.get(names["role"])).casefold() in ROLES for row in head)


def _has_trees(head: Sequence[Row]) -> bool:
    roots = [row.get("prompt") for row in head]
    return bool(roots) and all(isinstance(root, dict) and "replies" in root for root in roots)


def _shaped_threads(table: Table, read: "_Reader", needs: tuple[str, ...]) -> Table:
    shape = TableShape(lambda rows: _threads(read(rows)), needs)
    return table.shaped(shape, ("id", "messages", "responses", "lang"))


_BadRow = tuple[int, RowError]
_Reader = Callable[[NumberedRows], Iterator[_TreeMessage | _BadRow]]


def _messages_of_rows(
    names: Mapping[str, str], rows: NumberedRows
) -> Iterator[_TreeMessage | _BadRow]:
    for number, row in rows:
        if isinstance(row, RowError):
            yield number, row
        else:
            yield _tree_message(number, {key: row.get(name) for key, name in names.items()})


def _messages_of_trees(rows: NumberedRows) -> Iterator[_TreeMessage | _BadRow]:
    for number, row in rows:
        if isinstance(row, RowError):
            yield number, row
            continue
        open_nodes: list[tuple[str | None, object]] = [(None, row.get("prompt"))]
        while open_nodes:
            parent, node = open_nodes.pop()
            if not isinstance(node, dict):
                yield number, RowError("has a node that is no message", "malformed")
                continue
            fields = cast(Row, node)
            id = str(fields.get("message_id") or f"{parent or number}/{len(open_nodes)}")
            yield _tree_message(number, {**fields, "message_id": id, "parent_id": parent})
            replies = fields.get("replies")
            children = cast(list[object], replies) if isinstance(replies, list) else []
            open_nodes += [(id, child) for child in reversed(children)]


def _tree_message(number: int, row: Row) -> "_TreeMessage | _BadRow":
    parent, text = row.get("parent_id"), row.get("text")
    try:
        role = read_role(row.get("role"), "role")
        return _TreeMessage(
            number=number,
            id=read_text(row.get("message_id"), "message_id"),
            parent=parent if isinstance(parent, str) and parent else None,
            role=role,
            text=read_text(text, "text"),
            rank=row.get("rank"),
            lang=row.get("lang"),
        )
    except RowError as error:
        return number, error


def _threads(messages: Iterator[_TreeMessage | _BadRow]) -> NumberedRows:
    """One row for each turn of a user; all messages are in memory, as answers may be anywhere."""
    by_id: dict[str, _TreeMessage] = {}
    for message in messages:
        if isinstance(message, tuple):
            yield message
        elif message.id in by_id:
            yield message.number, RowError(f"the message {message.id!r:.60} is there twice")
        else:
            by_id[message.id] = message
    for message in by_id.values():
        parent = by_id.get(message.parent or "")
        if parent is not None:
            parent.answers.append(message)
    for message in by_id.values():
        if message.role == "user":
            path = _path(message, by_id)
            yield message.number, path if isinstance(path, RowError) else _row(message, path)


def _path(
    message: _TreeMessage, by_id: Mapping[str, _TreeMessage]
) -> list[_TreeMessage] | RowError:
    path, seen = [message], {message.id}
    while path[-1].parent is not None:
        parent = by_id.get(path[-1].parent)
        if parent is None or parent.id in seen:
            fault = "is not in the source" if parent is None else "comes after it too"
            return RowError(f"the message {path[-1].parent!r:.60} before it {fault}", "missing")
        path.append(parent)
        seen.add(parent.id)
    return path[::-1]


def _row(message: _TreeMessage, path: Sequence[_TreeMessage]) -> Row:
    answers = [answer for answer in message.answers if answer.role == "assistant"]
    return {
        "id": message.id,
        "messages": [{"role": turn.role, "content": turn.text} for turn in path],
        "responses": [{"text": answer.text, "rank": answer.rank} for answer in answers],
        "lang": message.lang,
    }
