"""Prompt templates: sandboxed, strict, one turn each; values are inserted once, never rendered.

A set is a folder with one Jinja file per step and a `set.yaml`. A user's folder may contain any of
the files; the others come from the set that its `set.yaml` names as `base` (default `chat`).

Principles, data and model output are values, which Jinja does not interpret. The delimiters that a
template uses are escaped in them by a backslash after the first character, so that no text can end
the block it is in. That includes spellings that a model could take for a delimiter: other cases,
fullwidth letters, spaces or invisible characters inside. The turn labels of a transcript are
escaped likewise where they would open a turn.

Example:
    templates = load_templates("chat")
    text = templates.render("critique", {"principle": principle, "is_minimal": False})
    request = templates.request([*conversation, Message("user", text)])
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Literal, get_args

from jinja2 import Template, TemplateError, TemplateNotFound, TemplateSyntaxError
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from cai.constitution.schema import Principle
from cai.constitution.yaml import read_plain
from cai.delimiters import delimiter_pattern, escape_delimiters
from cai.errors import ConstitutionError, PromptError
from cai.sandbox import compile_template, reset_limits, time_limit
from cai.types import Conversation, Message, content_hash

Step = Literal[
    "respond", "critique", "revise", "direct", "judge",
    "rationale", "score", "check", "reward", "choice",
]  # fmt: skip
STEPS: tuple[Step, ...] = get_args(Step)

Value = str | bool | Principle | Sequence[Message] | Sequence[str]
NonEmpty = Annotated[str, Field(min_length=1)]

_COMPARED = ("principle", "conversation", "response_a", "response_b")
VARIABLES: Mapping[Step, tuple[str, ...]] = {
    "respond": ("request",),
    "critique": ("principle", "is_minimal"),
    "revise": ("principle", "is_minimal"),
    "direct": ("principle", "is_minimal"),
    "judge": (*_COMPARED, "is_negated", "has_rationale"),
    "rationale": (*_COMPARED, "is_negated"),
    "score": ("principle", "conversation", "response"),
    "check": ("principle", "conversation", "response"),
    "reward": ("request", "kept", "broken"),
    "choice": ("request", "options", "answers"),
}
"""The variables of each step's template, besides `no_revision_needed`, which all have."""

