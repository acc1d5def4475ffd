"""What all kinds of item share: two passes over each file, bad rows, counts by file, the hash."""

import gzip
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from sources import pairs_in, prompts_in, responses_in

from cai.data.source import Digest, FileSource, ItemKind, ItemSource, RowReader
from cai.data.tables import Row, RowError, Table
from cai.errors import SourceError
from cai.types import content_hash

Word = tuple[str, str]
"""An id and a text."""

WORDS: ItemKind[Word] = ItemKind(
    noun="word",
    with_id=lambda word, id: (id, word[1]),
    id_of=lambda word: word[0],
    id_texts=lambda word: [word[1]],
)


def words_of(row: Row, origin: str) -> list[Word]:
    text = str(row["text"])
    if not text:
        raise RowError("has no word", "blank")
    return [("", word) for word in text.split()]


def select(table: Table) -> RowReader[Word]:
    """Each word of one column is an item."""
    return RowReader(
        kind=WORDS,
        table=table,
        columns=("text",),
        id_column=None,
        parse=words_of,
        column="text",
        description=" by spaces",
    )


def words_in(folder: Path, *files: Sequence[str], skip_bad_rows: bool = False) -> FileSource[Word]:
    names = [folder / f"{number}.jsonl" for number in range(len(files))]
    for name, texts in zip(names, files, strict=True):
        name.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return FileSource(tuple(map(str, names)), "words", select, skip_bad_rows)


def test_a_row_gives_all_its_items_in_both_passes(tmp_path: Path):
    source = words_in(tmp_path, ["a b", "c"], ["d"])
    assert [word for _, word in source.read()] == ["a", "b", "c", "d"]
    checked = source.check()
    items = list(checked.items())
    assert [word for _, (_, word) in items] == ["a", "b", "c", "d"]
    assert all(id == word_id for id, (word_id, _) in items)
    assert next(checked.mapped(lambda word: word[1].upper()).items())[1] == "A"
    assert checked.check() is checked


def test_a_bad_row_stops_the_pass_with_its_origin(tmp_path: Path):
    items = words_in(tmp_path, ["a", "", "b"]).read()
    assert next(items)[1] == "a"
    with pytest.raises(SourceError, match=r"0\.jsonl:2: has no word\. Fix the row"):
        next(items)


def test_skipped_bad_rows_are_counted_by_kind_and_every_file_by_its_own_items(tmp_path: Path):
    source = words_in(tmp_path, ["a", "", "b c"], [""], ["d"], skip_bad_rows=True)
    assert [word for _, word in source.read()] == ["a", "b", "c", "d"]
    summary = source.check().summary
    assert (summary.n_items, summary.n_bad, summary.bad_kinds) == (4, 2, {"blank": 2})
    assert [Path(row.origin).name for row in summary.bad_rows] == ["0.jsonl:2", "1.jsonl:1"]
    assert [(Path(table.name).name, table.n_items) for table in summary.tables] == [
        ("0.jsonl", 3),
        ("1.jsonl", 0),
        ("2.jsonl", 1),
    ]
    assert summary.describe().splitlines()[2:] == [
        f"{tmp_path / '2.jsonl'}: 1 word by spaces",
        "2 rows skipped: 2 blank",
    ]


@pytest.mark.parametrize(
    ("sources", "noun", "row"),
    [
        (prompts_in, "prompt", {"prompt": " "}),
        (pairs_in, "pair", {"prompt": "x", "chosen": " ", "rejected": "y"}),
        (responses_in, "response", {"prompt": "x", "response": ""}),
    ],
)
def test_a_source_without_one_item_is_an_error_even_when_skipping(
    tmp_path: Path, sources: Callable[..., ItemSource[object]], noun: str, row: dict[str, str]
):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(
        SourceError, match=rf"no row is a {noun}; the first: .*a\.jsonl:1: '\w+' is"
    ):
        sources(path, skip_bad_rows=True).check()
    with pytest.raises(SourceError, match=f"No source of {noun}s is named"):
        sources([]).check()


def test_a_digest_is_over_the_hash_of_every_content_in_its_order():
    digest = Digest()
    digest.add("a", "b")
    digest.add("c")
    hashes = content_hash("a", "b") + content_hash("c")
    assert digest.hex == hashlib.blake2b(hashes.encode(), digest_size=6).hexdigest()


COUNT_OPENS = """
import json, sys
from cai.cli.main import main
from cai.data.prompts import PromptSource
opens = []
sys.addaudithook(lambda event, given: opens.append(str(given[0])) if event == "open" else None)
*files, prompts, pairs, out = sys.argv[1:]
for file in files:
    assert len(list(PromptSource((file,)).check().items())) == 2
for command in (
    ["revise", prompts, "-c", "harmless", "-m", "embedded", "-o", out + "/r", "--rounds", "1"],
    ["judge", pairs, "-c", "harmless", "-m", "embedded", "-o", out + "/j"],
):
    sys.argv = ["cai", *command]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, command
print(json.dumps([opens.count(file) for file in (*files, prompts, pairs)]))
"""


def test_a_run_opens_its_file_once_to_check_and_once_to_work(tmp_path: Path):
    """In a process of its own, as a hook on opening files cannot be taken back."""
    rows = [
        {"prompt": "Hello?", "chosen": "Good day.", "rejected": "What?"},
        {"prompt": "How are you?", "chosen": "Well.", "rejected": "Bad."},
    ]
    jsonl = "".join(json.dumps(row) + "\n" for row in rows).encode()
    formats = {
        "a.jsonl.gz": gzip.compress(jsonl),
        "a.json": json.dumps(rows).encode(),
        "a.csv": b"prompt\nHello?\nHow are you?\n",
        "a.txt": b"Hello?\nHow are you?\n",
        "prompts.jsonl": b'{"prompt": "Hello?"}\n{"prompt": "How are you?"}\n',
        "pairs.jsonl": jsonl,
    }
    for name, data in formats.items():
        (tmp_path / name).write_bytes(data)
    files = [str(tmp_path / name) for name in formats]
    done = subprocess.run(
        [sys.executable, "-c", COUNT_OPENS, *files, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [2] * len(files)
