"""What a trainer needs of an export: the columns of each format, the file, and the configuration.

Example:
    trainer = TRAINERS["axolotl"]
    trainer.row(Demonstration(prompt, "Hello.", "policy"), "sft", 0)
    # {"messages": [{"role": "user", "content": "Hi.", "train": False}, …]}
"""

# No row has a column `margin`: TRL's and OpenRLHF's reward trainers would subtract it in their
# losses, and the confidence of a judge is not a margin between rewards.

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePath
from typing import Annotated, Any, TypedDict

from cai.errors import ExportError
from cai.export.formats import SUFFIXES, Format, Row
from cai.export.rows import PairJudging, PreferencePair, Unit
from cai.types import Prompt


class ChatTurn(TypedDict):
    role: str
    content: str


class PairColumns(TypedDict):
    """What every pair has beside the columns that its trainer reads."""

    chosen_probability: float | None
    judging: Annotated[dict[str, Any] | None, PairJudging]


def no_config(format: Format, path: Path) -> Mapping[str, str]:
    return {}


def any_prompt(prompt: Prompt, format: Format) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Trainer:
    """How one trainer reads an export.

    `row_types` are the columns of each format that it reads, beside `id`, `metadata` and
    `provenance`; `row` makes them, with the number of the row from 0. `config` gives the files that
    it needs beside the rows, by name; `can_read` says whether its form has room for a prompt.
    `trains_earlier_turns`: in SFT also on what the assistant said in the prompt, which nobody
    revised, and neither its rows nor its configuration can prevent that.
    """

    title: str
    version: str  # whose own data set code was run on these rows
    row_types: Mapping[Format, type]
    row: Callable[[Unit, Format, int], Row]
    suffixes: tuple[str, ...] = SUFFIXES
    config: Callable[[Format, Path], Mapping[str, str]] = no_config
    can_read: Callable[[Prompt, Format], bool] = any_prompt
    trains_earlier_turns: bool = False

    def check_format(self, format: Format) -> None:
        """Raises ExportError where the trainer does not read the format."""
        if format not in self.row_types:
            raise ExportError(
                f"{self.title} does not read the format {format!r}. It reads "
                f"{', '.join(self.row_types)}: export one of these, or for another trainer."
            )

    def check_file(self, path: Path) -> None:
        """Raises ExportError where the trainer does not read files with that suffix."""
        if not path.name.endswith(self.suffixes):
            raise ExportError(
                f"{path}: {self.title} reads {', '.join(self.suffixes)}. Give the file one of "
                "these suffixes."
            )


def turns(prompt: Prompt, response: str | None = None) -> list[ChatTurn]:
    """The conversation, with the response as its last turn where one is given."""
    said = [ChatTurn(role=each.role, content=each.content) for each in prompt.messages]
    return said if response is None else [*said, assistant_turn(response)]


def assistant_turn(text: str) -> ChatTurn:
    return ChatTurn(role="assistant", content=text)


def pair_columns(pair: PreferencePair) -> PairColumns:
    return PairColumns(
        chosen_probability=pair.chosen_probability,
        judging=asdict(pair.judging) if pair.judging else None,
    )


def data_set(prompt: Prompt) -> str:
    """The source of the prompt, by which trainers select reward functions and group metrics."""
    source = prompt.origin.rpartition(":")[0] or prompt.origin or "cai"
    return PurePath(source).name if PurePath(source).is_absolute() else source


def stem(path: Path) -> str:
    """The name of the file without its suffix."""
    return next(path.name.removesuffix(each) for each in SUFFIXES if path.name.endswith(each))


def loader(path: Path) -> str:
    """The loader of `datasets` for the file."""
    return "parquet" if path.suffix == ".parquet" else "json"


def is_one_request(prompt: Prompt, *, may_have_system: bool = False) -> bool:
    """Whether the prompt is a single user turn, behind a system turn where that is allowed."""
    roles = [turn.role for turn in prompt.messages]
    return roles == ["user"] or (may_have_system and roles == ["system", "user"])
