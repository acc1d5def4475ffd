"""The prefix cache: a request that continues another reads the rest only, and answers the same.

The model is tiny and random, but real in every part.
"""

import asyncio
import random
from collections.abc import Sequence

import pytest
import torch
from local_workers import answered, completed, user, with_model
from tiny import save_tiny_model

from cai.models.base import Completion, Sampling
from cai.models.hf.continuous_batching import MARGIN
from cai.models.hf.forward import Network
from cai.models.hf.kv_cache import Prefix
from cai.models.hf.model import Checkpoint, LocalModel, ModelSource, open_checkpoint, start_worker
from cai.models.hf.prefix_cache import (
    LEAST_SHARED,
    Ids,
    PrefixCache,
    cache_shared_prefixes,
    n_common,
    read,
)
from cai.models.hf.tokenizer import encode_chat
from cai.models.hf.worker import CompletionJob, OptionJob, Worker
from cai.types import Message

N_CHAINS = 24
ROOM = 10_000


@pytest.fixture(scope="module", params=[None, 24], ids=["full", "window"])
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    """Attention to all tokens, or to the last 24 only."""
    folder = save_tiny_model(tmp_path_factory.mktemp("tiny"), window=request.param, context=512)
    return open_checkpoint(ModelSource(str(folder), device="cpu"))


class Watched:
    """The model, counting what it reads anew; noise or little memory where wanted."""

    def __init__(self, network: Network, noise: float = 0.0, n_rows: int = 10**9) -> None:
        self.inner = network.model
        self.noise = noise
        self.n_rows = n_rows
        self.n_read = 0
        self.generator = torch.Generator().manual_seed(0)

    def __call__(self, *, input_ids, use_cache: bool = False, **inputs):
        if len(input_ids) > self.n_rows:
            raise torch.OutOfMemoryError("out of memory")
        self.n_read += input_ids.numel()
        output = self.inner(input_ids=input_ids, use_cache=use_cache, **inputs)
        if use_cache:
            noise = torch.rand(output.logits.shape, generator=self.generator) * 2 - 1
            output.logits = output.logits + noise * self.noise
        return output


def watched(checkpoint: Checkpoint, **arguments) -> tuple[Checkpoint, Watched]:
    model = Watched(checkpoint.network, **arguments)
    replaced = with_model(checkpoint, model)  # which tries it
    model.n_read = 0
    return replaced, model


def sampling(number: int, step: int, n_tokens: int = 0) -> Sampling:
    return Sampling(
        temperature=(0, 0.3, 0.7, 1.0)[number % 4],
        top_p=(1.0, 0.9)[number % 2],
        max_tokens=n_tokens or 3 + (number * 7 + step * 13) % 37,
        seed=number * 10 + step,
    )


