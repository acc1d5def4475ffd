"""The files of an export: the same rows in each kind, whole or not at all, with full provenance."""

import gzip
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pyarrow.parquet as parquet
import pytest
from made_runs import (
    FAILED,
    MIXED,
    MIXED_JUDGED,
    MIXED_SAMPLES,
    MIXED_SCORED,
    chain,
    made_run,
    revised,
)
from rich.console import Console

from cai.constitution.schema import Constitution, Principle
from cai.data.prompts import PromptSource
from cai.engine.run_folder import RunFolder
from cai.errors import ExportError, JournalError
from cai.export.export import Export, ExportSummary
from cai.export.formats import FORMATS, SUFFIXES, Format, Method, Row
from cai.export.trainers.table import TRAINERS
from cai.export.writers import export_dataset, export_file
from cai.methods.revision import Chain, RevisionRoles
from cai.methods.roles import RoleModel
from cai.methods.settings import ReviseSettings
from cai.models.base import Completion, Sampling
from cai.models.scripted import ScriptedModel
from cai.runs.revise import RevisionJob, run_revision
from cai.templates import load_templates
from cai.types import Message, Prompt


def read_back(path: Path) -> list[Row]:
    if path.name.endswith(".parquet"):
        return parquet.read_table(path).to_pylist()
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.name.endswith(".gz") else data).decode("utf-8")
    return [json.loads(line) for line in text.removesuffix("\n").split("\n")]


RUNS = {
    "revise": MIXED,
    "sample": MIXED_SAMPLES,
    "judge": MIXED_JUDGED,
    "score": MIXED_SCORED,
}
FORMATS_OF: dict[Method, tuple[Format, ...]] = {
    "revise": FORMATS,
    "sample": ("sft", "prompts", "everything"),
    "judge": FORMATS,
    "score": ("sft", "preference", "reward", "kto", "everything"),
}
GIVEN = [
    (method, format, trainer)
    for method, formats in FORMATS_OF.items()
    for format in formats
    for trainer in TRAINERS
    if format in TRAINERS[trainer].row_types or (format, trainer) == ("everything", "trl")
]


@pytest.mark.parametrize(("method", "format", "trainer"), GIVEN)
def test_each_format_in_each_kind_of_file_holds_the_same_rows(
    method: Method, format: Format, trainer: str, tmp_path: Path
):
    with made_run(tmp_path / "run", RUNS[method]) as run:
        rows = list(Export.of([run], format, trainer=trainer).rows(ExportSummary(format)))
        assert rows
        for suffix in TRAINERS[trainer].suffixes:
            path = tmp_path / "new" / f"rows{suffix}"
            summary = export_file([run], format, path, trainer=trainer)
            assert read_back(path) == json.loads(json.dumps(rows))
            assert summary.n_rows == len(rows)
        dataset = export_dataset([run], format, trainer=trainer)
        assert dataset.to_list() == json.loads(json.dumps(rows))
    made = {path.name for path in (tmp_path / "new").iterdir()}
    assert made == {f"rows{each}" for each in TRAINERS[trainer].suffixes} | {
        path.name for path in summary.config_files
    }


