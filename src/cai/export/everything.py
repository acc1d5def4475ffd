"""Whole records: each step of every method, and the failures."""

from collections.abc import Mapping
from dataclasses import asdict

from cai.engine.storage.records import Record
from cai.export.formats import Method, Row
from cai.export.source_runs import SourceRun
from cai.judging.ranking import Judged
from cai.records.bodies import Body

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