def opening(number: int) -> list[Message]:
    rng = random.Random(number // 2)  # two chains a prompt
    words = rng.choices(["lock", "garden", "fox", "safer", "gate"], k=3 + number * number % 29)
    return [Message("user", " ".join(words))]


def gone_on(turns: Sequence[Message], text: str, wish: str) -> list[Message]:
    return [*turns, Message("assistant", text), Message("user", wish)]


def ask(worker: Worker, turns: Sequence[Message], how: Sampling) -> Completion:
    (answer,) = answered(worker, [CompletionJob(turns, how)])
    return answer


@pytest.fixture(scope="module")
def expected(checkpoint: Checkpoint) -> list[list[Completion]]:
    """All chains, one call at a time, and nothing cache."""
    worker = start_worker(checkpoint, slots=1, capacity=3)
    chains: list[list[Completion]] = []
    for number in range(N_CHAINS):
        turns, answers = opening(number), []
        for step in range(3):
            answers.append(ask(worker, turns, sampling(number, step)))
            turns = gone_on(turns, answers[-1].text.strip(), f"Please do it better: {step}")
        chains.append(answers)
    worker.stop()
    assert worker.batch.prefix_cache.n_tokens == 0
    return chains


async def all_chains(model: LocalModel) -> list[list[Completion]]:
    async def chain(number: int) -> list[Completion]:
        turns, answers = opening(number), []
        for step in range(3):
            answers.append(await model.complete(turns, sampling(number, step)))
            turns = gone_on(turns, answers[-1].text.strip(), f"Please do it better: {step}")
        return answers

    chains = await asyncio.gather(*map(chain, range(N_CHAINS)))
    await model.close()
    return list(chains)


@pytest.mark.parametrize("slots", [64, 5])
async def test_a_chain_is_the_same_whether_its_context_is_read_again_or_kept(
    checkpoint, expected, slots: int
):
    assert await all_chains(LocalModel(checkpoint, slots=slots)) == expected


async def test_noise_in_all_that_is_kept_changes_no_chain(checkpoint, expected):
    noisy, _ = watched(checkpoint, noise=MARGIN * 0.99)
    assert await all_chains(LocalModel(noisy)) == expected


async def test_with_little_memory_chains_are_the_same(checkpoint, expected):
    cramped, _ = watched(checkpoint, n_rows=6)
    assert await all_chains(LocalModel(cramped)) == expected


async def test_memory_that_holds_no_numbers_changes_no_chain(checkpoint, expected):
    """In this mode PyTorch fills all that it gives uninitialised with NaN."""
    torch.use_deterministic_algorithms(True)
    try:
        assert await all_chains(LocalModel(checkpoint, slots=9)) == expected
    finally:
        torch.use_deterministic_algorithms(False)


def test_a_request_that_goes_on_from_another_reads_the_rest_only(checkpoint):
    """And one that was asked before, its last token; usage counts the whole request."""
    counting, model = watched(checkpoint)
    worker = start_worker(counting, slots=4)
    turns = [Message("user", "fox lock garden " * 20)]
    first = encode_chat(checkpoint.tokenizer, turns)
    ask(worker, turns, sampling(0, 0, 1))
    assert model.n_read == len(first)
    turns = gone_on(turns, "A gate.", "And now?")
    second = encode_chat(checkpoint.tokenizer, turns)
    ask(worker, turns, sampling(0, 1, 1))
    assert model.n_read == len(second)
    answer = ask(worker, turns, sampling(0, 2, 1))
    worker.stop()
    assert model.n_read == len(second) + 1
    assert answer.usage.prompt_tokens == len(second)


def test_all_that_was_computed_is_kept_with_what_was_written(checkpoint):
    """A token's keys and values are computed when the next one is drawn: all but the last."""
    counting, model = watched(checkpoint)
    worker = start_worker(counting, slots=4)
    answer = ask(worker, opening(20), sampling(0, 0, 30))
    worker.stop()
    assert answer.usage.completion_tokens == 30
    assert worker.batch.prefix_cache.n_tokens == answer.usage.prompt_tokens + 29 == model.n_read


def test_text_that_is_encoded_otherwise_is_shared_up_to_there(checkpoint):
    """A random model writes what the tokenizer would split in another way."""
    counting, model = watched(checkpoint)
    worker = start_worker(counting, slots=4)
    answer = ask(worker, opening(20), sampling(3, 0, 40))
    (cached,) = worker.batch.prefix_cache.rows
    turns = gone_on(opening(20), answer.text, "And now?")
    ids = encode_chat(checkpoint.tokenizer, turns)
    n_shared = n_common(tuple(ids), cached)
    assert answer.usage.prompt_tokens <= n_shared < len(cached)
    model.n_read = 0
    ask(worker, turns, sampling(3, 1, 1))
    worker.stop()
    assert model.n_read == len(ids) - n_shared


def test_samples_of_one_prompt_read_it_once(checkpoint):
    """A beginning of 60 tokens, 39 more of each prompt, and the last token of every row.

    8 · 100 more are read by rows alone, for comparison.
    """
    counting, model = watched(checkpoint)
    network, cache = counting.network, PrefixCache(ROOM)
    one, other = list(range(100, 200)), [*range(100, 160), *range(300, 340)]
    rows = [one] * 4 + [other] * 4
    with torch.inference_mode():
        cache_shared_prefixes(network, cache, rows)
        assert model.n_read == 60 + 39 + 39
        passes = list(read(network, cache, rows))
        logits = torch.cat([logits for _, (logits, _) in passes])
        alone = torch.cat([network.alone(rows[at]) for numbers, _ in passes for at in numbers])
    assert model.n_read == 60 + 39 + 39 + 8 + 8 * 100
    assert 0 < (logits - alone).abs().max() < MARGIN / 5


def test_what_saves_less_than_a_pass_costs_is_not_read_first(checkpoint):
    counting, model = watched(checkpoint)
    start = list(range(100, 120))
    with torch.inference_mode():
        cache_shared_prefixes(
            counting.network, PrefixCache(ROOM), [[*start, 1], [*start, 2], [5, 6]]
        )
        cache_shared_prefixes(counting.network, PrefixCache(30), [list(range(100, 180))] * 9)
    assert model.n_read == 0


def test_what_is_kept_and_what_is_decoded_stay_in_the_room_together(checkpoint):
    worker = start_worker(checkpoint, slots=64, capacity=2000)
    completed(worker, [(opening(n), sampling(n, 0)) for n in range(60)])
    cache = worker.batch.prefix_cache
    assert cache.capacity == 500
    assert 400 < cache.n_tokens <= 500
    assert sum(map(len, cache.rows)) == cache.n_tokens


def test_out_of_memory_frees_what_is_kept_and_less_is_kept_from_then_on(checkpoint):
    cramped, model = watched(checkpoint)
    worker = start_worker(cramped, slots=4, capacity=4000)
    ask(worker, opening(20), sampling(0, 0))
    assert worker.batch.prefix_cache.n_tokens
    model.n_rows = 0
    with pytest.raises(Exception, match="out of memory"):
        ask(worker, opening(20), sampling(1, 0))
    assert (
        worker.batch.slots,
        worker.batch.prefix_cache.capacity,
        worker.batch.prefix_cache.n_tokens,
    ) == (1, 0, 0)
    model.n_rows = 9
    assert ask(worker, opening(20), sampling(0, 0)).text
    worker.stop()


async def test_a_cancelled_chain_leaves_the_others_as_they_are(checkpoint, expected):
    model = LocalModel(checkpoint, slots=3)
    calls = [asyncio.create_task(model.complete(opening(n), sampling(n, 0))) for n in range(8)]
    await asyncio.sleep(0.01)
    calls[0].cancel()
    calls[6].cancel()
    done = await asyncio.gather(*calls[1:6])
    assert done == [answers[0] for answers in expected[1:6]]
    turns = gone_on(opening(3), done[2].text.strip(), "Please do it better: 0")
    assert await model.complete(turns, sampling(3, 1)) == expected[3][1]
    await model.close()


def test_a_request_whose_beginning_is_kept_goes_before_those_that_wait(checkpoint):
    """One slot: the first chain goes on before the others begin."""
    worker = start_worker(checkpoint, slots=1)
    ask(worker, opening(20), sampling(0, 0))
    done: list[str] = []

    def submit(name: str, turns: Sequence[Message]) -> CompletionJob:
        job = CompletionJob(turns, sampling(0, 0, 20))
        job.future.add_done_callback(lambda _: done.append(name))
        worker.submit(job)
        return job

    jobs = [submit(f"new {n}", opening(n)) for n in (5, 7, 9, 11)]
    jobs.append(submit("goes on", gone_on(opening(20), "A gate.", "So?")))
    for job in jobs:
        job.future.result(60)
    worker.stop()
    assert done.index("goes on") <= 1
    assert [name for name in done if name != "goes on"] == ["new 5", "new 7", "new 9", "new 11"]


def test_a_request_that_waits_is_passed_by_so_many_only(checkpoint):
    """The first call is in flight while the others come; 300 of them go on from what is cache."""
    worker = start_worker(checkpoint, slots=1)
    ask(worker, opening(20), sampling(0, 0))
    done: list[str] = []
    goes_on = gone_on(opening(20), "A gate.", "So?")
    asked = [("first", opening(20), 40), ("new", opening(5), 1), *[("next", goes_on, 1)] * 300]
    jobs = [CompletionJob(turns, sampling(0, 0, n_tokens)) for _, turns, n_tokens in asked]
    for (name, _, _), job in zip(asked, jobs, strict=True):
        job.future.add_done_callback(lambda _, name=name: done.append(name))
        worker.submit(job)
    for job in jobs:
        job.future.result(60)
    worker.stop()
    assert 200 < done.index("new") <= 257


def test_a_choice_goes_on_from_a_completion(checkpoint):
    """A judge's letter after its rationale, which is not read again."""
    counting, model = watched(checkpoint)
    worker = start_worker(counting, slots=4)
    plain = start_worker(checkpoint, slots=4, capacity=3)
    turns = [Message("user", "fox lock garden " * 20)]
    ask(worker, turns, sampling(0, 0, 1))
    n_first = model.n_read
    turns = gone_on(turns, "A gate.", "And now?")
    choices = []
    for asked in (worker, plain):
        choices += answered(asked, [OptionJob(turns, ("A", "B"))])
        asked.stop()
    assert model.n_read == len(encode_chat(checkpoint.tokenizer, turns))
    assert model.n_read > n_first
    assert choices[0].logprobs == pytest.approx(choices[1].logprobs, abs=1e-5)
    assert choices[0].usage == choices[1].usage


def test_choices_asked_one_after_the_other_share_what_was_asked_together(checkpoint):
    counting, model = watched(checkpoint)
    worker = start_worker(counting, slots=4)
    talk = "fox lock garden " * 20
    for names in (("one", "two"), ("three",)):
        model.n_read = 0
        answered(worker, [OptionJob(user(f"{talk} {name}"), ("A", "B")) for name in names])
    worker.stop()
    assert model.n_read < 30


def stand_in(ids: Sequence[int]) -> Prefix:
    """A prefix that shows which tokens it is of."""
    values = torch.tensor(ids, dtype=torch.float32)[None, :, None]
    return Prefix([(values, values)])


def store(cache: PrefixCache, ids: Sequence[int]) -> None:
    cache.store(ids, lambda: stand_in(ids))


def shown(prefix: Prefix | None) -> Ids:
    return () if prefix is None else tuple(map(int, prefix.layers[0][0][0, :, 0].tolist()))


@pytest.mark.parametrize("seed", range(8))
def test_the_longest_beginning_is_found_among_many(seed: int):
    rng = random.Random(seed)
    cache = PrefixCache(3000)
    asked = [tuple(rng.choices([1, 2], [9, 1], k=rng.randint(1, 60))) for _ in range(150)]
    for ids in asked[:100]:
        store(cache, ids)
        assert sum(map(len, cache.rows)) == cache.n_tokens <= cache.capacity
    for ids in asked:
        longest = max(n_common(ids[:-1], row) for row in cache.rows)
        found = shown(cache.longest(ids))
        assert found == (ids[:longest] if longest >= LEAST_SHARED else ())


def test_the_last_token_is_never_shared():
    cache = PrefixCache(ROOM)
    row = tuple(range(40))
    store(cache, row)
    assert shown(cache.longest(row)) == row[:-1]
    assert cache.longest(row[:LEAST_SHARED]) is None


def test_a_row_takes_the_place_of_its_own_beginning():
    cache = PrefixCache(ROOM)
    store(cache, range(40))
    store(cache, range(60))
    store(cache, range(50))
    assert cache.rows == [tuple(range(60))]
    assert cache.n_tokens == 60


def test_what_was_not_used_for_longest_goes_first():
    cache = PrefixCache(100)
    rows = [tuple(range(start, start + 40)) for start in (0, 100, 200)]
    store(cache, rows[0])
    store(cache, rows[1])
    assert cache.longest((*rows[0], 5))
    store(cache, rows[2])
    assert cache.rows == [rows[0], rows[2]]
    store(cache, range(300, 450))
    assert cache.rows == [rows[0], rows[2]]
    cache.clear()
    assert (cache.rows, cache.n_tokens) == ([], 0)
    assert cache.longest(rows[0]) is None
