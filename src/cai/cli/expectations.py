"""`cai constitution test`: the tests of each principle put before a judge."""

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from textwrap import shorten
from typing import get_args

import click
from rich.console import Console

from cai.cli.console import printable
from cai.cli.judging_options import JudgeChoice, judging_an_argument
from cai.cli.pacing import as_json, echo_json
from cai.constitution.loading import load_constitution
from cai.constitution.schema import Constitution
from cai.engine.calls.retry import retrying
from cai.engine.loop import run_async
from cai.engine.streaming import AtMost, stream
from cai.errors import CaiError, UsageError
from cai.jobs.judging import first_question
from cai.jobs.probing import Trial, Verdicts, read_judges
from cai.jobs.running import opened
from cai.judging.expectations import PrincipleTest, Result, Tested, run_test, tests_of
from cai.judging.judge import Judge, JudgePlan
from cai.speaker import Speaker

IN_FLIGHT = 64
_SIGNS: dict[Result, str] = {"passed": ".", "failed": "F", "unreadable": "?"}


@click.command(
    "test",
    epilog="Example: cai constitution test harmless -m openai:MODEL@http://localhost:8000/v1",
)
@click.argument("constitution", metavar="NAME")
@judging_an_argument
@click.option("--principle", "ids", multiple=True, metavar="ID", help="Only this principle.")
@as_json
def test(
    constitution: str,
    judges: JudgeChoice,
    plan: JudgePlan,
    verdicts: Verdicts,
    seed: int,
    ids: tuple[str, ...],
    is_json: bool,
) -> int:
    """Judge the tests of each principle of NAME: does the judge read it as its author does?

    A test passes where the better response wins over both orders, under its principle alone. Exit
    code 1 if any fails or could not be read.
    """
    loaded = load_constitution(constitution)
    tests = _chosen(loaded, plan, ids)
    found = run_async(_run(judges.open(), loaded, plan, verdicts, seed, tests))
    found.sort(key=lambda each: tests.index(each.test))
    if is_json:
        echo_json({"tests": [_as_json(each) for each in found]})
    else:
        _show(loaded, found, plan)
    return 0 if all(each.result == "passed" for each in found) else 1


def _chosen(loaded: Constitution, plan: JudgePlan, ids: Sequence[str]) -> list[PrincipleTest]:
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
        if not plan.tags or set(plan.tags) & set(each.principle.tags)
    ]
    if not tests:
        raise UsageError(
            f"No principle of {loaded.name!r} that was asked for has tests. Write some: each has a "
            "prompt, a better and a worse response."
        )
    return tests


async def _run(
    speakers: Sequence[Speaker],
    loaded: Constitution,
    plan: JudgePlan,
    verdicts: Verdicts,
    seed: int,
    tests: Sequence[PrincipleTest],
) -> list[Tested]:
    asked = [Speaker(retrying(each.model), each.templates, each.sampling) for each in speakers]
    trial = Trial(
        lambda judge: first_question(judge, tests[0].principle),
        "its verdicts are read from what it writes",
    )
    everything = JudgePlan(
        has_rationale=plan.has_rationale,
        clamp=plan.clamp,
        samples=plan.samples,
        with_negated=plan.with_negated,
        few_shots=plan.few_shots,
        tie_margin=plan.tie_margin,
    )
    async with opened([each.model for each in asked]):
        judges = await read_judges(asked, verdicts, trial, Console(stderr=True))
        everything.check(judges, loaded)
        return await _all(judges, loaded, everything, seed, tests)


async def _all(
    judges: Sequence[Judge],
    loaded: Constitution,
    plan: JudgePlan,
    seed: int,
    tests: Sequence[PrincipleTest],
) -> list[Tested]:
    async def one(each: PrincipleTest) -> Tested:
        return await run_test(judges, loaded, each, plan, seed)

    found: list[Tested] = []
    results = stream(tests, one, AtMost(IN_FLIGHT))
    async with contextlib.aclosing(results):
        async for _, result in results:
            if isinstance(result, CaiError):
                raise result
            found.append(result)
    return found


def _show(loaded: Constitution, found: Sequence[Tested], plan: JudgePlan) -> None:
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
    for judgement in verdict.judgements:
        orders = (("better first", judgement.there), ("better second", judgement.back))
        said = ", ".join(
            f"{name} {reading.outcome if reading.p_a is None else f'{reading.p_a:.2f}'}"
            for name, reading in orders
        )
        criterion = f" {judgement.criterion_id}" if judgement.criterion_id else ""
        reversed_ = " reversed" if judgement.is_negated else ""
        yield f"  {judgement.judge}{criterion}{reversed_}: {said}"
        reason = judgement.there.reason or judgement.back.reason
        if reason:
            yield f"    {shorten(reason, 200)}"


def _as_json(each: Tested) -> dict[str, object]:
    return {
        "principle": each.test.principle.id,
        "test": each.test.number,
        "result": each.result,
        "outcome": each.verdict.outcome,
        "probability": each.verdict.p_a,
    }
