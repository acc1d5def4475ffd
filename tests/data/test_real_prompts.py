"""Published data sets as they are, and deliberately broken files; skipped where absent."""

import csv
import json
from itertools import pairwise

import pytest
from shared_data import bad_inputs, data_file
from sources import prompts_in

from cai.errors import SourceError


@pytest.mark.parametrize(
    ("name", "n_prompts", "column"),
    [
        ("hh-rlhf/harmless-base.test.even.jsonl", 500, "chosen"),
        ("hh-rlhf/harmless-base.first50.jsonl.gz", 50, "chosen"),
        ("advbench/harmful_behaviors.even.csv", 260, "goal"),
        ("harmbench/harmbench_behaviors_text_val.csv", 80, "Behavior"),
        ("strongreject/strongreject.even.csv", 157, "forbidden_prompt"),
        ("red-instruct/catqa_english.json", 550, "text"),
        ("red-instruct/catqa_vietnamese.json", 550, "text"),
        ("xstest/xstest_prompts.even.csv", 225, "prompt"),
        ("do-not-answer/do_not_answer_en.even.csv", 470, "question"),
        ("safety-tuned-llamas/I-MaliciousInstructions.json", 100, "instructions"),
        ("safety-tuned-llamas/I-PhysicalSafetySafe.json", 100, "instructions"),
        ("safety-tuned-llamas/I-PhysicalSafetyUnsafe.json", 100, "instructions"),
        ("safety-tuned-llamas/safety_only_data_Instructions.even.json", 400, "instruction"),
        ("mt-bench/mt_bench_question.jsonl", 80, "turns"),
        ("mt-bench/dummy_conversation.sample.json", 100, "conversations"),
        ("alpaca-eval/alpaca-7b.gpt4_annotations.even.json", 150, "instruction"),
        ("llmbar/Natural.json", 100, "input"),
        ("llmbar/Adversarial_Neighbor.json", 134, "input"),
    ],
)
def test_a_published_data_set_is_read_whole(name: str, n_prompts: int, column: str):
    path = data_file(name)
    summary = prompts_in(path).check().summary
    prompts = list(prompts_in(path).read())
    assert (summary.n_items, summary.n_bad, len(prompts)) == (n_prompts, 0, n_prompts)
    assert summary.column == column
    assert all(prompt.messages[-1].role == "user" for prompt in prompts)
    assert len({prompt.id for prompt in prompts}) == n_prompts


def test_hh_rlhf_dialogues_lose_their_last_answer_and_nothing_else():
    path = data_file("hh-rlhf/harmless-base.test.even.jsonl")
    dialogues = [json.loads(line)["chosen"] for line in path.read_text().split("\n") if line]
    speakers = {"user": "Human", "assistant": "Assistant"}
    n_whole = 0
    for prompt, dialogue in zip(prompts_in(path).read(), dialogues, strict=True):
        again = "".join(f"\n\n{speakers[turn.role]}: {turn.content}" for turn in prompt.messages)
        assert dialogue.startswith(again)
        n_whole += dialogue.rsplit("\n\nAssistant: ", 1)[0] == again
        assert all(one.role != other.role for one, other in pairwise(prompt.messages))
    # In one dialogue the assistant has the last two turns, and both go.
    assert n_whole == 499


def test_mt_bench_gives_first_turns():
    path = data_file("mt-bench/mt_bench_question.jsonl")
    rows = [json.loads(line) for line in path.read_text().split("\n") if line]
    expected = [(str(row["question_id"]), row["turns"][0]) for row in rows]
    assert [(prompt.id, prompt.request) for prompt in prompts_in(path).read()] == expected


def test_harmbench_contexts_stand_before_the_behaviour():
    path = data_file("harmbench/harmbench_behaviors_text_val.csv")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for prompt, row in zip(prompts_in(path).read(), rows, strict=True):
        assert prompt.id == row["BehaviorID"]
        assert prompt.request.endswith(row["Behavior"])
        assert prompt.request.startswith(row["ContextString"] or row["Behavior"])
    assert sum(bool(row["ContextString"]) for row in rows) == 19


def test_many_data_sets_are_read_as_one():
    names = ["advbench/harmful_behaviors.even.csv", "red-instruct/catqa_english.json"]
    paths = [data_file(name) for name in names]
    assert prompts_in(paths).check().summary.n_items == 810
    assert len({prompt.id for prompt in prompts_in(paths).read()}) == 810


# The manifest wants an error of missing_prompt.jsonl; its column `question` is one that is found
# here, so that only a column named `prompt` is missing: see the test below.
ADAPTED = "prompts/missing_prompt.jsonl"


def test_every_accepted_file_is_accepted_and_every_other_refused():
    data_file("bad_inputs/manifest.csv")
    rows = bad_inputs("prompts")
    assert len(rows) == 16
    for row in rows:
        path = data_file(f"bad_inputs/{row['file']}")
        if row["expected"] == "accept" or row["file"] == ADAPTED:
            assert prompts_in(path).check().summary.n_bad == 0, row["file"]
        else:
            with pytest.raises(SourceError):
                prompts_in(path).check()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("broken_last_line.jsonl", ":3: is not JSON"),
        ("null_prompt.jsonl", ":2: 'prompt' is null"),
        ("wrong_types.jsonl", ":1: 'prompt' is a number"),
        ("duplicate_ids.jsonl", ":2: the id '1' is already that of "),
        ("duplicate_json_keys.jsonl", ":1: names the key 'prompt' twice"),
        ("raw_nul_bytes.jsonl", ":1: holds a raw NUL byte"),
        ("lone_surrogate.jsonl", ":1: 'prompt' holds half of a surrogate pair"),
        ("ragged.csv", ":3: has the wrong number of fields: expected 2, got 4"),
    ],
)
def test_a_broken_file_is_told_by_line_and_reason(name: str, reason: str):
    path = data_file(f"bad_inputs/prompts/{name}")
    with pytest.raises(SourceError) as caught:
        prompts_in(path).check()
    assert str(caught.value).startswith(f"{path}{reason}")


def test_a_missing_column_lists_the_columns_found():
    path = data_file("bad_inputs/prompts/missing_prompt.jsonl")
    with pytest.raises(SourceError, match=r"no column 'prompt'\. Its columns: 'id', 'question'"):
        prompts_in(path, column="prompt").check()


def test_blank_lines_count_and_odd_texts_arrive_unchanged():
    blank = data_file("bad_inputs/prompts/ok_blank_lines.jsonl")
    assert [prompt.origin.rpartition(":")[2] for prompt in prompts_in(blank).read()] == ["2", "5"]
    for name in ("ok_emoji_rtl_zalgo", "ok_special_tokens", "ok_nul_and_control"):
        path = data_file(f"bad_inputs/prompts/{name}.jsonl")
        rows = [json.loads(line) for line in path.read_text().split("\n") if line]
        prompts = list(prompts_in(path).read())
        assert [prompt.request for prompt in prompts] == [row["prompt"] for row in rows]
        assert all(len(prompt.messages) == 1 for prompt in prompts)
