"""Records of a run as rows that trainers read.

`sft`: prompt and completion. `preference`: prompt, chosen (the revision) and rejected (the first
response). `prompts`: prompt. `everything`: each step of each chain, and the failures. Conversations
are lists of `{"role", "content"}`, as TRL reads them. Every row carries `id` and `provenance`.
"""

import contextlib
import gzip
import hashlib
import io
import json
import os
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Literal, get_args

from cai.engine.records import Record
from cai.engine.run_folder import RunFolder
from cai.errors import ExportError
from cai.records import RevisionRecipe, load_chain, read_recipe
from cai.revision import Chain
from cai.revision_flags import UNUSABLE, Flag
from cai.types import Message, as_dicts

Format = Literal["sft", "preference", "prompts", "everything"]
FORMATS: tuple[Format, ...] = get_args(Format)
SUFFIXES = (".jsonl", ".jsonl.gz", ".parquet")

Row = Mapping[str, object]

_ROWS_A_GROUP = 1024


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows are exported.

    `drops` are the flags that cost a chain its place; chains without a usable text never have one.
    `all_rounds` gives an SFT row for each round's revision, as the paper does, and not for the last
    alone. `sft_share` of the prompts go to SFT and the others to preferences, decided by the
    prompt's content, so that equal prompts stay together; None gives every prompt to both.
    """

    drops: frozenset[Flag] = frozenset({"critique-instead", "cut-off"})
    all_rounds: bool = False
    sft_share: float | None = None


@dataclass(slots=True)
class ExportSummary:
    """What was written, and what was left out for which reason."""

    format: Format
    n_rows: int = 0
    dropped: Counter[str] = field(default_factory=Counter[str])

    def describe(self) -> str:
        """Such as: sft: 480 rows; left out: 12 unchanged, 8 failed."""
        reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(self.dropped.items()))
        return f"{self.format}: {self.n_rows} rows" + (f"; left out: {reasons}" if reasons else "")


def export_rows(
    run: RunFolder, format: Format, selection: Selection, summary: ExportSummary
) -> Iterator[Row]:
    """The rows of one format, in the order of the source; counts go into the summary.

    Raises:
        JournalError: The folder is not a revision run.
    """
    recipe = read_recipe(run)
    for record in run.records():
        for row in _rows_of(record, format, recipe, selection, summary):
            summary.n_rows += 1
            yield row


def export_file(
    run: RunFolder, format: Format, path: Path, selection: Selection = Selection()
) -> ExportSummary:
    """Writes one file, by its suffix: .jsonl, .jsonl.gz or .parquet. It appears when it is whole.

    Raises:
        ExportError: The suffix is not known, nothing is left to write, or it cannot be written.
    """
    if not path.name.endswith(SUFFIXES):
        raise ExportError(
            f"{path}: the name ends in none of {', '.join(SUFFIXES)}. Use one of them."
        )
    summary = ExportSummary(format)
    rows = export_rows(run, format, selection, summary)
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.name.endswith(".parquet"):
            from cai.parquet import write_parquet  # heavy: pyarrow

            write_parquet(_groups(rows), format, part)
        else:
            _write_jsonl(rows, part)
        if not summary.n_rows:
            raise ExportError(f"{run.path}: no row is left to write. {summary.describe()}.")
        os.replace(part, path)
    except OSError as error:
        raise ExportError(
            f"{path}: cannot be written ({error.strerror or error}). Use another place."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    return summary


def is_sft_prompt(messages: Iterable[Message], sft_share: float) -> bool:
    """Whether a prompt belongs to the SFT side of the split; the same for equal prompts, always."""
    text = json.dumps(as_dicts(list(messages)), ensure_ascii=True)
    digest = hashlib.blake2b(text.encode(), digest_size=8, person=b"cai-split").digest()
    return int.from_bytes(digest, "big") < sft_share * 2**64


def _rows_of(
    record: Record,
    format: Format,
    recipe: RevisionRecipe,
    selection: Selection,
    summary: ExportSummary,
) -> Iterator[Row]:
    if format == "everything":
        yield _everything(record, recipe)
        return
    if record.error is not None:
        summary.dropped["failed"] += 1
        return
    chain = load_chain(record.body)
    if selection.sft_share is not None and format in ("sft", "preference"):
        is_sft = is_sft_prompt(chain.prompt.messages, selection.sft_share)
        if is_sft != (format == "sft"):
            summary.dropped["in the other split"] += 1
            return
    common = {"id": chain.prompt.id, "provenance": _provenance(chain, recipe)}
    prompt = as_dicts(chain.prompt.messages)
    if format == "prompts":
        yield {"prompt": prompt, **common}
    elif reason := _reason_to_drop(chain, selection):
        summary.dropped[reason] += 1
    elif format == "sft":
        for text in _completions(chain, selection):
            yield {"prompt": prompt, "completion": _turn(text), **common}
    elif not chain.response.text.strip():
        summary.dropped["empty response"] += 1
    elif chain.final.split() == chain.response.text.split():
        summary.dropped["unchanged"] += 1
    else:
        rejected = _turn(chain.response.text)
        yield {"prompt": prompt, "chosen": _turn(chain.final), "rejected": rejected, **common}


def _reason_to_drop(chain: Chain, selection: Selection) -> str | None:
    if not chain.final.strip():
        return "empty"
    revised = [each for each in chain.rounds if each.revision is not None]
    if revised:
        found = (UNUSABLE | selection.drops).intersection(revised[-1].flags)
        return sorted(found)[0] if found else None
    is_cut = chain.response.stop_reason == "length"
    return "cut-off" if is_cut and "cut-off" in selection.drops else None


def _completions(chain: Chain, selection: Selection) -> list[str]:
    """The last text; of all rounds, each revision that would not be dropped, equal ones once."""
    if not selection.all_rounds:
        return [chain.final]
    bad = UNUSABLE | selection.drops
    revised = [
        each.revision.text
        for each in chain.rounds
        if each.revision is not None and not bad.intersection(each.flags)
    ]
    return list(dict.fromkeys(revised)) or [chain.final]


def _everything(record: Record, recipe: RevisionRecipe) -> Row:
    if record.error is not None:
        return {"id": record.id, "error": asdict(record.error), "chain": None, "provenance": None}
    chain = load_chain(record.body)
    provenance = _provenance(chain, recipe)
    return {"id": record.id, "error": None, "chain": asdict(chain), "provenance": provenance}


def _provenance(chain: Chain, recipe: RevisionRecipe) -> Mapping[str, object]:
    """Where the row comes from: everything that decided it, by name and content hash."""
    return {
        "origin": chain.prompt.origin,
        "source_hash": recipe.source.hash,
        "constitution": recipe.constitution.model_dump(),
        "principle_ids": [each.principle_id for each in chain.rounds],
        "flags": [list(each.flags) for each in chain.rounds],
        "roles": {name: draw.model_dump(mode="json") for name, draw in recipe.roles.items()},
        "plan": asdict(recipe.plan) | {"tags": list(recipe.plan.tags)},
        "seed": recipe.seed,
    }


def _turn(text: str) -> list[dict[str, str]]:
    return as_dicts([Message("assistant", text)])


def _write_jsonl(rows: Iterable[Row], path: Path) -> None:
    with _text_file(path) as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


@contextlib.contextmanager
def _text_file(path: Path) -> Generator[IO[str]]:
    """UTF-8; half a surrogate pair, which models can write, becomes its JSON escape."""
    with path.open("wb") as raw:
        binary: io.BufferedIOBase = raw
        if path.name.endswith(".gz.part"):
            # no name and no time inside: equal rows give equal bytes
            binary = gzip.GzipFile("", "wb", fileobj=raw, mtime=0)
        with io.TextIOWrapper(binary, "utf-8", errors="backslashreplace", newline="\n") as file:
            yield file


def _groups(rows: Iterable[Row]) -> Iterator[list[Row]]:
    group: list[Row] = []
    for row in rows:
        group.append(row)
        if len(group) == _ROWS_A_GROUP:
            yield group
            group = []
    if group:
        yield group
