"""The report of a folder that holds several: found, in order, each once."""

import os
from pathlib import Path

import pytest
from made_findings import evaluation, series, training, win_rate
from made_runs import DRAW, SAMPLING, chain, made_run, revised, samples
from made_verdicts import judge_recipe, judged, principle_verdict
from reading_pages import Page, read
from reward_server import CallCai

from cai.engine.run_folder import RunFolder
from cai.errors import UsageError
from cai.report.build import write_report
from cai.report.discover import find_folders
from cai.runs.config import REWARD, Source

FIGURES = {"steps": 3, "seconds": 60.0, "train": {}, "evaluation": {}}


def made_chain(out: Path) -> Path:
    """Revision, SFT, samples, verdicts and GRPO, begun in another order than that of the chain."""
    rewarded = training(
        out / "rl", "grpo", f"hf:{out}/sl", sources={"prompts.jsonl": 9}, figures=FIGURES
    )
    training(out / "sl", sources={str(out / "revised"): 3}, figures=FIGURES)
    judging = judge_recipe("embedded#60e14d94").model_copy(
        update={"source": Source(files=("samples",), column="samples", hash="aa")}
    )
    made_run(out / "judged", [judged("1", principle_verdict(0.9))], judging).close()
    policy = DRAW.model_copy(update={"model": f"hf:{out}/sl@bf1af314f94a"})
    sampling = SAMPLING.model_copy(update={"policies": (policy,)})
    made_run(out / "samples", [samples("1", "a b", "c d")], sampling).close()
    made_run(out / "revised", [chain("1", "bad", revised("good"))]).close()
    with RunFolder.open(rewarded / "judging", {"method": REWARD}, {}):
        pass
    return out


def parts(page: Page) -> list[str]:
    found = [text for level, text in page.headings if level == 2]
    return [text.split(" ")[-1].partition("/")[2] for text in found if text[0].isdigit()]


def test_a_chain_is_told_in_its_order_whatever_came_first(tmp_path: Path):
    page = read(write_report(made_chain(tmp_path / "out")))
    order = parts(page)
    assert sorted(order) == ["judged", "revised", "rl", "samples", "sl"]
    for earlier, later in (
        *(("revised", "sl"), ("sl", "samples"), ("samples", "judged"), ("sl", "rl")),
    ):
        assert order.index(earlier) < order.index(later), order


def test_the_judge_of_a_chain_that_was_trained_there_is_told_loudly(tmp_path: Path):
    """Through two trainings: the last policy began with one that began with the judge."""
    page = read(write_report(made_chain(tmp_path / "out")))
    doubts = page.text.partition("What to distrust")[2]
    assert doubts.startswith(
        " The judge is the very model that was trained here, embedded: a judge tends to favour"
    )
    assert "No label of a person is in any of this" in doubts


def test_every_part_has_a_number_that_leads_to_it(tmp_path: Path):
    page = read(write_report(made_chain(tmp_path / "out")))
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    targets = {attrs["href"] for tag, attrs in page.tags if tag == "a"}
    assert targets >= {f"#part-{number}" for number in range(1, 6)}
    assert {str(target).removeprefix("#") for target in targets} <= set(ids)


def test_time_and_calls_of_a_chain_are_the_sum_of_its_parts(tmp_path: Path):
    out = made_chain(tmp_path / "out")
    evaluation(out / "eval", win_rate("SL", "start", 3, 1))
    page = read(write_report(out))
    assert "calls of models 1.2k" in page.text
    assert "time 2 min 00 s" in page.text


def test_what_holds_other_parts_is_not_added_twice(tmp_path: Path):
    out = evaluation(tmp_path / "eval", win_rate("SL", "start", 3, 1))
    made_run(out / "samples", [samples("1", "a", "b")]).close()
    page = read(write_report(out))
    assert "calls of models 1.2k" in page.text
    assert page.row("What each part took", "1. Evaluation of policies")[0] == "1.2k"
    assert "What holds other parts is not added to the whole twice." in page.text


def test_the_answers_of_a_trainings_judges_are_no_part_of_their_own(tmp_path: Path):
    out = made_chain(tmp_path / "out")
    assert [folder for folder in find_folders([out]) if "judging" in folder.path.parts] == []


def test_rounds_come_before_what_was_done_in_each(tmp_path: Path):
    out = series(tmp_path / "tries")
    for number in (2, 1):
        made_run(out / f"round-{number}" / "revised", [chain("1", "bad", revised("good"))]).close()
    os.utime(out / "rounds.json")
    places = [str(folder.path.relative_to(out)) for folder in find_folders([out])]
    assert places[0] == "."
    assert sorted(places[1:]) == ["round-1/revised", "round-2/revised"]


def test_several_folders_make_one_report(tmp_path: Path):
    one = made_run(tmp_path / "a", [chain("1", "bad", revised("good"))])
    two = made_run(tmp_path / "b", [samples("1", "a", "b")])
    one.close()
    two.close()
    page = read(write_report([one.path, two.path, one.path], tmp_path / "both.html"))
    assert [text.split(" ")[-1] for _, text in page.headings if text[0].isdigit()] == ["a", "b"]
    assert page.headings[0] == (1, "a and b")


def test_folders_named_as_what_they_were_made_from_have_an_order_still(tmp_path: Path):
    """Two trainings that name each other's folder: a circle, so the older one is first."""
    old = training(tmp_path / "a", sources={"x/b": 1}, figures=FIGURES)
    training(tmp_path / "b", sources={"x/a": 1}, figures=FIGURES)
    os.utime(old / "training.yaml", (1, 1))
    assert [folder.path.name for folder in find_folders([tmp_path])] == ["a", "b"]


def test_a_folder_without_anything_is_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="holds no run, training, evaluation or rounds"):
        find_folders([tmp_path])


@pytest.mark.slow
def test_a_real_chain_of_the_embedded_model_is_told_against_the_truth(
    tmp_path: Path, call_cai: CallCai
):
    asked = Path(__file__).parents[2] / "examples" / "prompts.jsonl"
    common = ("-c", "testbed", "-m", "embedded")
    revision, verdicts, marks = (tmp_path / "out" / name for name in ("first", "judged", "marks"))
    assert call_cai("revise", asked, *common, "--limit", 6, "-o", revision).code == 0
    assert call_cai("judge", revision, *common, "-o", verdicts).code in (0, 2)
    assert call_cai("score", revision, *common, "-o", marks).code == 0
    ended = call_cai("report", tmp_path / "out")
    assert ended.code == 0
    assert str(tmp_path / "out" / "report.html") in ended.out
    page = read(tmp_path / "out" / "report.html")
    assert parts(page)[0] == "first"
    assert len(page.tables["Against the truth"]) == 1 + 2
    assert "harmful requests helped with, before → after revision, n = 4" in page.text
    assert "dollars $0.00" in page.text
    assert "Only 6 examples: shares may differ by chance." in page.text
