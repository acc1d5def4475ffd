"""A run as the source of rows, and where each of its rows comes from.

Whole records: each step of every method, and the failures.
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


@dataclass(frozen=True, slots=True)
class RowProvenance:
    """Everything that decided a row, by name and content hash; None is what its method lacks.

    `models` gave the row's responses, in the order of its columns. `confidence` is for the rows of
    other files: how sure a run is stands in the row itself. What follows it is equal for all rows
    of a run.
    """

    method: str
    run: str | None
    origin: str | None = None
    models: tuple[str, ...] = ()
    principle_ids: tuple[str, ...] | None = None
    flags: tuple[tuple[Flag, ...], ...] | None = None
    confidence: float | None = None
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
    """The run number `number`, from 0, of an export.

    `common` is the provenance of its rows as plain values, with what is known of the whole run.
    """

    number: int
    folder: RunFolder
    name: str
    config: RunConfig
    common: Mapping[str, object]

    @classmethod
    def of(cls, number: int, folder: RunFolder) -> "SourceRun":
        """Raises JournalError as `read_run_config`."""
        recipe = read_run_config(folder)
        name = folder.path.resolve().name
        common = _PROVENANCE.dump_python(_provenance(name, recipe), mode="json")
        return cls(number, folder, name, recipe, common)

    def body(self, record: Record) -> Body:
        """What the run's method made of the example."""
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
        """The `RowProvenance` of a row as plain values.

        Without a body, of an example that failed, nothing is known of the example itself.
        """
        chain = body if isinstance(body, Chain) else None
        return {
            **self.common,
            "origin": prompt_of_body(body).origin if body else None,
            "models": list(models),
            "principle_ids": _principle_ids(body) if body else None,
            "flags": [list(each.flags) for each in chain.rounds] if chain else None,
        }


def prompt_of_body(body: Body) -> Prompt:
    """What was asked."""
    return body.group.prompt if isinstance(body, Judged) else body.prompt


def _provenance(name: str, recipe: RunConfig) -> RowProvenance:
    """What is equal for all rows of the run."""
    revision = recipe if isinstance(recipe, ReviseRunConfig) else None
    judging = recipe if isinstance(recipe, JudgeRunConfig) else None
    scoring = recipe if isinstance(recipe, ScoreRunConfig) else None
    by_judges = judging or scoring
    return RowProvenance(
        recipe.method,
        name,
        source_files=recipe.source.files,
        source_hash=recipe.source.hash,
        constitution=None if isinstance(recipe, SampleRunConfig) else recipe.constitution,
        roles=revision.roles if revision else None,
        policies=recipe.policies if isinstance(recipe, SampleRunConfig) else None,
        judges=by_judges.judges if by_judges else None,
        revise_settings=revision.settings if revision else None,
        judge_settings=judging.settings if judging else None,
        score_settings=scoring.settings if scoring else None,
        pairing=judging.pairing if judging else None,
        seed=recipe.seed,
    )


def _principle_ids(body: Body) -> list[str] | None:
    """Of a chain those of its rounds; of judgements and scores each once."""
    match body:
        case Chain():
            return [each.principle_id for each in body.rounds]
        case Judged():
            principle_verdicts = [
                each for matchup in body.matchups for each in matchup.verdict.principle_verdicts
            ]
            return list(dict.fromkeys(each.principle_id for each in principle_verdicts))
        case Scored():
            return list(dict.fromkeys(each.principle_id for each in body.scores))
        case Samples():
            return None


COLUMN_OF: Mapping[Method, str] = {
    "revise": "chain",
    "sample": "samples",
    "judge": "judged",
    "score": "scored",
}


def whole_row(run: SourceRun, record: Record, methods: tuple[Method, ...]) -> Row:
    """The record in the column of its run's method; the columns of the other methods are null."""
    body = run.body(record) if record.error is None else None
    columns: dict[str, object] = {COLUMN_OF[method]: None for method in methods}
    if body is not None:
        columns[COLUMN_OF[run.config.method]] = _content(body)
    return {
        "id": record.id,
        "error": asdict(record.error) if record.error else None,
        **columns,
        "provenance": run.provenance(body, []),
    }


def _content(body: Body) -> dict[str, object]:
    content = asdict(body)
    if isinstance(body, Judged):
        # a list of pairs, as columns have fixed names and tags have any
        tags = [{"name": name, "value": value} for name, value in body.group.tags.items()]
        content["group"]["tags"] = tags
    return content


@dataclass(frozen=True, slots=True, order=True)
class ConstitutionName:
    """A constitution that rows were made with; version and hash are "" where nobody says them."""

    name: str
    version: str
    hash: str


@dataclass(frozen=True, slots=True)
class Provenance:
    """What made the rows, as far as runs and rows tell: each once, sorted.

    `methods` are those of `cai`, and "people" for files that no run wrote. `models` gave the
    responses, `judges` the verdicts and scores.
    """

    methods: tuple[str, ...] = ()
    constitutions: tuple[ConstitutionName, ...] = ()
    models: tuple[str, ...] = ()
    judges: tuple[str, ...] = ()
    principle_ids: tuple[str, ...] = ()

    def joined(self, other: "Provenance") -> "Provenance":
        """What both tell."""
        return Provenance(
            _sorted(self.methods + other.methods),
            tuple(sorted({*self.constitutions, *other.constitutions})),
            _sorted(self.models + other.models),
            _sorted(self.judges + other.judges),
            _sorted(self.principle_ids + other.principle_ids),
        )


@dataclass(slots=True)
class ProvenanceTally:
    """What the rows read so far say of where they come from."""

    methods: set[str] = field(default_factory=set[str])
    constitutions: set[ConstitutionName] = field(default_factory=set[ConstitutionName])
    models: set[str] = field(default_factory=set[str])
    judges: set[str] = field(default_factory=set[str])
    principle_ids: set[str] = field(default_factory=set[str])

    def add(self, provenance: object) -> None:
        """Takes the provenance of a row in the form of exports; what has another form is ignored.

        A principle that is negated, or asked several times, is one principle.
        """
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
            self.constitutions.add(ConstitutionName(name, *(_text(each) for each in rest)))

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
    """The texts of a list that say something."""
    listed = cast(list[object], values) if isinstance(values, list) else []
    return {value for value in listed if isinstance(value, str) and value}


def _entry(value: object, key: str) -> object:
    return cast(dict[str, object], value).get(key) if isinstance(value, dict) else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
