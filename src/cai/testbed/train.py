"""Builds the embedded model: `python -m cai.testbed.train --out DIR`.

A byte-level BPE tokenizer and a small Llama, trained from scratch on the curriculum of the testbed,
through the shipped templates and constitution. One seed gives one result on one machine. Matrices
are updated by Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon), the rest by
AdamW.

Example:
    train(Path("my-model"), stage=0, seed=0, device="cpu")  # the first of three stages
    LocalModel.load("my-model")
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# torch and transformers leave some of their types open: what is unknown stays in this file

import argparse
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from torch.optim.lr_scheduler import LambdaLR
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from cai.constitution.loader import constitutions_folder, load_constitution
from cai.constitution.schema import Constitution
from cai.templates import TemplateSet, load_templates, prompts_folder
from cai.testbed.curriculum import FIRST, Exercise, Shares, curriculum_shares, draw_exercise

CONTEXT = 2048
VOCABULARY = 2048
ROLES = {"system": "<|system|>", "user": "<|user|>", "assistant": "<|assistant|>"}
END, PAD = "<|end|>", "<|pad|>"
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{{- '<|' + message['role'] + '|>' -}}"
    "{%- if message['role'] == 'assistant' -%}"
    "{%- generation -%}{{- message['content'] + '<|end|>' -}}{%- endgeneration -%}"
    "{%- else -%}{{- message['content'] + '<|end|>' -}}{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)


@dataclass(frozen=True, slots=True)
class Schedule:
    """`steps` updates of about `tokens` tokens; the rate falls to 0 over the last `cooldown`.

    The shares of the exercises go from `FIRST` to `LAST` of the curriculum, or stay at `shares`.
    """

    steps: int
    shares: Shares | None = None
    tokens: int = 8_192
    warmup: int = 100
    cooldown: float = 0.4
    matrix_rate: float = 3e-3
    other_rate: float = 3e-3

    def factor(self, step: int) -> float:
        """The learning rate's multiplier in [0, 1]."""
        left = (self.steps - step) / (self.steps * self.cooldown)
        return min(1.0, (step + 1) / self.warmup, left)


STAGES = (
    Schedule(1100),
    Schedule(500, FIRST, warmup=30, cooldown=1.0, matrix_rate=2.5e-3, other_rate=2.5e-3),
    Schedule(
        800,
        Shares(respond=0.068, revise=0.398, judge=0.476, score=0.058),
        warmup=30,
        cooldown=0.8,
        matrix_rate=2.5e-3,
        other_rate=2.5e-3,
    ),
)


@dataclass(frozen=True, slots=True)
class Batch:
    """Token ids and weights of the predicted tokens, each of shape (rows, length).

    Rows are padded on the right with weight 0.
    """

    # No attention mask: in a causal model no token attends to the padding on its right.

    ids: Tensor
    weights: Tensor
    n_tokens: int


@dataclass(frozen=True, slots=True)
class Lesson:
    """An exercise as token ids; `weights[i]` is how much predicting `ids[i]` counts."""

    ids: list[int]
    weights: list[float]


def train_tokenizer(seed: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE over curriculum, constitutions and templates; it can encode any text."""
    templates, constitution = load_templates(), load_constitution("testbed")
    rng = random.Random(f"tokenizer {seed}")
    corpus = [
        turn.content
        for _ in range(4_000)
        for turn in draw_exercise(rng, templates, constitution, curriculum_shares(0.5)).turns
    ]
    shipped = [*constitutions_folder().glob("*.yaml"), *prompts_folder().glob("*/*.j2")]
    # Three copies, so that the words of other templates and constitutions become tokens as well.
    corpus += [path.read_text(encoding="utf-8") for path in sorted(shipped) for _ in range(3)]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[PAD, END, *ROLES.values()],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=list(ROLES.values()),
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def new_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> LlamaForCausalLM:
    """A Llama of about 2.6 million parameters with random weights."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=5,
        num_attention_heads=6,
        num_key_value_heads=6,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,  # of so few parameters a second table would be a seventh more
        bos_token_id=None,
        eos_token_id=_id(END, tokenizer),
        pad_token_id=_id(PAD, tokenizer),
    )
    return LlamaForCausalLM(config)


def as_lesson(exercise: Exercise, tokenizer: PreTrainedTokenizerFast) -> Lesson:
    """The exercise as the chat template renders it, weighted by turn."""
    ids: list[int] = []
    weights: list[float] = []
    spoken = {index % len(exercise.turns) for index in exercise.spoken}
    for index, turn in enumerate(exercise.turns):
        content: list[int] = tokenizer.encode(turn.content, add_special_tokens=False)
        content.append(_id(END, tokenizer))
        # A turn of one or two tokens counts sevenfold, or the thirty words of a revision would
        # outweigh the letter of a verdict. Requests count a little: they teach the language.
        weight = 1.0 + 6.0 * (len(content) <= 3) if index in spoken else 0.05
        ids += [_id(ROLES[turn.role], tokenizer), *content]
        weights += [0.0, *[weight] * len(content)]
    return Lesson(ids, weights)


