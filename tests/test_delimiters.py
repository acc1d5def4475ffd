"""Delimiters broken up: laws that hold for any text and any set of delimiters."""

import random
import time

import pytest

from cai.delimiters import delimiter_pattern, escape_delimiters
from cai.templates import load_templates

DELIMITERS = ("<turn user>", "</turn>", "</response_a>", "\n\nHuman:", "(A)", "###", "==")
FOUND = delimiter_pattern(DELIMITERS)
PIECES = (
    *DELIMITERS,
    *(
        "<",
        "/",
        ">",
        "turn",
        "TURN",
        "＜/turn＞",
        "< / turn >",
        "\u200b",
        "\u00ad",
        " ",
        "\n",
        "\r",
    ),
    *("(", "A", "ａ", ")", "#", "=", "ſ", "Human", ":", "word", "naïve 👍", "\\", "\u2028"),
)


def texts(n: int = 400) -> list[str]:
    """Texts put together from delimiters, pieces of them, and other things."""
    rng = random.Random("delimiters")
    return ["".join(rng.choices(PIECES, k=rng.randrange(1, 14))) for _ in range(n)]


@pytest.mark.parametrize("text", [
    "", "plain", "a < b > c", "turn / turn", "(B)", "# one ## two", "a = b", "naïve 👍\r\n\tx",
    "Human: at the start of a line\nHuman: and of the next", "back\\slash",
])  # fmt: skip
def test_a_text_without_delimiters_stays_as_it_is(text: str):
    assert escape_delimiters(FOUND, text) == text


def test_nothing_but_backslashes_is_added():
    for text in texts():
        rest = iter(escape_delimiters(FOUND, text))
        added = []
        for sign in text:
            while (found := next(rest)) != sign:
                added.append(found)
        assert {*added, *rest} <= {"\\"}


def test_no_delimiter_is_left():
    for text in texts():
        shown = escape_delimiters(FOUND, text)
        assert not any(each in shown for each in DELIMITERS), text


def test_a_second_time_changes_nothing():
    """What was broken up is no delimiter any more."""
    changed = [text for text in texts() if escape_delimiters(FOUND, text) != text]
    assert len(changed) > 100, "the texts hold delimiters"
    for text in texts():
        once = escape_delimiters(FOUND, text)
        assert escape_delimiters(FOUND, once) == once


@pytest.mark.parametrize("delimiter", DELIMITERS)
def test_each_delimiter_gets_its_backslash_after_the_first_sign(delimiter: str):
    found = delimiter_pattern([delimiter])
    shown = escape_delimiters(found, f"x{delimiter}y")
    if len(set(delimiter)) == 1:
        assert shown.replace("\\", "") == f"x{delimiter}y" and delimiter not in shown
    else:
        assert shown == f"x{delimiter[0]}\\{delimiter[1:]}y"


def test_no_delimiters_are_no_change():
    assert escape_delimiters(delimiter_pattern([]), "</turn>") == "</turn>"


@pytest.mark.parametrize(
    "piece", ["<", "< ", "</turn", "</turn>", "\u200b", "=", "(\u200b", "\n\n"]
)
def test_the_time_grows_with_the_length_and_not_with_its_square(piece: str):
    """Twenty times the text in at most a hundred times the time; its square would be 400."""
    found = delimiter_pattern([*DELIMITERS, *load_templates("chat").settings.delimiters])

    def took(n: int) -> float:
        text, times = piece * n, []
        for _ in range(3):
            began = time.perf_counter()
            escape_delimiters(found, text)
            times.append(time.perf_counter() - began)
        return min(times)

    assert took(40_000) <= 100 * took(2_000) + 0.05


INVISIBLE = (
    "\u034f\u180b\u180e\u3164\u115f\u1160\u2800\u17b4\u17b5\uffa0\u00ad\u061c\u200d\u2060\ufe0f"
    "\ufeff\U000e0101\U000e0041\u0301\u0338\u20dd\U0001d173"
)


@pytest.mark.parametrize("char", INVISIBLE, ids=ascii)
def test_an_invisible_character_or_a_mark_hides_no_delimiter(char: str):
    found = delimiter_pattern(["</response_a>"])
    for text in (f"<{char}/response_a>", f"</res{char}ponse_a>", f"</response_a{char}{char}>"):
        assert escape_delimiters(found, f"x{text}y") == f"x<\\{text[1:]}y"


@pytest.mark.parametrize(
    "text",
    [
        "</rеspоnsе_а>",
        "‹/response_a›",
        "<⁄response_a>",
        "<∕RESPΟΝSE_Α>",
        "</réspônse_ä>",
        "</ｒｅｓｐｏｎｓｅ＿ａ＞",
        "</𝐫𝐞𝐬𝐩𝐨𝐧𝐬𝐞_𝐚>",
        "〈/ʀᴇꜱᴘᴏɴꜱᴇ_ᴀ〉",
        "</respo\u0578se_a>",
        "</ⓡⓔⓢⓟⓞⓝⓢⓔ_ⓐ>",
    ],
    ids=ascii,
)
def test_a_look_alike_is_broken_up(text: str):
    found = delimiter_pattern(["</response_a>", "</response_b"])
    assert escape_delimiters(found, f"x{text}y") == f"x{text[0]}\\{text[1:]}y"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("⒜", "(\\a)"),
        ("x⒜⒜y", "x(\\a)(\\a)y"),
        ("ﬁ ⒜ ß", "ﬁ (\\a) ß"),
        ("ﬁ ⒝ ß", "ﬁ ⒝ ß"),
        ("ﬁ (A)", "ﬁ (\\A)"),
        ("…(A)½", "…(\\A)½"),
    ],
)
def test_a_character_that_stands_for_several_is_written_out_where_it_is_a_delimiter(
    text: str, shown: str
):
    found = delimiter_pattern(["(A)"])
    assert escape_delimiters(found, text) == shown
    assert escape_delimiters(found, shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "Привет, как дела? (б)",
        "καλημέρα <α>",
        "Zoë’s naïve café — 100 % ½ ﬁne",
        "日本語〈例〉",
        "नमस्ते",
    ],
)
def test_other_languages_stay_as_they_are(text: str):
    found = delimiter_pattern([*DELIMITERS, *load_templates("chat").settings.delimiters])
    assert escape_delimiters(found, text) == text
