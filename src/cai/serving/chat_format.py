"""OpenRLHF's queries → prompt and response: the policy's chat template is removed again.

OpenRLHF sends what its policy read and wrote as one text, in the policy's chat template. A judge
must see the conversation instead, and a reward model applies a template of its own. What a template
writes around each message is found by rendering placeholder messages with it, so that no list of
known templates is needed. The template is that of the policy (`--policy`) or, without one, that of
the reward model, which is often trained from the same base model.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import TemplateError

from cai.errors import CaiError, ModelError, SourceError, UsageError
from cai.models.hf.loading import TOKENIZERS, ModelSource, plain_errors
from cai.models.hf.tokenizer import Tokenizer, control_tokens
from cai.types import Message, Prompt, as_dicts

Render = Callable[[Sequence[Message], bool], str]
"""A conversation → its text in a chat template; True adds the generation prompt."""

# Placeholder contents. They hold no space or line break, which templates may trim, and are texts
# that no template writes itself.
_SYSTEM, _FIRST, _ANSWER, _SECOND = (f"zq{name}qz" for name in ("sys", "one", "two", "three"))
_CONTROL = re.compile(r"<\|[\w ]{2,40}\|>|\[/?INST\]|<(?:start|end)_of_turn>|<｜[^｜\n]{2,40}｜>")
_COMMON_END = re.compile(r"(?:</s>|<eos>|<pad>|<\|\w+\|>|<end_of_turn>)\s*$")


@dataclass(frozen=True, slots=True)
class ChatFormat:
    """The texts that a chat template writes around messages.

    `generation_prompt` follows the last user message; `before_system` is None for a template that
    has no system message. `end_markers` are the texts that may follow a response.
    """

    before_user: str
    before_system: str | None
    after_system: str
    user_to_assistant: str
    assistant_to_user: str
    generation_prompt: str
    end_markers: tuple[str, ...]

    @classmethod
    def from_template(cls, render: Render, control_tokens: Sequence[str]) -> "ChatFormat | None":
        """The format of a template; None if it does not keep the messages apart."""
        user, answer = Message("user", _FIRST), Message("assistant", _ANSWER)
        try:
            conversation = render([user, answer, Message("user", _SECOND)], True)
            finished = render([user, answer], False)
        except CaiError:
            return None
        before_user, _, rest = conversation.partition(_FIRST)
        to_assistant, _, rest = rest.partition(_ANSWER)
        to_user, is_found, generation_prompt = rest.partition(_SECOND)
        if not is_found or not generation_prompt or not to_assistant:
            return None
        before_system, after_system = _around_system(render, user)
        closing = finished.partition(_ANSWER)[2]
        # A policy stops at its end token, so the line break that many templates write after it is
        # missing from a response: the closing text is looked for with and without it.
        end_markers = dict.fromkeys([closing, closing.strip(), *control_tokens])
        return cls(
            before_user=before_user,
            before_system=before_system,
            after_system=after_system,
            user_to_assistant=to_assistant,
            assistant_to_user=to_user,
            generation_prompt=generation_prompt,
            end_markers=tuple(each for each in end_markers if each.strip()),
        )

    def messages_of(self, prompt: str) -> tuple[Message, ...] | None:
        """The conversation that this template rendered as the prompt; None if it did not."""
        if not prompt.endswith(self.generation_prompt):
            return None
        body = prompt.removesuffix(self.generation_prompt)
        # One of the two beginnings may be the start of the other: a template with a default system
        # message writes that before a first user message, and Llama 2 writes the system message
        # inside the user's. The longer one is tried first, as the shorter would match both.
        parsers = [self._without_system, self._with_system]
        if len(self.before_system or "") > len(self.before_user):
            parsers.reverse()
        for parse in parsers:
            if (messages := parse(body)) is not None:
                return messages
        return None

    def _without_system(self, body: str) -> tuple[Message, ...] | None:
        is_ours = body.startswith(self.before_user)
        return self._alternating(body.removeprefix(self.before_user)) if is_ours else None

    def _with_system(self, body: str) -> tuple[Message, ...] | None:
        if self.before_system is None or not body.startswith(self.before_system):
            return None
        system, is_found, rest = body.removeprefix(self.before_system).partition(self.after_system)
        messages = self._alternating(rest) if is_found else None
        return None if messages is None else (Message("system", system), *messages)

    def _alternating(self, text: str) -> tuple[Message, ...] | None:
        messages: list[Message] = []
        while True:
            user, is_more, text = text.partition(self.user_to_assistant)
            messages.append(Message("user", user))
            if not is_more:
                return tuple(messages)
            answer, is_found, text = text.partition(self.assistant_to_user)
            if not is_found:
                return None
            messages.append(Message("assistant", answer))


def _around_system(render: Render, user: Message) -> tuple[str | None, str]:
    try:
        conversation = render([Message("system", _SYSTEM), user], True)
    except CaiError:  # many templates refuse a system message
        return None, ""
    before, is_found, rest = conversation.partition(_SYSTEM)
    after, is_apart, _ = rest.partition(_FIRST)
    return (before, after) if is_found and is_apart and after else (None, "")


def chat_format_of(tokenizer: Tokenizer) -> ChatFormat | None:
    """The format of the tokenizer's chat template; None if it has none that can be parsed."""
    if tokenizer.chat_template is None:
        return None

    def render(messages: Sequence[Message], add_generation_prompt: bool) -> str:
        try:
            return tokenizer.apply_chat_template(
                as_dicts(messages), tokenize=False, add_generation_prompt=add_generation_prompt
            )
        except TemplateError as error:
            raise ModelError(f"The chat template refuses messages: {error}") from error

    return ChatFormat.from_template(render, control_tokens(tokenizer))


