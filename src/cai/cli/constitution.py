"""`cai constitution`: list, show and check constitutions, and print the schema of their files."""

import json
from collections.abc import Iterator
from difflib import get_close_matches
from textwrap import fill

import click

from cai.cli.console import printable
from cai.cli.expectations import test
from cai.constitution.checks import Finding, check_constitution
from cai.constitution.loading import load_constitution, shipped_constitutions
from cai.constitution.schema import Constitution, Principle, json_schema
from cai.errors import ConstitutionError, UsageError


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
        close = get_close_matches(id, ids, n=1)
        hint = f"Did you mean {close[0]!r}? " if close else ""
        raise UsageError(
            f"--principle: the constitution {loaded.name!r} has no principle {id!r}. "
            f"{hint}Its principles are {', '.join(ids)}."
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


def _result(path: str, loaded: Constitution, findings: list[Finding]) -> Iterator[str]:
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
