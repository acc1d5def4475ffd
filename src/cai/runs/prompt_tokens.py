"""Servers that cut prompts: fewer prompt tokens than the request has words.

Ollama, for one, drops the beginning of a request that is longer than its context, without a word;
a judge then compares what is left. What the server counts tells: no tokenizer puts several words of
ordinary text into one token.

Example:
    watch = PromptWatch(console)
    model = wrap_model(engine.wrap(model, "judge"), watch.answer)
"""

from dataclasses import dataclass

from rich.console import Console

from cai.engine.calls import Answer, Call, CallNext
from cai.runs.warning import warn

FEWEST_WORDS = 200
"""A shorter request tells nothing: test servers count what they like."""

LEAST_TOKENS_OF_A_WORD = 0.75
"""Of tokenizers that do join words, the largest vocabularies come to about 0.9."""


@dataclass(slots=True)
class PromptWatch:
    """Warns once, on the console, of a usage that cannot be."""

    console: Console
    has_warned: bool = False

    async def answer(self, call: Call, call_next: CallNext) -> Answer:
        answer = await call_next()
        n_tokens = answer.usage.prompt_tokens
        if not self.has_warned and n_tokens:  # 0 where the server counts nothing
            n_words = sum(len(message.content.split()) for message in call.messages)
            if n_words >= FEWEST_WORDS and n_tokens < LEAST_TOKENS_OF_A_WORD * n_words:
                self.has_warned = True
                warn(
                    self.console,
                    f"{call.model} counts {n_tokens:,} prompt tokens for a request of {n_words:,} "
                    "words: the server may cut long prompts. Raise its context length (of Ollama: "
                    "num_ctx), or see whether it leaves cached tokens out of its count.",
                )
        return answer
