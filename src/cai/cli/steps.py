"""The steps of the method as commands: `cai try`, `revise`, `sample`, `judge` and `score`.

`cai try` prints one prompt's critiques and revisions as they come. The others each write a run
folder, and share one frame, `run_step`: run the job, then print the counts, as text or as JSON.

Constitutional AI. Bai et al. 2022, arXiv:2212.08073, §3.1 (critique and revision) and §4.1
(judging sampled responses).

Example:
    $ cai revise prompts.jsonl -c harmless -m hf:MODEL -o runs/first
    $ cai sample prompts.jsonl -m hf:MODEL -k 4 -o runs/samples
    $ cai judge runs/samples -c harmless -m hf:JUDGE -o runs/judged
"""

import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, get_args

import click
from rich.console import Console

from cai.cli.options.data_options import over_groups, over_prompts, over_responses, show_source
from cai.cli.options.model_options import (
    RevisionModels,
    open_judges,
    seed_option,
    with_judges,
    with_revision,
)
from cai.cli.options.run_options import echo_json, run_folder, with_run_options
from cai.cli.options.settings_options import with_settings
from cai.cli.tables import accounts_table, printable, show_estimate
from cai.constitution.loader import load_constitution
from cai.data.prompts import PromptSource
from cai.engine.engine import run_async
from cai.methods.judging.pairwise import check_judging
from cai.methods.judging.pointwise import ScoreOutcome, check_scoring
from cai.methods.judging.ranking import Pairing
from cai.methods.judging.verdict import Outcome
from cai.methods.revision import chain_steps
from cai.methods.roles import draw_principle
from cai.methods.settings import JudgeSettings, ReviseSettings, SampleSettings, ScoreSettings
from cai.models.base import Completion
from cai.models.registry import SCHEMES, open_model
from cai.runs.execution import RunResult
from cai.runs.inputs import GroupSource, ResponseSource
from cai.runs.judge import JudgeJob, JudgingResult, run_judging
from cai.runs.judge_preparation import ReadingTally
from cai.runs.options import RunOptions
from cai.runs.revise import RevisionJob, run_revision
from cai.runs.sample import SampleJob, run_sampling
from cai.runs.score import ScoreJob, ScoringResult, run_scoring
from cai.types import user_prompt

R = TypeVar("R")

StepReport: TypeAlias = tuple[RunResult[Any], Sequence[str], Mapping[str, object]]
"""The result of the run, and what the step adds to it: lines of text, and figures as JSON."""


@click.command(
    "try",
    epilog='Example: cai try "How do I break the baker\'s lamp at dawn?" -c testbed -m embedded',
)
@click.argument("text")
@with_revision
def attempt(
    text: str, models: RevisionModels, settings: ReviseSettings, constitution: str, seed: int
) -> int:
    """Respond to TEXT, critique the response and revise it, printing each step."""
    loaded = load_constitution(constitution)
    draw_principle(loaded, settings.tags, seed)  # a tag that none has is an error before a model
    roles = models.open(settings)

    def show(step: str, completion: Completion) -> None:
        if completion.reasoning:
            click.secho(f"{step}, reasoning: {printable(completion.reasoning)}", dim=True)
        click.secho(f"{step}: ", fg="cyan", nl=False)
        click.echo(printable(completion.text))

    async def work() -> None:
        # Every model is checked before the first call, so that a wrong key of the last one costs
        # nothing.
        async with AsyncExitStack() as stack:
            for model in roles.models:
                stack.push_async_callback(model.close)
                await model.check()
            async for chain in chain_steps(roles, loaded, user_prompt(text), settings, seed):
                # A chain comes once for its response and again after every round, each time whole.
                if not chain.rounds:
                    show("response", chain.response)
                    continue
                latest = chain.rounds[-1]
                principle = loaded.principle(latest.principle_id)
                title = f"round {len(chain.rounds)} · {principle.id}: {principle.text}"
                click.secho(f"\n{printable(title)}", bold=True)
                if latest.critique is not None:
                    show("critique", latest.critique)
                if latest.revision is not None:
                    show("revision", latest.revision)
                else:
                    click.echo("The critique finds nothing; the chain ends.")
                if latest.flags:
                    click.secho(f"flags: {', '.join(latest.flags)}", fg="yellow")

    run_async(work())
    return 0


@click.command(
    epilog="Example: cai revise red-team.jsonl -c testbed -m embedded --rounds 4 -o runs/first"
)
@over_prompts
@with_revision
@run_folder
@with_run_options
def revise(
    source: PromptSource,
    models: RevisionModels,
    settings: ReviseSettings,
    constitution: str,
    seed: int,
    out: Path,
    run_options: RunOptions,
    is_json: bool,
) -> int:
    """Respond to each prompt of SOURCES, critique the response and revise it.

    SOURCES are files (.jsonl, .json, .csv, .tsv, .parquet, .txt, also .gz) or hub:OWNER/NAME. The
    same command goes on after an interruption; finished calls are never repeated.
    """
    loaded = load_constitution(constitution)
    checked = source.check()  # a broken file is reported before a model is loaded
    job = RevisionJob(checked, loaded, models.open(settings), settings, seed)

    def report(result: RunResult[Any]) -> StepReport:
        return result, [f"Next: cai export {out} --format sft -o sft.jsonl"], {}

    work = run_revision(out, job, run_options, console=Console(stderr=True))
    return run_step(work, out, report, is_json=is_json)


