"""People's data beside the rows of a run: shares, sources, what is told of them."""

from collections import Counter
from pathlib import Path

import pytest
from made_runs import contested, made_run
from small_runs import write_rows

import cai
from cai.errors import UsageError
from cai.export.mix_spec import Mix, Mixing
from cai.export.rows import PreferencePair, prompt_of
from cai.training.data.load import TrainingData, load_training_data


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Sixty judged pairs."""
    judged = [contested(str(n), ["Do it.", "Better not."], {(0, 1): 0.25}) for n in range(60)]
    made_run(tmp_path / "run", judged).close()
    return tmp_path / "run"


@pytest.fixture
def people(tmp_path: Path) -> Path:
    rows = [
        {"prompt": f"How is {n}?", "chosen": f"Well, {n}.", "rejected": "Bah."} for n in range(80)
    ]
    return write_rows(tmp_path / "people.jsonl", rows)


def contents(data: TrainingData) -> list[tuple[str, str, float]]:
    found: list[tuple[str, str, float]] = []
    for row in (*data.train, *data.evaluation):
        assert isinstance(row.unit, PreferencePair)
        found.append((prompt_of(row.unit).request, row.unit.chosen, row.confidence))
    return found


def test_the_mix_has_its_share_and_each_row_its_source_and_confidence(run: Path, people: Path):
    """40 rows beside 60 are 0.4 of all."""
    data = load_training_data(run, "preference", [f"{people}:weight=0.4:confidence=0.9"])
    assert data.counts == {str(run): 60, str(people): 40}
    rows = (*data.train, *data.evaluation)
    assert Counter((row.source, row.confidence) for row in rows) == {
        (str(run), 0.75): 60,
        (str(people), 0.9): 40,
    }
    assert data.describe()[:2] == (f"{run}: 60 rows", f"{people}: 40 rows, 40 % of the mix")
    assert data.provenance.methods == ("judge", "people")


def test_the_helpfulness_of_the_paper_is_a_mix_by_name(run: Path, people: Path):
    """0.4253 of all beside 60: 44.4 rows."""
    data = load_training_data(run, "preference", [f"{people}:helpfulness"])
    assert data.counts[str(people)] == 44


def test_too_few_rows_are_told_with_the_share_that_they_are(run: Path, people: Path):
    data = load_training_data(run, "preference", [Mix(str(people), weight=0.9)])
    assert data.describe()[1] == (
        f"{people}: 80 rows, 57.1 % of the mix where 90 % was requested, as it has no more"
    )


def test_what_is_drawn_hangs_on_the_seed_alone(run: Path, people: Path):
    mix = [f"{people}:count=10"]
    one, again, other = (
        load_training_data(run, "preference", mix, seed=seed) for seed in (0, 0, 1)
    )
    assert one.train == again.train
    assert one.content_hash == again.content_hash != other.content_hash
    assert set(contents(one)) != set(contents(other))


def test_training_on_a_mix_and_on_the_file_that_was_exported_with_it_is_the_same(
    run: Path, people: Path, tmp_path: Path
):
    mix = Mix(str(people), weight=0.25, confidence=0.8)
    cai.Run(run).export_file("preference", tmp_path / "rows.jsonl", mix=Mixing((mix,), seed=3))
    of_run = load_training_data(run, "preference", [mix], seed=3)
    of_file = load_training_data(tmp_path / "rows.jsonl", "preference")
    assert sorted(contents(of_run)) == sorted(contents(of_file))
    assert of_run.content_hash == of_file.content_hash
    assert of_file.provenance == of_run.provenance


def test_prompts_of_people_are_mixed_into_those_of_reinforcement_learning(run: Path, people: Path):
    data = load_training_data(run, "prompts", [f"{people}:weight=0.5"])
    assert data.counts == {str(run): 60, str(people): 60}


def test_a_mix_that_cannot_be_followed_is_told_before_anything_is_read(tmp_path: Path):
    with pytest.raises(UsageError, match="the weight is 1"):
        load_training_data(tmp_path / "none", "sft", ["people.jsonl:weight=1"])
