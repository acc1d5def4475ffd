"""A run from Python: a folder that resumes by itself, and its rows as a data set."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from rich.console import Console

from cai.constitution.schema import Compose, Constitution
from cai.data.prompts import PromptSource
from cai.data.source import SourceSummary
from cai.engine.engine import wait_for
from cai.engine.run_folder import RunFolder
from cai.export.export import ExportSummary
from cai.export.formats import Format
from cai.export.mix_spec import NO_MIX, Mix, Mixing
from cai.export.selection import Selection
from cai.export.trainers.table import DEFAULT
from cai.export.writers import export_dataset, export_file
from cai.methods.judging.pointwise import Scored
from cai.methods.judging.ranking import Judged, Pairing
from cai.methods.revision import Chain, RevisionRoles, revision_roles
from cai.methods.roles import RoleModel
from cai.methods.sampling import Samples
from cai.methods.settings import JudgeSettings, ReviseSettings, ScoreSettings
from cai.models.base import Model
from cai.runs.config import (
    JudgeRunConfig,
    ReviseRunConfig,
    SampleRunConfig,
    ScoreRunConfig,
    run_config_as,
)
from cai.runs.execution import RunResult
from cai.runs.inputs import GroupSource, ResponseSource
from cai.runs.judge import JudgeJob, JudgingResult, run_judging
from cai.runs.judged import composer_of, read_judged
from cai.runs.options import RunOptions
from cai.runs.records import read_done
from cai.runs.revise import RevisionJob, run_revision
from cai.runs.sample import SampleJob, run_sampling
from cai.runs.score import ScoreJob, ScoringResult, run_scoring

if TYPE_CHECKING:
    from datasets import Dataset

Prompts: TypeAlias = str | Path | Sequence[str | Path] | PromptSource
Of: TypeAlias = "str | Path | Run | Sequence[str | Path | Run]"
"""Files, or the folders of runs."""


class Run:
    """The run in that folder, made by the first method that writes it."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def revise(
        self,
        prompts: Prompts,
        *,
        model: Model | RevisionRoles,
        constitution: Constitution,
        settings: ReviseSettings = ReviseSettings(),
        seed: int = 0,
        run_options: RunOptions = RunOptions(),
        is_quiet: bool = False,
    ) -> RunResult[SourceSummary]:
        """Responds to, critiques and revises every prompt; goes on where an earlier call stopped.

        Works in a notebook too, where it blocks until the run is done.

        Raises:
            CaiError: As `cai.runs.revise.run_revision`.
        """
        roles = model if isinstance(model, RevisionRoles) else revision_roles(model, settings)
        job = RevisionJob(_source(prompts), constitution, roles, settings, seed)
        console = Console(stderr=True, quiet=is_quiet)
        return wait_for(run_revision(self.path, job, run_options, console=console))

    def sample(
        self,
        prompts: Prompts,
        *,
        model: Model | RoleModel | Sequence[Model | RoleModel],
        k: int = 4,
        seed: int = 0,
        run_options: RunOptions = RunOptions(),
        is_quiet: bool = False,
    ) -> RunResult[SourceSummary]:
        """`k` responses of each policy to every prompt; resumes, and blocks, as `revise`.

        Raises:
            CaiError: As `cai.runs.sample.run_sampling`.
        """
        policies = tuple(
            each if isinstance(each, RoleModel) else RoleModel.of(each) for each in _several(model)
        )
        job = SampleJob(_source(prompts), policies, k, seed)
        console = Console(stderr=True, quiet=is_quiet)
        return wait_for(run_sampling(self.path, job, run_options, console=console))

    def judge(
        self,
        of: "Of | GroupSource",
        *,
        model: Model | RoleModel | Sequence[Model | RoleModel],
        constitution: Constitution,
        settings: JudgeSettings = JudgeSettings(),
        pairing: Pairing = "all",
        seed: int = 0,
        run_options: RunOptions = RunOptions(),
        is_quiet: bool = False,
    ) -> JudgingResult:
        """Judges the responses of another run, or of pair files; several models are a jury.

        Resumes, and blocks, as `revise`.

        Raises:
            CaiError: As `cai.runs.judge.run_judging`.
        """
        source = of if isinstance(of, GroupSource) else GroupSource(_names(of))
        job = JudgeJob(source, constitution, _judges(model, settings), settings, pairing, seed)
        console = Console(stderr=True, quiet=is_quiet)
        return wait_for(run_judging(self.path, job, run_options, console=console))

    def score(
        self,
        of: "Of | ResponseSource",
        *,
        model: Model | RoleModel | Sequence[Model | RoleModel],
        constitution: Constitution,
        settings: ScoreSettings = ScoreSettings(),
        seed: int = 0,
        run_options: RunOptions = RunOptions(),
        is_quiet: bool = False,
    ) -> ScoringResult:
        """Scores each response of another run, or of files; resumes, and blocks, as `revise`.

        Raises:
            CaiError: As `cai.runs.score.run_scoring`.
        """
        source = of if isinstance(of, ResponseSource) else ResponseSource(_names(of))
        job = ScoreJob(source, constitution, _judges(model, settings), settings, seed)
        console = Console(stderr=True, quiet=is_quiet)
        return wait_for(run_scoring(self.path, job, run_options, console=console))

    def chains(self) -> Iterator[Chain]:
        """The finished chains, in the order of the source.

        Raises:
            JournalError: The folder is not a revision run.
        """
        with RunFolder.existing(self.path) as folder:
            run_config_as(folder, ReviseRunConfig)
            for _, chain in read_done(folder, Chain):
                yield chain

    def samples(self) -> Iterator[Samples]:
        """The finished prompts with their responses, in the order of the source.

        Raises:
            JournalError: The folder is not a run of samples.
        """
        with RunFolder.existing(self.path) as folder:
            run_config_as(folder, SampleRunConfig)
            for _, samples in read_done(folder, Samples):
                yield samples

    def judged(self, compose: Compose | None = None) -> Iterator[Judged]:
        """The judged groups, in the order of the source, composed by another rule if one is named.

        Raises:
            JournalError: The folder is not a judged run.
        """
        with RunFolder.existing(self.path) as folder:
            run_config_as(folder, JudgeRunConfig)
            for _, judged in read_judged(folder, composer_of([folder], compose)):
                yield judged

    def scores(self) -> Iterator[Scored]:
        """The scored responses, in the order of the source.

        Raises:
            JournalError: The folder is not a run of scores.
        """
        with RunFolder.existing(self.path) as folder:
            run_config_as(folder, ScoreRunConfig)
            for _, scored in read_done(folder, Scored):
                yield scored

    def export(
        self,
        format: Format,
        selection: Selection = Selection(),
        trainer: str = DEFAULT,
        *,
        mix: Mixing | Sequence[Mix | str] = NO_MIX,
    ) -> "Dataset":
        """The rows of one format as a `datasets.Dataset`; see `cai.export`.

        `trainer` is whose form the rows have, a name of `cai export --for`; `mix` are files whose
        rows are mixed in, such as "helpful.jsonl:weight=0.3".

        Raises:
            JournalError: The folder is no run.
            ExportError: The run cannot give the format, or no row is left.
            UsageError: The mix cannot be followed.
            SourceError: A file that is mixed in cannot be read.
        """
        with RunFolder.existing(self.path) as folder:
            return export_dataset([folder], format, selection, trainer, Mixing.of(mix))

    def export_file(
        self,
        format: Format,
        path: str | Path,
        selection: Selection = Selection(),
        trainer: str = DEFAULT,
        *,
        mix: Mixing | Sequence[Mix | str] = NO_MIX,
    ) -> ExportSummary:
        """Writes the rows of one format to a .jsonl, .jsonl.gz or .parquet file; `mix` as `export`.

        Raises:
            JournalError: The folder is no run.
            ExportError: The run cannot give the format, no row is left, or the file cannot be
                written.
            UsageError, SourceError: As `export`.
        """
        with RunFolder.existing(self.path) as folder:
            return export_file([folder], format, Path(path), selection, trainer, Mixing.of(mix))


def _source(prompts: Prompts) -> PromptSource:
    return prompts if isinstance(prompts, PromptSource) else PromptSource(_names(prompts))


def _names(of: Of) -> tuple[str, ...]:
    """The names of files or folders."""
    if isinstance(of, Run):
        return (str(of.path),)
    several = [of] if isinstance(of, str | Path) else of
    return tuple(str(each.path if isinstance(each, Run) else each) for each in several)


def _judges(
    model: Model | RoleModel | Sequence[Model | RoleModel],
    settings: JudgeSettings | ScoreSettings,
) -> tuple[RoleModel, ...]:
    """Role models as they are; models through the templates and the sampling of the settings."""
    return tuple(
        each if isinstance(each, RoleModel) else settings.role_model(each)
        for each in _several(model)
    )


def _several(
    model: Model | RoleModel | Sequence[Model | RoleModel],
) -> Sequence[Model | RoleModel]:
    return model if isinstance(model, Sequence) else [model]