def load_chat_format(folder: str) -> ChatFormat:
    """The chat format of the tokenizer in that folder.

    Raises:
        ModelError: There is no tokenizer in it.
        UsageError: It has no chat template, or one whose messages cannot be told apart.
    """
    if not (Path(folder) / "tokenizer_config.json").is_file():
        raise ModelError(f"{folder}: there is no tokenizer in this folder. Check the path.")
    with plain_errors(ModelSource(folder), "policy"):
        tokenizer = TOKENIZERS.from_pretrained(folder, local_files_only=True)
    chat_format = chat_format_of(tokenizer)
    if chat_format is None:
        raise UsageError(
            f"{folder}: its chat template is missing, or does not keep the messages apart. Leave "
            "--policy out, and have the trainer send prompts without a chat template."
        )
    return chat_format


def split_query(query: str, prompt: str, chat_format: ChatFormat | None) -> tuple[Prompt, str]:
    """The prompt as a conversation, and the response without the texts that end it.

    A prompt in no chat template is one user message.

    Raises:
        SourceError: The query does not contain the prompt, or the prompt is in another template.
    """
    # Not `startswith`: a tokenizer that adds a beginning-of-sequence token has decoded it into the
    # query, in front of the prompt.
    start = query.find(prompt)
    if start < 0:
        raise SourceError(
            "A query does not contain its prompt. Send queries that are the prompt followed by the "
            "response."
        )
    messages = chat_format.messages_of(prompt) if chat_format else None
    if messages is None:
        if _CONTROL.search(prompt):
            raise SourceError(
                "A prompt is in a chat template that is not known here. Start the server with "
                "--policy and the folder of the policy's tokenizer."
            )
        messages = (Message("user", prompt),)
    return Prompt("", messages), _without_end(query[start + len(prompt) :], chat_format)


def _without_end(response: str, chat_format: ChatFormat | None) -> str:
    # In a loop, since an end token is often followed by any number of padding tokens.
    while True:
        shorter = response
        if chat_format is None:
            shorter = _COMMON_END.sub("", shorter)
        else:
            for marker in chat_format.end_markers:
                shorter = shorter.removesuffix(marker)
        if shorter == response:
            return response
        response = shorter
