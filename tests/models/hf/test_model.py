"""local.py and what it stands on: answers depend on the request only, whatever happens around them.

The model is tiny and random, but real in every part.
"""

import asyncio
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from local_workers import completed, user, with_model
from tiny import CHATML, make_tokenizer, save_tiny_model
from transformers import AutoModelForCausalLM

from cai.errors import ContextLengthError, ModelError, UsageError
from cai.models.base import ChoiceModel, Completion, Sampling
from cai.models.hf.choices import STEP
from cai.models.hf.continuous_batching import MARGIN, DecodeRow, StopCriteria
from cai.models.hf.forward import Network
from cai.models.hf.model import Checkpoint, LocalModel, ModelSource, open_checkpoint, start_worker
from cai.models.hf.prefix_cache import grouped
from cai.models.hf.tokenizer import encode_chat
from cai.types import Message

REQUESTS = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def checkpoint(folder: Path) -> Checkpoint:
    return open_checkpoint(ModelSource(str(folder), device="cpu"))


def requests() -> list[tuple[list[Message], Sampling]]:
    """Requests of many lengths, temperatures, filters and seeds."""
    rng = random.Random(7)
    return [
        (
            user(" ".join(rng.choices(["lock", "garden", "fox", "safer", "\n"], k=1 + i * i % 47))),
            Sampling(
                temperature=(0, 0.1, 0.3, 0.7, 1.0)[i % 5],
                top_p=(1.0, 0.9)[i % 2],
                top_k=(0, 0, 20)[i % 3],
                max_tokens=10 + i % 31,
                stop=("fox", "\x00") if i % 4 == 0 else (),
                seed=i,
            ),
        )
        for i in range(REQUESTS)
    ]


async def ask_all(
    model: LocalModel, asked: list[tuple[list[Message], Sampling]]
) -> list[Completion]:
    return await asyncio.gather(*(model.complete(*request) for request in asked))


@pytest.fixture(scope="module")
def expected(checkpoint: Checkpoint) -> list[Completion]:
    """The answers to all requests, each asked alone."""

    async def one_by_one() -> list[Completion]:
        model = LocalModel(checkpoint)
        answers = [await model.complete(*request) for request in requests()]
        await model.close()
        return answers

    return asyncio.run(one_by_one())


class Shaken:
    """The model with noise like that of batching, but much stronger, in every batched pass."""

    def __init__(self, network: Network, size: float) -> None:
        self.inner = network.model
        self.size = size
        self.generator = torch.Generator().manual_seed(0)

    def __call__(self, *, use_cache: bool = False, **inputs):
        output = self.inner(use_cache=use_cache, **inputs)
        if use_cache:
            noise = torch.rand(output.logits.shape, generator=self.generator) * 2 - 1
            output.logits = output.logits + noise * self.size
        return output


class Cramped:
    """The model on a machine whose memory holds only so many rows."""

    def __init__(self, network: Network, n_rows: int) -> None:
        self.inner = network.model
        self.n_rows = n_rows

    def __call__(self, *, input_ids, **inputs):
        if len(input_ids) > self.n_rows:
            raise torch.OutOfMemoryError("out of memory")
        return self.inner(input_ids=input_ids, **inputs)


@pytest.mark.parametrize("slots", [64, 3])
async def test_answers_do_not_depend_on_batching_or_order(checkpoint, expected, slots: int):
    model = LocalModel(checkpoint, slots=slots)
    order = list(range(REQUESTS))
    for _ in range(2):
        answers = await ask_all(model, [requests()[i] for i in order])
        assert answers == [expected[i] for i in order]
        random.Random(slots).shuffle(order)
    await model.close()
    assert len({answer.text for answer in expected}) > REQUESTS * 0.8


async def test_answers_do_not_depend_on_when_the_others_come(checkpoint, expected):
    model = LocalModel(checkpoint, slots=8)

    async def late(i: int) -> Completion:
        await asyncio.sleep(0.002 * (i * 7 % 20))
        return await model.complete(*requests()[i])

    assert await asyncio.gather(*(late(i) for i in range(REQUESTS))) == expected
    await model.close()


