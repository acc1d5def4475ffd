"""`check_responses` and `read_responses`: columns, dialogues, labels, ids and bad rows."""

from pathlib import Path

import pytest
from sources import responses_in, write

from cai.data.responses import LabelledResponse, ResponseOptions
from cai.errors import SourceError
from cai.types import Message

USER, ASSISTANT = (
    {"role": "user", "content": "Hello?"},
    {"role": "assistant", "content": "Good day."},
)
GOOD = {"prompt": "Hello?", "response": "Good day."}


def only(path: Path, **options: str) -> LabelledResponse:
    [response] = responses_in(path, ResponseOptions(**options)).read()
    return response


@pytest.mark.parametrize(
    "row",
    [
        GOOD,
        {"question": "Hello?", "Answer": "Good day."},
        {"input": "Hello?", "output": "Good day."},
        {"prompt": "Hello?", "completion": "Good day."},
        {"prompt": [USER], "completion": [ASSISTANT]},
        {"prompt": "Hello?", "completion": [USER, ASSISTANT]},
        {"messages": [USER, ASSISTANT]},
        {"chosen": "\n\nHuman: Hello?\n\nAssistant: Good day."},
    ],
)
def test_a_known_form_gives_the_response(tmp_path: Path, row: dict[str, object]):
    response = only(write(tmp_path / "a.jsonl", row))
    assert response.prompt.messages == (Message("user", "Hello?"),)
    assert response.prompt.origin == f"{tmp_path / 'a.jsonl'}:1"
    assert (response.text, response.model, response.label, response.tags) == (
        "Good day.",
        "",
        None,
        {},
    )


def test_the_instruction_is_joined_with_its_input(tmp_path: Path):
    row = {"instruction": "Sum up.", "input": "A text.", "output": "Short."}
    response = only(write(tmp_path / "a.jsonl", row))
    assert (response.prompt.request, response.text) == ("Sum up.\n\nA text.", "Short.")


def test_named_columns_are_taken(tmp_path: Path):
    row = {**GOOD, "ask": "Why?", "said": "So.", "verdict": "ok", "key": "k"}
    path = write(tmp_path / "a.jsonl", row)
    response = only(
        path,
        prompt_column="ask",
        response_column="said",
        label_column="verdict",
        id_column="key",
    )
    assert (response.prompt.id, response.prompt.request) == ("k", "Why?")
    assert (response.text, response.label) == ("So.", "ok")


