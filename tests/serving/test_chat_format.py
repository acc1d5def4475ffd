"""OpenRLHF's queries: the chat template is removed exactly, or the query is refused."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from tiny import CHATML, make_tokenizer, save_tiny_model

from cai.errors import ModelError, SourceError, UsageError
from cai.models.registry import embedded_folder
from cai.serving.chat_format import chat_format_of, load_chat_format, split_query
from cai.types import Message, as_dicts

LLAMA2 = (
    "{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] %}"
    "{% set messages = messages[1:] %}{% endif %}{% for m in messages %}"
    "{% if m['role'] == 'user' %}<s>[INST] {% if loop.first and system is defined %}"
    "<<SYS>>\n{{ system }}\n<</SYS>>\n\n{% endif %}{{ m['content'] }} [/INST]"
    "{% else %} {{ m['content'] }} </s>{% endif %}{% endfor %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}{% for m in messages %}"
    "{% set role = 'model' if m['role'] == 'assistant' else m['role'] %}"
    "<start_of_turn>{{ role }}\n{{ m['content'] | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
DEFAULT_SYSTEM = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nYou help.<|im_end|>\n{% endif %}"
    + CHATML
)
TEMPLATES = {"chatml": CHATML, "llama2": LLAMA2, "gemma": GEMMA, "default": DEFAULT_SYSTEM}
USER, YES, AGAIN = (
    Message("user", "How do I open it?\n\nPlease."),
    Message("assistant", "Which gate?"),
    Message("user", "The small one"),
)
SYSTEM = Message("system", "Be brief.")


def rendered(tokenizer, messages: Sequence[Message], *, is_open: bool) -> str:
    return tokenizer.apply_chat_template(
        as_dicts(messages), tokenize=False, add_generation_prompt=is_open
    )


@pytest.mark.parametrize(
    ("name", "messages"),
    [
        (name, messages)
        for name in TEMPLATES
        for messages in ((USER,), (SYSTEM, USER), (USER, YES, AGAIN))
        if name != "gemma" or messages[0] is not SYSTEM  # which this template refuses
    ],
)
def test_the_conversation_and_the_response_come_back(name: str, messages: tuple[Message, ...]):
    tokenizer = make_tokenizer(TEMPLATES[name])
    prompt = rendered(tokenizer, messages, is_open=True)
    query = rendered(tokenizer, [*messages, Message("assistant", "Lift the latch.")], is_open=False)
    found, response = split_query(query, prompt, chat_format_of(tokenizer))
    assert found.messages == messages
    assert response.strip() == "Lift the latch."


def test_what_the_tokenizer_adds_around_a_query_is_no_part_of_it():
    tokenizer = make_tokenizer(CHATML)
    prompt = rendered(tokenizer, [USER], is_open=True)
    query = f"<s>{prompt}Lift it.<|im_end|><|endoftext|><|endoftext|>"
    found, response = split_query(query, prompt, chat_format_of(tokenizer))
    assert (found.messages, response) == ((USER,), "Lift it.")


def test_a_prompt_without_a_template_is_one_user_message():
    for chat_format in (None, chat_format_of(make_tokenizer(CHATML))):
        found, response = split_query("Hello? Yes, hello.", "Hello? ", chat_format)
        assert found.messages == (Message("user", "Hello? "),)
        assert response == "Yes, hello."
    assert split_query("Hello? Yes.</s><pad>", "Hello? ", None)[1] == "Yes."


@pytest.mark.parametrize("prompt", ["<|im_start|>user\nHi<|im_end|>", "[INST] Hi [/INST]"])
def test_a_prompt_of_an_unknown_template_is_refused(prompt: str):
    with pytest.raises(SourceError, match="--policy"):
        split_query(prompt + "x", prompt, None)
    with pytest.raises(SourceError, match="--policy"):
        split_query(prompt + "x", prompt, chat_format_of(make_tokenizer(GEMMA)))


def test_the_chat_format_of_the_embedded_model_is_known():
    chat_format = load_chat_format(str(embedded_folder()))
    prompt = f"{chat_format.before_user}Hello?{chat_format.generation_prompt}"
    assert chat_format.messages_of(prompt) == (Message("user", "Hello?"),)


def test_a_folder_without_a_usable_template_is_refused(tmp_path: Path):
    with pytest.raises(ModelError, match="no tokenizer"):
        load_chat_format(str(tmp_path))
    with pytest.raises(UsageError, match="chat template is missing"):
        load_chat_format(str(save_tiny_model(tmp_path / "base", template=None)))
    forgetful = save_tiny_model(tmp_path / "odd", template="{{ messages[0]['content'] }}")
    with pytest.raises(UsageError, match="does not keep the messages apart"):
        load_chat_format(str(forgetful))