async def test_draws_near_a_tie_happen_and_are_decided_the_same(checkpoint, expected):
    """Noise just under the margin makes the batched logits wrong, and changes no answer."""
    shaken = with_model(checkpoint, Shaken(checkpoint.network, MARGIN * 0.99))
    worker = start_worker(shaken, slots=64)
    assert completed(worker, requests()) == expected
    assert worker.batch.n_unsure >= 3
    n_drawn = sum(answer.usage.completion_tokens for answer in expected)
    assert worker.batch.n_unsure < 0.05 * n_drawn


async def test_exact_ties_are_decided_the_same_in_every_batch(tmp_path: Path):
    """Each token has a twin of equal logits, so that noise alone would choose between them."""
    twins = open_checkpoint(ModelSource(str(save_tiny_model(tmp_path)), device="cpu"))
    with torch.no_grad():
        weight = AutoModelForCausalLM.from_pretrained(tmp_path).get_input_embeddings().weight
        weight[1::2] = weight[0::2]
        twins.network.model.get_input_embeddings().weight.copy_(weight)
    greedy = [(messages, Sampling(temperature=0, max_tokens=12)) for messages, _ in requests()[:20]]
    alone = LocalModel(twins, slots=1)
    expected = await ask_all(alone, greedy)
    await alone.close()
    worker = start_worker(with_model(twins, Shaken(twins.network, MARGIN / 2)), slots=64)
    assert completed(worker, greedy) == expected
    assert worker.batch.n_unsure == sum(answer.usage.completion_tokens for answer in expected)


def test_the_noise_of_batching_is_far_below_the_margin(checkpoint):
    network = checkpoint.network
    rows = [encode_chat(checkpoint.tokenizer, messages) for messages, _ in requests()]
    with torch.inference_mode():
        batched, layers = network.prefill(rows)
        cache = network.new_cache()
        cache.append(layers)
        decoded = network.decode([7] * len(rows), [len(row) for row in rows], cache)
        prefilled = torch.cat([network.alone(row) for row in rows])
        followed = torch.cat([network.alone([*row, 7]) for row in rows])
    noise = max((batched - prefilled).abs().max().item(), (decoded - followed).abs().max().item())
    assert 0 < noise < MARGIN / 5


@pytest.mark.parametrize("window", [None, 16])
async def test_greedy_answers_are_those_of_generate(tmp_path: Path, window: int | None):
    save_tiny_model(tmp_path, window=window, seed=3)
    model = LocalModel.load(str(tmp_path), device="cpu")
    reference = AutoModelForCausalLM.from_pretrained(tmp_path)
    tokenizer = make_tokenizer()
    asked = [messages for messages, _ in requests()[:12]]
    sampling = Sampling(temperature=0, max_tokens=40)
    answers = await asyncio.gather(*(model.complete(messages, sampling) for messages in asked))
    await model.close()
    for messages, answer in zip(asked, answers, strict=True):
        ids = torch.tensor([encode_chat(tokenizer, messages)])
        all_ids = reference.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=40
        )
        assert answer.text == tokenizer.decode(all_ids[0, ids.shape[1] :], skip_special_tokens=True)


async def test_little_memory_changes_nothing_but_the_pace(checkpoint, expected):
    cramped = with_model(checkpoint, Cramped(checkpoint.network, n_rows=5))
    model = LocalModel(cramped, slots=64)
    assert await ask_all(model, requests()) == expected
    await model.close()
    worker = start_worker(checkpoint, slots=64, capacity=300)
    assert completed(worker, requests()) == expected


async def test_a_request_that_never_fits_fails_alone(checkpoint, expected):
    class Choking(Cramped):
        def __call__(self, *, input_ids, **inputs):
            if input_ids.shape[1] > 100:
                raise torch.OutOfMemoryError("out of memory")
            return super().__call__(input_ids=input_ids, **inputs)

    model = LocalModel(with_model(checkpoint, Choking(checkpoint.network, 64)), slots=4)
    long = model.complete(user("fox " * 120), Sampling(max_tokens=1, seed=0))
    results = await asyncio.gather(
        *(model.complete(*request) for request in requests()[:9]), long, return_exceptions=True
    )
    await model.close()
    assert results[:9] == expected[:9]
    assert isinstance(results[9], ModelError)
    assert "out of memory" in str(results[9])


