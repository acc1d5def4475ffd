"""Rows as Parquet and as a data set, with types that do not hang on what the rows hold."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false
# pyarrow has no types: what is unknown stays in this file

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from cai.export.export import Export
from cai.export.formats import Columns, Format, Method, Row
from cai.export.provenance import COLUMN_OF

if TYPE_CHECKING:
    from datasets import Dataset

_TEXT, _REAL, _WHOLE, _BOOL = pa.string(), pa.float64(), pa.int64(), pa.bool_()
_TEXTS = pa.list_(_TEXT)
_MESSAGES = pa.list_(pa.struct({"role": _TEXT, "content": _TEXT}))
_USAGE = pa.struct({"prompt_tokens": _WHOLE, "completion_tokens": _WHOLE})
_COMPLETION = pa.struct({"text": _TEXT, "stop_reason": _TEXT, "usage": _USAGE, "reasoning": _TEXT})
_PROMPT = pa.struct({"id": _TEXT, "messages": _MESSAGES, "origin": _TEXT})

_NAMED = pa.struct({"name": _TEXT, "hash": _TEXT, "version": _TEXT})
_DRAW = {
    "model": _TEXT,
    "templates": _NAMED,
    "temperature": _REAL,
    "top_p": _REAL,
    "top_k": _WHOLE,
    "max_tokens": _WHOLE,
    "stop": _TEXTS,
}
_PLAN = pa.struct(
    {
        "rounds": _WHOLE,
        "tags": _TEXTS,
        "few_shots": _WHOLE,
        "is_direct": _BOOL,
        "is_minimal": _BOOL,
        "stops_early": _BOOL,
    }
)
_JUDGE_PLAN = pa.struct(
    {
        "tags": _TEXTS,
        "n_principles": _WHOLE,
        "has_rationale": _BOOL,
        "clamp": pa.list_(_REAL),
        "samples": _WHOLE,
        "with_negated": _BOOL,
        "few_shots": _WHOLE,
        "tie_margin": _REAL,
    }
)
_SCORE_PLAN = pa.struct({"kind": _TEXT, "tags": _TEXTS, "samples": _WHOLE})
_PROVENANCE = pa.struct(
    {
        "method": _TEXT,
        "run": _TEXT,
        "origin": _TEXT,
        "models": _TEXTS,
        "principle_ids": _TEXTS,
        "flags": pa.list_(_TEXTS),
        "confidence": _REAL,
        "source_files": _TEXTS,
        "source_hash": _TEXT,
        "constitution": _NAMED,
        "roles": pa.struct({role: pa.struct(_DRAW) for role in ("respond", "critique", "revise")}),
        "policies": pa.list_(pa.struct(_DRAW)),
        "judges": pa.list_(pa.struct({**_DRAW, "reads_logprobs": _BOOL})),
        "plan": _PLAN,
        "judge_plan": _JUDGE_PLAN,
        "score_plan": _SCORE_PLAN,
        "pairing": _TEXT,
        "seed": _WHOLE,
    }
)
_COMMON = {"id": _TEXT, "provenance": _PROVENANCE}

_JUDGING = pa.struct(
    {
        "basis": _TEXT,
        "outcome": _TEXT,
        "margin": _REAL,
        "by_principle": pa.list_(pa.struct({"principle": _TEXT, "probability": _REAL})),
        "n_flips": _WHOLE,
        "n_questions": _WHOLE,
        "chosen_place": _WHOLE,
        "rejected_place": _WHOLE,
        "chosen_rank": _WHOLE,
        "rejected_rank": _WHOLE,
        "n_responses": _WHOLE,
    }
)
_SURENESS = {"chosen_probability": _REAL, "judging": _JUDGING}
_PAIR = {"prompt": _MESSAGES, "chosen": _MESSAGES, "rejected": _MESSAGES, **_SURENESS}
_WHOLE_PAIR = {"chosen": _MESSAGES, "rejected": _MESSAGES, **_SURENESS}

_FIELDS: dict[Columns, dict[Format, dict[str, pa.DataType]]] = {
    "trl": {
        "sft": {"prompt": _MESSAGES, "completion": _MESSAGES},
        "preference": _PAIR,
        "reward": _PAIR,
        "kto": {"prompt": _MESSAGES, "completion": _MESSAGES, "label": _BOOL},
        "prompts": {"prompt": _MESSAGES},
    },
    "openrlhf": {
        "sft": {"input": _MESSAGES},
        "preference": _WHOLE_PAIR,
        "reward": _WHOLE_PAIR,
        "kto": {"input": _MESSAGES, "label": _WHOLE},
        "prompts": {"input": _MESSAGES, "datasource": _TEXT},
    },
    "verl": {
        "sft": {"messages": _MESSAGES},
        "prompts": {
            "data_source": _TEXT,
            "prompt": _MESSAGES,
            "ability": _TEXT,
            "reward_model": pa.struct({"style": _TEXT, "ground_truth": _TEXT}),
            "extra_info": pa.struct({"split": _TEXT, "index": _WHOLE, "id": _TEXT}),
        },
    },
}

_ROUND = pa.struct(
    {"principle_id": _TEXT, "critique": _COMPLETION, "revision": _COMPLETION, "flags": _TEXTS}
)
_READING = pa.struct(
    {
        "outcome": _TEXT,
        "p_a": _REAL,
        "mass": _REAL,
        "rationales": _TEXTS,
        "answers": _TEXTS,
        "reason": _TEXT,
        "usage": _USAGE,
        "error": _TEXT,
    }
)
_JUDGEMENT = pa.struct(
    {
        "judge": _TEXT,
        "principle_id": _TEXT,
        "criterion_id": _TEXT,
        "is_negated": _BOOL,
        "weight": _REAL,
        "there": _READING,
        "back": _READING,
        "outcome": _TEXT,
        "p_a": _REAL,
    }
)
_VERDICT = pa.struct({"outcome": _TEXT, "p_a": _REAL, "judgements": pa.list_(_JUDGEMENT)})
_GROUP = pa.struct(
    {
        "prompt": _PROMPT,
        "candidates": pa.list_(pa.struct({"text": _TEXT, "model": _TEXT, "is_cut_off": _BOOL})),
        "label": _TEXT,
        "label_confidence": _REAL,
        "tags": pa.list_(pa.struct({"name": _TEXT, "value": _TEXT})),
    }
)
_SCORE = pa.struct(
    {
        "kind": _TEXT,
        "judge": _TEXT,
        "principle_id": _TEXT,
        "weight": _REAL,
        "outcome": _TEXT,
        "value": _REAL,
        "probabilities": pa.list_(_REAL),
        "mass": _REAL,
        "answers": _TEXTS,
        "reason": _TEXT,
        "usage": _USAGE,
        "error": _TEXT,
    }
)
_BODIES: dict[Method, pa.DataType] = {
    "revise": pa.struct({"prompt": _PROMPT, "response": _COMPLETION, "rounds": pa.list_(_ROUND)}),
    "sample": pa.struct(
        {
            "prompt": _PROMPT,
            "samples": pa.list_(pa.struct({"model": _TEXT, "completion": _COMPLETION})),
        }
    ),
    "judge": pa.struct(
        {
            "group": _GROUP,
            "contests": pa.list_(
                pa.struct({"first": _WHOLE, "second": _WHOLE, "verdict": _VERDICT})
            ),
            "strengths": pa.list_(_REAL),
        }
    ),
    "score": pa.struct(
        {"prompt": _PROMPT, "response": _TEXT, "model": _TEXT, "scores": pa.list_(_SCORE)}
    ),
}
_ERROR = pa.struct({"kind": _TEXT, "message": _TEXT, "is_retryable": _BOOL, "cause": _TEXT})


def write_parquet(groups: Iterable[list[Row]], export: Export, path: Path) -> None:
    """Writes each group of rows as one row group; conversations are lists of {role, content}."""
    schema = _schema(export)
    with pq.ParquetWriter(path, schema) as writer:
        for group in groups:
            writer.write_table(pa.Table.from_pylist(group, schema=schema))


def as_dataset(rows: list[Row], export: Export) -> "Dataset":
    """The rows in memory, in the columns of their format."""
    from datasets import Dataset  # heavy

    return Dataset(pa.Table.from_pylist(rows, schema=_schema(export)))


def _schema(export: Export) -> pa.Schema:
    if export.format == "everything":
        bodies = {COLUMN_OF[method]: _BODIES[method] for method in export.methods}
        return pa.schema({"id": _TEXT, "error": _ERROR, **bodies, "provenance": _PROVENANCE})
    return pa.schema({**_FIELDS[export.columns][export.format], **_COMMON})
