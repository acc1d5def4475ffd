"""The values of a YAML file with their lines, and how a message names a place among them."""

from dataclasses import dataclass, field
from datetime import date
from typing import Literal

Kind = Literal["text", "number", "boolean", "date", "null", "list", "mapping"]
Scalar = str | int | float | bool | date | None
Plain = Scalar | list["Plain"] | dict[str, "Plain"]
Path = tuple[str | int, ...]

# What one item of each list of the schema is called.
_ITEMS = {
    "principles": "principle",
    "examples": "example",
    "tests": "test",
    "rubric": "criterion",
    "tags": "tag",
    "extends": "entry of 'extends'",
    "changelog": "changelog entry",
}


@dataclass(slots=True)
class Node:
    """A value of the file. `line` is that of its key, where it has one; `written` its characters.

    `size` counts the characters and nodes of it with every alias written out, `height` the levels
    below it.
    """

    line: int
    kind: Kind
    scalar: Scalar = None
    items: list["Node"] = field(default_factory=list["Node"])
    fields: dict[str, "Node"] = field(default_factory=dict[str, "Node"])
    written: str = ""
    size: int = 1
    height: int = 0

    def child(self, step: str | int) -> "Node | None":
        """The field of that name, or the item at that position."""
        if isinstance(step, str):
            return self.fields.get(step)
        return self.items[step] if step < len(self.items) else None

    def plain(self) -> Plain:
        """The value in Python's own types."""
        if self.kind == "list":
            return [item.plain() for item in self.items]
        if self.kind == "mapping":
            return {key: node.plain() for key, node in self.fields.items()}
        return self.scalar


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing to mend: where, what was found and what to do, in one line."""

    line: int
    message: str


def nearest(root: Node, path: Path) -> Node:
    """The node at the path, or the last one on the way to it."""
    node = root
    for step in path:
        below = node.child(step)
        if below is None:
            break
        node = below
    return node


def place(root: Node, path: Path) -> str:
    """Where a path leads: "principle 'no-lies', example 2: 'critique'"; empty at the root."""
    words: list[str] = []
    for position, step in enumerate(path):
        if isinstance(step, int):
            words.append(_item(root, path[:position], step))
    holder = ", ".join(words)
    if not path or isinstance(path[-1], int):
        return holder
    return f"{holder}: {shortened(path[-1])}" if holder else shortened(path[-1])


def shortened(text: str) -> str:
    """The text in quotes, cut to 60 characters, with all that does not print escaped."""
    return repr(text if len(text) <= 60 else text[:57] + "...")


def _item(root: Node, list_path: Path, position: int) -> str:
    name = str(list_path[-1]) if list_path else ""
    if name == "principles":
        id = nearest(root, (*list_path, position)).fields.get("id")
        if id is not None and id.kind == "text":
            return f"principle {shortened(id.written)}"
    return f"{_ITEMS.get(name, 'item')} {position + 1}"