async def test_a_stop_string_ends_the_text_before_it(checkpoint):
    model = LocalModel(checkpoint)
    sampling = Sampling(max_tokens=40, seed=5, temperature=0.9)
    whole = await model.complete(user("Hi"), sampling)
    stop = whole.text[11:14]
    cut = await model.complete(user("Hi"), replace(sampling, stop=("never there", stop)))
    await model.close()
    assert cut.text == whole.text[: whole.text.index(stop)]
    assert cut.stop_reason == "stop"
    assert cut.usage.completion_tokens < whole.usage.completion_tokens


def test_a_stop_string_is_found_as_soon_as_it_is_there_also_in_split_characters(checkpoint):
    """Every character of Ω火 is several byte tokens here."""
    tokenizer = make_tokenizer()
    ending = StopCriteria(checkpoint.tokenizer, frozenset())
    written = tokenizer.encode("naïve — fox Ω火 lock", add_special_tokens=False)
    over = [
        n
        for n in range(1, len(written) + 1)
        if ending.is_over(DecodeRow([5], Sampling(stop=("Ω火",)), 0, 100, 0, written[:n]))
    ]
    first = over[0]
    assert tokenizer.decode(written[:first]).endswith("Ω火")
    row = DecodeRow([5], Sampling(stop=("Ω火",)), 0, 100, 0, written[:first])
    assert ending.completion(row).text == "naïve — fox "


async def test_length_ends_a_text_at_max_tokens_or_at_the_context(checkpoint):
    model = LocalModel(checkpoint)
    short = await model.complete(user("Hi"), Sampling(max_tokens=3, seed=1))
    assert (short.stop_reason, short.usage.completion_tokens) == ("length", 3)
    answers = [
        await model.complete(user("fox " * 115), Sampling(max_tokens=500, seed=seed))
        for seed in range(8)
    ]
    await model.close()
    full = [answer for answer in answers if answer.stop_reason == "length"]
    assert full
    for answer in full:
        assert answer.usage.prompt_tokens + answer.usage.completion_tokens == 256


async def test_a_request_longer_than_the_context_is_an_error_that_says_so(checkpoint):
    model = LocalModel(checkpoint)
    with pytest.raises(ContextLengthError, match=r"\d{3} tokens, and the model reads at most 256"):
        await model.complete(user("fox " * 400), Sampling())
    with pytest.raises(ContextLengthError, match="256"):
        await model.choose(user("fox " * 400), ["A", "B"])
    await model.close()


async def test_the_end_of_turn_token_ends_a_text_and_is_not_part_of_it(checkpoint):
    model = LocalModel(checkpoint)
    answers = await asyncio.gather(
        *(
            model.complete(user("Hi"), Sampling(max_tokens=200, seed=s, temperature=2))
            for s in range(40)
        )
    )
    await model.close()
    stopped = [answer for answer in answers if answer.stop_reason == "stop"]
    assert stopped
    assert not any("<|im_end|>" in answer.text for answer in stopped)


async def test_without_a_seed_answers_differ(checkpoint):
    model = LocalModel(checkpoint)
    answers = await asyncio.gather(*(model.complete(user("Hi"), Sampling()) for _ in range(4)))
    await model.close()
    assert len({answer.text for answer in answers}) == 4


async def test_reasoning_that_the_template_opens_is_kept_apart(tmp_path: Path):
    save_tiny_model(tmp_path, template=CHATML.replace("assistant\n", "assistant\n<think>\n"))
    model = LocalModel.load(str(tmp_path))
    answer = await model.complete(user("Hi"), Sampling(max_tokens=8, seed=0))
    await model.close()
    assert answer.text == ""
    assert answer.reasoning


async def test_a_base_model_continues_a_text_and_takes_no_conversation(tmp_path: Path):
    model = LocalModel.load(str(save_tiny_model(tmp_path, template=None)))
    assert not model.is_chat
    answer = await model.complete([Message("text", "\n\nHuman: Hi\n\nAssistant:")], Sampling())
    assert answer.usage.prompt_tokens > 3
    with pytest.raises(ModelError, match="transcript"):
        await model.complete(user("Hi"), Sampling())
    await model.close()


