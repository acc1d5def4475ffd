"""The chat form of a tokenizer: of the reward model's own, or of the policy's folder."""

from collections.abc import Sequence
from pathlib import Path

from jinja2 import TemplateError

from cai.errors import ModelError, UsageError
from cai.models.hf.source import TOKENIZERS, Source, plain_errors
from cai.models.hf.tokens import Tokenizer, control_tokens
from cai.serving.queries import ChatForm
from cai.types import Message, as_dicts


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
    with plain_errors(Source(folder), "policy"):
        tokenizer = TOKENIZERS.from_pretrained(folder, local_files_only=True)
    form = form_of(tokenizer)
    if form is None:
        raise UsageError(
            f"{folder}: its chat template is missing, or does not keep the turns apart. Leave "
            "--policy out, and have the trainer send prompts without a chat template."
        )
    return form
