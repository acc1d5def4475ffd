"""A run as the source of rows, and where each of its rows comes from.

Whole records: each step of every method, and the failures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from pydantic import TypeAdapter

from cai.engine.run_files import Record
from cai.engine.run_folder import RunFolder
from cai.export.formats import Method, Row
from cai.methods.judging.pairwise import JudgePlan
from cai.methods.judging.pointwise import Scored, ScorePlan
from cai.methods.judging.ranking import Judged, Pairing
from cai.methods.revision import Chain, RevisionPlan, Role
from cai.methods.revision_flags import Flag
from cai.methods.sampling import Samples
from cai.runs.config import (
    Draw,
    JudgeDraw,
    JudgeRecipe,
    Named,
    Recipe,
    RevisionRecipe,
    SampleRecipe,
    ScoreRecipe,
    read_recipe,
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
    roles: Mapping[Role, Draw] | None = None
    policies: tuple[Draw, ...] | None = None
    judges: tuple[JudgeDraw, ...] | None = None
    plan: RevisionPlan | None = None
    judge_plan: JudgePlan | None = None
    score_plan: ScorePlan | None = None
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
    recipe: Recipe
    common: Mapping[str, object]

    @classmethod
    def of(cls, number: int, folder: RunFolder) -> "SourceRun":
        """Raises JournalError as `read_recipe`."""
        recipe = read_recipe(folder)
        name = folder.path.resolve().name
        common = _PROVENANCE.dump_python(_provenance(name, recipe), mode="json")
        return cls(number, folder, name, recipe, common)

    def body(self, record: Record) -> Body:
        """What the run's method made of the example."""
        match self.recipe:
            case RevisionRecipe():
                return load(Chain, record.body)
            case SampleRecipe():
                return load(Samples, record.body)
            case JudgeRecipe():
                return load(Judged, record.body)
            case ScoreRecipe():
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


def _provenance(name: str, recipe: Recipe) -> RowProvenance:
    """What is equal for all rows of the run."""
    revision = recipe if isinstance(recipe, RevisionRecipe) else None
    judging = recipe if isinstance(recipe, JudgeRecipe) else None
    scoring = recipe if isinstance(recipe, ScoreRecipe) else None
    by_judges = judging or scoring
    return RowProvenance(
        recipe.method,
        name,
        source_files=recipe.source.files,
        source_hash=recipe.source.hash,
        constitution=None if isinstance(recipe, SampleRecipe) else recipe.constitution,
        roles=revision.roles if revision else None,
        policies=recipe.policies if isinstance(recipe, SampleRecipe) else None,
        judges=by_judges.judges if by_judges else None,
        plan=revision.plan if revision else None,
        judge_plan=judging.plan if judging else None,
        score_plan=scoring.plan if scoring else None,
        pairing=judging.pairing if judging else None,
        seed=recipe.seed,
    )


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
