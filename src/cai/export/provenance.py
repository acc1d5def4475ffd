"""A run as the source of rows, and where each of its rows comes from.

Whole records: each step of every method, and the failures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from cai.engine.run_files import Record
from cai.engine.run_folder import RunFolder
from cai.export.formats import Method, Row
from cai.methods.judging.pointwise import Scored
from cai.methods.judging.ranking import Judged
from cai.methods.revision import Chain
from cai.methods.sampling import Samples
from cai.runs.config import (
    JudgeRunConfig,
    ReviseRunConfig,
    RunConfig,
    SampleRunConfig,
    ScoreRunConfig,
    read_run_config,
)
from cai.runs.records import Body, load
from cai.types import Prompt


@dataclass(frozen=True, slots=True)
class SourceRun:
    """The run number `number`, from 0, of an export; its rows have the `settings` in common."""

    number: int
    folder: RunFolder
    name: str
    recipe: RunConfig
    settings: Mapping[str, object]

    @classmethod
    def of(cls, number: int, folder: RunFolder) -> "SourceRun":
        """Raises JournalError as `read_run_config`."""
        recipe = read_run_config(folder)
        return cls(number, folder, folder.path.resolve().name, recipe, _settings(recipe))

    def body(self, record: Record) -> Body:
        """What the run's method made of the example."""
        match self.recipe:
            case ReviseRunConfig():
                return load(Chain, record.body)
            case SampleRunConfig():
                return load(Samples, record.body)
            case JudgeRunConfig():
                return load(Judged, record.body)
            case ScoreRunConfig():
                return load(Scored, record.body)

    def provenance(self, body: Body | None, models: Sequence[str]) -> dict[str, object]:
        """Everything that decided a row, by name and content hash; null is what its method lacks.

        `models` gave the row's responses, in the order of its columns. Without a body, of an
        example that failed, nothing is known of the example itself. `confidence` is for the rows of
        other files: how sure a run is stands in the row itself.
        """
        chain = body if isinstance(body, Chain) else None
        return {
            "method": self.recipe.method,
            "run": self.name,
            "origin": prompt_of_body(body).origin if body else None,
            "models": list(models),
            "principle_ids": _principle_ids(body) if body else None,
            "flags": [list(each.flags) for each in chain.rounds] if chain else None,
            "confidence": None,
            **self.settings,
        }


def prompt_of_body(body: Body) -> Prompt:
    """What was asked."""
    return body.group.prompt if isinstance(body, Judged) else body.prompt


def _settings(recipe: RunConfig) -> dict[str, object]:
    """The recipe with the same keys whatever the method."""
    of_constitution = None if isinstance(recipe, SampleRunConfig) else recipe.constitution
    revision = recipe if isinstance(recipe, ReviseRunConfig) else None
    sampling = recipe if isinstance(recipe, SampleRunConfig) else None
    judging = recipe if isinstance(recipe, JudgeRunConfig) else None
    scoring = recipe if isinstance(recipe, ScoreRunConfig) else None
    by_judges = judging or scoring
    return {
        "source_files": list(recipe.source.files),
        "source_hash": recipe.source.hash,
        "constitution": of_constitution.model_dump() if of_constitution else None,
        "roles": {role: draw.model_dump(mode="json") for role, draw in revision.roles.items()}
        if revision
        else None,
        "policies": [draw.model_dump(mode="json") for draw in sampling.policies]
        if sampling
        else None,
        "judges": [draw.model_dump(mode="json") for draw in by_judges.judges]
        if by_judges
        else None,
        "plan": revision.settings.decisive() if revision else None,
        "judge_plan": judging.settings.decisive() if judging else None,
        "score_plan": scoring.settings.decisive() if scoring else None,
        "pairing": judging.pairing if judging else None,
        "seed": recipe.seed,
    }


def _principle_ids(body: Body) -> list[str] | None:
    """Of a chain those of its rounds; of judgements and scores each once."""
    match body:
        case Chain():
            return [each.principle_id for each in body.rounds]
        case Judged():
            judgements = [each for contest in body.contests for each in contest.verdict.judgements]
            return list(dict.fromkeys(each.principle_id for each in judgements))
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
        columns[COLUMN_OF[run.recipe.method]] = _content(body)
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
