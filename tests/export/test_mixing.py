"""Exports with people's rows among those of runs: how many, which, and where each comes from."""

import json
from collections import Counter
from pathlib import Path

import pyarrow.parquet as parquet
import pytest
from made_runs import MIXED, chain, contested, made_run, revised, samples
from shared_data import HARMLESS, needs_dialogues
from small_runs import write_rows

import cai
from cai.engine.run_folder import RunFolder
from cai.errors import ExportError, SourceError, UsageError
from cai.export.formats import Format
from cai.export.mix_spec import Mix, Mixing
from cai.export.selection import Selection, is_sft_prompt
from cai.export.writers import SUFFIXES, export_dataset, export_file
from cai.types import Message


def people(path: Path, n: int = 40) -> Path:
    """Pairs of which every fifth says how sure it is."""
    sure = [{"label_confidence": 0.75} if i % 5 == 0 else {} for i in range(n)]
    return write_rows(
        path,
        [
            {"prompt": f"How is {i}?", "chosen": f"Well, {i}.", "rejected": "Bah.", **sure[i]}
            for i in range(n)
        ],
    )


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """Thirty judged pairs."""
    judged = [contested(str(n), ["Do it.", "Better not."], {(0, 1): 0.25}) for n in range(30)]
    return made_run(tmp_path / "run", judged)


def read(path: Path) -> list[dict]:
    if path.suffix == ".parquet":
        return parquet.read_table(path).to_pylist()
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def methods(rows: list[dict]) -> Counter[str]:
    return Counter(row["provenance"]["method"] for row in rows)


@pytest.mark.parametrize("format", ["sft", "preference", "reward", "kto", "prompts"])
def test_the_share_is_reached_in_every_format_and_every_kind_of_file(
    format: Format, run: RunFolder, tmp_path: Path
):
    """10 people's beside 30 are one quarter; of kto there are two rows a pair on both sides."""
    mixing = Mixing((Mix(str(people(tmp_path / "people.jsonl")), weight=0.25),))
    written: list[list[dict]] = []
    for suffix in (".jsonl", ".parquet"):
        path = tmp_path / f"rows{suffix}"
        summary = export_file([run], format, path, mixing=mixing)
        written.append(same_metadata(read(path)))
        assert summary.n_rows == len(written[-1])
        assert summary.mixed[0].share == 0.25
    factor = 2 if format == "kto" else 1
    assert methods(written[0]) == {"judge": 30 * factor, "people": 10 * factor}
    assert written[0] == written[1]
    assert written[0] == same_metadata(list(export_dataset([run], format, mixing=mixing)))
    assert methods(written[0][: 8 * factor])["people"] in (2 * factor, 2 * factor + 1)
    if format == "kto":
        labels = Counter(row["label"] for row in written[0])
        assert (summary.n_good, summary.n_bad) == (labels[True], labels[False])
    run.close()


def same_metadata(rows: list[dict]) -> list[dict]:
    """The rows with the metadata as JSON, as they are in Parquet."""
    for row in rows:
        if isinstance(row["metadata"], dict):
            row["metadata"] = json.dumps(row["metadata"])
    return rows


def test_a_mixed_row_says_where_it_comes_from_and_how_sure_it_is(run: RunFolder, tmp_path: Path):
    file = people(tmp_path / "people.jsonl", 5)
    path = tmp_path / "rows.jsonl"
    export_file([run], "preference", path, mixing=Mixing((Mix(str(file), confidence=0.9),)))
    rows = read(path)
    assert len({tuple(row["provenance"]) for row in rows}) == 1, "all rows have the same keys"
    mixed = [row for row in rows if row["provenance"]["method"] == "people"]
    first = mixed[0]["provenance"]
    told = {key: value for key, value in first.items() if value is not None}
    assert told == {
        "method": "people",
        "origin": "people.jsonl:1",
        "models": ["", ""],
        "confidence": 0.75,
        "source_files": ["people.jsonl"],
        "source_hash": told["source_hash"],
    }
    assert [row["chosen_probability"] for row in mixed] == [0.75, 0.9, 0.9, 0.9, 0.9]
    assert [row["provenance"]["origin"] for row in mixed] == [
        f"people.jsonl:{n}" for n in range(1, 6)
    ]
    assert mixed[0]["prompt"] == [{"role": "user", "content": "How is 0?"}]
    assert mixed[0]["judging"] is None
    run.close()


def test_rows_of_another_export_are_not_called_peoples(run: RunFolder, tmp_path: Path):
    with made_run(tmp_path / "other", [chain("7", "No.", revised("Yes."))]) as other:
        export_file([other], "preference", tmp_path / "other.jsonl")
    path = tmp_path / "rows.jsonl"
    export_file([run], "preference", path, mixing=Mixing((Mix(str(tmp_path / "other.jsonl")),)))
    assert methods(read(path)) == {"judge": 30, "export": 1}
    run.close()


@pytest.mark.parametrize("trainer", ["trl", "openrlhf"])
def test_a_mixed_row_has_the_columns_of_the_others(trainer: str, run: RunFolder, tmp_path: Path):
    path = tmp_path / "rows.jsonl"
    mixing = Mixing((Mix(str(people(tmp_path / "people.jsonl")), count=3),))
    export_file([run], "preference", path, trainer=trainer, mixing=mixing)
    assert len({tuple(row) for row in read(path)}) == 1
    run.close()


