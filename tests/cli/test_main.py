"""The command as a whole: help, first steps, exit codes, broken pipes, and what it imports."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from reward_server import MAIN, CallCai, assert_refused

from cai.cli.main import cli

SOURCE = str(Path(__file__).parents[2] / "src")
HEAVY = ("torch", "transformers", "datasets", "pyarrow", "aiohttp", "trl")


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": SOURCE},
        text=True,
        capture_output=True,
        check=True,
    )


def commands(group: click.Group = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of every command and group below the root."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        yield (*path, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


@pytest.mark.parametrize("code", ["from cai.cli.main import run; run(['--help'])", "import cai"])
def test_help_and_import_need_nothing_heavy(code: str):
    ended = python(f"{code}\nimport json, sys\nprint(); print(json.dumps(sorted(sys.modules)))")
    assert not set(HEAVY) & set(json.loads(ended.stdout.splitlines()[-1]))


@pytest.mark.parametrize("path", list(commands()), ids=" ".join)
def test_every_help_has_an_example(call_cai: CallCai, path: tuple[str, ...]):
    ended = call_cai(*path, "--help")
    assert ended.code == 0
    assert "Example: cai " + path[0] in " ".join(ended.out.split())


def test_every_command_is_in_the_help(call_cai: CallCai):
    ended = call_cai("--help")
    assert ended.code == 0
    for path in commands():
        assert f"\n  {path[0]} " in ended.out


def test_without_arguments_it_says_what_to_do_first(call_cai: CallCai):
    ended = call_cai()
    assert (ended.code, ended.err) == (0, "")
    assert "First steps:" in ended.out
    assert "cai demo" in ended.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["revize"], "No such command 'revize'"),
        (["--nonsense"], "No such option"),
        (["revise"], "Missing argument"),
        (["revise", "x.jsonl", "-c", "testbed", "-o", "out"], "--model"),
        (["export", "run", "--format", "csv", "-o", "x.jsonl"], "'csv' is not one of"),
        (["prompts", "render", "critic", "-c", "testbed"], "'critic' is not one of"),
        (["constitution", "show", "harmles"], "Did you mean 'harmless'?"),
        (["try", "Hi?", "-c", "testbed", "-m", "embeded"], "Did you mean 'embedded'?"),
    ],
)
def test_wrong_use_is_said_plainly(call_cai: CallCai, arguments: list[str], said: str):
    assert_refused(call_cai(*arguments), said)


def test_a_reader_that_has_gone_is_no_error():
    """As in `cai constitution show harmless --json | head -1`, whose pipe closes early."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = subprocess.run(
            [sys.executable, "-c", MAIN, "constitution", "show", "harmless", "--json"],
            env={**os.environ, "PYTHONPATH": SOURCE},
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        os.close(writing)
    assert ended.stderr == ""
    assert ended.returncode == 0