def test_models_and_tags_are_kept(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", {**GOOD, "model": "m", "category": "c"})
    response = only(path)
    assert (response.model, response.tags) == ("m", {"category": "c"})
    assert responses_in(path).check().summary.models == {"m"}


@pytest.mark.parametrize(
    ("value", "label"),
    [
        *[(True, True), (False, False), ("safe", "safe"), (" safe ", "safe")],
        *[(3, "3"), (0, "0"), (None, None), ("", None)],
    ],
)
def test_a_label_is_kept_as_it_is_said(tmp_path: Path, value: object, label: str | bool | None):
    path = write(tmp_path / "a.jsonl", {**GOOD, "label": value})
    found = only(path).label
    assert (type(found), found) == (type(label), label)
    assert responses_in(path).check().summary.labels == {label: 1}


def test_ids_are_given_or_of_prompt_and_response(tmp_path: Path):
    other = {**GOOD, "response": "Hi."}
    path = write(tmp_path / "a.jsonl", GOOD, other, GOOD)
    ids = [response.prompt.id for response in responses_in(path).read()]
    assert ids == [ids[0], ids[1], f"{ids[0]}-2"]
    assert ids[0] != ids[1]
    twice = write(tmp_path / "b.jsonl", {**GOOD, "id": 1}, {**other, "id": 1})
    with pytest.raises(SourceError, match=r"the id '1' is already that of .*b\.jsonl:1"):
        responses_in(twice).check()
    assert responses_in(twice, ResponseOptions(id_column="")).check().summary.n_items == 2
    samples = write(tmp_path / "c.jsonl", {**GOOD, "prompt_id": 1}, {**other, "prompt_id": 1})
    assert responses_in(samples).check().summary.n_items == 2


@pytest.mark.parametrize(
    ("good", "bad", "kind", "reason"),
    [
        (GOOD, {"prompt": "x"}, "missing", "has no 'response'"),
        (GOOD, {**GOOD, "response": None}, "missing", "'response' is null"),
        (GOOD, {**GOOD, "response": " "}, "blank", "'response' is blank"),
        (GOOD, {**GOOD, "response": 7}, "malformed", "'response' is a number"),
        (GOOD, {**GOOD, "prompt": ""}, "blank", "'prompt' is blank"),
        ({**GOOD, "label": "x"}, {**GOOD, "label": 0.5}, "wrong label", "'label' is 0.5"),
        ({**GOOD, "id": "x"}, {**GOOD, "id": ""}, "wrong id", "'id' is blank"),
        ({"messages": [USER, ASSISTANT]}, {"messages": [USER]}, "malformed", "does not end in"),
        ({"messages": [USER, ASSISTANT]}, {"messages": []}, "malformed", "does not end in"),
        (
            {"messages": [USER, ASSISTANT]},
            {"messages": [USER, ASSISTANT, ASSISTANT]},
            "malformed",
            "ends in two turns of the assistant",
        ),
        ({"messages": [USER, ASSISTANT]}, {"messages": [ASSISTANT]}, "malformed", "no user turn"),
    ],
)
def test_a_bad_row_stops_the_reading_or_is_counted_by_kind(
    tmp_path: Path, good: object, bad: object, kind: str, reason: str
):
    path = write(tmp_path / "a.jsonl", good, bad)
    with pytest.raises(SourceError) as caught:
        responses_in(path).check()
    assert str(caught.value).startswith(f"{path}:2: ")
    assert reason in str(caught.value)
    with pytest.raises(SourceError, match="--skip-bad-rows"):
        list(responses_in(path).read())
    summary = responses_in(path, skip_bad_rows=True).check().summary
    assert (summary.n_items, dict(summary.bad_kinds)) == (1, {kind: 1})
    assert summary.describe().endswith(f"\n1 row skipped: 1 {kind}")
    assert len(list(responses_in(path, skip_bad_rows=True).read())) == 1


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "x", "reply": "y"}, "hold the responses. Its columns: 'prompt', 'reply'"),
        ({"said": "x", "response": "y"}, "hold the prompts. Its columns: 'said', 'response'"),
        ({**GOOD, "answer": "x"}, "any of 'response', 'answer'. Name it with --response-column"),
        ({**GOOD, "label": 1, "final_label": 1}, "Name it with --label-column label"),
    ],
)
def test_columns_that_are_unknown_or_ambiguous_are_named(
    tmp_path: Path, row: dict[str, object], message: str
):
    with pytest.raises(SourceError) as caught:
        responses_in(write(tmp_path / "a.jsonl", row)).check()
    assert message in str(caught.value)


def test_a_column_that_is_not_there_is_told(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", GOOD)
    with pytest.raises(SourceError, match=r"no column 'respons'.*Did you mean 'response'\?"):
        responses_in(path, ResponseOptions(response_column="respons")).check()


def test_the_summary_and_its_hash_say_what_was_read(tmp_path: Path):
    row = {**GOOD, "label": True, "type": "t"}
    path = write(tmp_path / "a.jsonl", row)
    summary = responses_in(path).check().summary
    assert summary.describe() == (
        f"{path}: 1 response from 'response', prompts in 'prompt', labels in 'label', "
        "tags in 'type'"
    )
    for changed in ({"label": "True"}, {"response": "Hi."}, {"type": "u"}, {"model": "m"}):
        other = responses_in(write(tmp_path / "b.jsonl", {**row, **changed})).check().summary
        assert other.content_hash != summary.content_hash
    dialogue = responses_in(write(tmp_path / "c.jsonl", {"messages": [USER, ASSISTANT]})).check()
    described = dialogue.summary.describe()
    assert "1 response, the last turns of the dialogues in 'messages'" in described
