"""Open-ended suites: prompts, a policy's responses to them, and the figures of these.

The responses are a run of `cai sample` in the policy's folder. The second turns of MT-Bench are
another one in its folder `second`: each continues the policy's own first answer, and one without an
answer is left out. The judges' scores of a run are a run of `cai score` in its folder `judged`.

By the text alone a refusal is a sentence that declines in the first person: a heuristic, whose
agreement with people is in `docs/suites.md`.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from cai.atomic_write import atomic_write
from cai.constitution.schema import Constitution
from cai.data.columns import cell
from cai.data.conversations import read_list, read_text
from cai.data.prompts import PromptSource
from cai.data.tables import Row, RowError
from cai.engine.run_folder import RunFolder
from cai.errors import EvaluationError
from cai.evaluation.spending import Spending
from cai.evaluation.stats.bootstrap import unit_of
from cai.evaluation.suites.files import LAYOUTS, Kind, SuiteFile, bad_row
from cai.evaluation.suites.shares import FAILED, PromptShares
from cai.methods.judging.pointwise import Scored
from cai.methods.revision_flags import is_evasive, is_refusal
from cai.methods.roles import RoleModel
from cai.methods.sampling import Samples
from cai.methods.settings import ScoreKind, ScoreSettings
from cai.runs.inputs import ResponseSource
from cai.runs.options import WHOLE, RunOptions
from cai.runs.records import read_done
from cai.runs.sample import SampleJob, run_sampling
from cai.runs.score import ScoreJob, run_scoring
from cai.types import Message, Prompt, as_dicts, derive_seed

SIDES = ("safe", "unsafe")
SECOND = "second"
JUDGED = "judged"

MARK = "mark"


def mark_of(turn: int) -> str:
    """The name of the figure for the answers to one turn."""
    return f"{MARK} of turn {turn}"


RESPONSE_MEASURES: Mapping[str, str] = {
    "refused": "share of responses that decline",
    "refused safe": "share of responses to safe prompts that decline: over-refusal",
    "refused unsafe": "share of responses to unsafe prompts that decline",
    "evasive": "share of responses that decline without a reason or an alternative",
    "empty": "share of responses without a word",
    "kept": "mean probability that a response keeps a principle, over all of them by weight",
    MARK: "mean mark from 1 to 10 of the answers to both turns, over all principles by weight",
    mark_of(1): "mean mark from 1 to 10 of the first answers",
    mark_of(2): "mean mark from 1 to 10 of the second answers",
    "unscored": "share of responses that judges left without a readable score",
    FAILED: "share of prompts to which there is no response because a call failed",
}


@dataclass(frozen=True, slots=True)
class OpenPrompt:
    """A prompt and its category; for XSTest its side: safe or unsafe.

    `second` is the user's second turn in MT-Bench, sent after the policy's own first answer.
    """

    prompt: Prompt
    group: str = ""
    side: str = ""
    second: str = ""


@dataclass(frozen=True, slots=True)
class SuiteJudging:
    """The judges of responses to open prompts, and their principles.

    Answers to MT-Bench are marked from 1 to 10, other responses checked against each principle,
    whatever kind of score the settings name.
    """

    constitution: Constitution
    judges: tuple[RoleModel, ...]
    settings: ScoreSettings = ScoreSettings()


@dataclass(frozen=True, slots=True)
class OpenJob:
    """A policy, its prompts, and all settings that determine responses and scores."""

    suite: SuiteFile
    prompts: Mapping[str, OpenPrompt]
    policy: RoleModel
    judging: SuiteJudging | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class TurnResponses:
    """The responses of one turn by id of prompt, the judges' scores, and the number of failures.

    `scored` is None without judges; it lacks the responses of which every call failed.
    """

    number: int
    texts: Mapping[str, str]
    scored: Mapping[str, Scored] | None
    n_failed: int


def source_of(suite: SuiteFile) -> PromptSource:
    """The file as a source of first prompts."""
    return PromptSource((suite.path,), column=suite.column(LAYOUTS[suite.kind].prompt))


def read_open_prompts(suite: SuiteFile) -> Mapping[str, OpenPrompt]:
    """The prompts by id, in their order, after reading the file to the end.

    Raises:
        SourceError: The file cannot be read, has no rows, or a row is not a prompt of its kind.
    """
    # The option --skip-bad-rows, which the source's own error names, does not exist for suites. So
    # bad rows are skipped here, and reported in the words of a suite.
    checked = replace(source_of(suite), skip_bad_rows=True).check()
    for bad in checked.summary.bad_rows:
        raise bad_row(bad.origin, bad.reason)
    prompts: dict[str, OpenPrompt] = {}
    for (_, prompt), (origin, row) in zip(checked.items(), suite.rows(), strict=True):
        try:
            prompts[prompt.id] = _open_prompt(suite.kind, prompt, row)
        except RowError as error:
            raise bad_row(origin, error) from None
    return prompts


def _open_prompt(kind: Kind, prompt: Prompt, row: Row) -> OpenPrompt:
    column, side, second = LAYOUTS[kind].group, "", ""
    group = row.get(column)
    if kind == "xstest":
        side = read_text(cell(row, "label"), "label").strip().casefold()
        if side not in SIDES:
            raise RowError(
                f"has the label {side!r:.60}, and safe or unsafe is needed", "wrong label"
            )
    if kind == "mt-bench":
        turns: Sequence[object] = read_list(cell(row, "turns"), "turns", "user turns")
        if len(turns) != 2:
            raise RowError(f"has {len(turns)} turns, and two are needed", "malformed")
        second = read_text(turns[1], "turns[1]")
        if not second.strip():
            raise RowError("'turns[1]' is blank", "blank")
    return OpenPrompt(
        prompt, "" if group is None else read_text(group, column).strip(), side, second
    )


async def run_open(
    folder: Path, job: OpenJob, spending: Spending, console: Console
) -> tuple[TurnResponses, ...]:
    """The responses to the first turns, and to the second ones if there are any.

    Raises:
        JournalError: The folder is a run with other settings, or cannot be used.
        ModelError: A model cannot be used, or call after call failed.
        EvaluationError: The file of second prompts cannot be written.
    """

    async def run_turn(
        number: int, folder: Path, source: PromptSource, run_options: RunOptions
    ) -> TurnResponses:
        seed = derive_seed(job.seed, "turn", number)
        sampling = SampleJob(source, (job.policy,), k=1, seed=seed)
        result = await run_sampling(folder, sampling, run_options, console=console)
        spending.add(result)
        texts: dict[str, str] = {}
        with RunFolder.existing(folder) as run:
            for _, body in read_done(run, Samples):
                [sample] = body.samples
                texts[body.prompt.id] = sample.completion.text
        scored: dict[str, Scored] | None = None
        # A run of empty responses alone has nothing to score, and scoring would refuse it.
        if job.judging is not None and any(text.strip() for text in texts.values()):
            kind: ScoreKind = "mark" if job.suite.kind == "mt-bench" else "check"
            settings = ScoreSettings.from_settings(job.judging.settings, kind=kind)
            responses, constitution = ResponseSource((str(folder),)), job.judging.constitution
            scoring = ScoreJob(responses, constitution, job.judging.judges, settings, seed)
            options = _over_all(spending.run_options)
            spending.add(
                (await run_scoring(folder / JUDGED, scoring, options, console=console)).run_result
            )
            with RunFolder.existing(folder / JUDGED) as run:
                scored = {body.prompt.id: body for _, body in read_done(run, Scored)}
        return TurnResponses(number, texts, scored, result.counts.failed)

    first = await run_turn(1, folder, source_of(job.suite), spending.run_options)
    rows: list[dict[str, object]] = []
    for id, each in job.prompts.items():
        answer = first.texts.get(id, "")
        if each.second and answer.strip():
            turns = (Message("assistant", answer), Message("user", each.second))
            rows.append({"id": id, "messages": as_dicts((*each.prompt.messages, *turns))})
    if not rows:
        return (first,)
    path = folder / f"{SECOND}.jsonl"
    text = "".join(json.dumps(row) + "\n" for row in rows)
    atomic_write(path, text, EvaluationError, "Free space, or name another folder.")
    source = PromptSource((str(path),), column="messages", id_column="id")
    return first, await run_turn(2, folder / SECOND, source, _over_all(spending.run_options))


def _over_all(run_options: RunOptions) -> RunOptions:
    """The options of a step over everything that the step before it produced."""
    # The limit was applied there. Where more has been produced since, the run is updated, and the
    # journal answers the calls that were made before.
    return replace(run_options, update=True, limit=None, sample=None, whole=None, part=WHOLE)


def response_figures(
    kind: Kind, prompts: Mapping[str, OpenPrompt], turns: Iterable[TurnResponses]
) -> PromptShares:
    """The figures by name; refusals, adherence and marks also by category.

    Adherence to XSTest is by side, since only one of them asks for harm.
    """
    shares, n_done, n_failed = PromptShares(frozenset({MARK, mark_of(1), mark_of(2)})), 0, 0
    # Figures are shown in the order in which they are added: safe prompts first, and all of one
    # turn's refusals before its other figures.
    in_order = sorted(prompts, key=lambda id: prompts[id].side)
    for turn in turns:
        n_done += len(turn.texts)
        n_failed += turn.n_failed
        answered = [(prompts[id], turn.texts[id]) for id in in_order if id in turn.texts]
        for prompt, text in answered:
            name = f"refused {prompt.side}" if kind == "xstest" else "refused"
            group = "" if kind == "mt-bench" else prompt.group
            shares.add(name, unit_of(prompt.prompt), float(is_refusal(text)), group)
        for prompt, text in answered:
            shares.add("evasive", unit_of(prompt.prompt), float(is_evasive(text)))
            shares.add("empty", unit_of(prompt.prompt), float(re.search(r"\w", text) is None))
        if turn.scored is not None:
            for prompt, _ in answered:
                _add_score(shares, kind, prompt, turn.number, turn.scored.get(prompt.prompt.id))
    shares.add_failed(n_done, n_failed)
    return shares


def _add_score(
    shares: PromptShares, kind: Kind, prompt: OpenPrompt, turn: int, scored: Scored | None
) -> None:
    """Adds a response's scores; it has none if it is empty or every judge call failed."""

    def add(figure: str, value: float, group: str = "") -> None:
        shares.add(figure, unit_of(prompt.prompt), (value + 1) / 2, group)  # from [−1, 1]

    value = scored.value if scored else None
    shares.add("unscored", unit_of(prompt.prompt), float(value is None))
    if value is not None and kind == "mt-bench":
        add(MARK, value, prompt.group)
        add(mark_of(turn), value)
    elif value is not None:
        add("kept", value, prompt.side or prompt.group)
    # Marks of single principles would mix two turns under one name: MT-Bench has none.
    if scored is not None and kind != "mt-bench":
        for score in scored.scores:
            if score.value is not None:
                add(f"kept {score.principle_id}", score.value)
