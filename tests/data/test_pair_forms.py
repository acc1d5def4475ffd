"""The forms in which data sets publish pairs, scores and candidates: each gives the same pair."""

import csv
import json
from pathlib import Path

import pytest
from sources import pairs_in, prompts_in, write

from cai.data.labelled_pair import LabelledPair
from cai.data.pair_options import PairOptions
from cai.errors import SourceError

GOOD, BAD = "Oil it.", "Throw it away."
ASK = {"role": "user", "content": "Why?"}
GOOD_TURN, BAD_TURN = ({"role": "assistant", "content": text} for text in (GOOD, BAD))
TWO = {"prompt": "Why?", "response_a": GOOD, "response_b": BAD}


def better(pair: LabelledPair) -> tuple[str, str]:
    assert pair.label in ("a", "b")
    sides = (pair.response_a, pair.response_b)
    return sides if pair.label == "a" else (sides[1], sides[0])


def candidates(key: str, score: str, good: object, bad: object) -> list[dict[str, object]]:
    return [{key: BAD, score: bad, "model": "m2"}, {key: GOOD, score: good, "model": "m1"}]


FORMS: dict[str, dict[str, object]] = {
    "LLaMA-Factory": {"conversations": [ASK], "chosen": GOOD_TURN, "rejected": BAD_TURN},
    "one-message lists": {"prompt": "Why?", "chosen": [GOOD_TURN], "rejected": [BAD_TURN]},
    "RewardBench 2": {"prompt": "Why?", "chosen": [GOOD], "rejected": [BAD]},
    "older LLaMA-Factory": {"instruction": "Why?", "input": "", "output": [GOOD, BAD]},
    "UltraFeedback": {
        "instruction": "Why?",
        "completions": candidates("response", "overall_score", 9, 2.5),
    },
    "Nectar": {"prompt": "Why?", "answers": candidates("answer", "rank", 1, 7)},
    "lists": {"prompt": "Why?", "generations": [BAD, GOOD], "ratings": [1, 5]},
    "ranks": {"prompt": "Why?", "responses": [BAD, GOOD], "ranks": [2, 1]},
    "message candidates": {
        "prompt": [ASK],
        "responses": [[BAD_TURN], [GOOD_TURN]],
        "scores": [0.1, 0.9],
    },
    "struct of candidates": {
        "prompt": "Why?",
        "completions": {"response": [BAD, GOOD], "score": [0.5, 2]},
    },
    "Stack Exchange": {"question": "Why?", "response_j": GOOD, "response_k": BAD},
    "WebGPT": {
        "question": {"dataset": "eli5", "id": "1", "full_text": "Why?"},
        **{"answer_0": BAD, "answer_1": GOOD, "score_0": -0.5, "score_1": 0.5},
    },
    "OpenAI": {
        "input": {"messages": [ASK], "tools": []},
        "preferred_output": [GOOD_TURN],
        "non_preferred_output": [BAD_TURN],
    },
    "summarize from feedback": {
        "info": {"id": "t3", "post": "Why?", "title": "", "subreddit": "r"},
        "summaries": [{"text": BAD, "policy": "sup"}, {"text": GOOD, "policy": "ref"}],
        "choice": 1,
    },
    "HelpSteer3": {
        "context": [ASK],
        **{"response1": BAD, "response2": GOOD, "overall_preference": 2},
    },
    "SHP": {"history": "Why?", "human_ref_A": BAD, "human_ref_B": GOOD, "labels": 0},
    "one-hot": {**TWO, "winner_model_a": 1, "winner_model_b": 0, "winner_tie": 0},
    "struct of lists": {
        "prompt": {"role": ["user"], "content": ["Why?"]},
        "chosen": {"role": ["assistant"], "content": [GOOD]},
        "rejected": {"role": ["assistant"], "content": [BAD]},
    },
    "Arena in JSON": {
        "prompt": '["Why?"]',
        **{"response_a": json.dumps([BAD]), "response_b": json.dumps([GOOD])},
        **{"winner_model_a": 0, "winner_model_b": 1, "winner_tie": 0},
    },
    "ChatML": {
        "prompt": "<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n",
        "chosen": f"{GOOD}<|im_end|>",
        "rejected": f"{BAD}<|im_end|>\n",
    },
}


@pytest.mark.parametrize("name", FORMS)
def test_a_published_form_gives_its_pair(tmp_path: Path, name: str):
    path = write(tmp_path / "a.jsonl", FORMS[name])
    [pair] = pairs_in(path).read()
    assert pair.prompt.request == "Why?"
    assert better(pair) == (GOOD, BAD)
    assert [prompt.request for prompt in prompts_in(path).read()] == ["Why?"]


def test_rows_of_one_prompt_are_a_group(tmp_path: Path):
    rows = [
        {"prompt": "Why?", "response": BAD, "helpfulness": 1, "model": "base"},
        {"prompt": "How?", "response": "So.", "helpfulness": 2, "model": "base"},
        {"prompt": "Why?", "response": GOOD, "helpfulness": 3, "model": "policy"},
        {"prompt": "How?", "response": "Thus.", "helpfulness": 2, "model": "policy"},
    ]
    first, second = pairs_in(write(tmp_path / "a.jsonl", *rows)).read()
    assert better(first) == (GOOD, BAD)
    assert {first.model_a, first.model_b} == {"base", "policy"}
    assert first.prompt.origin.endswith("a.jsonl:1")
    assert (second.prompt.request, second.label) == ("How?", "tie")


