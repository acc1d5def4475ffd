"""The configuration of a run, `run.yaml`: all that decides its results, and nothing that does not.

Files, constitutions, templates and models are written down by name and content hash, so that a
later start of the same run notices a change. Settings that belong to a model stand with the model.

Example:
    with RunFolder.existing(Path("runs/judged")) as run:
        config = run_config_as(run, JudgeRunConfig)
    print(config.settings.rationale, [judge.model for judge in config.judges])
"""

from pathlib import Path
from typing import Annotated, ClassVar, Literal, TypeAlias, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
)

from cai.constitution.schema import Constitution
from cai.data.source import SourceSummary
from cai.engine.run_folder import RunFolder
from cai.errors import JournalError
from cai.methods.judging.multiple_choice import Answers
from cai.methods.judging.pointwise import Scored
from cai.methods.judging.ranking import GroupReadings, Pairing
from cai.methods.revision import Chain, RevisionRole
from cai.methods.roles import Judge, RoleModel
from cai.methods.sampling import Samples
from cai.methods.settings import AsDecided, JudgeSettings, ReviseSettings, ScoreSettings


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Named(_Part):
    """Something that decides results, by name and by content."""

    name: str
    hash: str
    version: str = ""


class RoleConfig(_Part):
    """How the answers of a part are drawn; the seed of each call comes from the run's seed."""

    model: str
    templates: Named
    temperature: float
    top_p: float
    top_k: int
    max_tokens: int
    stop: tuple[str, ...] = ()


class JudgeConfig(RoleConfig):
    """A judge, whether its options are read from log-probabilities, and from words else."""

    reads_logprobs: bool
    has_fallback: bool = False


class Source(_Part):
    """Where the examples came from. `hash` is over their content."""

    files: tuple[str, ...]
    column: str
    hash: str


class ReviseRunConfig(_Part):
    """Respond, critique, revise."""

    method: Literal["revise"] = "revise"
    body: ClassVar = Chain
    source: Source
    constitution: Named
    settings: Annotated[ReviseSettings, AsDecided]
    roles: dict[RevisionRole, RoleConfig]
    seed: int


class SampleRunConfig(_Part):
    """`k` responses of each policy to each prompt."""

    method: Literal["sample"] = "sample"
    body: ClassVar = Samples
    source: Source
    policies: tuple[RoleConfig, ...]
    k: int
    seed: int


class JudgeRunConfig(_Part):
    """Which of several responses keeps the constitution better."""

    method: Literal["judge"] = "judge"
    body: ClassVar = GroupReadings
    source: Source
    constitution: Named
    judges: tuple[JudgeConfig, ...]
    settings: Annotated[JudgeSettings, AsDecided]
    pairing: Pairing
    seed: int


class ScoreRunConfig(_Part):
    """How well each response keeps the constitution."""

    method: Literal["score"] = "score"
    body: ClassVar = Scored
    source: Source
    constitution: Named
    judges: tuple[JudgeConfig, ...]
    settings: Annotated[ScoreSettings, AsDecided]
    seed: int


class ChoiceRunConfig(_Part):
    """Which option a policy chooses in each question of a suite."""

    method: Literal["choice"] = "choice"
    body: ClassVar = Answers
    source: Source
    policy: JudgeConfig
    seed: int


CHOICE = "choice"
"""The method of the folder in which a policy's answers to the questions of a suite are kept."""

REWARD = "reward"
"""The method of the folder in which a training keeps the judge calls of its rewards."""

RunConfig: TypeAlias = ReviseRunConfig | SampleRunConfig | JudgeRunConfig | ScoreRunConfig
R = TypeVar("R", bound=RunConfig)

Body: TypeAlias = Chain | Samples | GroupReadings | Scored
"""The result for one example, as a run folder holds it: what rows can be made of."""

AnyBody: TypeAlias = Body | Answers
"""The same, or the answers to a question of a suite, of which figures are made and no rows."""

B = TypeVar("B", bound=AnyBody)

_RUN_CONFIGS: TypeAdapter[RunConfig] = TypeAdapter(
    Annotated[RunConfig, Field(discriminator="method")]
)


def read_run_config(run: RunFolder) -> RunConfig:
    """What the run was told to do.

    Raises:
        JournalError: The run is of another version of cai.
    """
    if run.config.get("method") == REWARD:
        raise JournalError(
            f"{run.path}: holds the answers of judges that a training asked for rewards, and no "
            "examples. See it with `cai status` and `cai cache`, or name the folder of a run."
        )
    if run.config.get("method") == CHOICE:
        raise JournalError(
            f"{run.path}: holds a policy's answers to the questions of a suite, and no examples. "
            "Name the folder of another run."
        )
    try:
        return _RUN_CONFIGS.validate_python(dict(run.config), strict=False)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise JournalError(
            f"{run.path}: run.yaml is not that of a run of this version of cai "
            f"({where}: {first['msg']})."
        ) from error


def run_config_as(run: RunFolder, kind: type[R]) -> R:
    """The configuration of a run that must be of one method.

    Raises:
        JournalError: It is of another method or of another version of cai.
    """
    config = read_run_config(run)
    if not isinstance(config, kind):
        wanted = kind.model_fields["method"].default
        raise JournalError(
            f"{run.path}: is a run of `cai {config.method}`, and one of `cai {wanted}` is needed. "
            "Name another folder."
        )
    return config


def described_source(summary: SourceSummary) -> Source:
    """The files by their names alone, so that a source may move."""
    return Source(
        files=tuple(Path(name).name for name in summary.names),
        column=summary.column,
        hash=summary.content_hash,
    )


def described_constitution(constitution: Constitution) -> Named:
    return Named(name=constitution.name, hash=constitution.hash, version=constitution.version)


def described_role(role: RoleModel) -> RoleConfig:
    sampling = role.sampling
    return RoleConfig(
        model=role.model.name,
        templates=Named(name=role.templates.name, hash=role.templates.hash),
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        max_tokens=sampling.max_tokens,
        stop=sampling.stop,
    )


def described_judge(judge: Judge) -> JudgeConfig:
    return JudgeConfig(
        **described_role(judge.role).model_dump(),
        reads_logprobs=judge.reads_logprobs,
        has_fallback=judge.has_fallback,
    )
