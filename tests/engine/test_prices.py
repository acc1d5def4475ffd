"""Prices: which pattern a model's name finds, whose table goes first, and what a bad file says."""

from pathlib import Path

import pytest

from cai.engine.budget import SHIPPED, Price, PriceList, load_prices
from cai.errors import UsageError
from cai.models.base import Usage

CHEAP = Price(million_in_usd=1, million_out_usd=2)
DEAR = Price(million_in_usd=10, million_out_usd=20)


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_price_is_for_a_million_tokens():
    """200,000 tokens read at $1 a million are $0.20, 50,000 written at $2 a million $0.10."""
    assert CHEAP.of(Usage(200_000, 50_000)) == pytest.approx(0.30)
    assert CHEAP.of(Usage()) == 0.0


def test_the_longest_pattern_that_fits_is_taken():
    prices = PriceList(({"openai:*": CHEAP, "openai:gpt-9*": DEAR, "openai:gpt-9-mini": CHEAP},))
    assert prices.find("openai:gpt-9-large") == DEAR
    assert prices.find("openai:gpt-9-mini") == CHEAP
    assert prices.find("openai:o9") == CHEAP
    assert prices.find("hf:small") is None


def test_the_first_table_goes_before_a_longer_pattern_of_a_later_one():
    prices = PriceList(({"openai:*": CHEAP}, {"openai:gpt-9*": DEAR, "hf:*": DEAR}))
    assert prices.find("openai:gpt-9") == CHEAP
    assert prices.find("hf:small") == DEAR


def test_an_empty_list_knows_no_price():
    assert PriceList().find("openai:gpt-9") is None


def test_the_shipped_table_loads_and_every_price_is_sane():
    """Nothing is above $100 a million, and no hosted model reads dearer than it writes."""
    (table,) = load_prices().tables
    assert len(table) > 10
    for pattern, price in table.items():
        is_free = pattern in ("hf:*", "embedded#*")
        assert is_free == (price.million_out_usd == 0), pattern
        assert 0 <= price.million_in_usd <= price.million_out_usd <= 100, pattern
        assert is_free or "@api.openai.com" in pattern


@pytest.mark.parametrize(
    ("name", "read_usd"),
    [
        ("openai:gpt-4.1@api.openai.com/v1", 2.00),
        ("openai:gpt-4.1-mini@api.openai.com/v1", 0.40),
        ("openai:gpt-4.1-mini-2025-04-14@api.openai.com/v1", 0.40),
        ("openai:gpt-4o@api.openai.com/v1", 2.50),
        ("openai:gpt-4o-mini@api.openai.com/v1", 0.15),
        ("openai:gpt-5-nano@api.openai.com/v1", 0.05),
        ("hf:some/model", 0.0),
        ("embedded#1", 0.0),
    ],
)
def test_shipped_patterns_find_the_model_that_they_mean(name: str, read_usd: float):
    price = load_prices().find(name)
    assert price is not None
    assert price.million_in_usd == read_usd


@pytest.mark.parametrize(
    "name",
    [
        "openai:gpt-4.1@localhost:8000/v1",
        "openai:unheard-of@api.openai.com/v1",
        "gpt-4.1",
    ],
)
def test_a_hosted_name_on_ones_own_server_has_no_price(name: str):
    assert load_prices().find(name) is None


def test_ones_own_file_goes_before_the_shipped_one(tmp_path: Path):
    path = written(
        tmp_path, "models:\n  'openai:gpt-4.1@*': {million_in_usd: 7, million_out_usd: 8}\n"
    )
    prices = load_prices(path)
    found = prices.find("openai:gpt-4.1@api.openai.com/v1")
    assert found == Price(million_in_usd=7, million_out_usd=8)
    assert prices.find("openai:gpt-4.1@localhost/v1") == found
    mini = prices.find("openai:gpt-4.1-mini@api.openai.com/v1")
    assert mini is not None and mini.million_in_usd == 0.40  # still the shipped one


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "the file: "),
        ("- a\n- b\n", "the file: "),
        ("prices: {}\n", "models: "),
        ("models:\n  'm': {million_in_usd: 1}\n", "models.m.million_out_usd: Field required"),
        ("models:\n  'm': {million_in_usd: -1, million_out_usd: 1}\n", "greater than or equal"),
        ("models:\n  'm': {million_in_usd: .inf, million_out_usd: 1}\n", "finite"),
        ("models:\n  'm': {million_in_usd: cheap, million_out_usd: 1}\n", "valid number"),
        ("models:\n  'm': {input: 1, million_in_usd: 1, million_out_usd: 1}\n", "models.m.input"),
    ],
)
def test_a_file_that_is_no_table_says_where_and_how_one_is_written(
    tmp_path: Path, text: str, found: str
):
    path = written(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        load_prices(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert found in str(caught.value)
    assert "Write it as\nmodels:\n  'openai:MODEL@HOST*'" in str(caught.value)


def test_a_file_that_is_no_yaml_says_so_in_one_line(tmp_path: Path):
    path = written(tmp_path, "models: {'m': [\n")
    with pytest.raises(UsageError, match=r"this is not YAML: .*") as caught:
        load_prices(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text_are_no_yaml_either(tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"models: \xff\xfe")
    with pytest.raises(UsageError, match="is not UTF-8"):
        load_prices(path)


@pytest.mark.parametrize("name", ["missing.yaml", "."])
def test_a_file_that_cannot_be_read_says_so(tmp_path: Path, name: str):
    with pytest.raises(UsageError, match=r"Name a file of prices\.$") as caught:
        load_prices(tmp_path / name)
    assert str(tmp_path) in str(caught.value)


def test_the_shipped_file_says_of_when_it_is():
    assert 'as_of: "20' in SHIPPED.read_text("utf-8")
