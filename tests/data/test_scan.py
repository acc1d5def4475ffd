"""The pass that prompts, pairs and responses share: items by part, bad rows, limits, the hash."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from cai.data.rows import BadRows, Ids
from cai.data.scan import Digest, Part, Pass, open_parts, scan
from cai.data.tables import Row, RowError
from cai.errors import SourceError
from cai.types import content_hash


@dataclass(frozen=True, slots=True)
class Words:
    """A selection of one column, of which each word is an item."""

    columns: tuple[str, ...] = ("text",)


def words_of(selection: Words, row: Row, origin: str, place: int) -> list[str]:
    text = str(row[selection.columns[0]])
    if not text:
        raise RowError("has no word", "blank")
    return text.split()


def parts_of(folder: Path, *files: Sequence[str]) -> list[Part[Words]]:
    names = [folder / f"{number}.jsonl" for number in range(len(files))]
    for name, texts in zip(names, files, strict=True):
        name.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return open_parts(names, "words", lambda table: Words())


def test_a_row_gives_all_its_items_with_the_number_of_their_part(tmp_path: Path):
    parts = parts_of(tmp_path, ["a b", "c"], ["d"])
    found = list(scan(parts, words_of, BadRows(is_skipping=False)))
    assert found == [(0, "a"), (0, "b"), (0, "c"), (1, "d")]


def test_a_bad_row_stops_the_pass_with_its_place(tmp_path: Path):
    parts = parts_of(tmp_path, ["a", "", "b"])
    items = scan(parts, words_of, BadRows(is_skipping=False))
    assert next(items) == (0, "a")
    with pytest.raises(SourceError, match=r"0\.jsonl:2: has no word\. Mend the row"):
        next(items)


def test_skipped_bad_rows_are_counted_by_kind(tmp_path: Path):
    bad_rows = BadRows(is_skipping=True)
    parts = parts_of(tmp_path, ["a", "", "b"], [""])
    assert [item for _, item in scan(parts, words_of, bad_rows)] == ["a", "b"]
    assert (bad_rows.n, bad_rows.kinds) == (2, {"blank": 2})
    assert [Path(row.origin).name for row in bad_rows.first] == ["0.jsonl:2", "1.jsonl:1"]


def test_a_pass_ends_at_its_limit_and_reads_nothing_behind_it(tmp_path: Path):
    """The third row is bad and would end the pass with an error, were it read."""
    found = Pass(parts_of(tmp_path, ["a", "b", ""]), BadRows(is_skipping=False))
    assert [item for _, item in found.over(words_of, "word", 2)] == ["a", "b"]
    assert found.n == 2


def test_every_part_is_summarised_with_its_own_count(tmp_path: Path):
    found = Pass(parts_of(tmp_path, ["a b"], [""], ["c"]), BadRows(is_skipping=True))
    assert len(list(found.over(words_of, "word", None))) == 3
    made = found.summaries(lambda name, form, columns, words, n: (Path(name).name, columns, n))
    assert made == (
        ("0.jsonl", ("text",), 2),
        ("1.jsonl", ("text",), 0),
        ("2.jsonl", ("text",), 1),
    )


def test_a_pass_without_one_item_is_an_error_and_tells_the_first_bad_row(tmp_path: Path):
    found = Pass(parts_of(tmp_path, ["", ""]), BadRows(is_skipping=True))
    with pytest.raises(
        SourceError, match=r"no row is a word; the first: .*0\.jsonl:1: has no word"
    ):
        list(found.over(words_of, "word", None))


def test_several_items_of_a_row_are_numbered_behind_its_id(tmp_path: Path):
    ids = Ids([part.table for part in parts_of(tmp_path, ["a b", "c"])])
    assert ids.name({"id": "x"}, "id", [["a"], ["b"]], 0) == ["x.1", "x.2"]
    assert ids.name({"id": 7}, "id", [["c"]], 1) == ["7"]
    with pytest.raises(RowError, match=r"'x\.1' is already that of .*0\.jsonl:0"):
        ids.name({"id": "x.1"}, "id", [["d"]], 2)


def test_a_digest_is_over_the_hash_of_every_content_in_its_order():
    digest = Digest()
    digest.add("a", "b")
    digest.add("c")
    hashes = content_hash("a", "b") + content_hash("c")
    assert digest.hex == hashlib.blake2b(hashes.encode(), digest_size=6).hexdigest()
