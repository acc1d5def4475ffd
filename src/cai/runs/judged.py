"""What a judged run says: its readings, composed into verdicts each time they are read.

A run keeps what judges said, and no verdict. How principles speak together is fitted to the first
`FIT_EXAMPLES` examples of the source, which is the same whatever the order in which they finished,
the concurrency, a resume, or the parts that the run was divided into; and re-reading by another
rule asks nobody.

Example:
    with RunFolder.existing(Path("runs/judged")) as run:
        composer = composer_of([run])
        for position, judged in read_judged(run, composer):
            print(judged.matchups[0].verdict.p_a)
"""

import json
from collections.abc import Iterator, Sequence

from cai.constitution.schema import Compose
from cai.engine.run_folder import RunFolder
from cai.methods.judging.composition import Composer, PassCount
from cai.methods.judging.principle_tests import PassCounts
from cai.methods.judging.ranking import GroupReadings, Judged, compose_group
from cai.methods.judging.verdict import PrincipleVerdict
from cai.runs.config import JudgeRunConfig, read_run_config, run_config_as
from cai.runs.records import read_done

FIT_EXAMPLES = 1_000
"""The examples that a fit is made from, by their position in the source: a fit to hundreds of pairs
is as good as one to all, and a run of millions need not be read twice."""


PASS_COUNTS = "principle_tests"
"""The name in the state of a run under which the results of the principles' tests are."""


def composer_of(runs: Sequence[RunFolder], compose: Compose | None = None) -> Composer:
    """How these runs, parts of one source, are composed: by their own rule unless another is named.

    Raises:
        JournalError: A folder is no run of `cai judge`, or cannot be read.
    """
    settings = run_config_as(runs[0], JudgeRunConfig).settings
    return Composer.fitted(
        (verdicts for run in runs for verdicts in _first_readings(run)),
        compose or settings.compose or "vote",
        tests=_pass_counts(runs),
        tie_margin=settings.tie_margin,
    )


def composers_of(runs: Sequence[RunFolder], compose: Compose | None) -> list[Composer]:
    """That of each of the runs; runs of one configuration are parts of one source.

    Runs of other methods have nothing to compose.

    Raises:
        JournalError: A folder cannot be read.
    """
    configs = [read_run_config(run) for run in runs]
    found: list[Composer] = []
    for number, config in enumerate(configs):
        first = configs.index(config)
        if first < number:
            found.append(found[first])
        elif isinstance(config, JudgeRunConfig):
            parts = [run for run, each in zip(runs, configs, strict=True) if each == config]
            found.append(composer_of(parts, compose))
        else:
            found.append(Composer())
    return found


def dump_pass_counts(counts: PassCounts) -> str:
    """As JSON, for the state of a run."""
    return json.dumps([[*key, *count] for key, count in counts.items()])


def _pass_counts(runs: Sequence[RunFolder]) -> PassCounts:
    """Those that the first of the runs has; parts of one source ask the same tests."""
    stored = next((found for run in runs if (found := run.state(PASS_COUNTS))), "[]")
    return {
        (judge, principle): PassCount(n_passed, n)
        for judge, principle, n_passed, n in json.loads(str(stored))
    }


def read_judged(run: RunFolder, composer: Composer) -> Iterator[tuple[int, Judged]]:
    """The finished groups in the order of the source, with their positions.

    Raises:
        JournalError: A record cannot be read.
    """
    for position, readings in read_done(run, GroupReadings):
        yield position, compose_group(readings, composer)


def _first_readings(run: RunFolder) -> Iterator[tuple[PrincipleVerdict, ...]]:
    for position, readings in read_done(run, GroupReadings):
        if position >= FIT_EXAMPLES:
            return
        yield from (each.principle_verdicts for each in readings.matchups)
