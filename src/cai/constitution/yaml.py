"""Strict, safe reading of one YAML document into nodes that have their line numbers.

Built on PyYAML's events, not on its loaders: an event stream neither makes objects nor recurses, so
tags are never executed, and limits on depth and on what aliases expand to apply before any memory
is spent. Scalars have the types of YAML 1.1, so that a message can say that the id `no` is a
boolean; but `12:30` is a text, and not the number 750, and `010`, which is 8, is refused.

Every YAML file that cai reads comes through here: constitutions, sets of templates, prices,
recipes, settings, and what it wrote itself.

Example:
    document = read_yaml(Path("mine.yaml").read_bytes(), "mine.yaml")
    node = nearest(document.root, ("principles", 0, "id"))
    print(node.line, place(document.root, ("principles", 0, "id")))  # 3 principle 'no-lies': 'id'
"""

import re
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal, cast

import yaml
from yaml.reader import Reader

from cai.errors import ConstitutionError

Kind = Literal["text", "number", "boolean", "date", "null", "list", "mapping"]
Scalar = str | int | float | bool | date | None
Plain = Scalar | list["Plain"] | dict[str, "Plain"]
Path = tuple[str | int, ...]

MAX_BYTES = 1_000_000
MAX_DEPTH = 20
MAX_EXPANDED = 4  # times the limit on bytes
MAX_SCALAR = 40  # characters of a number or date
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_OCTAL = re.compile(r"[-+]?0[0-9_]+")

