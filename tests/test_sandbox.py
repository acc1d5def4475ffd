"""What a stranger's template cannot do: take all memory or time, or write other texts each time."""

import re
from pathlib import Path

import pytest

from cai.errors import PromptError
from cai.sandbox import compile_template, reset_limits, time_limit
from cai.templates import load_templates

TEN, END = "{% set a = 'xxxxxxxxxx' %}", "{{ a | length }}"
BOMBS = [
    "{{ 'x' * 10000000000 }}",
    "{{ 10000000000 * 'x' }}",
    "{{ [1] * 1000000000 }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ '%s' % request }}",
    "{{ '%1000000000d' | format(1) }}",
    "{{ 'x'.center(1000000000) }}",
    "{{ 'x' | center(1000000000) }}",
    "{{ 'x'.ljust(1000000000) }}",
    "{{ 'x'.rjust(1000000000) }}",
    "{{ 'x'.zfill(1000000000) }}",
    "{{ 'x\\t'.expandtabs(1000000000) }}",
    "{{ '{:1000000000}'.format(1) }}",
    "{{ request['center'](1000000000) }}",
    "{{ (request | attr('center'))(1000000000) }}",
    "{{ 'x' | indent(1000000000, true) }}",
    "{{ [] | batch(1000000000, 'x') | list }}",
    "{{ ['a'] | slice(1000000000) | list }}",
    "{{ {'a': 1} | tojson(indent=1000000000) }}",
    "{{ 'a b' | wordwrap(1, wrapstring='x') }}",
    "{{ 1.5 | round(1000000000) }}",
    "{{ 7 ** 7 ** 7 ** 7 }}",
    "{{ 9 ** 60 ** 9 }}",
    "{{ 123 .to_bytes(1000000000, 'big') }}",
    "{% for i in range(10000000) %}x{% endfor %}",
    "{% for i in range(1000) %}{% for i in range(1000) %}{% for i in range(1000) %}x"
    "{% endfor %}{% endfor %}{% endfor %}",
    TEN + "{% set a = a ~ a %}" * 40 + END,
    TEN + "{% set a = a + a %}" * 40 + END,
    "{% set a = ['x'] %}" + "{% set a = a + a %}" * 40 + END,
    TEN + "{% set a %}{{ a }}{{ a }}{% endset %}" * 40 + END,
    TEN + "{% set a = a.replace('x', 'xxxx') %}" * 30 + END,
    TEN + "{% set a = a | replace('x', 'xxxx') %}" * 30 + END,
    TEN + "{% set a = [a, a, a] | join %}" * 30 + END,
    "".join(
        f"{{% macro m{i}() %}}{{{{ m{i - 1}() }}}}{{{{ m{i - 1}() }}}}{{% endmacro %}}"
        if i
        else "{% macro m0() %}x{% endmacro %}"
        for i in range(40)
    )
    + "{{ m39() }}",
    "{% set s = 'a ' %}" + "{% set s = s ~ s %}" * 12
    + "{% for a in s %}{% for b in s %}{% for c in s %}{% endfor %}{% endfor %}{% endfor %}",
]  # fmt: skip
CHANGING = [
    "{{ lipsum() }}",
    "{{ [1, 2, 3] | random }}",
    "{{ [[1, 2]] | map('random') | list }}",
    "{{ request.upper }}",
    "{{ request.upper ~ '' }}",
    "{{ request.upper | string }}",
    "{{ [request.upper] | join }}",
    "{{ [request.upper] }}",
    "{{ range }}",
    "{{ [1] | map('string') | pprint }}",
    "{{ namespace }}",
    "{{ dict ~ '' }}",
    "{{ self }}",
    "{{ cycler }}",
    "{% macro m() %}{% endmacro %}{{ m }}",
    "{% for x in [1] %}{{ loop }}{% endfor %}",
    "{% for x in [1] %}{{ loop.cycle }}{% endfor %}",
]
HARD_TO_READ = [
    "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}",
    "{{ " + "[" * 250 + "]" * 250 + " }}",
    "{{ " + "not " * 20_000 + "1 }}",
    "{{ " + "1 + " * 20_000 + "1 }}",
    "{% if 1 %}" * 300 + "{% endif %}" * 300,
    "{% for i in [1] %}" * 60 + "{% endfor %}" * 60,
    "{{ " + "9" * 9000 + " }}",
    "x" * 200_000,
    "{{ request" + ".a" * 20_000 + " }}",
    "{% set None = 1 %}",
    "{{ '\\x00' }}{{ f(**1, *2) }}",
    "{{ dict(a=1, a=2) }}",
    "{% macro m(a, a) %}{% endmacro %}",
]


@pytest.mark.parametrize("source", [*BOMBS, *CHANGING, *HARD_TO_READ], ids=lambda each: each[:50])
def test_it_is_an_error_of_that_file_when_it_is_loaded(tmp_path: Path, source: str):
    (tmp_path / "respond.j2").write_text(source)
    with pytest.raises(PromptError, match=r"respond\.j2") as raised:
        load_templates(tmp_path)
    assert len(str(raised.value)) < 600 + len(str(tmp_path))
    assert not re.search("0x[0-9a-f]{8}", str(raised.value))


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ request | upper | trim }}", "A B"),
        ("{{ request.split() | join('-') }}", "a-b"),
        ("{{ request ~ 1 ~ true ~ [1] }}", "a b1True[1]"),
        ("{{ request + 'c' }}", "a bc"),
        ("{{ 2 * 3 % 4 + 2 ** 5 // 3 }}", "12"),
        ("{% for i in range(3) %}{{ i }}{{ loop.cycle('x', 'y') }}{% endfor %}", "0x1y2x"),
        ("{{ request.replace('a', 'c') | replace('b', 'd') }}", "c d"),
        ("{% set n = namespace(x=1) %}{% set n.x = 2 %}{{ n.x }}", "2"),
        ("{{ ['b', 'a'] | sort | map('upper') | join(', ') }}", "A, B"),
        ("{{ {'a': 1}.items() | list }}{{ {'a': 1} | tojson }}", "[('a', 1)]{\"a\": 1}"),
        ("{% macro m(x) %}<{{ x }}>{% endmacro %}{{ m(1) }}{{ m('a') }}", "<1><a>"),
        ("{{ request | default('x') | indent(2) | length }}", "3"),
    ],
)
def test_ordinary_templates_are_rendered(source: str, text: str):
    reset_limits()
    with time_limit():
        assert compile_template(source).render(request="a b") == text


def test_a_long_value_is_no_bomb():
    assert len(compile_template("{{ request ~ request }}").render(request="x" * 10_000_000)) == 2e7
