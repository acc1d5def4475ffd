"""Prompt templates: sandboxed, strict, one turn each; values are inserted once, never rendered.

A set is a folder with one Jinja file a step and a `set.yaml`. A folder of one's own may hold any of
the files; what it lacks comes from the set that its `set.yaml` names as `base` (`chat` when it
names none). Principles, data and model output are values: Jinja does not look inside them, and the
delimiters that a template uses are broken up in them, so that no text can end the block it stands
in; so are spellings that a model could take for one, in capitals, in wide letters, with spaces. A
transcript's turn labels are broken up likewise where they would open a turn.

Delimiters broken up inside texts that are not ours, so that none can end its block.

A backslash goes after the first sign of each, also of spellings that a model may take for one:
other cases, wide letters, spaces between signs, signs that are not seen. All other texts stay as
they are, letter for letter.
"""

import itertools
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Literal, get_args

import yaml
from jinja2 import (
    BaseLoader,
    StrictUndefined,
    Template,
    TemplateError,
    TemplateNotFound,
    TemplateSyntaxError,
)
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from cai.constitution.schema import Principle
from cai.errors import PromptError
from cai.types import Conversation, Message, content_hash

_UNSEEN = "\u200b"
"""Stands in a folded text for each sign of no width: joiners, marks of direction."""

_LINE_ENDS = str.maketrans(dict.fromkeys("\r\v\f\x1c\x1d\x1e\x85\u2028\u2029", "\n"))


def openings(delimiters: Iterable[str]) -> re.Pattern[str]:
    """Matches, in a folded text, the first sign of each delimiter; of overlapping ones, too."""
    found = "|".join(_loosely(_folded(each)) for each in delimiters)
    return re.compile(f"(?=(?:{found}))." if found else "(?!)", re.DOTALL)


def _loosely(delimiter: str) -> str:
    """A pattern of the delimiter with what a reader passes over: signs not seen, and spaces.

    Spaces may stand between a word and a sign, or two signs that differ: `< / turn >`, `( A )`.
    """
    delimiter = re.sub(" +", " ", delimiter)
    pattern = re.escape(delimiter[0])
    for before, sign in itertools.pairwise(delimiter):
        if sign == " ":
            pattern += rf"[\s{_UNSEEN}]+"
        elif before == " ":  # the gap is in the pattern already: two of them would search in vain
            pattern += re.escape(sign)
        elif before == "\n":
            pattern += rf"(?:[^\S\n]|{_UNSEEN})*{re.escape(sign)}"
        elif before == sign or (before.isalnum() and sign.isalnum()):
            pattern += f"{_UNSEEN}*{re.escape(sign)}"
        else:
            pattern += rf"[\s{_UNSEEN}]*{re.escape(sign)}"
    return pattern


def broken_up(found: re.Pattern[str], text: str) -> str:
    """The text with a backslash after the first sign of each delimiter."""
    starts = [match.start() for match in found.finditer(_folded(text))]
    cuts = [0, *(start + 1 for start in starts), len(text)]
    return "\\".join(text[start:end] for start, end in itertools.pairwise(cuts))


def _folded(text: str) -> str:
    """The text in small plain letters, sign for sign: `＜/ReſPONSE` as `</response`."""
    if text.isascii():
        return text.lower().translate(_LINE_ENDS)
    return text.translate({ord(sign): _plain(sign) for sign in set(text)}).translate(_LINE_ENDS)


def _plain(sign: str) -> str:
    if unicodedata.category(sign) == "Cf" or "\ufe00" <= sign <= "\ufe0f":
        return _UNSEEN
    plain = unicodedata.normalize("NFKC", sign).casefold()
    return plain if len(plain) == 1 else sign


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
"""What each step gives its template, beside `no_revision_needed`, which all have."""


