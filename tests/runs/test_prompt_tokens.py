"""A usage that cannot be is warned of, once."""

import io

import pytest
from rich.console import Console

from cai.engine.calls import wrap_model
from cai.models.base import Completion, Sampling, Usage
from cai.models.scripted import ScriptedModel
from cai.runs.prompt_tokens import PromptWatch
from cai.types import Message


@pytest.mark.parametrize(("n_words", "n_tokens", "is_warned"), [
    (3000, 2048, True), (3000, 3900, False), (3000, 0, False), (100, 10, False), (200, 149, True),
    (200, 150, False),
])  # fmt: skip
async def test_fewer_tokens_than_words_is_a_prompt_that_was_cut(
    n_words: int, n_tokens: int, is_warned: bool
):
    printed = io.StringIO()
    watch = PromptWatch(Console(file=printed))
    cutting = ScriptedModel(lambda m, s: Completion("Hm.", usage=Usage(n_tokens, 1)))
    model = wrap_model(cutting, watch.answer)
    for _ in range(2):
        await model.complete((Message("user", "lamp " * n_words),), Sampling())
    assert printed.getvalue().count("may cut long prompts") == int(is_warned)
    assert not is_warned or f"{n_tokens:,} prompt tokens" in printed.getvalue()


async def test_text_without_spaces_is_no_cut_prompt():
    printed = io.StringIO()
    counting = ScriptedModel(lambda m, s: Completion("Hm.", usage=Usage(900, 1)))
    model = wrap_model(counting, PromptWatch(Console(file=printed)).answer)
    await model.complete((Message("user", "灯笼很亮" * 400),), Sampling())
    assert printed.getvalue() == ""
