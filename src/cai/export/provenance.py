"""A run as the source of rows, and the provenance of each row; whole records as rows.

Example:
    run = SourceRun.of(0, RunFolder("runs/judge"))
    for record in run.folder.records():
        row = whole_row(run, record, ("judge",))
        print(row["error"], row["judged"], row["provenance"]["constitution"])
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Annotated, cast

from pydantic import TypeAdapter

from cai.engine.run_files import Record
from cai.engine.run_folder import RunFolder
from cai.export.formats import Method, Row
from cai.methods.judging.pointwise import Scored
from cai.methods.judging.ranking import Judged, Pairing
from cai.methods.revision import Chain, Role
from cai.methods.revision_flags import Flag
from cai.methods.sampling import Samples
from cai.methods.settings import AsDecided, JudgeSettings, ReviseSettings, ScoreSettings
from cai.runs.config import (
    JudgeConfig,
    JudgeRunConfig,
    Named,
    ReviseRunConfig,
    RoleConfig,
    RunConfig,
    SampleRunConfig,
    ScoreRunConfig,
    read_run_config,
)
from cai.runs.records import Body, load
from cai.types import Prompt

# The column of a whole record, and the type that its struct is derived from.
BODY_COLUMNS: Mapping[Method, tuple[str, type[Body]]] = {
    "revise": ("chain", Chain),
    "sample": ("samples", Samples),
    "judge": ("judged", Judged),
    "score": ("scored", Scored),
}


@dataclass(frozen=True, slots=True)
class RowProvenance:
    """Everything that decided a row, by name and content hash; None is what its method lacks."""

    method: str
    run: str | None
    origin: str | None = None
    models: tuple[str, ...] = ()  # those of the responses, in the order of the row's columns
    principle_ids: tuple[str, ...] | None = None
    flags: tuple[tuple[Flag, ...], ...] | None = None
    confidence: float | None = None  # of rows of other files; those of runs have it in the row
    # From here on all rows of a run are equal.
    source_files: tuple[str, ...] = ()
    source_hash: str | None = None
    constitution: Named | None = None
    roles: Mapping[Role, RoleConfig] | None = None
    policies: tuple[RoleConfig, ...] | None = None
    judges: tuple[JudgeConfig, ...] | None = None
    revise_settings: Annotated[ReviseSettings, AsDecided] | None = None
    judge_settings: Annotated[JudgeSettings, AsDecided] | None = None
    score_settings: Annotated[ScoreSettings, AsDecided] | None = None
    pairing: Pairing | None = None
    seed: int | None = None


_PROVENANCE = TypeAdapter(RowProvenance)


@dataclass(frozen=True, slots=True)
class SourceRun:
    """A run of an export."""

    number: int  # from 0, in the order of the export's runs
    folder: RunFolder
    name: str
    config: RunConfig
    common: Mapping[str, object]  # the part of the provenance that all its rows share

    @classmethod
    def of(cls, number: int, folder: RunFolder) -> "SourceRun":
        """Raises JournalError as `read_run_config`."""
        config, name = read_run_config(folder), folder.path.resolve().name
        revision = config if isinstance(config, ReviseRunConfig) else None
        judging = config if isinstance(config, JudgeRunConfig) else None
        scoring = config if isinstance(config, ScoreRunConfig) else None
        by_judges = judging or scoring
        provenance = RowProvenance(
            config.method,
            name,
            source_files=config.source.files,
            source_hash=config.source.hash,
            constitution=None if isinstance(config, SampleRunConfig) else config.constitution,
            roles=revision.roles if revision else None,
            policies=config.policies if isinstance(config, SampleRunConfig) else None,
            judges=by_judges.judges if by_judges else None,
            revise_settings=revision.settings if revision else None,
            judge_settings=judging.settings if judging else None,
            score_settings=scoring.settings if scoring else None,
            pairing=judging.pairing if judging else None,
            seed=config.seed,
        )
        # As JSON values, converted once for the run and not for each row.
        common = _PROVENANCE.dump_python(provenance, mode="json")
        return cls(number, folder, name, config, common)

    def body(self, record: Record) -> Body:
        """The result of the run's method for the example."""
        match self.config:
            case ReviseRunConfig():
                return load(Chain, record.body)
            case SampleRunConfig():
                return load(Samples, record.body)
            case JudgeRunConfig():
                return load(Judged, record.body)
            case ScoreRunConfig():
                return load(Scored, record.body)

    def provenance(self, body: Body | None, models: Sequence[str]) -> dict[str, object]:
        """The `RowProvenance` of a row as plain values; `body` is None for a failed example."""
        principle_ids: list[str] | None = None
        flags: list[list[Flag]] | None = None
        match body:
            case Chain():
                # One a round, with repeats, to go with the rounds; below each principle once.
                principle_ids = [each.principle_id for each in body.rounds]
                flags = [list(each.flags) for each in body.rounds]
            case Judged():
                verdicts = [v for m in body.matchups for v in m.verdict.principle_verdicts]
                principle_ids = list(dict.fromkeys(each.principle_id for each in verdicts))
            case Scored():
                principle_ids = list(dict.fromkeys(each.principle_id for each in body.scores))
            case Samples() | None:
                pass
        return {
            **self.common,
            "origin": prompt_of_body(body).origin if body else None,
            "models": list(models),
            "principle_ids": principle_ids,
            "flags": flags,
        }


