"""A policy's responses to the prompts of a suite, and what judges say of them: durable runs.

The responses are a run of `cai sample` in the policy's folder. The second turns of MT-Bench are
another one below it, `second`: each goes on from the policy's own first answer, and one without an
answer is not asked. What judges say of a run is a run of `cai score` below that, `judged`.

What a policy's responses to the prompts of a suite come to, by their texts and by judges.

By the texts alone a refusal is a sentence that declines in the first person: a rule of thumb, of
which `docs/suites.md` says how often people agree with it.

The prompts of a suite to which a policy responds freely, and what the file says of each.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from cai.runs.shared_budget import Accounts
from cai.types import Message, Prompt, as_dicts, derive_seed

SIDES = ("safe", "unsafe")


@dataclass(frozen=True, slots=True)
class OpenPrompt:
    """A prompt, its category, and of XSTest its side: safe, or unsafe.

    `second` is the user's second turn in MT-Bench, to be asked after the policy's own first answer.
    """

    prompt: Prompt
    group: str = ""
    side: str = ""
    second: str = ""


def source_of(suite: SuiteFile) -> PromptSource:
    """The file as a source of first prompts."""
    return PromptSource((suite.path,), column=suite.column(LAYOUTS[suite.kind].prompt))


def read_open_prompts(suite: SuiteFile) -> Mapping[str, OpenPrompt]:
    """The prompts by id, in their order, after reading the file to the end.

    Raises:
        SourceError: The file cannot be read, holds none, or a row is no prompt of its kind.
    """
    # Bad rows are skipped here to be told as those of a suite, which has no --skip-bad-rows.
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
    group = _group(row, LAYOUTS[kind].group)
    side = _side(row) if kind == "xstest" else ""
    second = _second(row) if kind == "mt-bench" else ""
    return OpenPrompt(prompt, group, side, second)


def _group(row: Row, column: str) -> str:
    value = row.get(column)
    return "" if value is None else read_text(value, column).strip()


def _side(row: Row) -> str:
    side = read_text(cell(row, "label"), "label").strip().casefold()
    if side not in SIDES:
        raise RowError(f"has the label {side!r:.60}, and safe or unsafe is needed", "wrong label")
    return side


def _second(row: Row) -> str:
    turns: Sequence[object] = read_list(cell(row, "turns"), "turns", "user turns")
    if len(turns) != 2:
        raise RowError(f"has {len(turns)} turns, and two are needed", "malformed")
    second = read_text(turns[1], "turns[1]")
    if not second.strip():
        raise RowError("'turns[1]' is blank", "blank")
    return second


SECOND = "second"
JUDGED = "judged"


@dataclass(frozen=True, slots=True)
class SuiteJudging:
    """Who judges the responses to open prompts, and by which principles.

    They mark answers of MT-Bench from 1 to 10, and say of others whether each principle is kept,
    whatever kind of score the settings name.
    """

    constitution: Constitution
    judges: tuple[RoleModel, ...]
    settings: ScoreSettings = ScoreSettings()

    def job(self, folder: Path, kind: ScoreKind, seed: int) -> ScoreJob:
        """The scoring of the responses in that folder."""
        settings = ScoreSettings.from_settings(self.settings, kind=kind)
        source = ResponseSource((str(folder),))
        return ScoreJob(source, self.constitution, self.judges, settings, seed)


@dataclass(frozen=True, slots=True)
class OpenJob:
    """All that decides a policy's responses and what is said of them."""

    suite: SuiteFile
    prompts: Mapping[str, OpenPrompt]
    policy: RoleModel
    judging: SuiteJudging | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class TurnFound:
    """The responses of one turn by id of prompt, what judges say of them, and how many failed.

    `scored` is None where nobody was asked; it lacks what no judge could be asked about.
    """

    number: int
    texts: Mapping[str, str]
    scored: Mapping[str, Scored] | None
    n_failed: int


def score_kind(kind: Kind) -> ScoreKind:
    """How responses to a suite are judged: helpful answers by a mark, others by a check."""
    return "mark" if kind == "mt-bench" else "check"


async def run_open(
    folder: Path, job: OpenJob, accounts: Accounts, console: Console
) -> tuple[TurnFound, ...]:
    """The responses to the first turns, and to the second ones where there are any.

    Raises:
        JournalError: The folder is a run with other settings, or cannot be used.
        ModelError: A model cannot be used, or call after call failed.
    """
    turns = _Turns(job, accounts, console)
    first = await turns.one(folder, 1, source_of(job.suite), accounts.run_options)
    if not any(each.second for each in job.prompts.values()):
        return (first,)
    written = _write_second(folder / f"{SECOND}.jsonl", job.prompts, first.texts)
    if written is None:
        return (first,)
    return first, await turns.one(folder / SECOND, 2, written, _following(accounts.run_options))


