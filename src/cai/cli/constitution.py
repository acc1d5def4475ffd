"""`cai constitution`: list, show, check and test constitutions, and print their files' schema.

`cai constitution test` judges the tests that the authors of a constitution wrote beside its
principles: two responses each, of which one is better under that principle.

Example:
    $ cai constitution show harmless --principle no-preaching
    $ cai constitution check my-rules.yaml --strict
    $ cai constitution test harmless -m hf:JUDGE
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from textwrap import fill, shorten
from typing import get_args

import click
from rich.console import Console

from cai.cli.options.model_options import open_judges, with_judges
from cai.cli.options.run_options import as_json, echo_json
from cai.cli.tables import printable
from cai.constitution.lint import check_constitution
from cai.constitution.loader import load_constitution, shipped_constitutions
from cai.constitution.schema import Constitution, Principle, json_schema
from cai.engine.calls import retrying
from cai.engine.engine import run_async
from cai.engine.stream import AtMost, stream
from cai.errors import CaiError, ConstitutionError, UsageError
from cai.methods.judging.principle_tests import PrincipleTest, Result, Tested, run_test, tests_of
from cai.methods.roles import RoleModel
from cai.methods.settings import JudgeSettings
from cai.runs.execution import opened
from cai.runs.judge_preparation import prepare_judges
from cai.suggest import did_you_mean

MAX_IN_FLIGHT = 64
_SIGNS: dict[Result, str] = {"passed": ".", "failed": "F", "unreadable": "?"}


@click.group(epilog="Example: cai constitution list")
def constitution() -> None:
    """List, show and check constitutions."""


@constitution.command("list", epilog="Example: cai constitution list")
def list_() -> None:
    """List the constitutions that ship with cai."""
    for name in shipped_constitutions():
        loaded = load_constitution(name)
        click.echo(f"{name}  ({len(loaded.principles)} principles, version {loaded.version})")
        click.echo(_wrapped(loaded.description, indent=2))


@constitution.command(epilog="Example: cai constitution show harmless --principle no-preaching")
@click.argument("name")
@click.option("--principle", "id", metavar="ID", help="Only this principle, with its examples.")
@click.option("--json", "is_json", is_flag=True, help="Print JSON.")
def show(name: str, id: str | None, is_json: bool) -> None:
    """Show the constitution NAME: a shipped name or a file, with all that it extends."""
    loaded = load_constitution(name)
    principle = None if id is None else principle_of(loaded, id)
    if is_json:
        shown = principle or loaded
        # the hash is of the merged constitution, as runs record it
        hashed = {} if principle else {"hash": loaded.hash}
        click.echo(json.dumps({**shown.model_dump(mode="json"), **hashed}, indent=2))
        return
    lines: list[str] = []
    if principle is not None:
        lines += _requests(principle)
        samples = [("example", sample) for sample in principle.examples]
        samples += [("test", sample) for sample in principle.tests]
        for kind, sample in samples:
            texts = sample.model_dump(exclude_none=True).items()
            lines += [f"\n{kind}", *(_wrapped(f"{part}: {text}", indent=2) for part, text in texts)]
    else:
        lines.append(f"{loaded.name} {loaded.version}  ({len(loaded.principles)} principles)")
        license = f", license {loaded.license}" if loaded.license else ""
        lines.append(f"hash {loaded.hash}{license}")
        if loaded.extends:
            lines.append(f"extends {', '.join(loaded.extends)}")
        if loaded.description:
            lines.append(_wrapped(loaded.description))
        for each in loaded.principles:
            lines += ["", *_requests(each)]
    click.echo(printable("\n".join(lines)))


@constitution.command(epilog="Example: cai constitution check my-rules.yaml --strict")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--strict", is_flag=True, help="Exit with 1 if there are warnings.")
@click.pass_context
def check(context: click.Context, paths: tuple[str, ...], strict: bool) -> None:
    """Check constitutions: files, or names of shipped ones.

    Errors make a constitution unusable and end with exit code 2. Warnings name principles that will
    not do what their author wants.
    """
    errors: list[str] = []
    n_warnings = 0
    # one broken file does not hide what the others have: errors are raised together at the end
    for path in paths:
        try:
            loaded = load_constitution(path)
        except ConstitutionError as error:
            errors.append(str(error))
            continue
        warnings = check_constitution(loaded)
        n_warnings += len(warnings)
        n = "1 warning" if len(warnings) == 1 else f"{len(warnings)} warnings"
        lines = [f"{path}: {len(loaded.principles)} principles, {n}"]
        lines += [f"  {each.principle}: {each.message} [{each.kind}]" for each in warnings]
        click.echo(printable("\n".join(lines)))
    if errors:
        raise ConstitutionError("\n".join(errors))
    if strict and n_warnings:
        context.exit(1)


@constitution.command(epilog="Example: cai constitution schema > constitution.schema.json")
def schema() -> None:
    """Print the JSON Schema of constitution files, for completion and checks in an editor."""
    click.echo(json.dumps(json_schema(), indent=2))


@constitution.command(
    epilog="Example: cai constitution test harmless -m openai:MODEL@http://localhost:8000/v1"
)
@click.argument("name")
@with_judges(has_constitution=False, leave_out=("principles",))
@click.option("--principle", "ids", multiple=True, metavar="ID", help="Only this principle.")
@as_json
def test(
    name: str,
    judges: tuple[str, ...],
    settings: JudgeSettings,
    seed: int,
    ids: tuple[str, ...],
    is_json: bool,
) -> int:
    """Judge the tests of each principle of NAME: does the judge read it as its author does?

    A test passes where the better response wins over both orders, under its principle alone. Exit
    code 1 if any fails or could not be read.
    """
    loaded = load_constitution(name)
    for id in ids:
        principle_of(loaded, id)
    tests = [
        each
        for each in tests_of(loaded, ids)
        if not settings.tags or set(settings.tags) & set(each.principle.tags)
    ]
    if not tests:
        raise UsageError(
            f"None of the requested principles of {loaded.name!r} has tests. Write some: each has "
            "a prompt, a better and a worse response."
        )
    results = run_async(_judge_tests(open_judges(judges, settings), loaded, settings, seed, tests))
    # they come as they are judged, and are printed in the order of the file
    results.sort(key=lambda each: tests.index(each.test))
    if is_json:
        rows = [
            {
                "principle": each.test.principle.id,
                "test": each.test.number,
                "result": each.result,
                "outcome": each.verdict.outcome,
                "probability": each.verdict.p_a,
            }
            for each in results
        ]
        echo_json({"tests": rows})
    else:
        _show_results(loaded, results)
    return 0 if all(each.result == "passed" for each in results) else 1


def principle_of(loaded: Constitution, id: str) -> Principle:
    """The principle with that id. Raises UsageError, with the nearest id, where none has it."""
    try:
        return loaded.principle(id)
    except KeyError:
        ids = [principle.id for principle in loaded.principles]
        raise UsageError(
            f"--principle: the constitution {loaded.name!r} has no principle {id!r}. "
            + did_you_mean(id, ids, f"Its principles are {', '.join(ids)}.")
        ) from None


async def _judge_tests(
    roles: Sequence[RoleModel],
    loaded: Constitution,
    settings: JudgeSettings,
    seed: int,
    tests: Sequence[PrincipleTest],
) -> list[Tested]:
    """The tests judged, each under its own principle alone, in the order in which they end."""
    # No run folder and no journal here: retries are the only wrapper that calls need.
    roles = [replace(each, model=retrying(each.model)) for each in roles]
    results: list[Tested] = []
    async with opened([each.model for each in roles]):
        judges = await prepare_judges(roles, loaded, settings, Console(stderr=True))
        # A test is judged under a constitution of its one principle. The tags have selected the
        # tests already, and here would leave none of a principle that lacks one of them.
        untagged = settings.model_copy(update={"tags": ()})

        async def judge(each: PrincipleTest) -> Tested:
            return await run_test(judges, loaded, each, untagged, seed)

        async with aclosing(stream(tests, judge, AtMost(MAX_IN_FLIGHT))) as stream_of_results:
            async for _, result in stream_of_results:
                if isinstance(result, CaiError):
                    raise result
                results.append(result)
    return results


def _show_results(loaded: Constitution, results: Sequence[Tested]) -> None:
    """A line of signs for each principle, what failed in full, and a summary."""
    by_principle: dict[str, list[Tested]] = {}
    for each in results:
        by_principle.setdefault(each.test.principle.id, []).append(each)
    width = max(len(id) for id in by_principle)
    for id, tested in by_principle.items():
        # As pytest does it: a line a principle shows at a glance where the judge fails.
        signs = "".join(_SIGNS[each.result] for each in tested)
        # The least probability tells a test that barely passes from one that is sure to.
        margins = [each.verdict.p_a for each in tested if each.verdict.p_a is not None]
        least = f"  least {min(margins):.2f}" if margins else ""
        click.echo(f"{id:{width}}  {signs}{least}")
    for each in results:
        if each.result != "passed":
            click.echo(printable("\n".join(["", *_details(each)])))
    click.echo()
    untested = [each.id for each in loaded.principles if not each.tests]
    if untested:
        click.echo(f"without tests: {', '.join(untested)}")
    counts = Counter(each.result for each in results)
    shown = ", ".join(f"{counts[each]} {each}" for each in get_args(Result) if counts[each])
    click.secho(f"{len(results)} tests: {shown}", fg="green" if len(counts) == 1 else "red")


def _details(each: Tested) -> Iterator[str]:
    verdict, expected = each.verdict, each.test.expectation
    sure = "" if verdict.p_a is None else f" (probability of the better one {verdict.p_a:.2f})"
    yield f"{each.result.upper()} {each.test.name}: {verdict.outcome}{sure}"
    yield f"  principle: {shorten(each.test.principle.text, 100)}"
    yield f"  prompt:    {shorten(expected.prompt, 100)}"
    yield f"  better:    {shorten(expected.better, 100)}"
    yield f"  worse:     {shorten(expected.worse, 100)}"
    for part in verdict.principle_verdicts:
        orders = (("better first", part.order_ab), ("better second", part.order_ba))
        shown = ", ".join(
            f"{name} {call.outcome if call.p_a is None else f'{call.p_a:.2f}'}"
            for name, call in orders
        )
        criterion = f" {part.criterion_id}" if part.criterion_id else ""
        yield f"  {part.judge}{criterion}{' reversed' if part.is_negated else ''}: {shown}"
        reason = part.order_ab.reason or part.order_ba.reason
        if reason:
            yield f"    {shorten(reason, 200)}"


def _requests(principle: Principle) -> Iterator[str]:
    """A principle as lines; what it leaves to the template is left out."""
    yield f"{principle.id}  [{', '.join(principle.tags)}]  weight {principle.weight:g}"
    yield _wrapped(principle.text, indent=2)
    for name, text in (
        ("critique", principle.critique),
        ("revision", principle.revision),
        ("judge", principle.judge),
        ("negated", principle.negated),
    ):
        if text is not None:
            yield _wrapped(f"{name}: {text}", indent=2)
    for criterion in principle.rubric:
        shown = f"criterion {criterion.id} (weight {criterion.weight:g}): {criterion.text}"
        yield _wrapped(shown, indent=2)
    yield f"  examples: {len(principle.examples)}, tests: {len(principle.tests)}"


def _wrapped(text: str, indent: int = 0) -> str:
    """The text in lines of at most 100 characters, its own line breaks preserved."""
    margin = " " * indent
    return "\n".join(
        fill(line, 100, initial_indent=margin, subsequent_indent=margin)
        for line in text.strip().split("\n")
    )
