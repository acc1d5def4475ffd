"""Relations of models by their names: the same, of one family, or nothing known."""

import pytest

from cai.evaluation.judge.self_preference import families, model_relation


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("openai:gpt-4o-mini@localhost:8000/v1", "gpt-4o"),
        ("chatgpt-4o-latest", "gpt-4o"),
        ("gpt4_turbo", "gpt-4"),
        ("gpt-4-1106-preview", "gpt-4"),
        ("gpt-3.5-turbo", "gpt-3"),
        ("gpt-oss-20b", "gpt-oss"),
        ("hf:Qwen/Qwen3-0.6B@0123abcd:bfloat16", "qwen-3"),
        ("Qwen/Qwen2.5-7B-Instruct", "qwen-2"),
        ("Qwen-14B-Chat", "qwen"),
        ("meta-llama/Llama-3.1-8B-Instruct", "llama-3"),
        ("meta-llama/Meta-Llama-3-8B", "llama-3"),
        ("llama3:8b", "llama-3"),
        ("llama-13b", "llama"),
        ("claude-3-5-sonnet-20241022", "claude-3"),
        ("claude-sonnet-4-20250514", "claude-4"),
        ("mistralai/Mistral-7B-Instruct-v0.3", "mistral"),
        ("mistral-large-2407", "mistral"),
        ("mixtral-8x7b", "mixtral"),
        ("allenai/OLMo-2-1124-7B", "olmo-2"),
        ("text_davinci_003", "text-davinci"),
        ("embedded#ab12cd34", "embedded"),
        ("embedded#ab12cd34:bfloat16", "embedded"),
        ("hf:runs/qwen3-sft/checkpoint-500@0123abcd", "qwen-3"),
        ("acme/frob-7b-chat", "acme/frob"),
        ("hf:runs/mine/checkpoint-500@0123abcd", "runs/mine"),
        ("my-policy", "my-policy"),
    ],
)
def test_a_name_has_a_family(name: str, family: str):
    assert families(name) == {family}


def test_a_distillation_is_of_both_its_series():
    assert families("deepseek-ai/DeepSeek-R1-Distill-Qwen-7B") == {"deepseek-1", "qwen"}


def test_an_adapter_is_of_the_family_of_its_base():
    adapted = "hf:Qwen/Qwen3-0.6B@0123abcd+loras/kind@4567cdef"
    assert families(adapted) == {"qwen-3", "loras/kind"}
    assert model_relation(adapted, "Qwen/Qwen3-8B") == "family"


@pytest.mark.parametrize(
    ("one", "other", "relation"),
    [
        ("openai:gpt-4o@localhost:8000/v1", "openai:gpt-4o@localhost:8000/v1", "same"),
        ("openai:gpt-4o@localhost:8000/v1", "openai:gpt-4o@elsewhere/v1", "same"),
        ("openai:gpt-4o@localhost:8000/v1", "GPT-4o", "same"),
        ("hf:Qwen/Qwen3-0.6B@0123abcd", "Qwen/Qwen3-0.6B", "same"),
        ("embedded#ab12cd34", "embedded#ab12cd34", "same"),
        ("openai:gpt-4o@localhost:8000/v1", "gpt-4o-mini", "family"),
        ("meta-llama/Llama-3.1-8B-Instruct", "hf:meta-llama/Meta-Llama-3-8B@0123abcd", "family"),
        ("embedded#ab12cd34", "embedded#ffffffff", "family"),  # other weights: trained further
        ("hf:runs/mine/checkpoint-500@0123abcd", "hf:runs/mine/checkpoint-900@4567cdef", "family"),
        ("hf:runs/mine@0123abcd", "hf:runs/mine/final@4567cdef", "family"),
        ("acme/frob-7b-chat", "acme/frob-13b", "family"),
        ("gpt-4o", "gpt-4-turbo", None),
        ("Qwen/Qwen3-8B", "Qwen/Qwen2.5-7B", None),
        ("llama-2-7b", "llama-3-8b", None),
        ("hf:runs/mine/checkpoint-500@0123abcd", "hf:runs/yours/checkpoint-500@4567cdef", None),
        ("acme/frob-7b", "others/frob-7b", None),
        ("my-policy", "my-judge", None),
        ("adopt-7b", "opt-7b", None),
    ],
)
def test_two_names_are_of_one_model_of_one_family_or_of_strangers(
    one: str, other: str, relation: str | None
):
    assert model_relation(one, other) == model_relation(other, one) == relation


def test_an_unnamed_model_has_no_relation():
    """An unknown model is not the same as another unknown one."""
    assert (
        model_relation("", "")
        is model_relation("gpt-4o", "")
        is model_relation("", "gpt-4o")
        is None
    )
    assert families("") == frozenset()
