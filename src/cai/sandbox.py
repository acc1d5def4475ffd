"""The Jinja environment of prompt templates: strict, bounded, and without chance.

A template is a stranger's code. Jinja's sandbox keeps it from the objects of Python, but not from
taking all memory (`"x" * 10**10`), all time, or making another text on each call (`random`,
`lipsum`, addresses of objects). So only what is listed here can be called; no value, no repetition
and no text grows beyond a limit; and what is no text or number cannot be printed.

Example:
    template = compile_template("{{ request | trim }}")
    reset_limits()
    with time_limit():  # when it is checked
        template.render(request=" Hi. ")
"""

import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from functools import wraps
from types import FrameType, GeneratorType
from typing import Any, cast

from jinja2 import BaseLoader, StrictUndefined, Template, Undefined, nodes
from jinja2.exceptions import SecurityError
from jinja2.filters import FILTERS
from jinja2.sandbox import ImmutableSandboxedEnvironment

MAX_SOURCE = 100_000  # characters of a template
MAX_TEXT = 50_000_000  # characters that a template may make at once: texts of data may be long
MAX_STEPS = 10_000  # of all calls of `range` in one rendering, and the largest number for a filter
MAX_NUMBER = 10**18
TIME_LIMIT_S = 2.0

_TEXT_FILTERS = (
    "abs", "capitalize", "d", "default", "e", "escape", "float", "indent", "int", "lower",
    "replace", "round", "string", "title", "trim", "truncate", "upper", "wordcount",
)  # fmt: skip
_LIST_FILTERS = (
    "count", "dictsort", "first", "items", "join", "last", "length", "list", "map", "max", "min",
    "reject", "rejectattr", "reverse", "select", "selectattr", "sort", "sum", "tojson", "unique",
)  # fmt: skip
_TEXT_METHODS = (
    "capitalize", "casefold", "count", "endswith", "find", "index", "isalnum", "isalpha",
    "isdigit", "islower", "isspace", "isupper", "lower", "lstrip", "partition",
    "removeprefix", "removesuffix", "replace", "rfind", "rpartition", "rsplit", "rstrip",
    "split", "splitlines", "startswith", "strip", "swapcase", "title", "upper",
)  # fmt: skip
_METHODS: Mapping[type, frozenset[str]] = {
    str: frozenset(_TEXT_METHODS),
    list: frozenset({"count", "index"}),
    tuple: frozenset({"count", "index"}),
    dict: frozenset({"get", "items", "keys", "values"}),
    int: frozenset(),
    float: frozenset(),
    bool: frozenset(),
}
_PLAIN = (str, int, float, list, tuple, dict, type(None), Undefined)


class _Spent(threading.local):
    """What the rendering in this thread has used of its limits."""

    n_steps = 0


_spent = _Spent()


class Method:
    """A method of a value, which can be called and not printed: its address would change."""

    def __init__(self, name: str, function: Callable[..., object]) -> None:
        self._name, self._function = name, function

    def __call__(self, *values: object, **named: object) -> object:
        return self._function(*values, **named)

    def __str__(self) -> str:
        raise SecurityError(f"'{self._name}' is a method; call it with ()")

    __repr__ = __str__


class PromptEnvironment(ImmutableSandboxedEnvironment):
    """The environment of all templates; without a loader, so a template cannot load others."""

    intercepted_binops = frozenset(("+", "*", "%", "**", "//"))

    def __init__(self) -> None:
        super().__init__(
            loader=BaseLoader(),
            undefined=StrictUndefined,
            autoescape=False,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=False,
            finalize=_printable,
        )
        self.concat = _concat  # of every block, macro and template
        self.globals = {"range": _range, "dict": dict, "namespace": self.globals["namespace"]}
        filters: dict[str, Callable[..., Any]] = dict(FILTERS)
        self.filters = {name: _bounded(name, filters[name]) for name in _TEXT_FILTERS}
        self.filters |= {name: _bounded(name, filters[name]) for name in _LIST_FILTERS}
        self.filters |= {"replace": _replace, "join": _bounded("join", _join(filters["join"]))}

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        """The syntax tree, in which `~` is a call that knows the limit."""
        tree = super()._parse(source, name, filename)
        _replace_concats(tree)
        return tree

    def getattr(self, obj: Any, attribute: str) -> Any:
        found = super().getattr(obj, attribute)
        return self._wrapped(obj, attribute, found)

    def getitem(self, obj: Any, argument: Any) -> Any:
        found = super().getitem(obj, argument)
        return self._wrapped(obj, argument, found) if isinstance(argument, str) else found

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        are_numbers = isinstance(left, int | float) and isinstance(right, int | float)
        if operator == "+" and not are_numbers:
            if isinstance(left, str | list | tuple) and isinstance(right, str | list | tuple):
                _check_size(len(left) + len(right))  # pyright: ignore[reportUnknownArgumentType]
            return super().call_binop(context, operator, left, right)
        if not are_numbers:
            raise SecurityError(f"{operator} is for numbers alone")
        if operator == "**" and (abs(left) > MAX_NUMBER or abs(right) > 64):
            raise SecurityError("the power is too large")
        result = super().call_binop(context, operator, left, right)
        if isinstance(result, int) and abs(result) > MAX_NUMBER:
            raise SecurityError("the number is too large")
        return result

    def _wrapped(self, obj: Any, name: str, found: Any) -> Any:
        if isinstance(found, Undefined) or not callable(found):
            return found
        for kind, allowed in _METHODS.items():
            if isinstance(obj, kind):
                if name not in allowed:
                    raise SecurityError(f"the method {name!r} is not among {sorted(allowed)}")
                if name == "replace":
                    return Method(name, lambda *values: _replace(obj, *values))
                return Method(name, found)
        return found


