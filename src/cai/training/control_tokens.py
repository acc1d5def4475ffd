"""Control tokens in the contents of rows stay text, or the rows are refused.

transformers encodes what a chat template itself writes as control tokens, and the same characters
in a content as text, when it is told to; TRL hands that wish on from a column of the rows. Whether
it works with a model's tokenizer and template is found out once, by trying.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from cai.errors import TrainingError
from cai.export.units import Demonstration, Labelled, Pair, prompt_of
from cai.models.hf.tokens import Tokenizer, control_tokens
from cai.training.data.rows import TrainingRow

SANITIZED: Mapping[str, object] = {"sanitize_control_tokens": True}


def template_arguments(tokenizer: Any) -> dict[str, object]:
    """What TRL is to hand to the chat template for every row: the wish, where it is granted."""
    return dict(SANITIZED) if keeps_text(tokenizer) else {}


def keeps_text(tokenizer: Any) -> bool:
    """Whether contents that spell every control token encode to as many of them as harmless ones.

    The probe is a dialogue of one request and one response.
    """
    names = control_tokens(tokenizer)
    if not names:
        return True
    try:
        plain, spelled = (
            _n_control(tokenizer, content) for content in ("word", f"word {' '.join(names)} word")
        )
    except (TemplateError, NotImplementedError, ValueError, TypeError, KeyError):
        return False
    return plain == spelled


def check_rows(
    rows: Iterable[TrainingRow], tokenizer: PreTrainedTokenizerBase | Tokenizer, spec: str
) -> None:
    """Finds out whether a content spells a control token. For templates that cannot keep it text.

    Raises:
        TrainingError: One does.
    """
    names = control_tokens(tokenizer)  # pyright: ignore[reportArgumentType]
    for row in rows:
        for text in _contents(row):
            found = next((name for name in names if name in text), None)
            if found is not None:
                raise TrainingError(
                    f"{row.source}: row {prompt_of(row.unit).id} holds the control token "
                    f"{found!r}, and the chat template of {spec} would obey it. Clean the rows, or "
                    "train with --allow-control-tokens where they are meant."
                )


def _n_control(tokenizer: Any, content: str) -> int:
    turns = [{"role": role, "content": content} for role in ("user", "assistant")]
    encoded = tokenizer.apply_chat_template(turns, tokenize=True, return_dict=True, **SANITIZED)
    names = set(control_tokens(tokenizer))
    tokens = tokenizer.convert_ids_to_tokens(encoded["input_ids"])
    return sum(token in names for token in tokens)


def _contents(row: TrainingRow) -> list[str]:
    texts = [turn.content for turn in prompt_of(row.unit).messages]
    match row.unit:
        case Pair() as unit:
            texts += [unit.chosen, unit.rejected]
        case Demonstration() | Labelled() as unit:
            texts.append(unit.completion)
        case _:
            pass
    return texts
