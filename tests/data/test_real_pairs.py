"""Published pair files and labelled responses as they are, and broken ones; skipped where absent.

The counts were made beside the readers: rows, blank and equal sides and labels with a few lines of
Python over the parsed files.
"""

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from shared_data import bad_inputs, data_file
from sources import pairs_in, responses_in

from cai.data.pair_options import PairOptions
from cai.data.responses import ResponseOptions
from cai.errors import SourceError

PAPER = "constitutional-harmlessness-paper"
SYCOPHANCY = PairOptions(better_column="n_completion", worse_column="s_completion")


def rows_of(path: Path) -> list[Any]:
    if ".jsonl" not in path.name:
        return json.loads(path.read_text("utf-8"))
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [json.loads(line) for line in data.split(b"\n") if line]


@pytest.mark.parametrize(
    ("name", "n_pairs", "bad_kinds"),
    [
        ("hh-rlhf/harmless-base.test.even.jsonl", 497, {"no shared prompt": 2, "blank": 1}),
        ("hh-rlhf/harmless-base.first50.jsonl.gz", 49, {"blank": 1}),
        (f"{PAPER}/evals/438HHHEvaluations.even.jsonl", 236, {}),
        (f"{PAPER}/evals/HarmfulVsEthical.even.jsonl", 127, {}),
        (f"{PAPER}/evals/HarmfulnessClassification.even.jsonl", 1152, {}),
        (f"{PAPER}/prompts/RLMadisonFewShotPrompts.json", 5, {}),
        ("trustllm/sycophancy.even.json", 90, {"blank": 120}),
    ],
)
def test_a_file_of_better_and_worse_is_read_whole(
    name: str, n_pairs: int, bad_kinds: dict[str, int]
):
    path = data_file(name)
    options = SYCOPHANCY if "sycophancy" in name else PairOptions()
    if bad_kinds:
        with pytest.raises(SourceError, match="--skip-bad-rows"):
            pairs_in(path, options).check()
    summary = pairs_in(path, options, skip_bad_rows=True).check().summary
    assert (summary.n_items, summary.bad_kinds) == (n_pairs, bad_kinds)
    assert set(summary.labels) == {"a", "b"}
    # Five standard deviations of as many fair coins: one file in two million falls further.
    assert abs(summary.labels["a"] - n_pairs / 2) < 5 * (n_pairs**0.5 / 2)
    pairs = list(pairs_in(path, options, skip_bad_rows=True).read())
    assert len({pair.prompt.id for pair in pairs}) == n_pairs


@pytest.mark.parametrize(
    ("name", "labels", "bad_kinds"),
    [
        ("llmbar/Natural.json", {"a": 42, "b": 58}, {}),
        ("llmbar/Adversarial_Neighbor.json", {"a": 75, "b": 59}, {}),
        ("llmbar/Processed_LLMEval2.json", {"a": 90, "b": 108}, {"equal sides": 1, "blank": 1}),
        (
            "alpaca-eval/alpaca-7b.gpt4_annotations.even.json",
            {"a": 111, "b": 35},
            {"equal sides": 4},
        ),
    ],
)
def test_a_file_with_labels_is_read_whole(
    name: str, labels: dict[str, int], bad_kinds: dict[str, int]
):
    path = data_file(name)
    summary = pairs_in(path, skip_bad_rows=True).check().summary
    assert (summary.labels, summary.bad_kinds) == (labels, bad_kinds)
    rows = rows_of(path)
    for pair in pairs_in(path, skip_bad_rows=True).read():
        row = rows[int(pair.prompt.origin.rpartition("[")[2].removesuffix("]"))]
        assert (pair.response_a, pair.response_b) == (row["output_1"], row["output_2"])
        assert pair.prompt.request == row.get("input", row.get("instruction"))
        assert pair.label == {1: "a", 2: "b"}[row.get("label", row.get("preference"))]


def test_hh_rlhf_pairs_are_put_together_again():
    path = data_file("hh-rlhf/harmless-base.test.even.jsonl")
    rows = rows_of(path)
    speakers = {"user": "Human", "assistant": "Assistant"}
    for pair in pairs_in(path, skip_bad_rows=True).read():
        row = rows[int(pair.prompt.origin.rpartition(":")[2]) - 1]
        prompt = "".join(f"\n\n{speakers[m.role]}: {m.content}" for m in pair.prompt.messages)
        better, worse = pair.response_a, pair.response_b
        if pair.label == "b":
            better, worse = worse, better
        assert row["chosen"] == f"{prompt}\n\nAssistant: {better}"
        assert row["rejected"] == f"{prompt}\n\nAssistant: {worse}"


