"""Choosing in process: shared beginnings change no log-probability, and nothing else goes wrong.

The model is tiny and random, but real in every part. Plain log-probabilities are those of one
forward pass of transformers for each spelling of each option.
"""

import asyncio
import math
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from local_workers import user, with_model
from tiny import save_tiny_model
from transformers import AutoModelForCausalLM

from cai.errors import ModelError
from cai.models.base import Choice, Sampling, log_sum_exp
from cai.models.hf.choices import MARGIN, STEP, answer, rounded
from cai.models.hf.forward import Network
from cai.models.hf.model import Checkpoint, LocalModel, ModelSource, open_checkpoint, start_worker
from cai.models.hf.prefix_cache import ChoiceRequest, PrefixCache, PrefixGroup, split_into_batches
from cai.models.hf.tokenizer import Ids, OptionTree
from cai.models.hf.worker import OptionJob
from cai.types import Message

LETTERS = (((37,), (60,)), ((38,),))
MARKS = (((21,), (70,)), ((21, 20), (70, 20)), ((22,),))  # 1, 10 and 2; 70 is another 1
WORDS = (((40, 41, 42), (90,)), ((50, 51),))
OPTIONS = (LETTERS, MARKS, WORDS)
BAD_TOKEN = 340
Spellings = Sequence[Sequence[Ids]]


