"""`cai constitution`: list, show and check constitutions, and print the schema of their files.

`cai constitution test`: the tests of each principle put before a judge.
"""

import contextlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from textwrap import fill, shorten
from typing import get_args

import click
from rich.console import Console

from cai.cli.options.judge_options import open_judges, with_judges
from cai.cli.options.run_options import as_json, echo_json
from cai.cli.tables import printable
from cai.constitution.lint import LintFinding, check_constitution
from cai.constitution.loader import load_constitution, shipped_constitutions
from cai.constitution.schema import Constitution, Principle, json_schema
from cai.engine.calls import retrying
from cai.engine.engine import run_async
from cai.engine.stream import AtMost, stream
from cai.errors import CaiError, ConstitutionError, UsageError
from cai.methods.judging.judge import Judge
from cai.methods.judging.principle_tests import PrincipleTest, Result, Tested, run_test, tests_of
from cai.methods.roles import RoleModel
from cai.methods.settings import JudgeSettings
from cai.runs.job import opened
from cai.runs.judges import prepare_judges
from cai.suggest import did_you_mean

IN_FLIGHT = 64
_SIGNS: dict[Result, str] = {"passed": ".", "failed": "F", "unreadable": "?"}


@click.command(
    "test",
    epilog="Example: cai constitution test harmless -m openai:MODEL@http://localhost:8000/v1",
)
@click.argument("constitution", metavar="NAME")
@with_judges(has_constitution=False, leave_out=("principles",))
@click.option("--principle", "ids", multiple=True, metavar="ID", help="Only this principle.")
@as_json
def test(
    constitution: str,
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
    loaded = load_constitution(constitution)
    tests = _chosen(loaded, settings, ids)
    found = run_async(_run(open_judges(judges, settings), loaded, settings, seed, tests))
    found.sort(key=lambda each: tests.index(each.test))
    if is_json:
        echo_json({"tests": [_test_as_json(each) for each in found]})
    else:
        _show(loaded, found)
    return 0 if all(each.result == "passed" for each in found) else 1


def _chosen(
    loaded: Constitution, settings: JudgeSettings, ids: Sequence[str]
) -> list[PrincipleTest]:
    known = [principle.id for principle in loaded.principles]
    for id in ids:
        if id not in known:
            raise UsageError(
                f"--principle: the constitution {loaded.name!r} has no principle {id!r}. Its "
                f"principles are {', '.join(known)}."
            )
    tests = [
        each
        for each in tests_of(loaded, ids)
        if not settings.tags or set(settings.tags) & set(each.principle.tags)
    ]
    if not tests:
        raise UsageError(
            f"No principle of {loaded.name!r} that was asked for has tests. Write some: each has a "
            "prompt, a better and a worse response."
        )
    return tests


async def _run(
    roles: Sequence[RoleModel],
    loaded: Constitution,
    settings: JudgeSettings,
    seed: int,
    tests: Sequence[PrincipleTest],
) -> list[Tested]:
    """The tests judged, each under its own principle alone, whatever its tags."""
    asked = [replace(each, model=retrying(each.model)) for each in roles]
    async with opened([each.model for each in asked]):
        judges = await prepare_judges(asked, loaded, settings, Console(stderr=True))
        untagged = settings.model_copy(update={"tags": ()})
        return await _all(judges, loaded, untagged, seed, tests)


async def _all(
    judges: Sequence[Judge],
    loaded: Constitution,
    settings: JudgeSettings,
    seed: int,
    tests: Sequence[PrincipleTest],
) -> list[Tested]:
    async def one(each: PrincipleTest) -> Tested:
        return await run_test(judges, loaded, each, settings, seed)

    found: list[Tested] = []
    results = stream(tests, one, AtMost(IN_FLIGHT))
    async with contextlib.aclosing(results):
        async for _, result in results:
            if isinstance(result, CaiError):
                raise result
            found.append(result)
    return found


def _show(loaded: Constitution, found: Sequence[Tested]) -> None:
    """A line of signs for each principle, what failed in full, and a summary."""
    by_principle: dict[str, list[Tested]] = {}
    for each in found:
        by_principle.setdefault(each.test.principle.id, []).append(each)
    width = max(len(id) for id in by_principle)
    for id, tested in by_principle.items():
        signs = "".join(_SIGNS[each.result] for each in tested)
        margins = [each.verdict.p_a for each in tested if each.verdict.p_a is not None]
        least = f"  least {min(margins):.2f}" if margins else ""
        click.echo(f"{id:{width}}  {signs}{least}")
    untested = [each.id for each in loaded.principles if not each.tests]
    for each in found:
        if each.result != "passed":
            click.echo()
            click.echo(printable("\n".join(_details(each))))
    click.echo()
    if untested:
        click.echo(f"without tests: {', '.join(untested)}")
    counts = Counter(each.result for each in found)
    shown = ", ".join(f"{counts[each]} {each}" for each in get_args(Result) if counts[each])
    click.secho(f"{len(found)} tests: {shown}", fg="green" if len(counts) == 1 else "red")


def _details(each: Tested) -> Iterator[str]:
    verdict, asked = each.verdict, each.test.expectation
    sureness = "" if verdict.p_a is None else f" (probability of the better one {verdict.p_a:.2f})"
    yield f"{each.result.upper()} {each.test.name}: {verdict.outcome}{sureness}"
    yield f"  principle: {shorten(each.test.principle.text, 100)}"
    yield f"  prompt:    {shorten(asked.prompt, 100)}"
    yield f"  better:    {shorten(asked.better, 100)}"
    yield f"  worse:     {shorten(asked.worse, 100)}"
    for principle_verdict in verdict.principle_verdicts:
        orders = (
            ("better first", principle_verdict.order_ab),
            ("better second", principle_verdict.order_ba),
        )
        said = ", ".join(
            f"{name} {reading.outcome if reading.p_a is None else f'{reading.p_a:.2f}'}"
            for name, reading in orders
        )
        criterion = f" {principle_verdict.criterion_id}" if principle_verdict.criterion_id else ""
        reversed_ = " reversed" if principle_verdict.is_negated else ""
        yield f"  {principle_verdict.judge}{criterion}{reversed_}: {said}"
        reason = principle_verdict.order_ab.reason or principle_verdict.order_ba.reason
        if reason:
            yield f"    {shorten(reason, 200)}"


def _test_as_json(each: Tested) -> dict[str, object]:
    return {
        "principle": each.test.principle.id,
        "test": each.test.number,
        "result": each.result,
        "outcome": each.verdict.outcome,
        "probability": each.verdict.p_a,
    }


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
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(name: str, id: str | None, as_json: bool) -> None:
    """Show the constitution NAME: a shipped name or a file, with all that it extends."""
    loaded = load_constitution(name)
    if id is None:
        click.echo(_as_json(loaded) if as_json else printable("\n".join(_overview(loaded))))
        return
    principle = _find(loaded, id)
    if as_json:
        click.echo(json.dumps(principle.model_dump(mode="json"), indent=2))
    else:
        click.echo(printable("\n".join([*_requests(principle), *_samples(principle)])))


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
    for path in paths:
        try:
            loaded = load_constitution(path)
        except ConstitutionError as error:
            errors.append(str(error))
            continue
        findings = check_constitution(loaded)
        n_warnings += len(findings)
        click.echo(printable("\n".join(_result(path, loaded, findings))))
    if errors:
        raise ConstitutionError("\n".join(errors))
    if strict and n_warnings:
        context.exit(1)


@constitution.command(epilog="Example: cai constitution schema > constitution.schema.json")
def schema() -> None:
    """Print the JSON Schema of constitution files, for completion and checks in an editor."""
    click.echo(json.dumps(json_schema(), indent=2))


constitution.add_command(test)


def _find(loaded: Constitution, id: str) -> Principle:
    try:
        return loaded.principle(id)
    except KeyError:
        ids = [principle.id for principle in loaded.principles]
        raise UsageError(
            f"--principle: the constitution {loaded.name!r} has no principle {id!r}. "
            + did_you_mean(id, ids, f"Its principles are {', '.join(ids)}.")
        ) from None


def _as_json(loaded: Constitution) -> str:
    """The merged constitution with its hash; characters beyond ASCII are escaped."""
    return json.dumps({**loaded.model_dump(mode="json"), "hash": loaded.hash}, indent=2)


def _overview(loaded: Constitution) -> Iterator[str]:
    yield f"{loaded.name} {loaded.version}  ({len(loaded.principles)} principles)"
    yield f"hash {loaded.hash}" + (f", license {loaded.license}" if loaded.license else "")
    if loaded.extends:
        yield f"extends {', '.join(loaded.extends)}"
    if loaded.description:
        yield _wrapped(loaded.description)
    for principle in loaded.principles:
        yield ""
        yield from _requests(principle)


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


def _samples(principle: Principle) -> Iterator[str]:
    samples = [("example", sample) for sample in principle.examples]
    samples += [("test", sample) for sample in principle.tests]
    for kind, sample in samples:
        yield f"\n{kind}"
        for name, text in sample.model_dump(exclude_none=True).items():
            yield _wrapped(f"{name}: {text}", indent=2)


def _result(path: str, loaded: Constitution, findings: list[LintFinding]) -> Iterator[str]:
    n_warnings = f"{len(findings)} warnings" if len(findings) != 1 else "1 warning"
    yield f"{path}: {len(loaded.principles)} principles, {n_warnings}"
    for finding in findings:
        yield f"  {finding.principle}: {finding.message} [{finding.kind}]"


def _wrapped(text: str, indent: int = 0) -> str:
    """The text in lines of 100 characters, its own line breaks kept."""
    margin = " " * indent
    return "\n".join(
        fill(line, 100, initial_indent=margin, subsequent_indent=margin)
        for line in text.strip().split("\n")
    )