def test_nine_options_are_eight_pairs_a_row():
    path = data_file(f"{PAPER}/evals/HarmfulnessClassification.even.jsonl")
    pairs = list(pairs_in(path).read())
    rows = rows_of(path)
    assert len(pairs) == 8 * len(rows)
    for place, pair in enumerate(pairs):
        row = rows[place // 8]
        sides = {pair.label: pair.response_a} if pair.label == "a" else {"b": pair.response_b}
        assert list(sides.values()) == row["corrects"]
        assert pair.prompt.request == row["prompt"]


def test_few_shot_prompts_are_conversations():
    path = data_file(f"{PAPER}/prompts/RLMadisonFewShotPrompts.json")
    for pair, row in zip(pairs_in(path).read(), rows_of(path), strict=True):
        assert row["prompt"] == f"\n\nHuman: {pair.prompt.request}\n\nAssistant:"


def test_tags_and_models_of_annotations_are_kept():
    path = data_file("alpaca-eval/alpaca-7b.gpt4_annotations.even.json")
    pairs = list(pairs_in(path, skip_bad_rows=True).read())
    assert {(pair.model_a, pair.model_b) for pair in pairs} == {("text_davinci_003", "alpaca-7b")}
    assert {pair.tags["dataset"] for pair in pairs} == {
        *("helpful_base", "koala", "oasst", "selfinstruct", "vicuna")
    }


def test_pairs_without_prompts_are_read_under_one_prompt():
    path = data_file("constitutions/icai/synthetic_data_aligned_vqvtb.csv")
    with pytest.raises(SourceError, match="no column is known to hold the prompts"):
        pairs_in(path).check()
    summary = pairs_in(path, PairOptions(prompt_text="Write a text.")).check().summary
    assert (summary.n_items, summary.labels) == (30, {"a": 8, "b": 22})


def test_every_broken_pair_file_is_refused_and_no_other():
    data_file("bad_inputs/manifest.csv")
    rows = bad_inputs("preference")
    assert len(rows) == 8
    for row in rows:
        assert row["expected"] == "error"
        with pytest.raises(SourceError):
            pairs_in(data_file(f"bad_inputs/{row['file']}")).check()


@pytest.mark.parametrize(
    ("name", "reason", "kinds"),
    [
        ("broken_last_line", ":2: is not JSON", {"unreadable row": 1}),
        ("chosen_equals_rejected", ":1: 'chosen' and 'rejected' are equal", None),
        ("contradicting_pairs", ":2: prefers the other one", {"contradiction": 1}),
        ("empty_strings", ":1: 'chosen' is blank", None),
        ("hh_prefix_mismatch", ":1: the two dialogues do not share a prompt", None),
        ("missing_rejected", ":2: has no 'rejected'", {"missing": 1}),
        ("null_fields", ":1: 'chosen' is null", None),
        ("wrong_types", ":1: 'chosen' is a list", None),
    ],
)
def test_a_broken_pair_file_is_told_by_line_and_reason(
    name: str, reason: str, kinds: dict[str, int] | None
):
    """Where `kinds` is None no row is left when the bad ones are passed over."""
    path = data_file(f"bad_inputs/preferences/{name}.jsonl")
    with pytest.raises(SourceError) as caught:
        pairs_in(path).check()
    assert str(caught.value).startswith(f"{path}{reason}")
    if kinds is not None:
        assert pairs_in(path, skip_bad_rows=True).check().summary.bad_kinds == kinds
        return
    with pytest.raises(SourceError, match="no row is a pair"):
        pairs_in(path, skip_bad_rows=True).check()


@pytest.mark.parametrize(
    ("name", "options", "labels"),
    [
        (
            "xstest/completions_mistralinstruct.even.csv",
            ResponseOptions(),
            {"1_full_compliance": 185, "2_full_refusal": 26, "3_partial_refusal": 14},
        ),
        (
            "do-not-answer/annotated_response_vicuna-7b.even.csv",
            ResponseOptions(label_column="harmful"),
            {"0": 445, "1": 26},
        ),
        (
            "do-not-answer/annotated_response_vicuna-7b.even.csv",
            ResponseOptions(label_column="action"),
            {"0": 76, "1": 145, "2": 25, "3": 57, "4": 140, "5": 28},
        ),
        ("safety-tuned-llamas/safety_only_data_Instructions.even.json", None, {None: 400}),
        ("mt-bench/dummy_conversation.sample.json", None, {None: 100}),
    ],
)
def test_published_responses_are_read_with_their_labels(
    name: str, options: ResponseOptions | None, labels: dict[str | None, int]
):
    path = data_file(name)
    chosen = options or ResponseOptions()
    summary = responses_in(path, chosen).check().summary
    assert (summary.labels, summary.n_bad) == (labels, 0)
    responses = list(responses_in(path, chosen).read())
    assert len({response.prompt.id for response in responses}) == sum(labels.values())


def test_labels_of_responses_stand_with_their_responses():
    path = data_file("xstest/completions_mistralinstruct.even.csv")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for response, row in zip(responses_in(path).read(), rows, strict=True):
        assert (response.prompt.id, response.prompt.request) == (row["id"], row["prompt"])
        assert (response.text, response.label) == (row["completion"], row["final_label"])
        assert response.tags == {"type": row["type"]}