def test_a_named_column_has_the_scores_of_a_group(tmp_path: Path):
    rows = [
        {"prompt": "Why?", "response": text, "helpfulness": 0, "care": care}
        for text, care in ((GOOD, 4), (BAD, 1))
    ]
    path = write(tmp_path / "a.jsonl", *rows)
    [pair] = pairs_in(path, PairOptions(label_column="care")).read()
    assert better(pair) == (GOOD, BAD)


def test_a_lone_response_is_a_bad_row(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", {"prompt": "Why?", "response": GOOD})
    with pytest.raises(SourceError, match="has 1 response to its prompt"):
        pairs_in(path).check()


@pytest.mark.parametrize(
    ("columns", "confidence"),
    [
        ({"overall_preference": -3}, 1.0),
        ({"overall_preference": -1}, 2 / 3),
        ({"score_a": 5, "score_b": 1}, 1.0),
        ({"score_a": 1.0, "score_b": 0.5}, 0.75),
    ],
)
def test_a_margin_is_a_confidence(tmp_path: Path, columns: dict[str, object], confidence: float):
    rows = [{**TWO, **columns}, {**TWO, "prompt": "How?", **dict.fromkeys(columns, 0)}]
    first, second = pairs_in(write(tmp_path / "a.jsonl", *rows)).read()
    assert (better(first), second.label) == ((GOOD, BAD), "tie")
    expected = confidence if "score_b" not in columns or columns["score_b"] != 1 else 0.9
    assert first.label_confidence == pytest.approx(expected)


def test_scores_against_the_ranking_are_a_bad_row(tmp_path: Path):
    row = {"prompt": "Why?", "chosen": GOOD, "rejected": BAD}
    path = write(tmp_path / "a.jsonl", {**row, "score_chosen": 1, "score_rejected": 4})
    with pytest.raises(SourceError, match="prefer the worse response"):
        pairs_in(path).check()


def test_every_two_candidates_are_a_pair(tmp_path: Path):
    row = {"prompt": "Why?", "generations": ["a", "b", "c"], "ratings": [1, 2, 2], "id": "k"}
    pairs = list(pairs_in(write(tmp_path / "a.jsonl", row)).read())
    assert [better(pair) for pair in pairs[:2]] == [("b", "a"), ("c", "a")]
    assert [(pair.prompt.id, pair.label == "tie") for pair in pairs] == [
        *[("k.1", False), ("k.2", False), ("k.3", True)]
    ]


def test_two_true_outcomes_are_no_label(tmp_path: Path):
    row = {**TWO, "winner_model_a": 1, "winner_model_b": 1, "winner_tie": 0}
    with pytest.raises(SourceError, match="exactly one of them must be true"):
        pairs_in(write(tmp_path / "a.jsonl", row)).check()


def oasst(id: str, parent: str | None, role: str, text: str, rank: int | None = None):
    return {"message_id": id, "parent_id": parent, "role": role, "text": text, "rank": rank}


OASST = [
    oasst("1", None, "prompter", "Why?"),
    *(oasst("2", "1", "assistant", BAD, 1), oasst("3", "1", "assistant", GOOD, 0)),
    oasst("4", "3", "prompter", "And then?"),
]


def test_the_messages_of_a_tree_are_threads(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", *OASST)
    first, second = prompts_in(path).read()
    assert [turn.content for turn in second.messages] == ["Why?", GOOD, "And then?"]
    assert (first.id, first.request) == ("1", "Why?")
    [pair] = pairs_in(path, skip_bad_rows=True).read()
    assert better(pair) == (GOOD, BAD)


def test_a_whole_tree_is_read_as_its_messages_are(tmp_path: Path):
    def node(row: dict[str, object]) -> dict[str, object]:
        replies = [node(each) for each in OASST if each["parent_id"] == row["message_id"]]
        return {**row, "replies": replies}

    path = write(tmp_path / "a.jsonl", {"message_tree_id": "1", "prompt": node(OASST[0])})
    assert [prompt.request for prompt in prompts_in(path).read()] == ["Why?", "And then?"]


@pytest.mark.parametrize("dump", [json.dumps, repr, lambda v: repr(v).replace("}, {", "}\n {")])
def test_messages_in_a_cell_are_a_conversation(tmp_path: Path, dump: object):
    turns = [ASK, GOOD_TURN, {"role": "user", "content": 'It\'s "so"?'}]
    with (tmp_path / "a.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["messages"], [dump(turns)]])  # pyright: ignore
    [prompt] = prompts_in(tmp_path / "a.csv").read()
    assert [turn.content for turn in prompt.messages] == ["Why?", GOOD, 'It\'s "so"?']


def test_an_object_of_both_sides_says_which_one_is_better(tmp_path: Path):
    row = {"prompt": "Why?", "responses": {"rejected": "No.", "chosen": "So."}}
    [pair] = pairs_in(write(tmp_path / "a.jsonl", row)).read()
    assert (pair.response_a if pair.label == "a" else pair.response_b) == "So."
    assert (pair.model_a, pair.model_b) == ("", "")
