"""What belongs to a prompt in another column: where it goes, in every kind of source."""

from pathlib import Path

import pytest
from sources import pairs_in, prompts_in, responses_in, write

from cai.errors import SourceError
from cai.types import Message

SYSTEM = Message("system", "Be brief.")
CHAT = [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "So."}]


def user(text: str) -> Message:
    return Message("user", text)


@pytest.mark.parametrize(
    ("row", "messages"),
    [
        ({"system": "Be brief.", "prompt": "Why?"}, (SYSTEM, user("Why?"))),
        ({"System_Prompt": "Be brief.", "question": "Why?"}, (SYSTEM, user("Why?"))),
        ({"system": "Be brief.", "conversations": CHAT}, (SYSTEM, user("Why?"))),
        ({"context": "A text.", "question": "Why?"}, (user("A text.\n\nWhy?"),)),
        ({"passage": "A text.", "query": "Why?"}, (user("A text.\n\nWhy?"),)),
        ({"documents": ["One.", "Two."], "question": "Why?"}, (user("One.\n\nTwo.\n\nWhy?"),)),
        ({"instruction": "Translate.", "prompt": "Pain"}, (user("Translate.\n\nPain"),)),
        ({"instruction": "Translate.", "question": "Pain"}, (user("Translate.\n\nPain"),)),
        ({"instruction": "Sum up.", "input": "A text."}, (user("Sum up.\n\nA text."),)),
        (
            {"history": [["Hi.", "Hello."]], "instruction": "Why?", "input": ""},
            (user("Hi."), Message("assistant", "Hello."), user("Why?")),
        ),
        (
            {"history": [{"role": "user", "content": "Hi."}], "prompt": "Why?"},
            (user("Hi.\n\nWhy?"),),
        ),
        (
            {"history": ["Hi.", "Hello."], "system": "Be brief.", "prompt": "Why?"},
            (SYSTEM, user("Hi."), Message("assistant", "Hello."), user("Why?")),
        ),
        ({"instruction": "Why?", "prompt": "Task: Why?"}, (user("Task: Why?"),)),
        ({"system": "", "context": None, "tools": [], "prompt": "Why?"}, (user("Why?"),)),
    ],
)
def test_a_companion_is_joined_where_it_belongs(
    tmp_path: Path, row: dict[str, object], messages: tuple[Message, ...]
):
    [prompt] = prompts_in(write(tmp_path / "a.jsonl", row)).read()
    assert prompt.messages == messages


@pytest.mark.parametrize(
    "row",
    [
        {"question": "Why?", "chosen": "So.", "rejected": "No."},
        {
            "chosen": "\n\nHuman: Why?\n\nAssistant: So.",
            "rejected": "\n\nHuman: Why?\n\nAssistant: No.",
        },
        {
            "conversations": CHAT[:1],
            "chosen": CHAT[1],
            "rejected": {"from": "gpt", "value": "No."},
        },
    ],
)
def test_the_system_text_of_a_pair_stands_first(tmp_path: Path, row: dict[str, object]):
    [pair] = pairs_in(write(tmp_path / "a.jsonl", {"system": "Be brief.", **row})).read()
    assert pair.prompt.messages == (SYSTEM, user("Why?"))
    assert {pair.response_a, pair.response_b} == {"So.", "No."}


@pytest.mark.parametrize("row", [{"prompt": "Why?", "response": "So."}, {"messages": CHAT}])
def test_the_system_text_of_a_response_stands_first(tmp_path: Path, row: dict[str, object]):
    [response] = responses_in(write(tmp_path / "a.jsonl", {"system": "Be brief.", **row})).read()
    assert (response.prompt.messages, response.text) == ((SYSTEM, user("Why?")), "So.")


def test_definitions_of_tools_are_refused(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", {"tools": [{"name": "look"}], "prompt": "Why?"})
    with pytest.raises(SourceError, match="'tools' has definitions of tools"):
        prompts_in(path).check()


def test_a_text_column_that_is_not_used_is_named(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", {"prompt": "Why?", "response": "So.", "hint": "x", "n": 3})
    assert prompts_in(path).check().summary.describe().endswith("not used: 'response', 'hint'")
    assert responses_in(path).check().summary.describe().endswith("not used: 'hint'")


def test_chosen_is_the_prompt_only_where_nothing_else_is(tmp_path: Path):
    for column in ("question", "instruction", "input", "messages"):
        value = CHAT if column == "messages" else "Why?"
        path = write(tmp_path / "a.jsonl", {column: value, "chosen": "So.", "rejected": "No."})
        assert [prompt.messages for prompt in prompts_in(path).read()] == [(user("Why?"),)]
