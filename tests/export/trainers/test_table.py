"""The table of trainers: what each reads, and the sentences where it does not."""

from pathlib import Path

import pytest
from made_runs import MIXED, made_run

from cai.errors import ExportError
from cai.export.export import Export
from cai.export.formats import Format
from cai.export.parquet_schema import schema_of
from cai.export.trainers.table import TRAINERS
from cai.export.writers import export_file


@pytest.mark.parametrize(
    ("trainer", "format", "said"),
    [
        ("verl", "kto", "verl does not read the format 'kto'. It reads sft, reward, prompts"),
        ("openrlhf", "kto", "OpenRLHF does not read the format 'kto'"),
        ("torchtune", "everything", "torchtune does not read the format 'everything'"),
        ("other", "sft", "no form of rows for 'other'. Name one of trl, axolotl"),
    ],
)
def test_a_format_that_a_trainer_does_not_read_is_refused(
    trainer: str, format: Format, said: str, tmp_path: Path
):
    with made_run(tmp_path, MIXED) as run, pytest.raises(ExportError, match=said):
        Export.of([run], format, trainer=trainer)


def test_a_file_that_a_trainer_does_not_read_is_refused(tmp_path: Path):
    with (
        made_run(tmp_path / "run", MIXED) as run,
        pytest.raises(ExportError, match=r"verl reads \.parquet"),
    ):
        export_file([run], "sft", tmp_path / "sft.jsonl", trainer="verl")
    assert not (tmp_path / "sft.jsonl").exists()


@pytest.mark.parametrize(
    ("trainer", "format"), [(name, each) for name in TRAINERS for each in TRAINERS[name].row_types]
)
def test_the_columns_of_a_file_are_those_of_its_rows(trainer: str, format: Format, tmp_path: Path):
    with made_run(tmp_path, MIXED) as run:
        schema = schema_of(Export.of([run], format, trainer=trainer))
    assert set(schema.names) > {"id", "metadata", "provenance"}
