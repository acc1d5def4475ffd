"""The local model against transformers' own ways: `python benchmarks/local_model.py`.

CPU seconds of one thread, each method in a process of its own. Seconds are those of the machine;
their ratios are the result. Chains are 64 prompts answered, critiqued and revised, with texts of
very unequal lengths that are the same for every method. The choice is one comparison under 16
principles in both orders.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from stand_in import Task, judgings, open_stand_in, save_stand_in, tasks
from transformers import ContinuousBatchingConfig, GenerationConfig

from cai.methods.judging.requests import LETTERS
from cai.models.base import Choice, Sampling
from cai.models.hf.model import Checkpoint, LocalModel
from cai.models.hf.tokenizer import Speller, decode, encode_chat

STATIC_ROWS = 16
N_STEPS = 3
# The fastest of those tried, from pages of 16 to 128 tokens and from 8 requests at a time to all.
CONTINUOUS = ContinuousBatchingConfig(
    page_size=32, num_blocks=2048, max_batch_tokens=256, max_requests_per_batch=16, seed=0
)


def chains_here(checkpoint: Checkpoint) -> None:
    """Every chain a task of its own, all in flight."""
    model = LocalModel(checkpoint)

    async def write(task: Task) -> None:
        texts: list[str] = []
        for step, length in enumerate(task.lengths):
            sampling = Sampling(max_tokens=length, seed=step)
            answer = await model.complete(task.request(texts), sampling)
            assert answer.usage.completion_tokens == length
            texts.append(answer.text.strip())

    async def write_all() -> None:
        await asyncio.gather(*map(write, tasks()))
        await model.close()

    asyncio.run(write_all())


def chains_static(checkpoint: Checkpoint) -> None:
    """`generate`: step by step, in batches of 16 that wait for their longest text."""
    model = checkpoint.network.model
    texts: list[list[str]] = [[] for _ in tasks()]
    for step in range(N_STEPS):
        for start in range(0, len(texts), STATIC_ROWS):
            batch = range(start, start + STATIC_ROWS)
            rows = [
                encode_chat(checkpoint.tokenizer, tasks()[at].request(texts[at])) for at in batch
            ]
            lengths = [tasks()[at].lengths[step] for at in batch]
            width = max(map(len, rows))
            ids = model.generate(
                torch.tensor([[0] * (width - len(row)) + row for row in rows]),
                attention_mask=torch.tensor(
                    [[0] * (width - len(row)) + [1] * len(row) for row in rows]
                ),
                generation_config=sampled(checkpoint, max(lengths)),
            )
            for at, row, length in zip(batch, ids.tolist(), lengths, strict=True):
                written = row[width : width + length]
                texts[at].append(decode(checkpoint.tokenizer, written).strip())


def chains_continuous(checkpoint: Checkpoint) -> None:
    """Transformers' continuous batching: a chain's next request comes when its last is done."""
    asked, texts = tasks(), [[] for _ in tasks()]
    manager = checkpoint.network.model.init_continuous_batching(sampled(checkpoint, 1), CONTINUOUS)

    def submit(at: int) -> None:
        ids = encode_chat(checkpoint.tokenizer, asked[at].request(texts[at]))
        length = asked[at].lengths[len(texts[at])]
        manager.add_request(ids, request_id=str(at), max_new_tokens=length)

    manager.start()
    for at in range(len(asked)):
        submit(at)
    n_left = len(asked) * N_STEPS
    while n_left:
        result = manager.get_result(timeout=600)
        at = int(result.request_id)
        assert len(result.generated_tokens) == asked[at].lengths[len(texts[at])]
        texts[at].append(decode(checkpoint.tokenizer, result.generated_tokens).strip())
        n_left -= 1
        if len(texts[at]) < N_STEPS:
            submit(at)
    manager.stop(block=True)


def sampled(checkpoint: Checkpoint, n_tokens: int) -> GenerationConfig:
    (end,) = checkpoint.stop_ids  # which is never drawn
    return GenerationConfig(
        do_sample=True, top_k=0, max_new_tokens=n_tokens, eos_token_id=end, pad_token_id=0
    )


def choices_here(checkpoint: Checkpoint) -> list[float]:
    """All questions at once; their log-probabilities."""
    model = LocalModel(checkpoint)

    async def choose_all() -> list[Choice]:
        choices = await asyncio.gather(*(model.choose(turns, LETTERS) for turns in judgings()))
        await model.close()
        return choices

    return [value for choice in asyncio.run(choose_all()) for value in choice.logprobs]


def choices_plain(checkpoint: Checkpoint) -> list[float]:
    """Every question a full prompt."""
    spelled = Speller(checkpoint.tokenizer, checkpoint.network.n_tokens).spell(LETTERS)
    tokens = [step.token for step in spelled.steps]
    values: list[float] = []
    with torch.inference_mode():
        for turns in judgings():
            ids = torch.tensor([encode_chat(checkpoint.tokenizer, turns)])
            logits = checkpoint.network.model(
                input_ids=ids, logits_to_keep=1, use_cache=False
            ).logits
            found = logits[0, -1].log_softmax(0)[tokens].tolist()
            values += Choice.normalised(spelled.logprobs(found)).logprobs
    return values


METHODS: dict[str, Callable[[Checkpoint], list[float] | None]] = {
    "chains, cai": chains_here,
    "chains, generate in static batches of 16": chains_static,
    "chains, transformers' continuous batching": chains_continuous,
    "16 principles x 2 orders, cai": choices_here,
    "16 principles x 2 orders, 32 full prompts": choices_plain,
}


def measure(method: str, folder: Path) -> tuple[float, list[float]]:
    """CPU seconds of a method, and the values it found."""
    torch.set_num_threads(1)
    checkpoint = open_stand_in(folder)
    began_s = time.process_time()
    values = METHODS[method](checkpoint)
    return time.process_time() - began_s, values or []


def in_a_process(method: str, folder: Path) -> tuple[float, list[float]]:
    command = [sys.executable, __file__, "--method", method, "--folder", str(folder)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    seconds, values = json.loads(done.stdout.splitlines()[-1])
    return seconds, values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--method", choices=METHODS)
    parser.add_argument("--folder", type=Path)
    chosen = parser.parse_args()
    if chosen.method:
        sys.stdout.write(json.dumps(measure(chosen.method, chosen.folder)) + "\n")
        return
    with tempfile.TemporaryDirectory() as name:
        save_stand_in(Path(name))
        found = {method: in_a_process(method, Path(name)) for method in METHODS}
    own = ""
    for method, (seconds, values) in found.items():
        own = method if method.endswith("cai") else own
        sys.stdout.write(f"{method:45} {seconds:7.1f} s {seconds / found[own][0]:6.1f} x\n")
        if method != own and values:
            pairs = zip(values, found[own][1], strict=True)
            largest = max(abs(one - other) for one, other in pairs)
            sys.stdout.write(f"largest difference in log-probability {largest:.1e}\n")


if __name__ == "__main__":
    main()
