"""reasoning.py: thoughts are told from answers."""

import pytest

from cai.models.base import split_reasoning


@pytest.mark.parametrize(
    ("text", "reasoning", "answer"),
    [
        ("Hello.", "", "Hello."),
        (" Hello. ", "", " Hello. "),
        ("<think>\nHm.\n</think>\n\nHello.", "Hm.", "Hello."),
        ("\n<think></think>Hello.", "", "Hello."),
        ("<think>Hm, and", "Hm, and", ""),
        ("I write <think> here.</think>", "", "I write <think> here.</think>"),
        ("<think>a</think>b</think>c", "a", "b</think>c"),
    ],
)
def test_only_a_leading_block_is_reasoning(text: str, reasoning: str, answer: str):
    assert split_reasoning(text) == (reasoning, answer)