@pytest.mark.parametrize("method", RUNS)
def test_a_run_gives_the_formats_of_its_method_and_of_others_says_so(
    method: Method, tmp_path: Path
):
    with made_run(tmp_path / "run", RUNS[method]) as run:
        for format in FORMATS:
            if format in FORMATS_OF[method]:
                assert export_file([run], format, tmp_path / "rows.jsonl").n_rows
            else:
                with pytest.raises(ExportError, match=f"run: a run of `cai {method}` has no rows"):
                    export_file([run], format, tmp_path / "none.jsonl")
    assert not (tmp_path / "none.jsonl").exists()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_second_export_is_the_same_byte_for_byte(suffix: str, tmp_path: Path):
    with made_run(tmp_path / "run", MIXED) as run:
        for name in ("one", "another"):
            export_file([run], "sft", tmp_path / f"{name}{suffix}")
    files = [tmp_path / f"{name}{suffix}" for name in ("one", "another")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_many_rows_are_written_in_groups(tmp_path: Path):
    with made_run(tmp_path / "run", (chain(str(n), "x") for n in range(1025))) as run:
        export_file([run], "sft", tmp_path / "rows.parquet")
    file = parquet.ParquetFile(tmp_path / "rows.parquet")
    assert file.num_row_groups == 2
    assert file.read(columns=["id"])["id"].to_pylist() == [str(n) for n in range(1025)]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_half_a_surrogate_pair_in_a_model_s_output_does_not_stop_an_export(
    suffix: str, tmp_path: Path
):
    with made_run(tmp_path / "run", [chain("1", "half \ud83d", revised("y \udc00"))]) as run:
        export_file([run], "preference", tmp_path / f"rows{suffix}")
    (row,) = read_back(tmp_path / f"rows{suffix}")
    assert row["chosen"] == [{"role": "assistant", "content": "y \ufffd"}]
    assert row["rejected"] == [{"role": "assistant", "content": "half \ufffd"}]


@pytest.mark.parametrize(
    "name", ["rows", "rows.json", "rows.csv", "rows.gz", "jsonl", "rows.JSONL"]
)
def test_an_unknown_suffix_is_refused_with_those_there_are(name: str, tmp_path: Path):
    message = r"not one of \.jsonl, \.jsonl\.gz, \.parquet"
    with made_run(tmp_path / "run", MIXED) as run, pytest.raises(ExportError, match=message):
        export_file([run], "sft", tmp_path / name)
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_without_a_row_there_is_no_file_and_an_old_one_stays(suffix: str, tmp_path: Path):
    path = tmp_path / "out" / f"rows{suffix}"
    path.parent.mkdir()
    path.write_text("old")
    chains, message = [FAILED, chain("1", "x")], r"no row is left.*1 failed, 1 unchanged"
    with made_run(tmp_path / "run", chains) as run, pytest.raises(ExportError, match=message):
        export_file([run], "preference", path)
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_target_that_is_a_folder_or_lies_in_a_file_is_said(suffix: str, tmp_path: Path):
    folder, file = tmp_path / f"folder{suffix}", tmp_path / "file"
    folder.mkdir()
    file.write_text("x")
    with made_run(tmp_path / "run", MIXED) as run:
        for target in (folder, file / f"rows{suffix}"):
            with pytest.raises(ExportError, match=r"cannot be written \(.+\)\. Use another place"):
                export_file([run], "sft", target)
    assert {path.name for path in tmp_path.iterdir()} == {folder.name, "file", "run"}
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_folder_that_cannot_be_written_is_said(
    suffix: str,
    open_folder: Path,
    ordinary_user: Callable[[], AbstractContextManager[None]],
    tmp_path: Path,
):
    with made_run(tmp_path / "run", MIXED) as run:
        assert run.counts().done == 3
        open_folder.chmod(0o555)
        with ordinary_user(), pytest.raises(ExportError, match="Permission denied"):
            export_file([run], "sft", open_folder / f"rows{suffix}")
    assert list(open_folder.iterdir()) == []


def test_a_run_of_another_version_is_refused(tmp_path: Path):
    RunFolder.open(tmp_path / "run", {"method": "judge"}, {}).close()
    run = RunFolder.existing(tmp_path / "run")
    with run, pytest.raises(JournalError, match="not that of a run of this version"):
        export_file([run], "sft", tmp_path / "rows.jsonl")
    assert not (tmp_path / "rows.jsonl").exists()


async def test_every_row_of_a_real_run_says_where_it_comes_from(tmp_path: Path):
    asked = tmp_path / "asked.jsonl"
    asked.write_text('{"prompt": "Hello?"}\n{"prompt": "How are you?"}\n', "utf-8")
    principle = Principle(id="stay-polite", text="Be polite.", tags=("tone",))
    constitution = Constitution(name="one", version="1.2.0", principles=(principle,))
    templates = load_templates("chat")
    warm, cold = Sampling(1.0, top_p=0.9, stop=("END",)), Sampling(0.3, max_tokens=99)
    policy, critic = (
        ScriptedModel(lambda m, s, name=name: f"{name} says {m[-1].content[:5]}", name=name)
        for name in ("policy", "critic")
    )
    role_models = RevisionRoles(
        RoleModel(policy, templates, warm),
        RoleModel(critic, templates, cold),
        RoleModel(policy, templates, cold),
    )
    plan = ReviseSettings(rounds=2, tags=("tone",), minimal=True)
    job = RevisionJob(PromptSource((str(asked),)), constitution, role_models, plan, seed=11)
    await run_revision(tmp_path / "run", job, console=Console(quiet=True))
    export = tmp_path / "rows.jsonl"
    with RunFolder.existing(tmp_path / "run") as run:
        recipe = run.config
        export_file([run], "sft", export)
    rows = read_back(export)
    drawn = {"top_k": 0, "templates": {"name": "chat", "hash": templates.hash, "version": ""}}
    cold_draw = {"temperature": 0.3, "top_p": 1.0, "max_tokens": 99, "stop": [], **drawn}
    assert [row["provenance"] for row in rows] == [
        {
            "method": "revise",
            "run": "run",
            "origin": f"{asked.name}:{line}",
            "models": ["policy"],
            "source_files": ["asked.jsonl"],
            "source_hash": recipe["source"]["hash"],
            "constitution": {"name": "one", "hash": constitution.hash, "version": "1.2.0"},
            "principle_ids": ["stay-polite", "stay-polite"],
            "flags": [[], ["unchanged"]],
            "roles": {
                "respond": {
                    "model": "policy", "temperature": 1.0, "top_p": 0.9, "max_tokens": 512,
                    "stop": ["END"], **drawn,
                },
                "critique": {"model": "critic", **cold_draw},
                "revise": {"model": "policy", **cold_draw},
            },
            "revise_settings": {
                "rounds": 2, "tags": ["tone"], "few_shots": 0, "direct": False,
                "minimal": True, "stop_early": False,
            },
            "seed": 11,
            **dict.fromkeys(
                ["confidence", "policies", "judges", "judge_settings", "score_settings"]
            ),
            "pairing": None,
        }
        for line in (1, 2)
    ]  # fmt: skip
    assert [row["completion"] for row in rows] == [
        [{"role": "assistant", "content": "policy says Rewri"}]
    ] * 2


def test_the_metadata_of_a_prompt_is_a_column_of_every_row(tmp_path: Path):
    """An object in JSONL; its JSON in Parquet, whose columns have one type."""
    metadata = {"rubric": "Be kind.", "ticket": 7}
    prompt = Prompt("1", (Message("user", "Why?"),), "/home/me/asked.jsonl:1", json.dumps(metadata))
    made = made_run(tmp_path / "run", [Chain(prompt, Completion("No."), (revised("So."),))])
    with made as run:
        for format in ("sft", "preference", "kto", "prompts"):
            export_file([run], format, tmp_path / "rows.jsonl")
            export_file([run], format, tmp_path / "rows.parquet")
            for row in read_back(tmp_path / "rows.jsonl"):
                assert row["metadata"] == metadata
                assert row["provenance"]["origin"] == "asked.jsonl:1"
            for row in read_back(tmp_path / "rows.parquet"):
                assert json.loads(row["metadata"]) == metadata
        export_file([run], "everything", tmp_path / "rows.jsonl")
    assert "/home/me" not in (tmp_path / "rows.jsonl").read_text()
