"""Files as sources, by one path or by several."""

import json
from collections.abc import Sequence
from pathlib import Path

from cai.data.labelled_pair import LabelledPair
from cai.data.pair_options import PairOptions
from cai.data.pairs import pair_files
from cai.data.prompts import PromptSource
from cai.data.responses import LabelledResponse, ResponseOptions, response_files
from cai.data.source import FileSource

Files = str | Path | Sequence[str | Path]


def prompts_in(
    files: Files,
    *,
    column: str | None = None,
    id_column: str | None = None,
    skip_bad_rows: bool = False,
) -> PromptSource:
    return PromptSource(_names(files), column, id_column, skip_bad_rows)


def pairs_in(
    files: Files, options: PairOptions = PairOptions(), *, skip_bad_rows: bool = False
) -> FileSource[LabelledPair]:
    return pair_files(_names(files), options, skip_bad_rows=skip_bad_rows)


def responses_in(
    files: Files, options: ResponseOptions = ResponseOptions(), *, skip_bad_rows: bool = False
) -> FileSource[LabelledResponse]:
    return response_files(_names(files), options, skip_bad_rows=skip_bad_rows)


def write(path: Path, *rows: object) -> Path:
    """A JSONL file of these rows, whatever they are."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _names(files: Files) -> tuple[str, ...]:
    several = [files] if isinstance(files, str | Path) else files
    return tuple(map(str, several))
