"""The one reader of YAML: numbers that are none, limits, and a time that is linear in the file."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from cai.constitution.loader import parse_constitution
from cai.constitution.yaml import MAX_BYTES, read_plain
from cai.engine.budget import load_prices
from cai.engine.run_files import RUN_FILE, read_description
from cai.errors import CaiError, ConstitutionError
from cai.pipeline.loader import load_recipe
from cai.templates import load_templates
from cai.training.settings import read_settings


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("12:30", "12:30"),
        ("1:2:3.5", "1:2:3.5"),
        ("-190:20:30", "-190:20:30"),
        ("10", 10),
        ("0", 0),
        ("-0", 0),
        ("0x1F", 31),
        ("1.5", 1.5),
        ("0.10", 0.1),
        ("1e3", "1e3"),  # no number to YAML 1.1, which wants a point and a sign
        ("1.0e-05", 1e-5),
        ("'010'", "010"),
    ],
)
def test_a_scalar_is_what_its_writer_meant(written: str, value: object):
    found = read_plain(f"x: {written}", "x.yaml")
    assert found == {"x": value}
    assert isinstance(found, dict) and type(found["x"]) is type(value)


@pytest.mark.parametrize(
    "written",
    [
        *("010", "-0_17", "9" * 41, "9" * 5000, "0x" + "f" * 9000, "0b" + "1" * 900),
        *("0." + "1" * 99, "2001-01-01 00:00:00." + "0" * 50, "2001-99-99"),
    ],
)
def test_a_number_that_would_be_another_or_without_end_is_refused_in_short(written: str):
    with pytest.raises(ConstitutionError, match=r"x\.yaml:2: 'x'.*quotes") as raised:
        read_plain(f"a: 1\nx: {written}", "x.yaml")
    assert len(str(raised.value)) < 250


@pytest.mark.parametrize("text", ["", "# nothing\n", " \n\n"])
def test_an_empty_file_has_no_value(text: str):
    assert read_plain(text, "x.yaml") is None


@pytest.mark.parametrize(
    "value",
    [
        {"a": "12:30", "b": "010", "c": "no", "d": "1e5", "e": 1e-5, "f": 2**63, "g": None},
        {"a": ["\x00\u2028\ud7ff", "é", "- x", "#", "&a", "2001-01-01", ""], "b": {}, "c": []},
    ],
)
def test_what_cai_writes_is_read_as_it_was(value: dict[str, object]):
    text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
    assert read_plain(text, "x.yaml") == value


def prices(path: Path) -> object:
    return load_prices(path)


def constitution(path: Path) -> object:
    return parse_constitution(path.read_bytes(), str(path), None)


def recipe(path: Path) -> object:
    return load_recipe(str(path))


def settings(path: Path) -> object:
    return read_settings(str(path), [])


def set_yaml(path: Path) -> object:
    path.rename(path.with_name("set.yaml"))
    return load_templates(path.parent)


def run_yaml(path: Path) -> object:
    path.rename(path.with_name(RUN_FILE))
    return read_description(path.parent)


READERS = [prices, constitution, recipe, settings, set_yaml, run_yaml]
HOSTILE = {
    "tag": b"x: !!python/object/apply:os.system ['true']",
    "twice": b"name: a\nname: b\n",
    "digits": b"name: " + b"9" * 6000,
    "octal": b"name: 0777",
    "deep": b"x: " + b"[" * 5000,
    "laughs": b"a: &a [x, x, x, x, x, x, x, x, x, x]\n"
    + b"".join(
        b"%c: &%c [%s]\n" % (98 + i, 98 + i, b", ".join([b"*%c" % (97 + i)] * 10)) for i in range(9)
    ),
    "not UTF-8": b"name: \xff\xfe",
    "control": b"name: \x07",
    "two documents": b"name: a\n---\nname: b",
    "list key": b"? [a, b]\n: c",
    "not YAML": b"a: b: c: [",
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("reader", READERS)
def test_every_file_is_read_strictly(tmp_path: Path, reader: Callable[[Path], object], name: str):
    path = tmp_path / "x.yaml"
    path.write_bytes(HOSTILE[name])
    with pytest.raises(CaiError) as raised:
        reader(path)
    assert ".yaml" in str(raised.value)
    assert len(str(raised.value)) < 1500


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    "content",
    [
        "".join(f"field_number_{i}: x\n" for i in range(20_000)),
        "x" * 900_000 + ": 1\n",
        "models:\n" + "".join(f" m{i}: x\n" for i in range(20_000)),
        "principles:\n" + "".join(f"- {{a{i}: x}}\n" for i in range(20_000)),
        "a: &a [x]\n" + "".join(f"b{i}: *a\n" for i in range(20_000)),
    ],
    ids=["fields", "long field", "models", "items", "aliases"],
)
def test_a_file_that_is_wrong_everywhere_costs_a_time_that_is_linear(
    tmp_path: Path, reader: Callable[[Path], object], content: str
):
    """20,000 unknown fields took 2.4 s, and more at other places; in time of this thread alone."""
    path = tmp_path / "x.yaml"
    path.write_text(content)
    assert len(content) < MAX_BYTES
    start = time.thread_time()
    try:
        reader(path)
    except CaiError as error:
        assert len(str(error)) < 5000
    assert time.thread_time() - start < 8