def test_mixing_again_gives_the_same_bytes_and_another_seed_other_rows(
    run: RunFolder, tmp_path: Path
):
    mix = (Mix(str(people(tmp_path / "people.jsonl")), weight=0.25),)
    written: list[bytes] = []
    for number, seed in enumerate((0, 0, 1)):
        path = tmp_path / f"{number}.jsonl"
        export_file([run], "preference", path, mixing=Mixing(mix, seed))
        written.append(path.read_bytes())
    assert written[0] == written[1] != written[2]
    run.close()


def test_the_split_and_the_least_margin_hold_for_mixed_rows(run: RunFolder, tmp_path: Path):
    mixing = Mixing((Mix(str(people(tmp_path / "people.jsonl"))),))
    prompts: list[set[str]] = []
    for format in ("sft", "preference"):
        path = tmp_path / f"{format}.jsonl"
        selection = Selection(sft_share=0.5, min_margin=0.2)
        summary = export_file([run], format, path, selection, mixing=mixing)
        prompts.append({row["prompt"][0]["content"] for row in read(path)})
        assert all(
            is_sft_prompt([Message("user", text)], 0.5) == (format == "sft") for text in prompts[-1]
        )
        assert summary.mixed[0].left_out["in the other split"] > 0
    assert prompts[0].isdisjoint(prompts[1])
    selection = Selection(min_margin=0.3)
    with pytest.raises(ExportError, match="no row is left to write"):
        export_file([run], "preference", tmp_path / "x.jsonl", selection, mixing=mixing)
    run.close()


@pytest.mark.parametrize("format", ["preference", "kto"])
def test_labels_that_are_less_sure_than_the_least_margin_are_not_mixed_in(
    format: Format, run: RunFolder, tmp_path: Path
):
    """Eight of the forty pairs are sure to 0.75, and the run's to as much."""
    mixing = Mixing((Mix(str(people(tmp_path / "people.jsonl")), confidence=0.7),))
    path = tmp_path / "rows.jsonl"
    summary = export_file([run], format, path, Selection(min_margin=0.25), mixing=mixing)
    n = 2 if format == "kto" else 1
    assert (summary.mixed[0].n, summary.mixed[0].left_out) == (8 * n, {"unsure": 32 * n})
    run.close()


def test_a_row_that_the_run_has_already_is_not_written_twice(run: RunFolder, tmp_path: Path):
    own = [
        {"prompt": f"Question {n}?", "chosen": "Better not.", "rejected": "Do it."}
        for n in range(15)
    ]
    write_rows(tmp_path / "both.jsonl", [*own, *read(people(tmp_path / "people.jsonl", 4))])
    path = tmp_path / "rows.jsonl"
    mixing = Mixing((Mix(str(tmp_path / "both.jsonl")),))
    summary = export_file([run], "preference", path, mixing=mixing)
    assert summary.n_rows == len(read(path)) == 34
    assert summary.mixed[0].left_out == {"repeated": 15}
    assert summary.describe().endswith(
        f"mixed in: {tmp_path / 'both.jsonl'}: 4 rows, 11.8 % of the mix (not taken: 15 repeated)"
    )
    run.close()


def test_what_cannot_be_mixed_is_told_and_no_file_is_left(run: RunFolder, tmp_path: Path):
    file = people(tmp_path / "people.jsonl")
    (tmp_path / "broken.jsonl").write_text('{"prompt": "q", "chosen": "x", "rej', "utf-8")
    path = tmp_path / "rows.jsonl"
    for format, mix, error in (
        ("everything", Mix(str(file)), ExportError),
        ("sft", Mix(str(file), confidence=0.9), UsageError),
        ("preference", Mix(str(tmp_path / "none.jsonl")), SourceError),
        ("preference", Mix(str(tmp_path / "broken.jsonl")), SourceError),
        ("preference", Mix(str(file), weight=1.5), UsageError),
    ):
        with pytest.raises(error):
            export_file([run], format, path, mixing=Mixing((mix,)))
    assert {each.name for each in tmp_path.iterdir()} == {"run", "people.jsonl", "broken.jsonl"}
    run.close()


def test_samples_with_peoples_texts_are_one_sft_file_from_python(tmp_path: Path):
    made_run(tmp_path / "run", [samples(str(n), f"Say {n}.") for n in range(6)]).close()
    file = write_rows(tmp_path / "people.jsonl", [{"prompt": "Hm?", "completion": "Yes."}] * 2)
    dataset = cai.Run(tmp_path / "run").export("sft", mix=[f"{file}:weight=0.2"])
    assert methods(list(dataset)) == {"sample": 6, "people": 1}
    for suffix in SUFFIXES:
        summary = cai.Run(tmp_path / "run").export_file(
            "sft", tmp_path / f"x{suffix}", mix=cai.Mixing((cai.Mix(str(file)),))
        )
        assert (summary.n_rows, dict(summary.mixed[0].left_out)) == (7, {"repeated": 1})


@needs_dialogues
def test_hh_rlhf_is_mixed_in_with_its_bad_rows_counted(tmp_path: Path):
    with made_run(tmp_path / "run", [*MIXED]) as run:
        mix = (Mix(str(HARMLESS), weight=0.99, confidence=0.7),)
        with pytest.raises(SourceError, match="--skip-bad-rows"):
            export_file([run], "preference", tmp_path / "x.parquet", mixing=Mixing(mix))
        mixing = Mixing(mix, skip_bad_rows=True)
        summary = export_file([run], "preference", tmp_path / "x.parquet", mixing=mixing)
    rows = read(tmp_path / "x.parquet")
    assert methods(rows) == {"revise": 2, "people": 198}
    assert summary.mixed[0].left_out == {"no shared prompt": 2, "blank": 1}
    assert {row["chosen_probability"] for row in rows} == {None, 0.7}
