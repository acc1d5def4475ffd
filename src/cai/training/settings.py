"""What a user sets of a trainer: one YAML file, and `NAME=VALUE` options that override it.

The file is flat, each name a field of TRL's config, beside the block `lora:`. The place where each
value was written is stored with it, so that an error can say where to correct it.

Example:
    settings = read_settings("dpo.yaml", ["lora.r=8"])
    settings["learning_rate"], place(settings, "learning_rate")  # 1e-5, "dpo.yaml:3"
    settings.block("lora")["r"]  # 8
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from cai.constitution.yaml import MAX_BYTES, Node, read_yaml
from cai.errors import ConstitutionError, TrainingError, UsageError


@dataclass(frozen=True, slots=True, eq=False)
class TrainerSettings(Mapping[str, object]):
    """Values by name, each with the place where it was written."""

    given: Mapping[str, object]
    places: Mapping[str, str]  # by dotted name, such as `lora.r`

    def __getitem__(self, name: str) -> object:
        return self.given[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.given)

    def __len__(self) -> int:
        return len(self.given)

    def block(self, name: str) -> "TrainerSettings | None":
        """The mapping of that name, by itself; None without one.

        Raises:
            TrainingError: The value is not a mapping.
        """
        if name not in self.given:
            return None
        value = self.given[name]
        if not isinstance(value, Mapping):
            raise TrainingError(
                f"{place(self, name)}: {name!r} is {value!r}, and must be a mapping. Write "
                f"`{name}: {{}}` for its defaults, or leave it out."
            )
        below = cast("Mapping[str, object]", value)
        start = f"{name}."
        places = {
            inner.removeprefix(start): where
            for inner, where in self.places.items()
            if inner.startswith(start)
        }
        return TrainerSettings(below, {**{inner: place(self, name) for inner in below}, **places})


def place(block: Mapping[str, object], name: str) -> str:
    """Where the value of that name was written: file and line, or option, or "settings"."""
    return block.places.get(name, "settings") if isinstance(block, TrainerSettings) else "settings"


def read_settings(path: str | Path | None, overrides: Sequence[str] = ()) -> TrainerSettings:
    """The settings of the file, replaced by those of `NAME=VALUE`; a later one wins.

    A value is read as YAML. A dot leads into a block: `lora.r=8`.

    Raises:
        TrainingError: The file cannot be read, or is not a mapping, or has a setting twice.
        UsageError: An override has another form.
    """
    given: dict[str, object] = {}
    places: dict[str, str] = {}
    if path is not None:
        try:
            with Path(path).open("rb") as file:
                data = file.read(MAX_BYTES + 1)  # it may be a device, or weights by mistake
        except OSError as error:
            raise TrainingError(
                f"{path}: cannot be read as settings ({error.strerror}). Give a YAML file, such as "
                "one with the line `learning_rate: 1e-5`."
            ) from None
        if len(data) > MAX_BYTES:
            raise TrainingError(
                f"{path}: the file is over the limit of {MAX_BYTES:,} bytes. Settings are a page: "
                "is this the file you meant?"
            )
        # a file of comments alone is one without settings, which YAML reads as null
        if any(line.split(b"#")[0].strip() for line in data.splitlines()):
            root = _read(data, str(path))
            if root.kind != "mapping":
                raise TrainingError(
                    f"{path}:{root.line}: a {root.kind} stands where settings should be. Write one "
                    "a line, such as `learning_rate: 1e-5`."
                )
            given.update(cast("dict[str, object]", root.plain()))
            places.update(_places(root, str(path)))
    for override in overrides:
        name, sign, text = override.partition("=")
        name = name.strip()
        if not sign or not all(part.isidentifier() for part in name.split(".")):
            raise UsageError(
                f"--set {override!r}: the form is NAME=VALUE, such as learning_rate=1e-5 or "
                "lora.r=8."
            )
        if not text.strip():
            raise UsageError(
                f"--set {override!r}: the value is missing. Write {name}=null for none at all."
            )
        try:
            value = _read(text, name).plain()
        except TrainingError:
            raise UsageError(
                f"--set {override!r}: the value is not YAML. Put text with signs in it in quotes "
                f"of its own: {name}='\"...\"'."
            ) from None
        *blocks, last = name.split(".")
        inner = given
        for block in blocks:
            below = inner.get(block, {})
            if not isinstance(below, Mapping):
                raise UsageError(
                    f"--set {override!r}: {block!r} is {below!r} and not a block, so nothing can "
                    f"be set in it. Set {block!r} as a whole, or leave out the other value."
                )
            # a copy: the block may be that of the file, which is used elsewhere
            inner[block] = inner = dict(cast("Mapping[str, object]", below))
        inner[last] = value
        # the lines of a block that was replaced as a whole are no longer where its values are from
        for inner_name in [each for each in places if each.startswith(f"{name}.")]:
            del places[inner_name]
        places[name] = f"--set {name}"
    return TrainerSettings(given, places)


def _read(data: str | bytes, source: str) -> Node:
    try:
        document = read_yaml(data, source)
    except ConstitutionError as error:  # the reader is that of constitutions
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