def reset_limits() -> None:
    """Lets the limits of one rendering begin anew; to be called before each."""
    _spent.n_steps = 0


@contextmanager
def time_limit(seconds: float = TIME_LIMIT_S) -> Generator[None]:
    """Ends what runs inside after that time of this thread, with a SecurityError.

    It looks at the clock at every line of a template, which is slow: for checks alone.
    """
    end = time.thread_time() + seconds

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        if frame.f_code.co_filename != "<template>":
            return None
        if time.thread_time() > end:
            raise SecurityError(f"it takes longer than {seconds:g} seconds")
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


def compile_template(source: str) -> Template:
    """The template; what jinja2 and Python's own parser raise passes through."""
    if len(source) > MAX_SOURCE:
        raise SecurityError(f"it has {len(source):,} characters, more than {MAX_SOURCE:,}")
    template = _ENVIRONMENT.from_string(source)
    # Jinja copies them for each rendering, and its chain of two mappings slowly.
    template.globals = dict(template.globals)
    return template


def _printable(value: object) -> object:
    if not isinstance(value, _PLAIN):
        name = type(value).__name__
        raise SecurityError(f"a {name} cannot be printed; print a text or a number")
    return cast("object", value)


def _check_size(n: int) -> None:
    if n > MAX_TEXT:
        raise SecurityError(f"it makes a text of more than {MAX_TEXT:,} characters")


def _concat(pieces: Iterable[str]) -> str:
    """The pieces as one text; of a template that never ends, no more than the limit."""
    kept: list[str] = []
    n = 0
    for piece in pieces:
        n += len(piece)
        if n > MAX_TEXT:
            _check_size(n)
        kept.append(piece)
    return "".join(kept)


def _joined(values: Iterable[object]) -> str:
    return _concat(str(_printable(value)) for value in values)


def _replace_concats(node: nodes.Node) -> None:
    for name, value in node.iter_fields():
        if isinstance(value, list):
            changed = [_without_concat(each) for each in value]  # pyright: ignore[reportUnknownVariableType]
            setattr(node, name, changed)
        elif isinstance(value, nodes.Node):
            setattr(node, name, _without_concat(value))


def _without_concat(value: Any) -> Any:
    if not isinstance(value, nodes.Node):
        return value
    _replace_concats(value)
    if not isinstance(value, nodes.Concat):
        return value
    items = nodes.List(value.nodes, lineno=value.lineno)
    return nodes.Filter(items, "~", [], [], None, None, lineno=value.lineno)


def _range(*bounds: int) -> range:
    steps = range(*bounds)
    if len(steps) > MAX_STEPS - _spent.n_steps:
        raise SecurityError(f"its ranges have more than {MAX_STEPS:,} steps")
    _spent.n_steps += len(steps)
    return steps


def _replace(text: object, old: object, new: object, count: int | None = None) -> str:
    source, old, new = str(_printable(text)), str(_printable(old)), str(_printable(new))
    n = source.count(old) if count is None else min(count, source.count(old))
    _check_size(len(source) + n * len(new))
    return source.replace(old, new, -1 if count is None else count)


def _join(inner: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(inner)
    def join(context: Any, value: Iterable[Any], d: str = "", attribute: Any = None) -> Any:
        items = list(value)
        for item in items if attribute is None else ():
            _printable(item)
        lengths = (len(item) if isinstance(item, str) else 20 for item in items)
        _check_size(sum(lengths) + len(items) * len(d))
        return inner(context, items, d, attribute)

    return join


def _bounded(name: str, inner: Callable[..., Any]) -> Callable[..., Any]:
    """The filter, for arguments that cannot make it large, and values that can be printed."""
    is_text = name in _TEXT_FILTERS
    is_passed = getattr(inner, "jinja_pass_arg", None) is not None

    @wraps(inner)
    def bounded(*values: Any, **named: Any) -> Any:
        first = 1 if is_passed else 0  # the first may be the environment
        for position, value in enumerate((*values[first:], *named.values())):
            is_option = position > 0
            if is_option and isinstance(value, int | float) and abs(value) > MAX_STEPS:
                raise SecurityError(f"{name}: {value} is too large")
            if is_option and isinstance(value, str) and len(value) > MAX_STEPS and name[0] != "d":
                raise SecurityError(f"{name}: a text of {len(value):,} characters is too long")
            if is_text or isinstance(value, Method):
                _printable(value)
        result = inner(*values, **named)
        return list(result) if isinstance(result, GeneratorType) else result  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]

    return bounded


_ENVIRONMENT = PromptEnvironment()
_ENVIRONMENT.filters["~"] = _joined
