"""draws.py: the noise is fair, filters keep what they should, and unsure draws are found."""

import math

import pytest
import torch

from cai.errors import ModelError
from cai.models.base import Sampling
from cai.models.hf.continuous_batching import SamplerState, draw, gumbel_noise


def draws(sampling: Sampling, n: int) -> list[SamplerState]:
    return [SamplerState(sampling, seed, position=seed % 7) for seed in range(n)]


def shares(logits: list[float], sampling: Sampling, n: int = 20_000) -> list[float]:
    """How often each token is drawn among n seeds."""
    rows = torch.tensor([logits]).expand(n, -1)
    tokens, _ = draw(rows, draws(sampling, n), margin=0.0)
    return [tokens.count(token) / n for token in range(len(logits))]


def test_tokens_are_drawn_as_often_as_they_are_probable():
    """With 20,000 draws a share has a standard deviation of at most 0.0036."""
    probabilities = [0.5, 0.3, 0.15, 0.04, 0.01]
    logits = [math.log(p) for p in probabilities]
    assert shares(logits, Sampling()) == pytest.approx(probabilities, abs=0.012)


def test_temperature_sharpens_the_distribution():
    """At temperature ½ probabilities are squared: 0.64 and 0.04 become 16/17 and 1/17."""
    logits = [math.log(0.8), math.log(0.2)]
    assert shares(logits, Sampling(temperature=0.5))[0] == pytest.approx(16 / 17, abs=0.007)


def test_temperature_zero_takes_the_most_probable_token():
    assert shares([0.1, 0.3, 0.2], Sampling(temperature=0), n=50) == [0, 1, 0]


def test_top_k_and_top_p_keep_only_the_most_probable_tokens():
    logits = [math.log(p) for p in (0.1, 0.5, 0.4)]
    assert shares(logits, Sampling(top_k=2))[0] == 0
    assert shares(logits, Sampling(top_k=2))[1] == pytest.approx(5 / 9, abs=0.012)
    assert shares(logits, Sampling(top_p=0.5)) == [0, 1, 0]
    assert shares(logits, Sampling(top_p=0.51))[2] == pytest.approx(4 / 9, abs=0.012)
    assert shares(logits, Sampling(top_p=0.0)) == [0, 1, 0]


def test_a_filter_of_one_row_leaves_the_others_alone():
    logits = torch.randn(40, 30, generator=torch.Generator().manual_seed(0))
    plain, narrow = draws(Sampling(), 40), draws(Sampling(top_k=1), 40)
    mixed = [plain[i] if i % 2 else narrow[i] for i in range(40)]
    tokens, _ = draw(logits, mixed, 0.0)
    assert tokens[1::2] == draw(logits, plain, 0.0)[0][1::2]
    assert tokens[0::2] == logits.argmax(1).tolist()[0::2]


def test_a_draw_depends_on_seed_and_position_only():
    logits = torch.zeros(1, 1000)
    drawn = {
        (seed, position): draw(logits, [SamplerState(Sampling(), seed, position)], 0.0)[0][0]
        for seed in range(20)
        for position in range(20)
    }
    together = [SamplerState(Sampling(), seed, position) for seed, position in drawn]
    assert draw(logits.expand(400, -1), together, 0.0)[0] == list(drawn.values())
    # 400 of 1,000 equally probable tokens at random: 330 distinct ones expected, ± 7.
    assert 295 < len(set(drawn.values())) < 365


def test_noise_is_gumbel_and_its_values_know_nothing_of_each_other():
    """Mean 0.5772 (Euler), variance π²/6; of 512,000 values the mean is known to ± 0.0018."""
    keys = torch.tensor(
        [SamplerState(Sampling(), seed, 0).key for seed in range(256)], dtype=torch.int32
    )
    noise = gumbel_noise(keys, 2000)
    assert noise.mean().item() == pytest.approx(0.5772, abs=0.008)
    assert noise.var().item() == pytest.approx(math.pi**2 / 6, abs=0.03)
    rows = noise - noise.mean(1, keepdim=True)
    between_rows = torch.corrcoef(rows) - torch.eye(256)
    between_tokens = torch.corrcoef(rows.T[:256]) - torch.eye(256)
    assert between_rows.abs().max() < 6 / math.sqrt(2000)
    assert between_tokens.abs().max() < 6 / math.sqrt(256)


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=0),
        Sampling(),
        Sampling(temperature=0.3),
        Sampling(top_k=3),
        Sampling(top_p=0.7),
        Sampling(temperature=0.6, top_k=20, top_p=0.8),
    ],
)
def test_a_sure_draw_survives_every_change_of_logits_within_the_margin(sampling: Sampling):
    n, margin = 4000, 0.02
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(n, 12, generator=generator) * 2
    tokens, unsure = draw(logits, draws(sampling, n), margin)
    changed = 0
    for _ in range(5):
        moved = logits + (torch.rand(n, 12, generator=generator) * 2 - 1) * margin
        again, _ = draw(moved, draws(sampling, n), 0.0)
        different = [a != b for a, b in zip(tokens, again, strict=True)]
        changed += sum(different)
        assert not any(d and not u for d, u in zip(different, unsure, strict=True))
    assert changed > 0
    assert sum(unsure) / n < 0.25


def test_without_a_margin_nothing_is_unsure():
    assert draw(torch.zeros(3, 5), draws(Sampling(), 3), 0.0)[1] == [False] * 3


def test_logits_that_are_no_numbers_are_said_plainly():
    with pytest.raises(ModelError, match="float32"):
        draw(torch.full((1, 4), torch.nan), draws(Sampling(), 1), 0.0)
