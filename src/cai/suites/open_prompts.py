"""The prompts of a suite to which a policy responds freely, and what the file says of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cai.jobs.prompt_source import PromptSource
from cai.sources.conversations import read_list, read_text
from cai.sources.prompt_column import cell
from cai.sources.prompts import check_prompts
from cai.sources.tables import Row, RowError
from cai.suites.files import SuiteFile, bad_row
from cai.suites.kinds import LAYOUTS, Kind
from cai.types import Prompt

SIDES = ("safe", "unsafe")


@dataclass(frozen=True, slots=True)
class OpenPrompt:
    """A prompt, its category, and of XSTest its side: safe, or unsafe.

    `second` is the user's second turn in MT-Bench, to be asked after the policy's own first answer.
    """

    prompt: Prompt
    group: str = ""
    side: str = ""
    second: str = ""


def source_of(suite: SuiteFile) -> PromptSource:
    """The file as a source of first prompts."""
    return PromptSource((suite.path,), column=suite.column(LAYOUTS[suite.kind].prompt))


def read_open_prompts(suite: SuiteFile) -> Mapping[str, OpenPrompt]:
    """The prompts by id, in their order, after reading the file to the end.

    Raises:
        SourceError: The file cannot be read, holds none, or a row is no prompt of its kind.
    """
    source = source_of(suite)
    found = check_prompts(source.files, column=source.column, skip_bad_rows=True)
    for bad in found.bad_rows:
        raise bad_row(bad.origin, bad.reason)
    prompts: dict[str, OpenPrompt] = {}
    for prompt, (origin, row) in zip(source.read(), suite.rows(), strict=True):
        try:
            prompts[prompt.id] = _open_prompt(suite.kind, prompt, row)
        except RowError as error:
            raise bad_row(origin, error) from None
    return prompts


def _open_prompt(kind: Kind, prompt: Prompt, row: Row) -> OpenPrompt:
    group = _group(row, LAYOUTS[kind].group)
    side = _side(row) if kind == "xstest" else ""
    second = _second(row) if kind == "mt-bench" else ""
    return OpenPrompt(prompt, group, side, second)


def _group(row: Row, column: str) -> str:
    value = row.get(column)
    return "" if value is None else read_text(value, column).strip()


def _side(row: Row) -> str:
    side = read_text(cell(row, "label"), "label").strip().casefold()
    if side not in SIDES:
        raise RowError(f"has the label {side!r:.60}, and safe or unsafe is needed", "wrong label")
    return side


def _second(row: Row) -> str:
    turns: Sequence[object] = read_list(cell(row, "turns"), "turns", "user turns")
    if len(turns) != 2:
        raise RowError(f"has {len(turns)} turns, and two are needed", "malformed")
    second = read_text(turns[1], "turns[1]")
    if not second.strip():
        raise RowError("'turns[1]' is blank", "blank")
    return second
