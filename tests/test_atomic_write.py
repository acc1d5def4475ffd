"""A file appears whole or not at all, and what fails is one sentence."""

from pathlib import Path

import pytest

from cai.atomic_write import atomic_path, atomic_write, part_path
from cai.errors import ExportError, UsageError


@pytest.mark.parametrize("is_durable", [False, True])
def test_the_text_replaces_the_file_and_nothing_else_is_left(tmp_path: Path, is_durable: bool):
    path = tmp_path / "a" / "b.txt"
    for text in ("first\n", "sécond\n"):
        atomic_write(path, text, UsageError, "Name another.", is_durable=is_durable)
        assert path.read_text("utf-8") == text
    assert list(path.parent.iterdir()) == [path]


def test_an_error_leaves_the_file_as_it_was(tmp_path: Path):
    path = tmp_path / "b.txt"
    path.write_text("before")
    with (
        pytest.raises(KeyError),
        atomic_path(path, ExportError, "Use another place.") as part,
        part.open("w") as file,
    ):
        file.write("half")
        raise KeyError("x")
    assert path.read_text() == "before"
    assert not part_path(path).exists()


def test_what_cannot_be_written_is_one_sentence_with_the_advice(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match=r"file/x: cannot be written .* Use another"):
        atomic_write(tmp_path / "file" / "x", "", ExportError, "Use another place.")
