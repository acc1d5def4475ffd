"""Divergence and entropy on models whose probabilities are known."""

from math import log
from pathlib import Path

import pytest
import torch
from tiny import save_tiny_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from cai.rounds.divergence import divergences
from cai.types import user_prompt

PROMPTS = [user_prompt(f"Where is lamp {i}?", str(i)) for i in range(6)]


def even(folder: Path, of: Path) -> Path:
    """The model with embeddings of zero, which are its output too: every token is as probable."""
    model = AutoModelForCausalLM.from_pretrained(of)
    with torch.no_grad():
        model.get_input_embeddings().weight.zero_()
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(of).save_pretrained(folder)
    return folder


def test_an_even_policy_has_the_entropy_of_its_vocabulary_and_no_distance_to_itself(tmp_path: Path):
    tiny = save_tiny_model(tmp_path / "tiny")
    policy = f"hf:{even(tmp_path / 'even', tiny)}"
    n_tokens = len(AutoTokenizer.from_pretrained(tiny))
    found, missing = divergences(policy, {"kl_start": policy}, PROMPTS, 8, 0)
    assert found["entropy"].value == pytest.approx(log(n_tokens), rel=1e-5)
    assert found["kl_start"].value == 0
    assert missing == {}


def test_the_distance_to_an_even_policy_is_what_entropy_lacks_for_each_token(tmp_path: Path):
    """KL(π ‖ even) is the mean of log π(y) + |y| log V: |y| times (log V − H), in whole tokens."""
    tiny = save_tiny_model(tmp_path / "tiny")
    other = f"hf:{even(tmp_path / 'even', tiny)}"
    n_tokens = len(AutoTokenizer.from_pretrained(tiny))
    found, _ = divergences(f"hf:{tiny}", {"kl_start": other}, PROMPTS, 8, 0)
    lacks = log(n_tokens) - found["entropy"].value
    drawn = len(PROMPTS) * found["kl_start"].value / lacks
    assert drawn == pytest.approx(round(drawn), abs=1e-2)
    assert len(PROMPTS) <= round(drawn) <= 8 * len(PROMPTS)


def test_a_policy_behind_a_server_is_no_number(tmp_path: Path):
    spec = "openai:policy@http://localhost:9/v1"
    found, missing = divergences(spec, {"kl_start": "embedded"}, PROMPTS, 8, 0)
    assert found == {}
    assert set(missing) == {"entropy", "kl_start"}
    assert "shows no tokens" in missing["kl_start"]