_yaml: Any = yaml  # its stubs leave these functions untyped
_TAG = "tag:yaml.org,2002:"
_KINDS: dict[str, Kind] = {
    "int": "number",
    "float": "number",
    "bool": "boolean",
    "null": "null",
    "timestamp": "date",
}

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
    """A value of the file. `line` is that of its key if it has one; `written` its characters.

    `size` counts its characters and nodes with every alias written out, `height` the levels below.
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
    """One thing to fix: its line, and in one line of text what is wrong and what to do."""

    line: int
    message: str


def nearest(root: Node, path: Path) -> Node:
    """The node at the path, or the last one that exists above it."""
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
            name = str(path[position - 1]) if position else ""
            word = f"{_ITEMS.get(name, 'item')} {step + 1}"
            if name == "principles":  # by its id, which stays when principles are moved
                id = nearest(root, path[: position + 1]).fields.get("id")
                if id is not None and id.kind == "text":
                    word = f"principle {shortened(id.written)}"
            words.append(word)
    holder = ", ".join(words)
    if not path or isinstance(path[-1], int):
        return holder
    return f"{holder}: {shortened(path[-1])}" if holder else shortened(path[-1])


def shortened(text: str) -> str:
    """The text in quotes, cut to 60 characters, with unprintable characters escaped."""
    return repr(text if len(text) <= 60 else text[:57] + "...")


@dataclass(frozen=True, slots=True)
class Document:
    """The root of a file, with the problems that did not stop the reading."""

    root: Node
    problems: tuple[Problem, ...]


def read_plain(
    data: str | bytes, source: str, max_bytes: int = MAX_BYTES, *, has_surrogates: bool = False
) -> Plain:
    """The values of the one document of a file, in Python's own types; None for an empty one.

    `has_surrogates` allows escaped halves of surrogate pairs, which cai writes where it read them.

    Raises:
        ConstitutionError: It is not YAML of one document, a field is there twice, or it exceeds a
            limit.
    """
    lines = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    if not any(line.split(b"#")[0].strip() for line in lines.splitlines()):
        return None
    document = read_yaml(data, source, max_bytes, has_surrogates=has_surrogates)
    for problem in document.problems:
        raise ConstitutionError(f"{source}:{problem.line}: {problem.message}")
    return document.root.plain()


def read_yaml(
    data: str | bytes, source: str, max_bytes: int = MAX_BYTES, *, has_surrogates: bool = False
) -> Document:
    """The one document of a file.

    Raises:
        ConstitutionError: It is not YAML of one document, or it exceeds a limit.
    """
    if len(data) > max_bytes:
        raise ConstitutionError(
            f"{source}: the file is over the limit of {max_bytes:,} bytes. Is it the file you "
            "meant? A constitution can be split into files that extend one another."
        )
    # Back to bytes, so that a text with lone surrogates is refused like a file that has them.
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConstitutionError(
            f"{source}:{line}: the byte 0x{raw[error.start]:02x} is not UTF-8. "
            "Save the file with the encoding UTF-8."
        ) from None
    # The C parser would report these without their line.
    forbidden = Reader.NON_PRINTABLE.search(text)
    if forbidden:
        line = text.count("\n", 0, forbidden.start()) + 1
        raise ConstitutionError(
            f"{source}:{line}: YAML does not allow the character U+{ord(forbidden.group()):04X}. "
            "Remove it, or write it as an escape in double quotes."
        )
    builder = _Builder(source, MAX_EXPANDED * max_bytes)
    is_c = yaml.__with_libyaml__ and not (has_surrogates and _SURROGATE.search(text))
    loader = yaml.CSafeLoader if is_c else yaml.SafeLoader  # the former refuses the escapes
    try:
        for event in _yaml.parse(text, Loader=loader):
            builder.feed(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else builder.last_line
        problem = " ".join((error.problem or "it cannot be parsed").split())[:200]
        if "cannot start any token" in problem:
            advice = "Indent with spaces, not tabs, and put text that starts with a sign in quotes."
        elif "mapping values are not allowed" in problem:
            advice = "Put text that contains a colon and a space in quotes, or write it below `>-`."
        else:
            advice = "Check this line and the one above for indentation, quotes and brackets."
        raise ConstitutionError(f"{source}:{line}: this is not YAML: {problem}. {advice}") from None
    return builder.document()


@dataclass(slots=True)
class _Open:
    """A list or mapping that is not closed yet; `key` is the field whose value comes next."""

    node: Node
    key: str | None = None
    key_line: int = 0
    is_repeated: bool = False


class _Builder:
    """Turns events into nodes; its stack is the path of open lists and mappings."""

    def __init__(self, source: str, max_expanded: int) -> None:
        self.last_line = 1
        self._max_expanded = max_expanded
        self._source = source
        self._root: Node | None = None
        self._n_documents = 0
        self._stack: list[_Open] = []
        self._anchors: dict[str, Node] = {}
        self._problems: list[Problem] = []
        # Only for its rules of types and its conversion of single scalars; it never loads anything.
        self._scalars = _yaml.SafeLoader("")

    def document(self) -> Document:
        if self._root is None:
            raise ConstitutionError(
                f"{self._source}: the file is empty. "
                "A constitution needs at least a name and principles."
            )
        return Document(self._root, tuple(self._problems))

    def feed(self, event: yaml.Event) -> None:
        self.last_line = event.start_mark.line + 1 if event.start_mark else self.last_line
        match event:
            case yaml.DocumentStartEvent():
                self._n_documents += 1
                if self._n_documents > 1:
                    raise self._error("a second document starts here", "Keep one in each file.")
            case yaml.ScalarEvent():
                self._add_scalar(event)
            case yaml.AliasEvent():
                node = self._anchors.get(str(event.anchor))
                name = str(event.anchor)[:60]
                if node is None:
                    raise self._error(f"the alias *{name} has no anchor &{name}", "Remove it.")
                if self._expects_key():
                    raise self._error(f"the alias *{name} is used as a field name", "Write it out.")
                if any(opened.node is node for opened in self._stack):
                    raise self._error(f"the alias *{name} is inside its own anchor", "Remove it.")
                # The depth with the alias written out: recursion over the values comes later.
                if len(self._stack) + node.height > MAX_DEPTH:
                    raise self._too_deep()
                self._attach(node, None)
                self._grow(node)
            case yaml.SequenceStartEvent():
                self._open(event, "list")
            case yaml.MappingStartEvent():
                self._open(event, "mapping")
            case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                self._grow(self._stack.pop().node)
            case _:
                pass

    def _expects_key(self) -> bool:
        return bool(
            self._stack and self._stack[-1].node.kind == "mapping" and self._stack[-1].key is None
        )

    def _add_scalar(self, event: yaml.ScalarEvent) -> None:
        tag, written = cast("str | None", event.tag), str(event.value)
        anchor = cast("str | None", event.anchor)
        if tag is None:
            tag = str(self._scalars.resolve(yaml.ScalarNode, written, event.implicit))
            if ":" in written and tag in (_TAG + "int", _TAG + "float"):
                tag = _TAG + "str"  # YAML 1.1 reads times and ratios as numbers of base 60
        elif tag not in ("!", _TAG + "str"):
            raise self._tag_error(tag)
        if self._expects_key():
            if anchor is not None:
                raise self._error(f"a field name has the anchor &{anchor[:60]}", "Remove it.")
            top = self._stack[-1]
            top.key, top.key_line = written, self.last_line
            first = top.node.fields.get(written)
            top.is_repeated = first is not None
            if first is not None:
                # Not an error yet, so that the schema's problems are reported together with it.
                where = place(self._stack[0].node, self._path())
                message = f"{where} is here for the second time, first in line {first.line}."
                self._problems.append(Problem(self.last_line, f"{message} Keep one of them."))
            return
        kind = _KINDS.get(tag.removeprefix(_TAG), "text")
        value: Scalar = written
        if kind != "text":
            if len(written) > MAX_SCALAR:  # to read digits takes a time that grows faster than they
                raise self._error(
                    f"{shortened(written)} is a {kind} of {len(written):,} characters",
                    f"Write at most {MAX_SCALAR}, or put a text in quotes.",
                )
            if kind == "number" and _OCTAL.fullmatch(written):
                raise self._error(
                    f"{shortened(written)} is an octal number to YAML",
                    "Leave out the zeros before it, or put a text in quotes.",
                )
            try:
                value = self._scalars.construct_object(yaml.ScalarNode(tag, written))
            except (
                ValueError,
                IndexError,
                OverflowError,
            ):  # PyYAML's patterns match more than it can convert
                raise self._error(
                    f"{shortened(written)} looks like a number or date to YAML, but is not one",
                    "Put it in quotes.",
                ) from None
        node = Node(self.last_line, kind, value, written=written, size=1 + len(written))
        self._attach(node, anchor)
        self._grow(node)

    def _open(self, event: yaml.CollectionStartEvent, kind: Kind) -> None:
        tag = cast("str | None", event.tag)
        if tag is not None and tag != "!":
            raise self._tag_error(tag)
        if self._expects_key():
            raise self._error(f"a {kind} is in the place of a field name", "Check the line.")
        if len(self._stack) >= MAX_DEPTH:
            raise self._too_deep()
        node = Node(self.last_line, kind)
        self._attach(node, cast("str | None", event.anchor))
        self._stack.append(_Open(node))

    def _attach(self, node: Node, anchor: str | None) -> None:
        """Adds a node to its parent when it opens, so that errors inside it have their place."""
        if anchor is not None:
            self._anchors[anchor] = node
        if not self._stack:
            self._root = node
            return
        top = self._stack[-1]
        if top.node.kind == "list":
            top.node.items.append(node)
        # Of a repeated key the first value stays, as the problem that is reported says.
        elif top.key is not None and not top.is_repeated:
            top.node.fields[top.key] = node
            node.line = min(node.line, top.key_line)

    def _grow(self, closed: Node) -> None:
        """Adds the size of a closed node to its parent, which then expects its next key."""
        if not self._stack:
            return
        top = self._stack[-1]
        top.key = None
        top.node.size += closed.size
        top.node.height = max(top.node.height, closed.height + 1)
        # An alias counts with its full size, though it takes no memory here: whoever reads the
        # values later would expand it ("billion laughs").
        if top.node.size > self._max_expanded:
            raise self._error(
                f"the aliases expand to more than {self._max_expanded:,} characters", "Write less."
            )

    def _path(self) -> Path:
        steps: list[str | int] = []
        for level, opened in enumerate(self._stack, start=1):
            if opened.node.kind == "list":
                is_innermost = level == len(self._stack)
                steps.append(len(opened.node.items) - (0 if is_innermost else 1))
            elif opened.key is not None:
                steps.append(opened.key)
        return tuple(steps)

    def _too_deep(self) -> ConstitutionError:
        return ConstitutionError(
            f"{self._source}:{self.last_line}: lists and mappings are nested more than {MAX_DEPTH} "
            "deep. Look for stray brackets."
        )

    def _tag_error(self, tag: str) -> ConstitutionError:
        name = tag.replace(_TAG, "!!")
        return self._error(
            f"the tag {shortened(name)} is refused, because tags can make objects and run code",
            "Remove it, or put the text in quotes.",
        )

    def _error(self, found: str, advice: str) -> ConstitutionError:
        where = place(self._stack[0].node, self._path()) if self._stack else ""
        return ConstitutionError(
            f"{self._source}:{self.last_line}: {where + ': ' if where else ''}{found}. {advice}"
        )