# What a template can raise while it renders: the expressions in it are the user's.
_FAILURES = (
    TemplateError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


class SetSettings(BaseModel):
    """The content of a `set.yaml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["chat", "transcript"] = "chat"
    no_revision_needed: Annotated[str, Field(pattern=r"\w")]
    delimiters: tuple[Annotated[str, Field(min_length=2)], ...] = ()
    turn_labels: dict[Literal["user", "assistant"], NonEmpty] = {}
    stop: tuple[NonEmpty, ...] = ()

    @model_validator(mode="after")
    def _transcripts_have_labels(self) -> "SetSettings":
        if self.kind == "transcript" and len(self.turn_labels) < 2:
            raise PydanticCustomError(
                "no_labels", "a transcript needs turn_labels for both user and assistant"
            )
        return self


@dataclass(frozen=True)
class TemplateSet:
    """The templates of every step, and how their turns become a request."""

    name: str
    settings: SetSettings
    sources: Mapping[Step, str]
    files: Mapping[Step, Path]

    @cached_property
    def hash(self) -> str:
        """Twelve hex digits over every template and setting."""
        texts = [self.sources[step] for step in STEPS]
        return content_hash(self.settings.model_dump_json(), *texts)

    @property
    def is_chat(self) -> bool:
        return self.settings.kind == "chat"

    def render(self, step: Step, values: Mapping[str, Value]) -> str:
        """The text of one step's turn.

        Raises:
            PromptError: The template uses a variable that the step does not have, or fails.
        """
        delimiters = self._delimiters[step]
        escaped = {name: _escape(value, delimiters) for name, value in values.items()}
        escaped["no_revision_needed"] = self.settings.no_revision_needed
        reset_limits()
        try:
            return self._templates[step].render(escaped)
        except TemplateNotFound as error:
            raise PromptError(
                f"{self.files[step]}: loads the template {error.message!r}, but a step is one "
                "file and cannot load others. Write the text into it."
            ) from error
        except (*_FAILURES, MemoryError) as error:
            raise PromptError(
                f"{self.files[step]}: {_reason(error)}. "
                f"This step has the variables {', '.join(sorted(escaped))}."
            ) from error

    def check(self) -> None:
        """Renders every template with sample values, so that a mistake shows before a paid call.

        Raises:
            PromptError: One does not parse, or uses a variable that its step does not have.
        """
        text = "A text."
        texts = dict.fromkeys(("critique", "revision", "judge", "negated"), text)
        # With and without the optional texts, flags and lists: a template may branch on any.
        for principle in (Principle(id="x", text=text), Principle(id="x", text=text, **texts)):
            for flag in (False, True):
                values: dict[str, Value] = {
                    **dict.fromkeys(("request", "response", "response_a", "response_b"), text),
                    **dict.fromkeys(("is_minimal", "has_rationale", "is_negated"), flag),
                    **dict.fromkeys(("kept", "broken", "options"), (text,) if flag else ()),
                    "answers": ("A", "B"),
                    "principle": principle,
                    "conversation": (Message("user", text),),
                }
                for step, names in VARIABLES.items():
                    with time_limit():
                        self.render(step, {name: values[name] for name in names})

    def request(self, messages: Sequence[Message]) -> Conversation:
        """What the model receives: the turns for a chat model, one text for a base model.

        The transcript of a base model ends with the label of the assistant's turn, open. In a turn
        of it no text can open another turn.
        """
        if self.is_chat:
            return tuple(messages)
        labels, blocks = self.settings.turn_labels, list[str]()
        for turn in messages:
            if turn.role in ("user", "assistant"):
                text = escape_delimiters(self._turn_openings, turn.content)
                blocks.append(f"{labels[turn.role]}: {text}")
            else:
                # No label precedes this text, so its first word could open a turn: it is escaped
                # as it will be in the transcript, after an empty line.
                text = escape_delimiters(self._turn_openings, "\n\n" + turn.content.lstrip("\n"))
                blocks.append(text.removeprefix("\n").removeprefix("\n"))
        blocks.append(f"{labels['assistant']}:")
        return (Message("text", "\n\n".join(blocks)),)

    def finds_nothing(self, critique: str) -> bool:
        """Whether a critique begins by saying that no revision is needed."""
        return _letters(critique).startswith(_letters(self.settings.no_revision_needed))

    @cached_property
    def _templates(self) -> dict[Step, Template]:
        compiled: dict[Step, Template] = {}
        for step, source in self.sources.items():
            try:
                compiled[step] = compile_template(source)
            except TemplateSyntaxError as error:
                raise PromptError(f"{self.files[step]}:{error.lineno}: {error.message}.") from error
            except (*_FAILURES, SyntaxError, MemoryError) as error:  # of Python's own parser
                raise PromptError(
                    f"{self.files[step]}: cannot be compiled ({_reason(error)}). Write it simpler."
                ) from error
        return compiled

    @cached_property
    def _delimiters(self) -> dict[Step, re.Pattern[str]]:
        """By step, the delimiters that its template uses: no others can be ended there."""
        return {
            step: delimiter_pattern(
                each for each in self.settings.delimiters if each.casefold() in source.casefold()
            )
            for step, source in self.sources.items()
        }

    @cached_property
    def _turn_openings(self) -> re.Pattern[str]:
        return delimiter_pattern(f"\n\n{label}:" for label in self.settings.turn_labels.values())


def load_templates(name_or_folder: str | Path = "chat") -> TemplateSet:
    """A shipped set by name, or a user's folder on top of its base set.

    Raises:
        PromptError: There is no such set, a file is not a step's, or one of the files is wrong.
    """
    name, shipped = str(name_or_folder), shipped_sets()
    folder = prompts_folder() / name if name in shipped else Path(name)
    if not folder.is_dir():
        raise PromptError(
            f"There is no template set {name!r}. Shipped sets: {', '.join(shipped)}; or "
            "name a folder with templates of your own."
        )
    set_file = folder / "set.yaml"
    settings = _read_settings(set_file) if set_file.is_file() else {}
    for path in sorted(folder.glob("*.j2")):
        if path.stem not in STEPS:
            raise PromptError(f"{path}: no step has this name. The steps are {', '.join(STEPS)}.")
    files: dict[Step, Path] = {
        step: folder / f"{step}.j2" for step in STEPS if (folder / f"{step}.j2").is_file()
    }
    if name not in shipped:
        base_name = settings.pop("base", "chat")
        if base_name not in shipped:
            raise PromptError(
                f"{set_file}: base is {base_name!r}, not one of {', '.join(shipped)}."
            )
        base = load_templates(str(base_name))
        settings = {**base.settings.model_dump(), **settings}
        files = dict(base.files) | files
    sources: dict[Step, str] = {step: _read_text(files[step]) for step in STEPS}
    try:
        checked = SetSettings.model_validate(settings)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        place = f"{set_file}: {where}" if where else str(set_file)
        raise PromptError(f"{place}: {first['msg']}.") from error
    templates = TemplateSet(name, checked, sources, files)
    templates.check()
    return templates


def _read_settings(path: Path) -> dict[str, object]:
    try:
        settings = read_plain(_read_text(path), str(path))
    except ConstitutionError as error:  # the reader is that of constitutions
        raise PromptError(str(error)) from error
    if not isinstance(settings, dict):
        raise PromptError(f"{path}: must be a mapping of settings, such as `base: chat`.")
    return dict(settings)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise PromptError(f"{path}: cannot be read as UTF-8 text: {error}") from error


def prompts_folder() -> Path:
    """The folder of the shipped sets: in the installed package, or at the top of a checkout."""
    package = Path(__file__).parent
    shipped = package / "_shipped" / "prompts"
    return shipped if shipped.is_dir() else package.parents[1] / "prompts"


def shipped_sets() -> list[str]:
    return sorted(path.parent.name for path in prompts_folder().glob("*/set.yaml"))


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return (text[:200] or type(error).__name__).removesuffix(".")


def _letters(text: str) -> str:
    return "".join(re.findall(r"\w+", text.casefold()))


def _escape(value: Value, delimiters: re.Pattern[str]) -> object:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return escape_delimiters(delimiters, value)
    if isinstance(value, Principle):
        return _escape_principle(value, delimiters)  # pyright: ignore[reportArgumentType]: it is frozen, and so has a hash
    return [
        escape_delimiters(delimiters, each)
        if isinstance(each, str)
        else {"role": each.role, "content": escape_delimiters(delimiters, each.content)}
        for each in value
    ]


@lru_cache(maxsize=4096)  # few principles, and one of them in most requests
def _escape_principle(principle: Principle, delimiters: re.Pattern[str]) -> Mapping[str, str]:
    texts = principle.model_dump(include={"id", "text", "critique", "revision", "judge", "negated"})
    return {name: escape_delimiters(delimiters, text or "") for name, text in texts.items()}
