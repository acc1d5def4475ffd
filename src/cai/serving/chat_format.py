"""OpenRLHF's queries → prompt and response: a chat template is taken off as it was put on.

A trainer sends what its policy read and wrote as one text. What the policy's chat template writes
around each turn is learned from the template itself, by rendering words that nobody writes.

The chat form of a tokenizer: of the reward model's own, or of the policy's folder.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import TemplateError

from cai.errors import CaiError, ModelError, SourceError, UsageError
from cai.models.hf.loading import TOKENIZERS, ModelSource, plain_errors
from cai.models.hf.tokenizer import Tokenizer, control_tokens
from cai.types import Message, Prompt, Role, as_dicts

Render = Callable[[Sequence[Message], bool], str]
"""A conversation through the chat template, with the assistant's turn opened or not."""

_SYSTEM, _FIRST, _ANSWER, _SECOND = (f"zq{name}qz" for name in ("sys", "one", "two", "three"))
_CONTROL = re.compile(r"<\|[\w ]{2,40}\|>|\[/?INST\]|<(?:start|end)_of_turn>|<｜[^｜\n]{2,40}｜>")


@dataclass(frozen=True, slots=True)
class ChatForm:
    """What a chat template writes around the turns; `ends` are what may follow a response."""

    before_user: str
    before_system: str | None
    after_system: str
    user_to_answer: str
    answer_to_user: str
    after_last: str
    ends: tuple[str, ...]

    @classmethod
    def learned(cls, render: Render, control_tokens: Sequence[str]) -> "ChatForm | None":
        """The form of a template; None of one that does not keep the turns apart."""
        user, answer = Message("user", _FIRST), Message("assistant", _ANSWER)
        try:
            long = render([user, answer, Message("user", _SECOND)], True)
            over = render([user, answer], False)
            before, _, rest = long.partition(_FIRST)
            to_answer, _, rest = rest.partition(_ANSWER)
            to_user, found, after = rest.partition(_SECOND)
        except CaiError:
            return None
        if not found or not after or not to_answer:
            return None
        before_system, after_system = _around_system(render, user)
        closing = over.partition(_ANSWER)[2]
        ends = tuple(dict.fromkeys([closing, closing.strip(), *control_tokens]))
        return cls(
            before, before_system, after_system, to_answer, to_user, after,
            tuple(each for each in ends if each.strip()),
        )  # fmt: skip

    def turns(self, prompt: str) -> tuple[Message, ...] | None:
        """The conversation that this template made the prompt of; None where it did not."""
        if not prompt.endswith(self.after_last):
            return None
        body = prompt.removesuffix(self.after_last)
        # the longer beginning says more: one may be part of the other, either way round
        is_system_first = len(self.before_system or "") > len(self.before_user)
        readings = [self._without_system, self._with_system]
        for read in reversed(readings) if is_system_first else readings:
            if (turns := read(body)) is not None:
                return turns
        return None

    def _without_system(self, body: str) -> tuple[Message, ...] | None:
        if not body.startswith(self.before_user):
            return None
        return self._alternating(body.removeprefix(self.before_user))

    def _with_system(self, body: str) -> tuple[Message, ...] | None:
        if self.before_system is None or not body.startswith(self.before_system):
            return None
        system, found, rest = body.removeprefix(self.before_system).partition(self.after_system)
        turns = self._alternating(rest) if found else None
        return None if turns is None else (Message("system", system), *turns)

    def _alternating(self, text: str) -> tuple[Message, ...] | None:
        turns: list[Message] = []
        while True:
            user, is_more, text = text.partition(self.user_to_answer)
            turns.append(Message("user", user))
            if not is_more:
                return tuple(turns)
            answer, found, text = text.partition(self.answer_to_user)
            if not found:
                return None
            turns.append(Message("assistant", answer))


def _around_system(render: Render, user: Message) -> tuple[str | None, str]:
    system: Role = "system"
    try:
        whole = render([Message(system, _SYSTEM), user], True)
    except CaiError:  # many templates refuse a system turn
        return None, ""
    before, found, rest = whole.partition(_SYSTEM)
    after, is_apart, _ = rest.partition(_FIRST)
    return (before, after) if found and is_apart and after else (None, "")


def split_query(query: str, prompt: str, form: ChatForm | None) -> tuple[Prompt, str]:
    """The prompt as a conversation and the response alone, without what ended its turn.

    Raises:
        SourceError: The query does not hold the prompt, or the prompt is of another template.
    """
    start = query.find(prompt)
    if start < 0:
        raise SourceError(
            "A query does not hold its prompt. Send queries that are the prompt followed by the "
            "response."
        )
    turns = form.turns(prompt) if form else None
    if turns is None:
        if _CONTROL.search(prompt):
            raise SourceError(
                "A prompt was made by a chat template that is not known here. Start the server "
                "with --policy and the folder of the policy's tokenizer."
            )
        turns = (Message("user", prompt),)
    return Prompt("", turns), _without_ends(query[start + len(prompt) :], form)


def _without_ends(text: str, form: ChatForm | None) -> str:
    ends = form.ends if form else ()
    while True:
        bare = text
        for end in ends:
            bare = bare.removesuffix(end)
        if not form:
            bare = re.sub(r"(?:</s>|<eos>|<pad>|<\|\w+\|>|<end_of_turn>)\s*$", "", bare)
        if bare == text:
            return text
        text = bare


def form_of(tokenizer: Tokenizer) -> ChatForm | None:
    """What its chat template writes around turns; None where it has none, or does not say."""
    if tokenizer.chat_template is None:
        return None

    def render(messages: Sequence[Message], is_open: bool) -> str:
        try:
            return tokenizer.apply_chat_template(
                as_dicts(messages), tokenize=False, add_generation_prompt=is_open
            )
        except TemplateError as error:
            raise ModelError(f"The chat template refuses turns: {error}") from error

    return ChatForm.learned(render, control_tokens(tokenizer))


def policy_form(folder: str) -> ChatForm:
    """The chat form of the tokenizer in that folder.

    Raises:
        ModelError: There is no tokenizer in it.
        UsageError: It has no chat template, or one whose turns cannot be told apart.
    """
    if not (Path(folder) / "tokenizer_config.json").is_file():
        raise ModelError(f"{folder}: there is no tokenizer in such a folder. Check the path.")
    with plain_errors(ModelSource(folder), "policy"):
        tokenizer = TOKENIZERS.from_pretrained(folder, local_files_only=True)
    form = form_of(tokenizer)
    if form is None:
        raise UsageError(
            f"{folder}: its chat template is missing, or does not keep the turns apart. Leave "
            "--policy out, and have the trainer send prompts without a chat template."
        )
    return form