def prompt_of_body(body: Body) -> Prompt:
    return body.group.prompt if isinstance(body, Judged) else body.prompt


def whole_row(run: SourceRun, record: Record, methods: tuple[Method, ...]) -> Row:
    """The record in the column of its run's method; the columns of the other methods are null."""
    body = run.body(record) if record.error is None else None
    columns: dict[str, object] = {BODY_COLUMNS[method][0]: None for method in methods}
    if body is not None:
        content = asdict(body)
        if isinstance(body, Judged):
            # A list of pairs, as columns have fixed names and tags have any.
            tags = [{"name": name, "value": value} for name, value in body.group.tags.items()]
            content["group"]["tags"] = tags
        columns[BODY_COLUMNS[run.config.method][0]] = content
    return {
        "id": record.id,
        "error": asdict(record.error) if record.error else None,
        **columns,
        "provenance": run.provenance(body, []),
    }


@dataclass(frozen=True, slots=True, order=True)
class ConstitutionName:
    """A constitution that rows were made with; version and hash are "" if unknown."""

    name: str
    version: str
    hash: str


@dataclass(frozen=True, slots=True)
class Provenance:
    """The provenance of many rows together: each value once, sorted."""

    methods: tuple[str, ...] = ()  # those of `cai`, and "people" for files that no run wrote
    constitutions: tuple[ConstitutionName, ...] = ()
    models: tuple[str, ...] = ()  # of the responses
    judges: tuple[str, ...] = ()  # of the verdicts and scores
    principle_ids: tuple[str, ...] = ()

    def joined(self, other: "Provenance") -> "Provenance":
        """The values of both."""
        return Provenance(
            _sorted(self.methods + other.methods),
            tuple(sorted({*self.constitutions, *other.constitutions})),
            _sorted(self.models + other.models),
            _sorted(self.judges + other.judges),
            _sorted(self.principle_ids + other.principle_ids),
        )


@dataclass(slots=True)
class ProvenanceTally:
    """The provenance of the rows read so far."""

    methods: set[str] = field(default_factory=set[str])
    constitutions: set[ConstitutionName] = field(default_factory=set[ConstitutionName])
    models: set[str] = field(default_factory=set[str])
    judges: set[str] = field(default_factory=set[str])
    principle_ids: set[str] = field(default_factory=set[str])

    def add(self, provenance: object) -> None:
        """Adds the provenance of a row in the form of exports; any other form is ignored."""
        if not isinstance(provenance, dict):
            return
        provenance = cast(dict[str, object], provenance)
        self.methods |= _texts([provenance.get("method")])
        self.models |= _texts(provenance.get("models"))
        self.principle_ids |= _texts(provenance.get("principle_ids"))
        judges = provenance.get("judges")
        if isinstance(judges, list):
            self.judges |= _texts([_entry(judge, "model") for judge in cast(list[object], judges)])
        constitution = provenance.get("constitution")
        name, *rest = (_entry(constitution, key) for key in ("name", "version", "hash"))
        if isinstance(name, str):
            texts = (each if isinstance(each, str) else "" for each in rest)
            self.constitutions.add(ConstitutionName(name, *texts))

    @property
    def provenance(self) -> Provenance:
        return Provenance(
            _sorted(self.methods),
            tuple(sorted(self.constitutions)),
            _sorted(self.models),
            _sorted(self.judges),
            _sorted(self.principle_ids),
        )


def _sorted(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(names)))


def _texts(values: object) -> set[str]:
    """The texts of a list that are not empty."""
    listed = cast(list[object], values) if isinstance(values, list) else []
    return {value for value in listed if isinstance(value, str) and value}


def _entry(value: object, key: str) -> object:
    return cast(dict[str, object], value).get(key) if isinstance(value, dict) else None