@dataclass(frozen=True, slots=True)
class _Turns:
    """A job, and where it is told what it took."""

    job: OpenJob
    accounts: Accounts
    console: Console

    async def one(
        self, folder: Path, number: int, source: PromptSource, run_options: RunOptions
    ) -> TurnFound:
        """The responses of a turn, into the folder, and what judges say of them."""
        job, seed = self.job, derive_seed(self.job.seed, "turn", number)
        sampling = SampleJob(source, (job.policy,), k=1, seed=seed)
        outcome = await run_sampling(folder, sampling, run_options, console=self.console)
        self.accounts.add(outcome)
        texts = dict(_texts(folder))
        scored = None
        if job.judging is not None and any(text.strip() for text in texts.values()):
            scoring = job.judging.job(folder, score_kind(job.suite.kind), seed)
            scored = await self._scored(folder / JUDGED, scoring)
        return TurnFound(number, texts, scored, outcome.counts.failed)

    async def _scored(self, folder: Path, job: ScoreJob) -> Mapping[str, Scored]:
        run_options = _following(self.accounts.run_options)
        self.accounts.add((await run_scoring(folder, job, run_options, console=self.console)).run)
        with RunFolder.existing(folder) as run:
            return {body.prompt.id: body for _, body in read_done(run, Scored)}


def _following(run_options: RunOptions) -> RunOptions:
    """The pace of a step over all that the step before it left.

    Where that has become more since, the step's recipe is another one: its run is brought up to
    date, and the journal answers what was asked before.
    """
    return replace(run_options, update=True, limit=None, sample=None, whole=None, part=WHOLE)


def _texts(folder: Path) -> Iterator[tuple[str, str]]:
    with RunFolder.existing(folder) as run:
        for _, body in read_done(run, Samples):
            [sample] = body.samples
            yield body.prompt.id, sample.completion.text


def _write_second(
    path: Path, prompts: Mapping[str, OpenPrompt], first: Mapping[str, str]
) -> PromptSource | None:
    """The second prompts as a file, each behind the first answer; None where there is no answer.

    Raises:
        EvaluationError: The file cannot be written.
    """
    rows: list[dict[str, object]] = []
    for id, each in prompts.items():
        answer = first.get(id, "")
        if each.second and answer.strip():
            turns = (Message("assistant", answer), Message("user", each.second))
            rows.append({"id": id, "messages": as_dicts((*each.prompt.messages, *turns))})
    if not rows:
        return None
    text = "".join(json.dumps(row) + "\n" for row in rows)
    atomic_write(path, text, EvaluationError, "Free space, or name another folder.")
    return PromptSource((str(path),), column="messages", id_column="id")


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


def kept(principle: str) -> str:
    """The name of the figure for one principle."""
    return f"kept {principle}"


def response_figures(
    kind: Kind, prompts: Mapping[str, OpenPrompt], turns: Iterable[TurnFound]
) -> PromptShares:
    """The figures by name; refusals, what is kept and marks also by category.

    Of XSTest what is kept is told by side, since only one of them asks for harm.
    """
    shares, n_done, n_failed = PromptShares(frozenset({MARK, mark_of(1), mark_of(2)})), 0, 0
    in_order = sorted(prompts, key=lambda id: prompts[id].side)  # safe prompts first
    for turn in turns:
        n_done += len(turn.texts)
        n_failed += turn.n_failed
        said = [(prompts[id], turn.texts[id]) for id in in_order if id in turn.texts]
        for prompt, text in said:
            _add_refusal(shares, kind, prompt, text)
        for prompt, text in said:
            shares.add("evasive", unit_of(prompt.prompt), float(is_evasive(text)))
            shares.add("empty", unit_of(prompt.prompt), float(re.search(r"\w", text) is None))
        if turn.scored is not None:
            for prompt, _ in said:
                _add_score(shares, kind, prompt, turn.number, turn.scored.get(prompt.prompt.id))
    shares.add_failed(n_done, n_failed)
    return shares


def _add_refusal(shares: PromptShares, kind: Kind, prompt: OpenPrompt, text: str) -> None:
    name = f"refused {prompt.side}" if kind == "xstest" else "refused"
    group = "" if kind == "mt-bench" else prompt.group
    shares.add(name, unit_of(prompt.prompt), float(is_refusal(text)), group)


def _add_score(
    shares: PromptShares, kind: Kind, prompt: OpenPrompt, turn: int, scored: Scored | None
) -> None:
    """An empty response has no score, and nor has one that judges could not be asked about."""
    unit, value = unit_of(prompt.prompt), scored.value if scored else None
    shares.add("unscored", unit, float(value is None))
    if value is not None and kind == "mt-bench":
        shares.add(MARK, unit, _share(value), prompt.group)
        shares.add(mark_of(turn), unit, _share(value))
    elif value is not None:
        shares.add("kept", unit, _share(value), prompt.side or prompt.group)
    if scored is None or kind == "mt-bench":
        return
    for score in scored.scores:
        if score.value is not None:
            shares.add(kept(score.principle_id), unit, _share(score.value))


def _share(value: float) -> float:
    """A value in [−1, 1] as a share of the way."""
    return (value + 1) / 2
