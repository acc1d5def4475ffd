"""Samples of a policy: log-probabilities under padding, what is cut off, nothing left changed."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import save_tiny_model
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel

from cai.errors import TrainingError
from cai.models.hf.tokenizer import encode_request
from cai.models.registry import embedded_folder
from cai.training.monitor.policy_samples import Sampled, eval_mode, log_probabilities, sample
from cai.types import Message

ASKED = ("How?", "How do I wash the lamp?", "Why is the gate open at dawn, and who has the key?")


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    folder: Path = save_tiny_model(tmp_path_factory.mktemp("tiny"))
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    return model, AutoTokenizer.from_pretrained(folder)


@pytest.fixture
def policy(opened: tuple[Any, Any]) -> Any:
    return opened[0]


@pytest.fixture
def prompts(opened: tuple[Any, Any]) -> list[list[int]]:
    return [encode_request(opened[1], [Message("user", text)]) for text in ASKED]


@pytest.mark.parametrize("positions", ["relative", "absolute"])
def test_log_probabilities_are_those_of_each_response_alone(
    positions: str, policy: Any, prompts: list[list[int]]
):
    """Prompts of three lengths share a batch; alone, and token by token, the sums are the same."""
    if positions == "absolute":
        policy = with_absolute_positions(policy.config.vocab_size)
    with eval_mode(policy, 0):
        (part,) = sample(policy, prompts, 0, 20)
        together = log_probabilities(policy, part)
        for row, (prompt, n) in enumerate(zip(prompts, part.n_tokens, strict=True)):
            drawn = part.tokens[row, part.n_prompt :][:n]
            logits = policy(torch.tensor([prompt + drawn.tolist()])).logits[0]
            each = logits.log_softmax(dim=1)[len(prompt) - 1 : -1]
            alone = sum(float(each[place, token]) for place, token in enumerate(drawn))
            assert together[row] == pytest.approx(alone, abs=1e-3)


def with_absolute_positions(vocab_size: int) -> Any:
    torch.manual_seed(0)
    sizes = {"vocab_size": vocab_size, "n_embd": 32, "n_layer": 2, "n_head": 2}
    config = GPT2Config(**sizes, eos_token_id=2, bos_token_id=3, initializer_range=0.5)
    return GPT2LMHeadModel(config).eval()


def test_a_response_without_its_end_token_is_cut_off():
    """End token 1, which pads too. The first response is 5 1, the second is 5 6 7."""
    tokens = torch.tensor([[9, 5, 1, 1], [9, 5, 6, 7]])
    part = Sampled(tokens, torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1]]), 1, (1,))
    assert part.n_tokens == [2, 3]
    assert part.cut_off == [False, True]


def test_responses_of_the_embedded_model_end_by_themselves():
    model = AutoModelForCausalLM.from_pretrained(embedded_folder())
    tokenizer = AutoTokenizer.from_pretrained(embedded_folder())
    prompts = [
        encode_request(tokenizer, [Message("user", f"How do I clean the {thing}?")])
        for thing in ("lamp", "gate")
    ]
    with eval_mode(model, 0):
        (part,) = sample(model, prompts, 0, 60)
        (short,) = sample(model, prompts, 0, 4)
    assert part.cut_off == [False, False]
    for row, n in enumerate(part.n_tokens):
        assert int(part.tokens[row, part.n_prompt + n - 1]) in part.end_ids
    assert all(len(text.split()) > 4 and "<|" not in text for text in part.texts(tokenizer))
    assert short.cut_off == [True, True]
    assert short.n_tokens == [4, 4]


def test_one_seed_gives_one_sample(policy: Any, prompts: list[list[int]]):
    drawn: list[torch.Tensor] = []
    for seed in (5, 5, 6):
        with eval_mode(policy, seed):
            drawn.append(sample(policy, prompts, 0, 10)[0].tokens)
    assert drawn[0].equal(drawn[1])
    assert not drawn[0].equal(drawn[2])


def test_looking_changes_neither_modes_nor_random_numbers_nor_gradients(policy: Any):
    policy.train()
    policy.lm_head.eval()  # as a frozen part is kept
    modes = [module.training for module in policy.modules()]
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    with eval_mode(policy, 0):
        assert not any(module.training for module in policy.modules())
        assert not torch.is_grad_enabled()
        torch.rand(7)
    assert torch.rand(3).equal(expected)
    assert [module.training for module in policy.modules()] == modes
    assert torch.is_grad_enabled()
    policy.eval()


def test_a_policy_that_has_diverged_is_one_sentence(
    opened: tuple[Any, Any], prompts: list[list[int]]
):
    broken = type(opened[0])(opened[0].config)
    broken.generation_config = opened[0].generation_config
    torch.nn.init.constant_(broken.model.embed_tokens.weight, float("nan"))
    with pytest.raises(TrainingError, match="the training has diverged"), eval_mode(broken, 0):
        sample(broken, prompts, 0, 4)
