"""reasoning.py: thoughts are told from answers."""

import pytest

from cai.models.base import opening_at_end, split_reasoning


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
        ("<Thinking>Hm.</Thinking>\nHello.", "Hm.", "Hello."),
        ("<thought>Hm.</thought>Hello.", "Hm.", "Hello."),
        ("<reasoning>Hm.</reasoning><answer>Hello.</answer>", "Hm.", "Hello."),
        ("<think>Hm.</think>\n<response>\nHello.\n</response>", "Hm.", "Hello."),
        ("[THINK]Hm.[/THINK]Hello.", "Hm.", "Hello."),
        ("[THINK]Hm, and", "Hm, and", ""),
        ("<seed:think>Hm.</seed:think>Hello.", "Hm.", "Hello."),
        ("◁think▷Hm.◁/think▷Hello.", "Hm.", "Hello."),
        (
            "<|START_THINKING|>Hm.<|END_THINKING|><|START_RESPONSE|>Hello.<|END_RESPONSE|>",
            "Hm.",
            "Hello.",
        ),
        ("<|channel>thought\nHm.\n<channel|>Hello.", "Hm.", "Hello."),
        ("<unused94>thought\nHm.<unused95>Hello.", "Hm.", "Hello."),
        (
            "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final"
            "<|message|>Hello.<|return|>",
            "Hm.",
            "Hello.",
        ),
        ("<|channel|>analysis<|message|>Hm, and", "Hm, and", ""),
        ("<|channel|>final<|message|>Hello.", "", "Hello."),
        ("analysisHm.assistantfinalHello.", "Hm.", "Hello."),
        ("analysisWe need to", "We need to", ""),
        ("analysis is a part of mathematics.", "", "analysis is a part of mathematics."),
        ("Hm, well.\n</think>\n\nHello.", "Hm, well.", "Hello."),
        ("Hm, well.[/THINK]\nHello.", "Hm, well.", "Hello."),
        ("The tag </think> ends it.", "", "The tag </think> ends it."),
        ("<answer>Hello.</answer>", "", "<answer>Hello.</answer>"),
    ],
)
def test_only_a_leading_block_is_reasoning(text: str, reasoning: str, answer: str):
    assert split_reasoning(text) == (reasoning, answer)


@pytest.mark.parametrize(("request_text", "opening"), [
    ("<|assistant|>\n<think>\n", "<think>"), ("[INST]Hm?[/INST][THINK]", "[THINK]"),
    ("<|assistant|>", ""), ("<think>\n</think>\n", ""),
])  # fmt: skip
def test_a_request_may_open_the_reasoning(request_text: str, opening: str):
    assert opening_at_end(request_text) == opening