async def test_options_have_the_log_probabilities_that_the_model_gives_them(checkpoint, folder):
    """Summed by hand over the tokens of each option, one plain forward pass an option.

    None of these options is a single token with signs around it in this vocabulary.
    """
    model = LocalModel(checkpoint)
    reference = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = make_tokenizer()
    prompt = encode_chat(tokenizer, user("Which one?"))
    options = ["A", "B", "The quick fox", "not at all"]
    sums = []
    for option in options:
        ids = tokenizer.encode(option, add_special_tokens=False)
        with torch.inference_mode():
            logits = reference(torch.tensor([prompt + ids])).logits[0].double().log_softmax(-1)
        sums.append(sum(logits[len(prompt) - 1 + i, id].item() for i, id in enumerate(ids)))
    by_hand = torch.tensor(sums).log_softmax(0).tolist()
    mass = torch.tensor(sums).exp().sum().item()
    choice = await model.choose(user("Which one?"), options)
    await model.close()
    assert choice.logprobs == pytest.approx(by_hand, abs=STEP)
    assert choice.mass == pytest.approx(mass, rel=STEP)
    assert choice.usage.prompt_tokens == len(prompt)


async def test_choices_do_not_depend_on_what_else_is_asked(checkpoint):
    model = LocalModel(checkpoint)
    asked = [messages for messages, _ in requests()]
    options = [["A", "B"], ["yes", "no", "perhaps not"]]
    alone = [await model.choose(m, options[i % 2]) for i, m in enumerate(asked)]
    together, _ = await asyncio.gather(
        asyncio.gather(*(model.choose(m, options[i % 2]) for i, m in enumerate(asked))),
        ask_all(model, requests()),
    )
    await model.close()
    assert together == alone
    for one in alone:
        assert sum(torch.tensor(one.logprobs).exp()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("options", [[], ["A", ""], ["A", " A"], ["A", "A"]])
async def test_options_are_distinct_texts(checkpoint, options: list[str]):
    model = LocalModel(checkpoint)
    with pytest.raises(UsageError, match="cannot be told apart"):
        await model.choose(user("Hi"), options)
    await model.close()


async def test_text_that_cannot_be_encoded_fails_alone(checkpoint, expected):
    model = LocalModel(checkpoint)
    broken, good = await asyncio.gather(
        model.complete(user("a lone surrogate \ud800"), Sampling()),
        model.complete(*requests()[3]),
        return_exceptions=True,
    )
    await model.close()
    assert isinstance(broken, ModelError)
    assert good == expected[3]


async def test_a_cancelled_call_leaves_the_batch_and_the_others_go_on(checkpoint, expected):
    model = LocalModel(checkpoint, slots=2)
    calls = [asyncio.create_task(model.complete(*request)) for request in requests()[:6]]
    await asyncio.sleep(0.02)
    calls[0].cancel()
    calls[5].cancel()
    assert await asyncio.gather(*calls[1:5]) == expected[1:5]
    await model.close()


def test_one_model_serves_successive_event_loops(checkpoint, expected):
    model = LocalModel(checkpoint)
    assert asyncio.run(model.complete(*requests()[0])) == expected[0]
    assert asyncio.run(model.complete(*requests()[1])) == expected[1]
    asyncio.run(model.close())


async def test_closing_ends_the_calls_that_wait_and_a_later_call_begins_anew(checkpoint, expected):
    model = LocalModel(checkpoint, slots=1)
    calls = [asyncio.create_task(model.complete(*request)) for request in requests()[:9]]
    await asyncio.sleep(0)
    await model.close()
    await model.close()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert any(isinstance(result, ModelError) for result in results)
    assert all(isinstance(result, ModelError | Completion) for result in results)
    await model.check()
    assert await model.complete(*requests()[0]) == expected[0]
    await model.close()


async def test_impossible_sampling_is_refused(checkpoint):
    model = LocalModel(checkpoint)
    with pytest.raises(ModelError, match="max_tokens is 0"):
        await model.complete(user("Hi"), Sampling(max_tokens=0))
    await model.close()
    with pytest.raises(ModelError, match="slot"):
        LocalModel(checkpoint, slots=0)


async def test_it_is_a_choice_model_named_after_folder_and_content(folder: Path, tmp_path: Path):
    first = LocalModel.load(str(folder))
    assert isinstance(first, ChoiceModel)
    assert first.is_chat
    assert first.name.startswith(f"hf:{folder}@")
    again = LocalModel.load(str(folder), dtype="bfloat16", name=None)
    assert again.name == f"{first.name}:bfloat16"
    answer = await again.complete(user("Hi"), Sampling(max_tokens=5, seed=0))
    assert answer.usage.completion_tokens == 5
    named = LocalModel.load(str(folder), name="embedded")
    assert named.name == "embedded"
    for model in (first, again, named):
        await model.close()


def test_retrained_weights_are_another_model(tmp_path: Path):
    before = open_checkpoint(ModelSource(str(save_tiny_model(tmp_path, seed=1)))).name
    assert open_checkpoint(ModelSource(str(tmp_path))).name == before
    assert open_checkpoint(ModelSource(str(save_tiny_model(tmp_path, seed=2)))).name != before


@pytest.mark.filterwarnings("ignore::FutureWarning")  # peft asks transformers the old way
async def test_an_adapter_changes_the_answers_and_the_name(
    folder: Path, tmp_path: Path, checkpoint
):
    peft = pytest.importorskip("peft")
    torch.manual_seed(5)
    config = peft.LoraConfig(target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    peft.get_peft_model(AutoModelForCausalLM.from_pretrained(folder), config).save_pretrained(
        tmp_path
    )
    plain, adapted = LocalModel(checkpoint), LocalModel.load(str(folder), adapter=str(tmp_path))
    sampling = Sampling(temperature=0, max_tokens=20)
    texts = [(await model.complete(user("Hi"), sampling)).text for model in (plain, adapted)]
    assert texts[0] != texts[1]
    assert adapted.name.startswith(f"{plain.name}+{tmp_path}@")
    await plain.close()
    await adapted.close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dtype": "int3"}, "'int3' is not known"),
        ({"device": "toaster"}, "'toaster' is not known"),
        ({"device": "cuda:99"}, "PyTorch sees"),
        ({"revision": "v2"}, "no revisions"),
        ({"adapter": "./nothing-here"}, r"adapter_config\.json"),
    ],
)
def test_wrong_options_are_said_plainly(folder: Path, arguments: dict[str, str], message: str):
    with pytest.raises(ModelError, match=message):
        LocalModel.load(str(folder), **arguments)


