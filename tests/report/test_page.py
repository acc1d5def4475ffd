"""A report holds what models said, and runs none of it; nor does it ask for anything outside."""

import base64
import hashlib
import re
from itertools import pairwise
from pathlib import Path

import pytest
from made_findings import evaluation, series, training, win_rate
from made_runs import RECIPE, chain, contested, made_run, revised, samples, scored
from made_verdicts import judge_recipe
from reading_pages import Page, read

from cai.methods.revision import Round
from cai.models.base import Completion
from cai.report.build import write_report
from cai.runs.config import Named

ATTACK = (
    "<script>alert(1)</script><img src=x onerror=alert(2)>\"><svg onload='alert(3)'>"
    "{{ 7 * 7 }}{% raw %}</details></section></style><a href=javascript:alert(4)>x</a>"
    "<link rel=stylesheet href=https://example.org/x.css>@import url(//example.org)"
)
NAMES = "<b>$x_1$</b>&amp;\u202e\x00\x1b[31m"
CALLING = {"src", "srcset", "href", "action", "data", "poster", "formaction", "background"}
LOADING = {"link", "iframe", "object", "embed", "base", "img", "video", "audio", "form", "source"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chain in which every text and every name is hostile."""
    out = tmp_path_factory.mktemp("hostile")
    named = Named(name=f"one{NAMES}".replace("\x00", "").replace("\x1b", ""), hash="aaaaaaaaaaaa")
    done = Round(f"p{NAMES}", Completion(ATTACK), Completion(f"{ATTACK} else"), ("evasive",))
    other = Round(f"q{NAMES}", Completion(ATTACK), Completion(f"{NAMES} else"))
    made_run(
        out / "revised",
        [
            chain(f"id{NAMES}", ATTACK, done, other, asked=ATTACK),
            chain("2", NAMES, revised(ATTACK)),
        ],
        RECIPE.model_copy(update={"constitution": named}),
    ).close()
    made_run(out / "samples", [samples(ATTACK, ATTACK, NAMES, asked=ATTACK)]).close()
    texts = [ATTACK, f"{ATTACK} and more"]
    made_run(
        out / "judged",
        [contested(ATTACK, texts, {(0, 1): (0.9, 0.2)}, asked=ATTACK)],
        judge_recipe("hf:<script>alert(5)</script>"),
    ).close()
    made_run(out / "scored", [scored(ATTACK, ATTACK, 0.5, model=ATTACK)]).close()
    training(out / "sl", model="hf:<img src=x>", sources={"<script>x</script>": 3})
    evaluation(out / "eval", win_rate("<b>SL</b>", "$start_1$ <i>", 3, 1), caveats=[ATTACK])
    series(out / "tries")
    return out


@pytest.fixture(scope="module")
def html(folder: Path) -> str:
    return write_report(folder).read_text("utf-8")


@pytest.fixture(scope="module")
def page(folder: Path, html: str) -> Page:
    return read(folder / "report.html")


def test_every_element_is_closed_where_the_template_closes_it(page: Page):
    """`read` refuses a page that a text has opened or closed an element of."""
    assert {level for level, _ in page.headings} == {1, 2, 3, 4}


def test_no_script_is_there_but_the_one_that_the_policy_allows(page: Page, html: str):
    (script,) = page.scripts
    assert sum(tag == "script" for tag, _ in page.tags) == 1
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = [
        attrs["content"]
        for tag, attrs in page.tags
        if attrs.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy == (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    )


def test_the_policy_stands_before_anything_that_it_is_to_forbid(page: Page):
    names = [tag for tag, _ in page.tags]
    first = next(place for place, (_, attrs) in enumerate(page.tags) if "http-equiv" in attrs)
    assert set(names[:first]) <= {"html", "head", "meta"}


def test_nothing_listens_and_nothing_is_loaded(page: Page):
    for tag, attrs in page.tags:
        assert tag not in LOADING
        assert not any(name.startswith("on") for name in attrs), attrs
        for name in CALLING & set(attrs):
            assert (attrs[name] or "").startswith("#"), (tag, attrs)


def test_the_style_and_the_pictures_refer_to_nothing_outside(html: str):
    for style in re.findall(r"<style>(.*?)</style>", html, re.DOTALL):
        assert "@import" not in style
        assert "url(" not in style
    addresses = re.findall(r'="[^"]*https?://[^"]*"', html)
    assert [each for each in addresses if "aria-label" not in each] == []
    assert re.findall(r"url\((?!#)", re.sub(r">[^<]*<", "><", html)) == []


def test_hostile_text_is_shown_as_it_is(page: Page):
    assert "<script>alert(1)</script><img src=x onerror=alert(2)>" in page.text
    assert "{{ 7 * 7 }}{% raw %}</details>" in page.text
    assert "<b>$x_1$</b>&amp;" in page.text


def test_control_characters_are_replaced(html: str):
    assert "\x00" not in html
    assert "\x1b" not in html
    assert "�[31m" in html


def test_ids_of_pictures_do_not_meet(page: Page):
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) > 50
    assert len(ids) == len(set(ids))


def test_pictures_have_words_and_colours_of_the_page(page: Page, html: str):
    drawn = [attrs for _, attrs in page.tags if attrs.get("role") == "img"]
    assert len(drawn) == html.count("<svg") >= 6
    assert all(len(attrs["aria-label"] or "") > 20 for attrs in drawn)
    colours = re.findall(r"(?:fill|stroke): (#[0-9a-f]+)", html)
    assert set(colours) <= {"#ffffff"}, "every other colour changes with the page"


def test_tables_have_captions_and_headings_have_an_order(page: Page):
    assert "" not in page.tables
    levels = [level for level, _ in page.headings]
    assert levels[0] == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))


def test_the_same_folder_gives_the_same_page(folder: Path, html: str, tmp_path: Path):
    again = write_report(folder, tmp_path / "again.html").read_text("utf-8")
    assert again == html
