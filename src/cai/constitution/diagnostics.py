"""What pydantic finds wrong with a constitution, said with line, principle and what to do."""

import re
import unicodedata
from collections.abc import Callable, Sequence

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

_MODELS: dict[str, type[BaseModel]] = {
    "principles": Principle,
    "examples": FewShot,
    "tests": Expectation,
    "rubric": Criterion,
    "changelog": ChangelogEntry,
}


def failure(source: str, problems: Sequence[Problem]) -> ConstitutionError:
    """One error that says up to ten problems, a line each, in the order of the file."""
    ordered = sorted(set(problems))
    lines = [f"{source}:{problem.line}: {problem.message}" for problem in ordered[:MAX_REPORTED]]
    if len(ordered) > MAX_REPORTED:
        lines.append(f"{source}: … and {len(ordered) - MAX_REPORTED} more")
    return ConstitutionError("\n".join(lines))


def schema_problems(error: ValidationError, root: Node, n_inherited: int) -> list[Problem]:
    """The problems of a file whose own principles stand behind `n_inherited` of other files."""
    return [
        _problem(details, root, _own_path(details["loc"], n_inherited))
        for details in error.errors(include_url=False)
        if not _is_said_elsewhere(details, root)
    ]


def _is_said_elsewhere(details: ErrorDetails, root: Node) -> bool:
    """Whether loading says it with lines (equal ids), or it only follows from broken items."""
    if details["type"] == "duplicate_id":
        return True
    return details["type"] == "too_short" and bool(nearest(root, details["loc"]).items)


def _own_path(loc: Path, n_inherited: int) -> Path:
    if len(loc) > 1 and loc[0] == "principles" and isinstance(loc[1], int):
        return ("principles", loc[1] - n_inherited, *loc[2:])
    return loc


def _problem(details: ErrorDetails, root: Node, path: Path) -> Problem:
    node, kind = nearest(root, path), details["type"]
    if kind == "missing":
        return Problem(node.line, _missing(place(root, path[:-1]), str(path[-1])))
    if kind == "extra_forbidden":
        return Problem(node.line, f"{place(root, path)} {_unknown_field(path)}")
    if kind == "value_error":
        where = place(root, path)
        said = details["msg"].removeprefix("Value error, ")
        return Problem(node.line, f"{where}: {said}." if where else f"{said}.")
    finding = _bad_version if path == ("cai",) else _FINDINGS.get(kind)
    found = finding(node) if finding else f"cannot be read ({details['msg']})."
    return Problem(node.line, f"{place(root, path) or 'the file'} {found}")


def _missing(holder: str, name: str) -> str:
    advice = " Give it a short one in kebab-case, such as 'no-insults'." if name == "id" else ""
    return f"{holder or 'the file'} has no {name!r}.{advice or ' Add it.'}"


def _unknown_field(path: Path) -> str:
    holders = [step for step in path[:-1] if isinstance(step, str)]
    known = list(_MODELS.get(holders[-1] if holders else "", Constitution).model_fields)
    hint = did_you_mean(str(path[-1]), known, f"The fields are {', '.join(known)}.")
    return f"is no known field. {hint}"


def _not_text(node: Node) -> str:
    if node.kind == "mapping":
        key = next(iter(node.fields), "")
        return (
            f"is a mapping, because of the colon after {shortened(key)}. "
            "Put the whole text in quotes, or write it below `>-`."
        )
    if node.kind == "list":
        return "is a list, and needs to be one text. Write it without the dashes or brackets."
    if node.kind == "null":
        written = f" ({node.written})" if node.written else ""
        return f"is empty{written}. Write a text; if this is one, put it in quotes."
    return f'is a {node.kind} ({node.written}) to YAML. Put it in quotes: "{node.written}".'


def _bad_pattern(node: Node) -> str:
    if not node.written.strip():
        return "is empty. Write a text, or drop the field if it is optional."
    foreign = next((char for char in node.written if not char.isascii()), "")
    if foreign:
        return (
            f"is {shortened(node.written)}, which holds {_named(foreign)}. "
            "Use the letters a to z, digits and single hyphens; a look-alike letter makes two "
            "names that nobody can tell apart."
        )
    slug = re.sub(r"[^a-z0-9]+", "-", node.written.lower()).strip("-")
    hint = f", such as {shortened(slug)}" if slug else ""
    return (
        f"is {shortened(node.written)}. "
        f"Use the letters a to z, digits and single hyphens between them{hint}."
    )


def _named(char: str) -> str:
    return f"{char!r} ({unicodedata.name(char, 'no name')}, U+{ord(char):04X})"


def _too_long(node: Node) -> str:
    return f"is {len(node.written):,} characters long. Shorten it; a long text is ill followed."


def _not_list(node: Node) -> str:
    found = f"a {node.kind} ({shortened(node.written)})" if node.written else f"a {node.kind}"
    return f"is {found}, and needs to be a list. Put it in [ ], or write each item after a dash."


def _not_mapping(node: Node) -> str:
    return f"is a {node.kind}, and needs to be fields with values, such as 'id: no-insults'."


def _not_number(node: Node) -> str:
    found = shortened(node.written) if node.written else f"a {node.kind}"
    return f"is {found}, and needs to be a plain number, without quotes."


def _bad_weight(node: Node) -> str:
    return f"is {node.written}. A weight is a number from 0 up, such as 1.0; 0 is never drawn."


def _bad_share(node: Node) -> str:
    return (
        f"is {node.written}. A criterion's weight is a number above 0; drop the criterion if it is "
        "to count nothing."
    )


def _bad_version(node: Node) -> str:
    return (
        f"is {shortened(node.written)}. This program reads schema version {SCHEMA_VERSION}; "
        f"write 'cai: {SCHEMA_VERSION}', or use a newer program."
    )


def _too_few(node: Node) -> str:
    return "is an empty list. Write at least one principle, or extend a constitution."


_FINDINGS: dict[str, Callable[[Node], str]] = {
    "string_type": _not_text,
    "string_pattern_mismatch": _bad_pattern,
    "string_too_long": _too_long,
    "tuple_type": _not_list,
    "model_type": _not_mapping,
    "model_attributes_type": _not_mapping,
    "float_type": _not_number,
    "int_type": _not_number,
    "finite_number": _bad_weight,
    "greater_than": _bad_share,
    "greater_than_equal": _bad_weight,
    "too_short": _too_few,
}
