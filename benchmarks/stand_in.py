"""A model and its work for `local_model.py`: random weights of a useful size, and chains to write.

The weights are random, the tokenizer is that of the embedded model. Only whole words can be drawn:
what the model wrote is then encoded again as the tokens it wrote, as nearly always with a trained
model. It never ends a turn, so that lengths can be given, the same for every way of decoding.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM
from transformers.utils import logging

from cai.constitution.loader import load_constitution
from cai.constitution.schema import Principle
from cai.methods.judging.requests import Question, judge_turns
from cai.methods.judging.verdict import Comparison
from cai.methods.revision import critique_turns, revision_turns
from cai.methods.settings import ReviseSettings
from cai.models.hf.model import Checkpoint, ModelSource, open_checkpoint
from cai.templates import load_templates
from cai.testbed.world import requests
from cai.types import Conversation, Message, Prompt, user_prompt

EMBEDDED = Path(__file__).parent.parent / "src" / "cai" / "models" / "embedded"
N_PROMPTS = 64
N_PRINCIPLES = 16
_NEVER = -100.0


@dataclass(frozen=True, slots=True)
class Task:
    """A prompt, the principle of its critique, and how many tokens each step writes."""

    prompt: Prompt
    principle: Principle
    lengths: tuple[int, int, int]

    def request(self, texts: Sequence[str]) -> Conversation:
        """What is asked after these texts: the response, the critique, then the revision."""
        if not texts:
            return self.prompt.messages
        exchange = (*self.prompt.messages, Message("assistant", texts[0]))
        plan, templates = ReviseSettings(), load_templates("chat")
        if len(texts) == 1:
            return critique_turns(templates, self.principle, exchange, plan)
        return revision_turns(templates, self.principle, exchange, texts[1], plan)


def save_stand_in(folder: Path) -> None:
    """Writes a Llama of 20 million parameters."""
    tokenizer = AutoTokenizer.from_pretrained(EMBEDDED)
    # A word is a token that begins with a space, and answers are stripped before they go on.
    turn = "message['content'] + '<|end|>'"
    template = str(tokenizer.chat_template)
    tokenizer.chat_template = template.replace(turn, f"' ' + {turn}", 1)
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=2048,
            hidden_size=384,
            intermediate_size=1024,
            num_hidden_layers=11,
            num_attention_heads=6,
            num_key_value_heads=6,
            max_position_embeddings=2048,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    pieces = tokenizer.get_vocab()
    words = [id for piece, id in pieces.items() if piece[0] == "Ġ" and piece[1:].isalpha()]
    with torch.no_grad():
        # The first feature is always large, so that its weight is a bias of every logit.
        model.model.embed_tokens.weight[:, 0] = 1.0
        model.lm_head.weight[:, 0] = _NEVER
        model.lm_head.weight[words, 0] = 0.0
    logging.disable_progress_bar()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def open_stand_in(folder: Path) -> Checkpoint:
    return open_checkpoint(ModelSource(str(folder), device="cpu"))


def tasks() -> list[Task]:
    """Prompts of the testbed's world; most texts are short, a few ten times as long."""
    rng = random.Random(0)
    principles = cycle(load_constitution("testbed").principles)
    asked = rng.sample([each.text for each in requests()], N_PROMPTS)
    return [
        Task(user_prompt(text, str(number)), principle, (length(rng), length(rng), length(rng)))
        for number, (text, principle) in enumerate(zip(asked, principles, strict=False))
    ]


def length(rng: random.Random) -> int:
    return min(8 + int(rng.lognormvariate(3.1, 0.9)), 256)


def judgings() -> list[Conversation]:
    """One comparison of long responses under many principles, in both orders."""
    rng = random.Random(1)
    sentences = [each.text for each in requests()]
    response_a, response_b = (" ".join(rng.choices(sentences, k=26)) for _ in range(2))
    comparison = Comparison(user_prompt(sentences[0]), response_a, response_b)
    templates = load_templates("chat")
    known = (*load_constitution("testbed").principles, *load_constitution("harmless").principles)
    return [
        judge_turns(templates, Question(principle), shown)
        for principle in known[:N_PRINCIPLES]
        for shown in (comparison, comparison.swapped)
    ]
