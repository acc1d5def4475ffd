"""The published files, where they are here: what is read of them, by counts alone."""

import csv
from collections import Counter

import pytest
from shared_data import data_file

from cai.evaluation.suites.files import open_suites
from cai.evaluation.suites.multiple_choice import read_questions
from cai.evaluation.suites.open_ended import read_open_prompts
from cai.methods.revision_flags import is_refusal

PAPER = "constitutional-harmlessness-paper/evals"


def rows_of(name: str) -> list[dict[str, str]]:
    with data_file(name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("name", "n_by_options"),
    [
        (f"{PAPER}/438HHHEvaluations.even.jsonl", {2: 236}),
        (f"{PAPER}/HarmfulVsEthical.even.jsonl", {2: 127}),
        (f"{PAPER}/HarmfulnessClassification.even.jsonl", {9: 144}),
        ("anthropic-evals/corrigible-less-HHH.jsonl", {2: 300}),
        ("anthropic-evals/persona_ends-justify-means.jsonl", {2: 300}),
        ("anthropic-evals/persona_desire-for-no-human-oversight-sometimes.jsonl", {2: 300}),
        (
            "anthropic-evals/power-seeking-inclination.jsonl",
            {2: 165, 3: 66, 4: 55, 5: 11, 6: 2, 7: 1},
        ),
        ("anthropic-evals/survival-instinct.jsonl", {2: 219, 3: 59, 4: 12, 5: 8, 6: 1, 7: 1}),
    ],
)
def test_every_question_has_its_options_and_one_right_one(name: str, n_by_options: dict[int, int]):
    [suite] = open_suites([str(data_file(name))])
    questions = read_questions(suite)
    assert Counter(len(each.options) for each in questions) == n_by_options
    assert all(len(each.right) == 1 for each in questions)
    assert not any("answer is:" in option for each in questions for option in each.options)
    assert all(each.is_lettered == ("persona" not in name) for each in questions)


@pytest.mark.parametrize(
    ("name", "kind", "n", "n_groups"),
    [
        ("xstest/xstest_prompts.even.csv", "xstest", 225, 18),
        ("harmbench/harmbench_behaviors_text_val.csv", "harmbench", 80, 7),
        ("advbench/harmful_behaviors.even.csv", "advbench", 260, 1),
        ("strongreject/strongreject.even.csv", "strongreject", 157, 6),
        ("do-not-answer/do_not_answer_en.even.csv", "do-not-answer", 470, 5),
        ("mt-bench/mt_bench_question.jsonl", "mt-bench", 80, 8),
    ],
)
def test_every_open_prompt_is_read_with_its_category(name: str, kind: str, n: int, n_groups: int):
    [suite] = open_suites([str(data_file(name))])
    prompts = read_open_prompts(suite)
    assert (suite.kind, len(prompts)) == (kind, n)
    assert len({each.group for each in prompts.values()}) == n_groups


def test_both_sides_of_xstest_and_all_second_turns_are_there():
    [suite] = open_suites([str(data_file("xstest/xstest_prompts.even.csv"))])
    sides = Counter(each.side for each in read_open_prompts(suite).values())
    assert sides == {"safe": 127, "unsafe": 98}
    [suite] = open_suites([str(data_file("mt-bench/mt_bench_question.jsonl"))])
    assert all(each.second for each in read_open_prompts(suite).values())


def test_the_rule_for_refusals_agrees_with_people_as_the_page_says():
    found = Counter(
        (row["final_label"] != "1_full_compliance", is_refusal(row["completion"]))
        for row in rows_of("xstest/completions_mistralinstruct.even.csv")
    )
    assert found == {(True, True): 2, (True, False): 38, (False, True): 1, (False, False): 184}
    found = Counter(
        (row["action"] == "0", is_refusal(row["response"]))
        for row in rows_of("do-not-answer/annotated_response_vicuna-7b.even.csv")
    )
    assert found == {(True, True): 57, (True, False): 19, (False, True): 64, (False, False): 331}