def test_a_missing_or_incomplete_folder_is_said_plainly(tmp_path: Path):
    with pytest.raises(ModelError, match="no such folder"):
        LocalModel.load(str(tmp_path / "absent"))
    with pytest.raises(ModelError, match=r"no config\.json"):
        LocalModel.load(str(tmp_path))
    save_tiny_model(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="cannot be opened"):
        LocalModel.load(str(tmp_path))


def test_a_program_that_ends_without_closing_ends_cleanly(folder: Path):
    script = (
        "import asyncio, sys\n"
        "from cai.models.hf.model import LocalModel\n"
        "from cai.models.base import Sampling\n"
        "from cai.types import Message\n"
        "model = LocalModel.load(sys.argv[1])\n"
        "async def main():\n"
        "    for seed in range(32):\n"
        "        asyncio.ensure_future(\n"
        "            model.complete([Message('user', 'Hi')], Sampling(seed=seed, max_tokens=99)))\n"
        "    await asyncio.sleep(0.1)\n"
        "    raise SystemExit(3)\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(folder)], capture_output=True)
    assert done.returncode == 3, done.stderr.decode()


def test_groups_hold_similar_lengths_longest_first():
    assert grouped([10, 100, 9, 81, 50], lambda n: n) == [[100, 81], [50], [10, 9]]
    assert [len(group) for group in grouped([10_000] * 3, lambda n: n)] == [1, 1, 1]


def test_what_is_cached_counts_for_every_row_of_a_group():
    """Rows of 10 beside 90 cached take 100 tokens each: 3 of them go into 350."""
    groups = grouped([10] * 7, lambda n: n, n_tokens=350, n_cached=90)
    assert [len(group) for group in groups] == [3, 3, 1]