@click.command(
    epilog="Example: cai sample prompts.jsonl -m embedded -k 4 --temperature 0.7 "
    "--temperature 1.0 -o runs/samples"
)
@over_prompts
@click.option(
    "-m",
    "--model",
    "models",
    multiple=True,
    required=True,
    help=f"A policy; repeatable: {SCHEMES}.",
)
@with_settings(SampleSettings)
@seed_option
@run_folder
@with_run_options
def sample(
    source: PromptSource,
    models: tuple[str, ...],
    settings: SampleSettings,
    seed: int,
    out: Path,
    run_options: RunOptions,
    is_json: bool,
) -> int:
    """Give each prompt of SOURCES k responses of every policy.

    SOURCES are as for `cai revise`. Every response has a seed of its own; the same command goes on
    after an interruption, and finished calls are never repeated.
    """
    checked = source.check()
    # A model that is named twice would give every response twice, with the same seeds.
    opened = [open_model(name) for name in dict.fromkeys(models)]
    policies = tuple(
        settings.role_model(model, temperature)
        for model in opened
        for temperature in settings.temperatures
    )
    job = SampleJob(checked, policies, settings.k, seed)

    def report(result: RunResult[Any]) -> StepReport:
        return result, [f"Next: cai judge {out} -c harmless -m MODEL -o {out}-judged"], {}

    work = run_sampling(out, job, run_options, console=Console(stderr=True))
    return run_step(work, out, report, is_json=is_json)


@click.command(
    epilog="Example: cai judge runs/samples -c harmless -m openai:MODEL@http://localhost:8000/v1 "
    "--rationale -o runs/judged"
)
@with_judges()
@click.option(
    "--pairing",
    type=click.Choice(get_args(Pairing)),
    default="all",
    help="Pairs that are compared.",
)
@run_folder
@over_groups
@with_run_options
def judge(
    source: GroupSource,
    judges: tuple[str, ...],
    constitution: str,
    settings: JudgeSettings,
    seed: int,
    pairing: Pairing,
    out: Path,
    run_options: RunOptions,
    is_json: bool,
) -> int:
    """Judge the responses of a run or of pair files, in both orders, under each principle.

    RUN_OR_PAIRS are folders of `cai sample` or `cai revise` (each revision against its original),
    or files of pairs, with people's labels or without: chosen and rejected, response_a and
    response_b, output_1 and output_2, and other forms, detected by their columns.
    """
    loaded = load_constitution(constitution)
    checked = source.check()
    check_judging(settings, loaded)
    job = JudgeJob(checked, loaded, open_judges(judges, settings), settings, pairing, seed)

    def report(result: JudgingResult) -> StepReport:
        tally, new = result.verdicts, result.run_result.usage
        outcomes = {each: tally.outcomes[each] for each in get_args(Outcome)}
        counts = ", ".join(f"{n:,} {name}" for name, n in outcomes.items())
        # With log-probabilities a flip is a probability on the other side of one half; the rate is
        # the first sign of a judge that reads positions instead of responses.
        flips = f"flips with the order: {tally.n_flips:,} of {tally.n_both:,} questions"
        if tally.n_both:
            flips += f" ({tally.n_flips / tally.n_both:.1%})"
        if tally.mean_margin is not None:
            flips += f"; mean |p − 0.5|: {tally.mean_margin:.3f}"
        # The tally is of the whole folder; a second start must not look as if it cost that again.
        lines = [
            f"{tally.n:,} comparisons: {counts}",
            flips,
            *tally.readings.describe(),
            f"tokens: {tally.usage.prompt_tokens:,} in, {tally.usage.completion_tokens:,} out; "
            f"this time {new.prompt_tokens:,} and {new.completion_tokens:,}",
            f"Next: cai audit {out}",
            f"      cai export {out} --format preference -o preference.jsonl",
            *([f"      cai agreement {out}"] if tally.n_labelled else []),
        ]
        figures = {
            "skipped": dict(result.run_result.source.skipped),
            "responses_left_out": dict(result.run_result.source.left_out),
            "labelled": tally.n_labelled,
            "comparisons": tally.n,
            "outcomes": outcomes,
            "flips": tally.n_flips,
            "questions_in_both_orders": tally.n_both,
            "mean_margin": tally.mean_margin,
            **_read(tally.readings),
            "prompt_tokens": tally.usage.prompt_tokens,
            "completion_tokens": tally.usage.completion_tokens,
        }
        return result.run_result, lines, figures

    work = run_judging(out, job, run_options, console=Console(stderr=True))
    return run_step(work, out, report, is_json=is_json)


