"""Text of others cannot steer the terminal."""

import pytest

from cai.cli.tables import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", "\\x1b[31mred"),
        ("over\rwritten", "over\\x0dwritten"),
        ("\x9b1A", "\\x9b1A"),
        ("\u202eesrever\u202c", "\\u202eesrever\\u202c"),
        ("\u2066isolate\u2069", "\\u2066isolate\\u2069"),
        ("half \ud83d", "half \\ud83d"),
        ("nul\0", "nul\\x00"),
    ],
)
def test_what_steers_a_terminal_becomes_visible(text: str, shown: str):
    assert printable(text) == shown


@pytest.mark.parametrize("text", ["two\nlines\tand a tab", "naïve اختر 👨\u200d👩\u200d👧 請選擇"])
def test_ordinary_text_stays_as_it_is(text: str):
    assert printable(text) == text