@pytest.fixture(scope="module", params=[None, 24], ids=["full", "window"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Attention to all tokens, or to the last 24 only."""
    return save_tiny_model(tmp_path_factory.mktemp("tiny"), window=request.param)


@pytest.fixture(scope="module")
def checkpoint(folder: Path) -> Checkpoint:
    return open_checkpoint(ModelSource(str(folder), device="cpu"))


class Plain:
    """Options by hand: every spelling in a forward pass of its own, in double precision."""

    def __init__(self, folder: Path) -> None:
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64)
        self.known: dict[tuple[Ids, Ids], float] = {}

    def __call__(self, request: Ids, path: Ids) -> float:
        if (request, path) not in self.known:
            self.known[request, path] = self.summed(request, path)
        return self.known[request, path]

    def summed(self, request: Ids, path: Ids) -> float:
        with torch.inference_mode():
            logits = self.model(torch.tensor([[*request, *path]])).logits[0].log_softmax(-1)
        start = len(request) - 1
        return sum(logits[start + n, token].item() for n, token in enumerate(path))

    def probability(self, request: Ids, paths: Sequence[Ids], others: Sequence[Ids]) -> float:
        """Of an option with these spellings, without those of others that go on from them."""
        own = sum(math.exp(self(request, path)) for path in paths)
        longer = [one for one in others if any(one[: len(path)] == path for path in paths)]
        return own - sum(math.exp(self(request, path)) for path in longer)


@pytest.fixture(scope="module")
def plain(folder: Path) -> Plain:
    return Plain(folder)


class Counted:
    """The model, counting what every pass reads anew and how large it is with what is cached."""

    def __init__(self, network: Network) -> None:
        self.inner = network.model
        self.n_read = 0
        self.passes: list[tuple[int, int]] = []

    def __call__(self, *, input_ids, attention_mask, **inputs):
        self.n_read += input_ids.numel()
        self.passes.append(tuple(attention_mask.shape))
        return self.inner(input_ids=input_ids, attention_mask=attention_mask, **inputs)


class Breaking:
    """The model, out of memory above so many tokens, and without numbers after a bad token."""

    def __init__(self, network: Network, n_tokens: int = 10**9) -> None:
        self.inner = network.model
        self.n_tokens = n_tokens

    def __call__(self, *, input_ids, **inputs):
        if input_ids.numel() > self.n_tokens:
            raise torch.OutOfMemoryError("out of memory")
        output = self.inner(input_ids=input_ids, **inputs)
        output.logits[(input_ids == BAD_TOKEN).any(1)] = math.nan
        return output


def tokens(rng: random.Random, n: int) -> Ids:
    return tuple(rng.randrange(100, 340) for _ in range(n))


def families() -> dict[str, list[Ids]]:
    """Requests that begin alike in every way that matters."""
    rng = random.Random(3)
    talk, other = tokens(rng, 120), tokens(rng, 97)
    tails = [tokens(rng, n) for n in (1, 2, 7, 33, 60, 60)]
    return {
        "one": [talk],
        "short": [talk[:3]],
        "principles": [talk + tail for tail in tails],
        "orders": [start + tail for start in (talk, other) for tail in tails],
        "equal": [talk] * 3,
        "one begins another": [talk, talk + tails[3], talk + tails[3] + tails[1]],
        "nothing alike": [tokens(rng, n) for n in (150, 149, 90, 20, 1)],
        "long tails": [talk[:40] + tokens(rng, n) for n in (1, 90, 180)],
        "all": [*(talk + tail for tail in tails), other, other, *tails, talk[:40], (150,)],
    }


def made(requests: Sequence[Ids], spellings: Sequence[Spellings]) -> list[ChoiceRequest]:
    return [
        ChoiceRequest(request, OptionTree.of(spellings[n % len(spellings)]))
        for n, request in enumerate(requests)
    ]


def answers(
    network: Network,
    questions: Sequence[ChoiceRequest],
    n_tokens: int = 16_384,
    cache: PrefixCache | None = None,
) -> list[Choice | ModelError]:
    found: dict[ChoiceRequest, Choice | ModelError] = {}
    with torch.inference_mode():
        for groups in split_into_batches(questions, n_tokens):
            found |= answer(network, cache or PrefixCache(0), groups, n_tokens)
    return [found[question] for question in questions]


@pytest.mark.parametrize("n_tokens", [16_384, 500, 1])
@pytest.mark.parametrize("family", families())
def test_a_shared_beginning_changes_no_log_probability(checkpoint, plain, family, n_tokens):
    requests = families()[family]
    choices = answers(checkpoint.network, made(requests, OPTIONS), n_tokens)
    for n, (request, choice) in enumerate(zip(requests, choices, strict=True)):
        spellings = OPTIONS[n % 3]
        by_hand = [
            math.log(plain.probability(request, paths, spellings[1] if at == 0 else ()))
            if spellings is MARKS
            else log_sum_exp([plain(request, path) for path in paths])
            for at, paths in enumerate(spellings)
        ]
        assert isinstance(choice, Choice)
        total = log_sum_exp(by_hand)
        assert choice.logprobs == pytest.approx([each - total for each in by_hand], abs=1e-4)
        assert choice.mass == pytest.approx(math.exp(total), rel=1e-4)
        assert choice.usage.prompt_tokens == len(request)


def test_what_is_kept_of_other_questions_changes_no_log_probability(checkpoint):
    cache = PrefixCache(800)
    for requests in [*families().values(), *families().values()]:
        fresh = answers(checkpoint.network, made(requests, OPTIONS))
        again = answers(checkpoint.network, made(requests, OPTIONS), cache=cache)
        for one, other in zip(fresh, again, strict=True):
            assert isinstance(one, Choice) and isinstance(other, Choice)
            assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)
    assert cache.n_tokens > 400


def test_an_option_that_begins_another_counts_only_where_nothing_follows(checkpoint, plain):
    """P("1") = P(1) · (1 − P(0 | 1)), and "10" has the rest."""
    request = families()["one"][0]
    (choice,) = answers(
        checkpoint.network, [ChoiceRequest(request, OptionTree.of([[(21,)], [(21, 20)]]))]
    )
    assert isinstance(choice, Choice)
    one = math.exp(plain(request, (21,)))
    zero = math.exp(plain((*request, 21), (20,)))
    assert math.exp(choice.logprobs[0]) == pytest.approx(1 - zero, abs=1e-5)
    assert math.exp(choice.logprobs[1]) == pytest.approx(zero, abs=1e-5)
    assert choice.mass == pytest.approx(one, rel=1e-4)


def test_a_shared_beginning_is_read_once(checkpoint):
    """Sixteen tails of 10 after 200 tokens take 200 + 160 tokens instead of 16 · 210."""
    rng = random.Random(5)
    talk = tokens(rng, 200)
    asked = made([talk + tokens(rng, 10) for _ in range(16)], [LETTERS])
    counted = Counted(checkpoint.network)
    network = with_model(checkpoint, counted).network
    counted.n_read = 0
    answers(network, asked)
    assert counted.n_read == 200 + 16 * 10


def test_tails_of_several_beginnings_go_through_the_model_together(checkpoint):
    """One pass for the two beginnings, one for all their tails."""
    rng = random.Random(6)
    talks = [tokens(rng, 100), tokens(rng, 95)]
    asked = made([talk + tokens(rng, 9) for talk in talks for _ in range(8)], [LETTERS])
    counted = Counted(checkpoint.network)
    network = with_model(checkpoint, counted).network
    counted.passes.clear()
    answers(network, asked)
    assert [n_rows for n_rows, _ in counted.passes] == [2, 16]


def test_no_pass_takes_more_than_the_bound_with_all_that_is_cached(checkpoint):
    requests = families()["all"] + families()["long tails"]
    counted = Counted(checkpoint.network)
    network = with_model(checkpoint, counted).network
    counted.passes.clear()
    answers(network, made(requests, OPTIONS), 600)
    assert all(n_rows == 1 or n_rows * width <= 600 for n_rows, width in counted.passes)
    assert any(n_rows > 1 for n_rows, _ in counted.passes)


def test_logits_that_are_no_numbers_fail_their_question_alone(checkpoint):
    rng = random.Random(8)
    talk = tokens(rng, 60)
    requests = [(*talk, 101), (*talk, BAD_TOKEN), (*talk, 102)]
    choices = answers(
        with_model(checkpoint, Breaking(checkpoint.network)).network, made(requests, [LETTERS])
    )
    assert [type(choice) for choice in choices] == [Choice, ModelError, Choice]
    assert "not numbers" in str(choices[1])


def test_a_rounded_choice_is_the_same_whatever_was_read_with_it(checkpoint):
    """Each request with all others, in small passes and alone: unrounded, bits of some differ."""
    questions = made(families()["all"] + families()["long tails"], OPTIONS)
    found: list[dict[ChoiceRequest, Choice | ModelError]] = []
    with torch.inference_mode():
        for n_tokens in (16_384, 600, 1):
            found.append({})
            for groups in split_into_batches(questions, n_tokens):
                found[-1] |= answer(checkpoint.network, PrefixCache(0), groups, n_tokens)
        assert found[0] != found[1] and found[0] != found[2]
        first, *others = [rounded(checkpoint.network, each) for each in found]
    assert all(each == first for each in others)
    for question, choice in first.items():
        exact = found[0][question]
        assert isinstance(choice, Choice) and isinstance(exact, Choice)
        assert choice.logprobs == pytest.approx(exact.logprobs, abs=STEP)
        assert sum(map(math.exp, choice.logprobs)) == pytest.approx(1)


def test_what_lies_between_two_steps_is_read_again_from_the_request_alone(checkpoint):
    """Log-odds of half a step more than a whole number, moved by a hundredth of the margin."""
    (question,) = made([families()["one"][0]], [LETTERS])
    (alone,) = answers(checkpoint.network, [question])
    assert isinstance(alone, Choice)
    for moved in (-MARGIN / 100, MARGIN / 100):
        unsure = Choice.normalised((0.0, -(100.5 * STEP + moved)), alone.usage, 0.5)
        assert rounded(checkpoint.network, {question: unsure}) == rounded(
            checkpoint.network, {question: alone}
        )
    sure = Choice.normalised((0.0, -(100.4 * STEP)), alone.usage, 1.0)
    (found,) = rounded(checkpoint.network, {question: sure}).values()
    assert found == Choice.normalised((0.0, -(100 * STEP)), alone.usage, 1.0)


def conversations(n: int) -> list[list[Message]]:
    """Some that begin alike, and some that do not."""
    rng = random.Random(9)
    words = ["lock", "garden", "fox", "safer", "gate", "please"]
    talk = " ".join(rng.choices(words, k=40))
    return [
        user(" ".join([talk if at % 3 else "", *rng.choices(words, k=3 + at % 9)]))
        for at in range(n)
    ]


async def choose_all(model: LocalModel, asked: Sequence[list[Message]]) -> list[Choice]:
    return await asyncio.gather(*(model.choose(messages, ["A", "B"]) for messages in asked))


def test_out_of_memory_less_is_asked_at_a_time(checkpoint):
    """At most 150 tokens a pass: choices are those of a machine with enough memory."""
    asked = conversations(30)
    enough = asyncio.run(choose_all(LocalModel(checkpoint), asked))
    cramped = with_model(checkpoint, Breaking(checkpoint.network, 150))
    assert asyncio.run(choose_all(LocalModel(cramped), asked)) == enough


async def test_a_question_that_never_fits_fails_alone(checkpoint):
    cramped = with_model(checkpoint, Breaking(checkpoint.network, 150))
    model = LocalModel(cramped)
    asked = [*conversations(4), user("fox " * 200), *conversations(4)]
    results = await asyncio.gather(
        *(model.choose(messages, ["A", "B"]) for messages in asked), return_exceptions=True
    )
    await model.close()
    assert [type(result) for result in results] == [Choice] * 4 + [ModelError] + [Choice] * 4


async def test_a_cancelled_question_does_no_harm(checkpoint):
    model = LocalModel(checkpoint)
    asked = conversations(8)
    expected = await choose_all(model, asked)
    calls = [asyncio.create_task(model.choose(messages, ["A", "B"])) for messages in asked]
    await asyncio.sleep(0)
    calls[2].cancel()
    results = await asyncio.gather(*calls, return_exceptions=True)
    await model.close()
    assert isinstance(results[2], asyncio.CancelledError)
    assert [*results[:2], *results[3:]] == [*expected[:2], *expected[3:]]


async def test_completions_go_on_while_many_questions_wait(checkpoint):
    """200 questions of 200 tokens are several batches; two tokens are written between them."""
    model = LocalModel(checkpoint)
    asked = [user(f"{n} " + "fox lock " * 95) for n in range(200)]
    order: list[str] = []

    async def complete() -> None:
        await model.complete(user("Hi"), Sampling(max_tokens=2, seed=1))
        order.append("completion")

    async def choose(messages: list[Message]) -> None:
        await model.choose(messages, ["A", "B"])
        order.append("choice")

    await asyncio.gather(complete(), *(choose(messages) for messages in asked))
    await model.close()
    assert len(order) == 201
    assert order[-1] == "choice"


def test_a_stopped_worker_leaves_no_question_waiting(checkpoint):
    worker = start_worker(checkpoint, 4)
    jobs = [OptionJob(messages, ("A", "B")) for messages in conversations(40)]
    for job in jobs:
        worker.submit(job)
    worker.stop()
    assert all(job.future.done() for job in jobs)
    assert all(isinstance(job.future.exception(), ModelError | None) for job in jobs)


def test_a_group_alone_is_the_plain_way(checkpoint):
    """What shares nothing and what shares all but the tail agree with each other too."""
    questions = made(families()["principles"], OPTIONS)
    with torch.inference_mode():
        apart = answer(
            checkpoint.network,
            PrefixCache(0),
            [PrefixGroup((each,), 0) for each in questions],
            16_384,
        )
    for question, choice in zip(questions, answers(checkpoint.network, questions), strict=True):
        other = apart[question]
        assert isinstance(choice, Choice) and isinstance(other, Choice)
        assert choice.logprobs == pytest.approx(other.logprobs, abs=1e-4)
