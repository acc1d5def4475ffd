"""What models write around a revision: cut where it is certain, and nothing else cut."""

import pytest

from cai.methods.revision_flags import revision_flags
from cai.methods.revision_wrapping import unwrapped
from cai.models.base import Completion

REVISION = "Wipe the chain clean, then put one drop on each link."
WRAPPED = [
    'Sure! Here is the revised version of my response:\n\n"{}"\n\n**Changes made:** a first step.',
    "Here is the revised response:\n\n{}",
    "Here’s a more helpful, revised answer: {}",
    "Here is a kinder, more helpful version:\n\n{}",
    "**Revised response:**\n\n{}",
    "### Revised Response\n\n{}",
    "Revision:\n{}",
    "Thank you for the feedback. Here is my revised response:\n\n{}",
    "Of course! Here is an improved version of the response that is kinder:\n\n---\n\n{}\n\n---",
    "Here is the updated answer:\n```\n{}\n```",
    "A better response would be:\n\n{}",
    "{}\n\nChanges made:\n- kinder\n- a step",
    "{}\n\n---\n**Explanation of changes:** kinder.",
    "{}\n\n(Note: I removed the rude words.)",
    "{}\n\nThis revised response is kinder and safer.",
    "{}\n\nLet me know if you'd like any further changes!",
    '"{}"',
    "“{}”",
    "Hier ist die überarbeitete Antwort:\n\n{}",
    "Voici la version révisée :\n\n{}",
    "以下是修改后的回答：\n{}",
]
WHOLE = [
    "Here is how to oil a chain:\n\n1. Wipe it.\n2. Oil it.",
    "Sure! Wipe it first.",
    "Note: I removed my shoes first.",
    "Here is the revised version of your email:\n\nDear Ann,",
    "Here is a better way:\n\nWipe it.",
    'He said "yes" and she said "no"',
    '"A" is a letter and so is "B"',
    "Final answer: 42",
    "This is a new message: hello.",
    "To fix it:\n\nChanges:\n- a\n- b",
    "Let me know if you need anything else!",
    "Here is the revised version:",
]


@pytest.mark.parametrize("around", WRAPPED)
def test_what_stands_around_a_revision_is_cut(around: str):
    text = around.replace("{}", REVISION)
    assert unwrapped(text) == REVISION
    assert revision_flags("Oil it.", Completion(unwrapped(text))) == ()


@pytest.mark.parametrize("text", WHOLE)
def test_what_is_an_answer_is_left_whole(text: str):
    assert unwrapped(text) == text


def test_what_cannot_be_cut_is_flagged():
    said = "I agree with the critique, and so I would now say: wipe it."
    assert unwrapped(said) == said
    assert revision_flags("Oil it.", Completion(said)) == ("wrapped",)
    assert revision_flags("I revised the critique.", Completion(said)) == ()


@pytest.mark.parametrize("part", ["\n", "more kind, ", "note: ", "\n(*", "```\n", "Sure! "])
def test_a_long_text_takes_time_in_proportion(part: str):
    """A hundred thousand characters, which a search of quadratic time would not end with."""
    assert unwrapped("x" + part * (100_000 // len(part))).startswith("x")
