"""What a person sets of a trainer: one YAML file, and `NAME=VALUE` that overrules it.

The file is flat, each name a field of TRL's config, beside the block `lora:`. Values keep the place
where they were written, so that an error can say where to correct it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from cai.constitution.yaml import MAX_BYTES, Node, read_yaml
from cai.errors import ConstitutionError, TrainingError, UsageError


@dataclass(frozen=True, slots=True, eq=False)
class Settings(Mapping[str, object]):
    """Values by name, each with the place where it was written."""

    given: Mapping[str, object]
    places: Mapping[str, str]
    """By dotted name, such as `lora.r`."""

    def __getitem__(self, name: str) -> object:
        return self.given[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.given)

    def __len__(self) -> int:
        return len(self.given)

    def block(self, name: str) -> "Settings | None":
        """The mapping of that name, by itself; None where it is not there.

        Raises:
            TrainingError: It is there, and no mapping.
        """
        if name not in self.given:
            return None
        value = self.given[name]
        if not isinstance(value, Mapping):
            raise TrainingError(
                f"{place(self, name)}: {name!r} is {value!r}, where a mapping is wanted. Write "
                f"`{name}: {{}}` for its defaults, or leave it out."
            )
        below = cast("Mapping[str, object]", value)
        start = f"{name}."
        places = {
            inner.removeprefix(start): where
            for inner, where in self.places.items()
            if inner.startswith(start)
        }
        return Settings(below, {**{inner: place(self, name) for inner in below}, **places})


def place(block: Mapping[str, object], name: str) -> str:
    """Where the value of that name was written: file and line, or option, or "settings"."""
    return block.places.get(name, "settings") if isinstance(block, Settings) else "settings"


def read_settings(path: str | Path | None, overrides: Sequence[str] = ()) -> Settings:
    """The settings of the file, with those of `NAME=VALUE` in their place; a later one wins.

    A value is read as YAML. A dot leads into a block: `lora.r=8`.

    Raises:
        TrainingError: The file cannot be read, or is no mapping, or names a setting twice.
        UsageError: An override has another form.
    """
    given: dict[str, object] = {}
    places: dict[str, str] = {}
    if path is not None:
        root = _root(Path(path))
        given.update(cast("dict[str, object]", root.plain()))
        places.update(_places(root, str(path)))
    for override in overrides:
        name, value = _override(override)
        _put(given, name.split("."), value, override)
        for inner in [inner for inner in places if inner.startswith(f"{name}.")]:
            del places[inner]
        places[name] = f"--set {name}"
    return Settings(given, places)


def _root(path: Path) -> Node:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise TrainingError(
            f"{path}: cannot be read as settings ({error.strerror}). Give a YAML file, such as one "
            "with the line `learning_rate: 1e-5`."
        ) from None
    if len(data) > MAX_BYTES:
        raise TrainingError(
            f"{path}: the file is over the limit of {MAX_BYTES:,} bytes. Settings are a page: is "
            "this the file you meant?"
        )
    if not any(line.split(b"#")[0].strip() for line in data.splitlines()):
        return Node(1, "mapping")
    root = _read(data, str(path))
    if root.kind != "mapping":
        raise TrainingError(
            f"{path}:{root.line}: a {root.kind} stands where settings are wanted. Write one a "
            "line, such as `learning_rate: 1e-5`."
        )
    return root


def _read(data: str | bytes, source: str) -> Node:
    try:
        document = read_yaml(data, source)
    except ConstitutionError as error:  # the reader is the constitutions' own
        raise TrainingError(str(error)) from None
    if document.problems:
        raise TrainingError(
            "\n".join(
                f"{source}:{problem.line}: {problem.message}" for problem in document.problems
            )
        )
    return document.root


def _places(node: Node, source: str, before: str = "") -> Iterator[tuple[str, str]]:
    for name, below in node.fields.items():
        yield f"{before}{name}", f"{source}:{below.line}"
        yield from _places(below, source, f"{before}{name}.")


def _override(override: str) -> tuple[str, object]:
    name, sign, text = override.partition("=")
    name = name.strip()
    if not sign or not all(part.isidentifier() for part in name.split(".")):
        raise UsageError(
            f"--set {override!r}: the form is NAME=VALUE, such as learning_rate=1e-5 or lora.r=8."
        )
    if not text.strip():
        raise UsageError(
            f"--set {override!r}: the value is missing. Write {name}=null for none at all."
        )
    try:
        return name, _read(text, name).plain()
    except TrainingError:
        raise UsageError(
            f"--set {override!r}: the value is not YAML. Put text with signs in it in quotes of "
            f"its own: {name}='\"...\"'."
        ) from None


def _put(given: dict[str, object], path: Sequence[str], value: object, override: str) -> None:
    """Sets the value at the end of the path, in copies of the blocks on the way."""
    name, *below = path
    if not below:
        given[name] = value
        return
    block = given.get(name, {})
    if not isinstance(block, Mapping):
        raise UsageError(
            f"--set {override!r}: {name!r} is {block!r} and no block, so nothing can be set in "
            f"it. Set {name!r} as a whole, or take the other value back."
        )
    inner = dict(cast("Mapping[str, object]", block))
    _put(inner, below, value, override)
    given[name] = inner
