"""A run as the source of rows, and the provenance of each row; whole records as rows.

Example:
    run = SourceRun.of(0, RunFolder.existing(Path("runs/judge")))
    for record in run.folder.records():
        row = whole_row(run, record, ("judge",))
        print(row["error"], row["judged"], row["provenance"]["constitution"])
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import PurePath
from typing import Annotated, TypeVar, cast

from pydantic import TypeAdapter

from cai.engine.run_files import Record
from cai.engine.run_folder import RunFolder
from cai.export.formats import Method, Row
from cai.methods.judging.composition import Composer
from cai.methods.judging.pointwise import Scored
from cai.methods.judging.ranking import GroupReadings, Judged, Pairing, compose_group
from cai.methods.revision import Chain, RevisionRole
from cai.methods.revision_flags import Flag
from cai.methods.sampling import Samples
from cai.methods.settings import AsDecided, JudgeSettings, ReviseSettings, ScoreSettings
from cai.runs.config import (
    Body,
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
from cai.runs.records import load
from cai.types import Prompt

# Addresses of servers, and paths from the root or the home.
_ADDRESS = re.compile(r"@https?://[^\s+]+")
_ABSOLUTE = re.compile(r"(?<![\w./])(?:~/|/(?!/))(?:[^\s/#+@]+/)*([^\s/#+@]+)/?")
_NAMES = frozenset({"model", "models", "judge", "origin"})  # keys of rows

# The column of a whole record, and the type that its struct is derived from.
BODY_COLUMNS: Mapping[Method, tuple[str, type[object]]] = {
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
    roles: Mapping[RevisionRole, RoleConfig] | None = None
    policies: tuple[RoleConfig, ...] | None = None
    judges: tuple[JudgeConfig, ...] | None = None
    revise_settings: Annotated[ReviseSettings, AsDecided] | None = None
    judge_settings: Annotated[JudgeSettings, AsDecided] | None = None
    score_settings: Annotated[ScoreSettings, AsDecided] | None = None
    pairing: Pairing | None = None
    seed: int | None = None


T = TypeVar("T")

_PROVENANCE = TypeAdapter(RowProvenance)


@dataclass(frozen=True, slots=True)
class SourceRun:
    """A run of an export."""

    number: int  # from 0, in the order of the export's runs
    folder: RunFolder
    name: str
    config: RunConfig
    common: Mapping[str, object]  # the part of the provenance that all its rows share
    composer: Composer  # of a judged run: how its readings become verdicts

    @classmethod
    def of(cls, number: int, folder: RunFolder, composer: Composer = Composer()) -> "SourceRun":
        """Raises JournalError as `read_run_config`."""
        config, name = read_run_config(folder), folder.path.resolve().name
        provenance = RowProvenance(
            method=config.method,
            run=name,
            source_files=tuple(map(public_name, config.source.files)),
            source_hash=config.source.hash,
            constitution=None if isinstance(config, SampleRunConfig) else config.constitution,
            seed=config.seed,
        )
        match config:
            case ReviseRunConfig(roles=roles, settings=settings):
                provenance = replace(provenance, roles=roles, revise_settings=settings)
            case SampleRunConfig(policies=policies):
                provenance = replace(provenance, policies=policies)
            case JudgeRunConfig(judges=judges, settings=settings, pairing=pairing):
                provenance = replace(
                    provenance, judges=judges, judge_settings=settings, pairing=pairing
                )
            case ScoreRunConfig(judges=judges, settings=settings):
                provenance = replace(provenance, judges=judges, score_settings=settings)
        # As JSON values, converted once for the run and not for each row.
        common = without_places(_PROVENANCE.dump_python(provenance, mode="json"))
        return cls(number, folder, name, config, common, composer)

    def body(self, record: Record) -> Body:
        """The result of the run's method for the example."""
        return load(self.config.body, record.body)

    def provenance(self, body: Body | None, models: Sequence[str]) -> dict[str, object]:
        """The `RowProvenance` of a row as plain values; `body` is None for a failed example."""
        ids = body.principle_ids if body else None
        flags = [list(each.flags) for each in body.rounds] if isinstance(body, Chain) else None
        return {
            **self.common,
            "origin": public_name(body.prompt.origin) if body else None,
            "models": [public_name(each) for each in models],
            "principle_ids": None if ids is None else list(ids),
            "flags": flags,
        }


def public_name(name: str) -> str:
    """A path or model without what is of this machine: addresses, folders of absolute paths.

    >>> public_name("hf:/home/ada/models/sl?dtype=bfloat16")
    'hf:sl?dtype=bfloat16'
    """
    if PurePath(name).is_absolute():  # its folders may have spaces
        return PurePath(name).name
    return _ABSOLUTE.sub(r"\1", _ADDRESS.sub("", name))


def without_places(value: T) -> T:
    """The same with `public_name` of each model that it names; texts of people stay as they are."""

    def public(value: object, is_name: bool = False) -> object:
        if isinstance(value, str):
            return public_name(value) if is_name else value
        if isinstance(value, Mapping):
            items = cast("Mapping[str, object]", value).items()
            return {key: public(each, key in _NAMES) for key, each in items}
        if isinstance(value, list | tuple):
            return [public(each, is_name) for each in cast("Sequence[object]", value)]
        return value

    return cast("T", public(value))


def read_metadata(prompt: Prompt) -> Row | None:
    """What else the prompt's own row had, for the column `metadata`."""
    return json.loads(prompt.metadata) if prompt.metadata else None


def whole_row(run: SourceRun, record: Record, methods: tuple[Method, ...]) -> Row:
    """The record in the column of its run's method; the columns of the other methods are null."""
    body = run.body(record) if record.error is None else None
    columns: dict[str, object] = {BODY_COLUMNS[method][0]: None for method in methods}
    if body is not None:
        judged = isinstance(body, GroupReadings)
        content = asdict(compose_group(body, run.composer) if judged else body)
        if judged:
            # A list of pairs, as columns have fixed names and tags have any.
            tags = [{"name": name, "value": value} for name, value in body.group.tags.items()]
            content["group"]["tags"] = tags
        columns[BODY_COLUMNS[run.config.method][0]] = without_places(content)
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