def batches(
    tokenizer: PreTrainedTokenizerFast,
    templates: TemplateSet,
    constitution: Constitution,
    schedule: Schedule,
    seed: int,
) -> Iterator[Batch]:
    """One batch a step, endless."""
    rng = random.Random(f"batches {seed}")
    step = 0
    while True:
        # Lessons for about eight steps are sorted by length, so that little is padding, and the
        # batches then shuffled, so that their lengths do not grow from step to step.
        lessons: list[Lesson] = []
        while sum(len(lesson.ids) for lesson in lessons) < 8 * schedule.tokens:
            shares = schedule.shares or curriculum_shares(step / schedule.steps)
            lessons += [
                as_lesson(draw_exercise(rng, templates, constitution, shares), tokenizer)
                for _ in range(32)
            ]
        pool: list[list[Lesson]] = [[]]
        for lesson in sorted(lessons, key=lambda each: len(each.ids)):
            if pool[-1] and len(lesson.ids) * (len(pool[-1]) + 1) > schedule.tokens:
                pool.append([])
            pool[-1].append(lesson)
        rng.shuffle(pool)
        yield from (collate(rows) for rows in pool)
        step += len(pool)


def collate(lessons: Sequence[Lesson]) -> Batch:
    """The lessons as one padded batch."""
    ids = pad_sequence([torch.tensor(each.ids) for each in lessons], batch_first=True)
    weights = pad_sequence([torch.tensor(each.weights) for each in lessons], batch_first=True)
    return Batch(ids, weights, sum(len(each.ids) for each in lessons))


def loss_of(model: LlamaForCausalLM, batch: Batch) -> Tensor:
    """Mean cross-entropy in nats over the weighted tokens."""
    chosen = batch.weights[:, 1:] > 0
    hidden = model.model(input_ids=batch.ids, use_cache=False).last_hidden_state
    # Only weighted positions go through the output layer: logits of all would take most memory.
    logits = model.lm_head(hidden[:, :-1][chosen]).float()
    losses = functional.cross_entropy(logits, batch.ids[:, 1:][chosen], reduction="none")
    weights = batch.weights[:, 1:][chosen]
    return (losses * weights).sum() / weights.sum()


def train(out: Path, stage: int, seed: int, device: str) -> None:
    """Trains one stage and saves; every stage but the first starts from the folder."""
    schedule = STAGES[stage]
    templates, constitution = load_templates(), load_constitution("testbed")
    if stage == 0:
        tokenizer = train_tokenizer(seed)
        model = new_model(tokenizer, seed)
    else:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(out)
        model = LlamaForCausalLM.from_pretrained(out)
    torch.nn.Module.to(model, torch.device(device))
    stream = batches(tokenizer, templates, constitution, schedule, seed + stage)
    optimize(model, stream, schedule, device)
    save(model, tokenizer, out)


def optimize(
    model: LlamaForCausalLM, stream: Iterator[Batch], schedule: Schedule, device: str
) -> None:
    """Updates the model in place; prints a line every 50 steps."""
    # Muon is for matrices that map vectors to vectors. The embedding is a table of rows and is left
    # to AdamW with the norms; it is tied, so that it is the output layer too.
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.Muon(
            matrices, lr=schedule.matrix_rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"
        ),
        torch.optim.AdamW(others, lr=schedule.other_rate, betas=(0.9, 0.95), weight_decay=0.0),
    ]
    rates = [LambdaLR(optimizer, schedule.factor) for optimizer in optimizers]
    start, seen, recent = time.monotonic(), 0, 0.0
    for step in range(schedule.steps):
        batch = next(stream)
        batch = Batch(batch.ids.to(device), batch.weights.to(device), batch.n_tokens)
        with torch.autocast(device, dtype=torch.bfloat16):
            loss = loss_of(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, rate in zip(optimizers, rates, strict=True):
            optimizer.step()
            optimizer.zero_grad()
            rate.step()
        seen += batch.n_tokens
        recent = 0.95 * recent + 0.05 * loss.item() if step else loss.item()
        if step % 50 == 49 or step == schedule.steps - 1:
            elapsed = time.monotonic() - start
            print(  # noqa: T201
                f"step {step + 1}/{schedule.steps}  loss {recent:.3f}  "
                f"{seen / 1e6:.1f}M tokens  {elapsed / 60:.1f} min  {seen / elapsed:.0f} tokens/s",
                flush=True,
            )


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, out: Path) -> None:
    """Writes the folder: weights in bfloat16, which load as float32 because the config says so."""
    out.mkdir(parents=True, exist_ok=True)
    half = LlamaForCausalLM(model.config)
    torch.nn.Module.to(half, torch.bfloat16)
    half.load_state_dict(model.state_dict())
    half.save_pretrained(out)
    config = LlamaConfig.from_pretrained(out)
    config.dtype = torch.float32
    config.save_pretrained(out)
    tokenizer.save_pretrained(out)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m cai.testbed.train", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    parser.add_argument(
        "--from-stage",
        type=int,
        choices=range(1, len(STAGES) + 1),
        default=1,
        help="go on from what the stages before have left in the folder",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    for stage in range(options.from_stage - 1, len(STAGES)):
        train(options.out, stage, options.seed, options.device)


def _id(token: str, tokenizer: PreTrainedTokenizerFast) -> int:
    number = tokenizer.convert_tokens_to_ids(token)
    assert isinstance(number, int)
    return number


if __name__ == "__main__":
    main()
