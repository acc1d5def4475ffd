"""The errors of pydantic about a constitution file as messages: line, principle and what to do."""

import re
import unicodedata
from collections.abc import Sequence
from operator import itemgetter

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from cai.constitution.schema import (
    SCHEMA_VERSION,
    ChangelogEntry,
    Constitution,
    Criterion,
    Expectation,
    FewShot,
    Principle,
)
from cai.constitution.yaml import Node, Path, Problem, nearest, place, shortened
from cai.errors import ConstitutionError
from cai.suggest import did_you_mean

MAX_REPORTED = 10
_MOST_MESSAGES = 100  # some of them may be equal

_MODELS: dict[str, type[BaseModel]] = {
    "principles": Principle,
    "examples": FewShot,
    "tests": Expectation,
    "rubric": Criterion,
    "changelog": ChangelogEntry,
}

_NO_MAPPING = "is a {kind}, and must be fields with values, such as 'id: no-insults'."
_NO_TIER = "is {written}. A tier is a whole number from -100 to 100, such as 1."

# By pydantic's type of error, with or without the kind of the node in the file. `written` are its
# characters, `shown` the same in short and in quotes, and `length` is their number.
_MESSAGES = {
    # The most frequent mistake: a colon in a sentence makes it a field and its value.
    "string_type mapping": "is a mapping, because of the colon after {first}. Put the whole text "
    "in quotes, or write it below `>-`.",
    "string_type list": "is a list, and must be one text. Write it without the dashes or brackets.",
    "string_type null": "is empty{note}. Write a text; if this is one, put it in quotes.",
    "string_type": 'is a {kind} ({written}) to YAML. Put it in quotes: "{written}".',
    "string_too_long": "is {length:,} characters long. Shorten it; models miss parts of it.",
    "tuple_type": "is {shown}, and must be a list. Put it in [ ], or each item after a dash.",
    "model_type": _NO_MAPPING,
    "model_attributes_type": _NO_MAPPING,
    "literal_error": "is {shown}. Write {expected}.",
    "float_type": "is {shown}, and must be a plain number such as 1.0, without quotes.",
    "int_type": "is {shown}, and must be a whole number such as 1, without quotes.",
    "finite_number": "is {written}. A weight is a finite number, such as 1.0. With 0 a principle "
    "is never drawn, and with a number below 0 it states a flaw.",
    "greater_than_equal": _NO_TIER,
    "less_than_equal": _NO_TIER,
    "greater_than": "is {written}. A criterion's weight is a number above 0; drop the criterion if "
    "it should not count.",
    "too_short": "is an empty list. Write at least one principle, or extend a constitution.",
    "newer": f"is {{shown}}. This program reads schema version {SCHEMA_VERSION}; write "
    f"'cai: {SCHEMA_VERSION}', or use a newer program.",
}


def failure(source: str, problems: Sequence[Problem]) -> ConstitutionError:
    """One error with up to ten problems, a line each, in the order of the file."""
    ordered = sorted(set(problems))
    lines = [f"{source}:{problem.line}: {problem.message}" for problem in ordered[:MAX_REPORTED]]
    if len(ordered) > MAX_REPORTED:
        lines.append(f"{source}: … and {len(ordered) - MAX_REPORTED} more")
    return ConstitutionError("\n".join(lines))


def schema_problems(error: ValidationError, root: Node, n_inherited: int) -> list[Problem]:
    """The problems of a file whose own principles come after `n_inherited` of other files."""
    problems: list[Problem] = []
    wrong: list[tuple[int, ErrorDetails, Path]] = []
    for details in error.errors(include_url=False, include_input=False):
        kind, path = details["type"], details["loc"]
        # Equal ids are reported by the loader, which knows their lines. Items that are broken are
        # missing from their list for pydantic, so the list may look too short to it.
        if kind == "duplicate_id" or (kind == "too_short" and nearest(root, path).items):
            continue
        # pydantic saw the inherited principles first, so its positions are not the file's.
        if len(path) > 1 and path[0] == "principles" and isinstance(path[1], int):
            path = ("principles", path[1] - n_inherited, *path[2:])
        wrong.append((nearest(root, path).line, details, path))
    wrong.sort(key=itemgetter(0))
    # A file may be wrong in as many places as it has lines: the messages of a few are enough.
    for position, (line, details, path) in enumerate(wrong):
        is_shown = position < _MOST_MESSAGES
        message = _message(details, root, path) if is_shown else f"{path} is wrong."
        problems.append(Problem(line, message))
    return problems


def _message(details: ErrorDetails, root: Node, path: Path) -> str:
    node, kind, where = nearest(root, path), details["type"], place(root, path)
    if kind == "missing":
        holder, name = place(root, path[:-1]) or "the file", str(path[-1])
        advice = "Give it a short one in kebab-case, such as 'no-insults'."
        return f"{holder} has no {name!r}. {advice if name == 'id' else 'Add it.'}"
    if kind == "value_error":
        message = details["msg"].removeprefix("Value error, ")
        return f"{where}: {message}." if where else f"{message}."
    if kind == "extra_forbidden":
        holders = [step for step in path[:-1] if isinstance(step, str)]
        known = list(_MODELS.get(holders[-1] if holders else "", Constitution).model_fields)
        hint = did_you_mean(str(path[-1]), known, f"The fields are {', '.join(known)}.")
        return f"{where} is not a known field. {hint}"
    if kind == "string_pattern_mismatch":
        return f"{where} {_bad_pattern(node.written)}"
    kind = "newer" if path == ("cai",) else kind
    template = _MESSAGES.get(f"{kind} {node.kind}") or _MESSAGES.get(kind)
    reason = (template or "cannot be read ({message}).").format(
        message=details["msg"],
        kind=node.kind,
        written=node.written,
        shown=shortened(node.written) if node.written else f"a {node.kind}",
        length=len(node.written),
        first=shortened(next(iter(node.fields), "")),
        note=f" ({node.written})" if node.written else "",
        expected=details.get("ctx", {}).get("expected", ""),
    )
    return f"{where or 'the file'} {reason}"


def _bad_pattern(written: str) -> str:
    if not written.strip():
        return "is empty. Write a text, or drop the field if it is optional."
    if foreign := next((char for char in written if not char.isascii()), ""):
        # A look-alike letter, Cyrillic o for instance, cannot be seen in the message itself.
        name = f"{unicodedata.name(foreign, 'no name')}, U+{ord(foreign):04X}"
        return (
            f"is {shortened(written)}, which contains {foreign!r} ({name}). "
            "Use the letters a to z, digits and single hyphens; with a look-alike letter two names "
            "cannot be distinguished."
        )
    slug = re.sub(r"[^a-z0-9]+", "-", written.lower()).strip("-")
    hint = f", such as {shortened(slug)}" if slug else ""
    return (
        f"is {shortened(written)}. "
        f"Use the letters a to z, digits and single hyphens between them{hint}."
    )