@click.command(
    epilog="Example: cai score runs/first -c testbed -m embedded --kind check -o runs/scored"
)
@with_judges(ScoreSettings)
@run_folder
@over_responses
@with_run_options
def score(
    source: ResponseSource,
    judges: tuple[str, ...],
    constitution: str,
    settings: ScoreSettings,
    seed: int,
    out: Path,
    run_options: RunOptions,
    is_json: bool,
) -> int:
    """Score each response of a run or of files under each principle, from −1 to 1.

    RUN_OR_RESPONSES are folders of `cai sample` (every response) or `cai revise` (the last text),
    or files with a prompt and a response in each row.
    """
    loaded = load_constitution(constitution)
    checked = source.check()
    check_scoring(settings, loaded)
    job = ScoreJob(checked, loaded, open_judges(judges, settings), settings, seed)

    def report(result: ScoringResult) -> StepReport:
        tally = result.scores
        # All outcomes, also those of which there are none: a reader of the JSON can rely on the
        # keys.
        outcomes = {each: tally.outcomes[each] for each in get_args(ScoreOutcome)}
        width = max((len(id) for id in tally.means), default=0)
        lines = [
            f"{tally.n:,} scores: {', '.join(f'{n:,} {name}' for name, n in outcomes.items())}",
            *tally.readings.describe(),
            "mean score, from -1 to 1:",
            *(
                f"  {id:{width}}  {'none' if mean is None else f'{mean:+.3f}'}"
                for id, mean in tally.means.items()
            ),
            f"Next: cai export {out} --format everything -o scores.jsonl",
        ]
        figures = {
            "skipped": dict(result.run_result.source.skipped),
            "scores": tally.n,
            "outcomes": outcomes,
            "mean_by_principle": dict(tally.means),
            **_read(tally.readings),
            "prompt_tokens": tally.usage.prompt_tokens,
            "completion_tokens": tally.usage.completion_tokens,
        }
        return result.run_result, lines, figures

    work = run_scoring(out, job, run_options, console=Console(stderr=True))
    return run_step(work, out, report, is_json=is_json)


def _read(readings: ReadingTally) -> dict[str, object]:
    return {
        "calls_by_logprobs": readings.n_logprobs,
        "calls_below_min_mass": readings.n_fallback,
        "share_below_min_mass": readings.fallback_rate,
    }


def run_step(
    work: Coroutine[Any, Any, R], out: Path, report: Callable[[R], StepReport], *, is_json: bool
) -> int:
    """Runs a step into the folder `out` and prints what is there; 1 if examples failed, else 0.

    `report` makes of the step's own result that of its run, lines and figures.
    """
    start_s = time.monotonic()
    # Ctrl-C, caps and errors of models leave here as exceptions; `main.run` turns them into exit
    # codes.
    result, lines, figures = report(run_async(work))
    counts, source, estimate = result.counts, result.source, result.estimate
    if is_json:
        content: dict[str, object] = {
            "event": "end",
            "run": str(out),
            "done": counts.done,
            "failed": counts.failed,
            "failures": dict(result.failures),
            "reasons": dict(result.reasons),
            "flagged": result.n_flagged,
            "cut_off": result.n_cut_off,
            "calls": result.n_calls,
            "calls_from_journal": result.n_from_journal,
            "cost_usd": result.ledger.cost_usd,
            "bad_rows": source.n_bad,
            "seconds": round(time.monotonic() - start_s, 1),
        }
        # absent, not null, where there was no dry run: readers test for the key
        if estimate is not None:
            content["estimate"] = asdict(estimate)
        echo_json({**content, **figures})
        return 1 if counts.failed else 0
    show_source(source.describe(), source.bad_rows)
    click.echo(
        f"{out}: {counts.done} done, {counts.failed} failed; {result.n_calls} calls made, "
        f"{result.n_from_journal} from the journal"
    )
    if estimate is not None:
        show_estimate(estimate)
        click.echo("The same command without --dry-run does the rest.")
    elif result.ledger.cost_usd:  # 0 is a local model, whose table would be of no use
        Console().print(accounts_table(result.ledger))
    if counts.failed:
        for cause, n in result.failures.items():
            reason = printable(result.reasons.get(cause, ""))
            click.echo(f"failed: {n:,} {cause}, the first: {reason[:400]}")
        click.echo(f"See the failures: cai export {out} --format everything -o all.jsonl")
    if result.n_cut_off:
        click.echo(
            f"cut off at the limit of tokens: {result.n_cut_off:,} answers. Raise --max-tokens; "
            "reasoning before an answer counts too, and can often be switched off."
        )
    for line in lines:
        click.echo(line)
    return 1 if counts.failed else 0
