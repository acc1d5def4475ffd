"""Exported rows as Parquet and as a data set, with types that do not hang on what the rows hold."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyarrow has no types: what is unknown stays in this file

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from datasets import Dataset

Row = Mapping[str, object]

_TEXTS = pa.list_(pa.string())
_MESSAGES = pa.list_(pa.struct({"role": pa.string(), "content": pa.string()}))
_NAMED = pa.struct({"name": pa.string(), "hash": pa.string(), "version": pa.string()})
_USAGE = pa.struct({"prompt_tokens": pa.int64(), "completion_tokens": pa.int64()})
_COMPLETION = pa.struct(
    {"text": pa.string(), "stop_reason": pa.string(), "usage": _USAGE, "reasoning": pa.string()}
)
_DRAW = pa.struct(
    {
        "model": pa.string(),
        "templates": _NAMED,
        "temperature": pa.float64(),
        "top_p": pa.float64(),
        "top_k": pa.int64(),
        "max_tokens": pa.int64(),
        "stop": _TEXTS,
    }
)
_PLAN = pa.struct(
    {
        "rounds": pa.int64(),
        "tags": _TEXTS,
        "few_shots": pa.int64(),
        "is_direct": pa.bool_(),
        "is_minimal": pa.bool_(),
        "stops_early": pa.bool_(),
    }
)
_PROVENANCE = pa.struct(
    {
        "origin": pa.string(),
        "source_hash": pa.string(),
        "constitution": _NAMED,
        "principle_ids": _TEXTS,
        "flags": pa.list_(_TEXTS),
        "roles": pa.struct({"respond": _DRAW, "critique": _DRAW, "revise": _DRAW}),
        "plan": _PLAN,
        "seed": pa.int64(),
    }
)
_ROUND = pa.struct(
    {
        "principle_id": pa.string(),
        "critique": _COMPLETION,
        "revision": _COMPLETION,
        "flags": _TEXTS,
    }
)
_PROMPT = pa.struct({"id": pa.string(), "messages": _MESSAGES, "origin": pa.string()})
_CHAIN = pa.struct({"prompt": _PROMPT, "response": _COMPLETION, "rounds": pa.list_(_ROUND)})
_ERROR = pa.struct({"kind": pa.string(), "message": pa.string(), "is_retryable": pa.bool_()})

_COMMON = {"id": pa.string(), "provenance": _PROVENANCE}
_COLUMNS: dict[str, dict[str, pa.DataType]] = {
    "sft": {"prompt": _MESSAGES, "completion": _MESSAGES, **_COMMON},
    "preference": {"prompt": _MESSAGES, "chosen": _MESSAGES, "rejected": _MESSAGES, **_COMMON},
    "prompts": {"prompt": _MESSAGES, **_COMMON},
    "everything": {"id": pa.string(), "error": _ERROR, "chain": _CHAIN, "provenance": _PROVENANCE},
}


def write_parquet(groups: Iterable[list[Row]], format: str, path: Path) -> None:
    """Writes each group of rows as one row group; conversations are lists of {role, content}."""
    schema = pa.schema(_COLUMNS[format])
    with pq.ParquetWriter(path, schema) as writer:
        for group in groups:
            writer.write_table(pa.Table.from_pylist(group, schema=schema))


def as_dataset(rows: list[Row], format: str) -> "Dataset":
    """The rows in memory, in the columns of their format."""
    from datasets import Dataset  # heavy

    return Dataset(pa.Table.from_pylist(rows, schema=pa.schema(_COLUMNS[format])))
