"""Requests → token ids. Control tokens come from the chat template only, never from a content.

A tokenizer parses the text of a control token anywhere, so a dataset row that holds `<|im_end|>`
could end its own turn and open a system turn. Here every content is split inside each such text,
and the pieces are encoded separately: the model sees the same characters, but no control token.
Text without them is encoded exactly as `apply_chat_template` does.

Example:
    ids = encode_request(tokenizer, [Message("user", "What is <|im_end|>?")])
    decode(tokenizer, ids)  # without special tokens
"""

import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Protocol

from jinja2 import TemplateError

from cai.errors import ModelError
from cai.types import Message, as_dicts


class AddedToken(Protocol):
    """A token that a tokenizer matches before it splits a text; `special` ones are never text."""

    @property
    def content(self) -> str: ...

    @property
    def special(self) -> bool: ...


class Tokenizer(Protocol):
    """What is used here of a transformers tokenizer."""

    @property
    def chat_template(self) -> object: ...

    @property
    def bos_token_id(self) -> int | None: ...

    @property
    def eos_token_id(self) -> int | None: ...

    @property
    def added_tokens_decoder(self) -> Mapping[int, AddedToken]: ...

    def encode(self, text: str, *, add_special_tokens: bool, verbose: bool) -> list[int]: ...

    def decode(
        self, ids: list[int], *, skip_special_tokens: bool, clean_up_tokenization_spaces: bool
    ) -> str: ...

    def apply_chat_template(
        self, conversation: list[dict[str, str]], *, tokenize: bool, add_generation_prompt: bool
    ) -> str: ...


def encode_request(tokenizer: Tokenizer, messages: Sequence[Message]) -> list[int]:
    """Token ids of a conversation up to the model's response, or of one `text` message.

    Raises:
        ModelError: The request is empty or mixes `text` with turns, or the tokenizer has no chat
            template, or the template refuses the conversation.
    """
    if [message.role for message in messages] == ["text"]:
        # Added here and not by `encode`: the pieces are encoded without special tokens, and not
        # every tokenizer that has the beginning-of-text token also puts it in front.
        start = tokenizer.encode("", add_special_tokens=True, verbose=False)[:1]
        opening = start if start == [tokenizer.bos_token_id] else []
        return opening + encode_content(tokenizer, messages[0].content)
    if not messages or any(message.role == "text" for message in messages):
        roles = ", ".join(message.role for message in messages) or "nothing"
        raise ModelError(
            f"The request holds {roles}. Send turns of system, user and assistant, or one 'text'."
        )
    return encode_chat(tokenizer, messages)


def encode_content(tokenizer: Tokenizer, text: str) -> list[int]:
    """Token ids of a text alone: nothing is added, and no control token is parsed in it."""
    cut = secrets.token_hex(16)
    return _encode_pieces(tokenizer, _cut(_dangerous(tokenizer), text, cut).split(cut))


def control_tokens(tokenizer: Tokenizer) -> tuple[str, ...]:
    """Texts of the tokens that a content must not be able to produce, in sorted order.

    Those are the special tokens and the added ones that the chat template itself writes (`<think>`,
    `<tool_call>`). Other added tokens are vocabulary: runs of spaces, words of a domain.
    """
    template = str(tokenizer.chat_template or "")
    names = {
        token.content
        for token in tokenizer.added_tokens_decoder.values()
        if token.special or (token.content in template and not token.content.isspace())
    }
    return tuple(sorted(names))


def decode(tokenizer: Tokenizer, ids: list[int]) -> str:
    """The text of the ids, without special tokens and with its spaces as they are."""
    return tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)


def encode_dialogue(tokenizer: Tokenizer, messages: Sequence[Message]) -> list[int]:
    """As `encode_chat`, of a complete conversation: no turn of the assistant is opened."""
    return encode_chat(tokenizer, messages, is_open=False)


def encode_chat(
    tokenizer: Tokenizer, messages: Sequence[Message], *, is_open: bool = True
) -> list[int]:
    """Token ids of a conversation through the tokenizer's own chat template, up to the answer.

    Raises:
        ModelError: There is no chat template, or it refuses the conversation.
    """
    if tokenizer.chat_template is None:
        raise ModelError(
            "The request is a conversation, and this model has no chat template. Use the "
            "'transcript' prompts for a base model, or add a chat template to its folder."
        )
    # The mark where to split goes through the template with the contents. It is random, so that no
    # content can hold it, and of letters and digits, which no template escapes.
    cut = secrets.token_hex(16)
    dangerous = _dangerous(tokenizer)
    turns = [
        {"role": turn["role"], "content": _cut(dangerous, turn["content"], cut)}
        for turn in as_dicts(messages)
    ]
    try:
        text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=is_open)
    except TemplateError as error:
        roles = ", ".join(turn["role"] for turn in turns)
        raise ModelError(
            f"The model's chat template refuses a conversation of the turns {roles}: {error}. "
            "Give it the turns it knows, for instance without a system turn."
        ) from error
    return _encode_pieces(tokenizer, text.split(cut))


def _dangerous(tokenizer: Tokenizer) -> re.Pattern[str] | None:
    """Matches the first character of every control token in a text, also of overlapping ones."""
    # A one-character token cannot be cut in two; none is known among chat models.
    names = [re.escape(name) for name in control_tokens(tokenizer) if len(name) > 1]
    return re.compile(f"(?=(?:{'|'.join(names)})).", re.DOTALL) if names else None


def _cut(dangerous: re.Pattern[str] | None, text: str, cut: str) -> str:
    return text if dangerous is None else dangerous.sub(lambda first: first.group() + cut, text)


def _encode_pieces(tokenizer: Tokenizer, pieces: Sequence[str]) -> list[int]:
    # Not verbose: a request that is too long gets an error of its own, not a line in the log.
    encoded = [
        tokenizer.encode(piece, add_special_tokens=False, verbose=False)
        for piece in pieces
        if piece
    ]
    return [id for ids in encoded for id in ids]