# what a template can raise while it renders
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
            PromptError: The template uses a variable that the step does not give, or fails.
        """
        delimiters = self._delimiters[step]
        inert = {name: _inert(value, delimiters) for name, value in values.items()}
        inert["no_revision_needed"] = self.settings.no_revision_needed
        try:
            return self._templates[step].render(inert)
        except TemplateNotFound as error:
            raise PromptError(
                f"{self.files[step]}: asks for the template {error.message!r}, but a step is one "
                "file and loads no other. Write the text into it."
            ) from error
        except _FAILURES as error:
            raise PromptError(
                f"{self.files[step]}: {error}. "
                f"This step has the variables {', '.join(sorted(inert))}."
            ) from error

    def check(self) -> None:
        """Renders every template on trial, so that a mistake is said before a call is paid for.

        Raises:
            PromptError: One does not parse, or uses a variable that its step does not have.
        """
        for step, names in VARIABLES.items():
            for principle in _TRIAL_PRINCIPLES:
                for flag in (False, True):
                    values = _trial_values(principle, flag)
                    self.render(step, {name: values[name] for name in names})

    def request(self, messages: Sequence[Message]) -> Conversation:
        """What the model is sent: the turns for a chat model, one text for a base model.

        The transcript of a base model ends with the label of the assistant's turn, open.
        """
        if self.is_chat:
            return tuple(messages)
        blocks = [self._block(message) for message in messages]
        blocks.append(f"{self.settings.turn_labels['assistant']}:")
        return (Message("text", "\n\n".join(blocks)),)

    def finds_nothing(self, critique: str) -> bool:
        """Whether a critique opens by saying that no revision is needed."""
        return _letters(critique).startswith(_letters(self.settings.no_revision_needed))

    @cached_property
    def _templates(self) -> dict[Step, Template]:
        environment = ImmutableSandboxedEnvironment(
            loader=BaseLoader(),
            undefined=StrictUndefined,
            autoescape=False,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=False,
        )
        compiled: dict[Step, Template] = {}
        for step, source in self.sources.items():
            try:
                compiled[step] = environment.from_string(source)
            except TemplateSyntaxError as error:
                raise PromptError(f"{self.files[step]}:{error.lineno}: {error.message}.") from error
        return compiled

    @cached_property
    def _delimiters(self) -> dict[Step, re.Pattern[str]]:
        """Of each step, the delimiters that its template uses: nothing else can be ended there."""
        return {
            step: openings(
                each for each in self.settings.delimiters if each.casefold() in source.casefold()
            )
            for step, source in self.sources.items()
        }

    @cached_property
    def _turn_openings(self) -> re.Pattern[str]:
        return openings(f"\n\n{label}:" for label in self.settings.turn_labels.values())

    def _block(self, turn: Message) -> str:
        """A turn of a transcript, in which nothing opens another turn."""
        if turn.role in ("user", "assistant"):
            text = broken_up(self._turn_openings, turn.content)
            return f"{self.settings.turn_labels[turn.role]}: {text}"
        # without a label before it, a text could open a turn with its first word
        text = broken_up(self._turn_openings, "\n\n" + turn.content.lstrip("\n"))
        return text.removeprefix("\n").removeprefix("\n")


def load_templates(name_or_folder: str | Path = "chat") -> TemplateSet:
    """A shipped set by name, or a folder of one's own on top of its base set.

    Raises:
        PromptError: There is no such set, a file is not a step's, or one of the files is wrong.
    """
    name = str(name_or_folder)
    folder = prompts_folder() / name if name in shipped_sets() else Path(name)
    if not folder.is_dir():
        raise PromptError(
            f"There is no template set {name!r}. Shipped sets: {', '.join(shipped_sets())}; or "
            "name a folder with templates of your own."
        )
    settings, files = _read_settings(folder), _template_files(folder)
    if name not in shipped_sets():
        base = _base_set(folder, settings.pop("base", "chat"))
        settings = {**base.settings.model_dump(), **settings}
        files = dict(base.files) | files
    sources: dict[Step, str] = {step: _read_text(files[step]) for step in STEPS}
    templates = TemplateSet(name, _settings(folder, settings), sources, files)
    templates.check()
    return templates


def prompts_folder() -> Path:
    """Where the shipped sets lie: inside the installed package, or at the top of a checkout."""
    package = Path(__file__).parent
    shipped = package / "_shipped" / "prompts"
    return shipped if shipped.is_dir() else package.parents[1] / "prompts"


def shipped_sets() -> list[str]:
    return sorted(path.parent.name for path in prompts_folder().glob("*/set.yaml"))


_TRIAL_PRINCIPLES = (
    Principle(id="trial", text="A text."),
    Principle(
        id="trial",
        text="A text.",
        critique="A text.",
        revision="A text.",
        judge="A text.",
        negated="A text.",
    ),
)


def _trial_values(principle: Principle, flag: bool) -> dict[str, Value]:
    texts = dict.fromkeys(("request", "response", "response_a", "response_b"), "A text.")
    conversation = (Message("user", "A text."),)
    flags = dict.fromkeys(("is_minimal", "has_rationale", "is_negated"), flag)
    lists = dict.fromkeys(("kept", "broken", "options"), ("A text.",) if flag else ())
    lists = {**lists, "answers": ("A", "B")}
    return {**texts, **flags, **lists, "principle": principle, "conversation": conversation}


def _read_settings(folder: Path) -> dict[str, object]:
    path = folder / "set.yaml"
    if not path.is_file():
        return {}
    try:
        settings = yaml.safe_load(_read_text(path))
    except yaml.YAMLError as error:
        raise PromptError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(settings, dict):
        raise PromptError(f"{path}: a mapping of settings is wanted, such as `base: chat`.")
    return {str(key): value for key, value in settings.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def _settings(folder: Path, content: dict[str, object]) -> SetSettings:
    try:
        return SetSettings.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        place = f"{folder / 'set.yaml'}: {where}" if where else str(folder / "set.yaml")
        raise PromptError(f"{place}: {first['msg']}.") from error


def _base_set(folder: Path, base: object) -> TemplateSet:
    if base not in shipped_sets():
        raise PromptError(
            f"{folder / 'set.yaml'}: base is {base!r}; it is one of {', '.join(shipped_sets())}."
        )
    return load_templates(str(base))


def _template_files(folder: Path) -> dict[Step, Path]:
    for path in sorted(folder.glob("*.j2")):
        if path.stem not in STEPS:
            raise PromptError(f"{path}: no step has this name. The steps are {', '.join(STEPS)}.")
    return {step: folder / f"{step}.j2" for step in STEPS if (folder / f"{step}.j2").is_file()}


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise PromptError(f"{path}: cannot be read as UTF-8 text: {error}") from error


def _inert(value: Value, delimiters: re.Pattern[str]) -> object:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return broken_up(delimiters, value)
    if isinstance(value, Principle):
        return _inert_principle(value, delimiters)  # pyright: ignore[reportArgumentType]: it is frozen, and so has a hash
    return [
        broken_up(delimiters, each)
        if isinstance(each, str)
        else {"role": each.role, "content": broken_up(delimiters, each.content)}
        for each in value
    ]


@lru_cache(maxsize=4096)  # few principles, each in every second request
def _inert_principle(principle: Principle, delimiters: re.Pattern[str]) -> Mapping[str, str]:
    texts = principle.model_dump(include={"id", "text", "critique", "revision", "judge", "negated"})
    return {name: broken_up(delimiters, text or "") for name, text in texts.items()}


def _letters(text: str) -> str:
    return "".join(re.findall(r"\w+", text.casefold()))
