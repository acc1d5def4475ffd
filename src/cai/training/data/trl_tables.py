"""Rows as the data sets that TRL's trainers read, in TRL's conversational format.

Columns are those of TRL's `dataset_formats`: prompt and completion, with a label, or chosen and
rejected; or the prompt only. Each row also says what `apply_chat_template` is to be given, so that
control tokens in its contents stay text and no row can end its own turn and open another one.
transformers does that for most tokenizers, not for all: it is tried once for a model, and where it
does not work rows with control tokens are refused. GRPO and RLOO have a setting for it.

Rows longer than `max_length` are left out by TRL without a message. They are counted here, and it
is an error if none is left: some trainers would end after 0 steps, others fail somewhere inside.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# datasets and TRL leave some of their types open: what is unknown stays in this file

from collections import Counter
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

from datasets import Dataset
from jinja2 import TemplateError
from rich.console import Console
from transformers import PreTrainedTokenizerBase, Trainer

from cai.errors import TrainingError
from cai.export.rows import Demonstration, Labelled, PreferencePair, prompt_of
from cai.models.hf.tokenizer import Tokenizer, control_tokens
from cai.training.data.load import TrainingData, TrainingRow
from cai.training.plan import LabelPlan
from cai.training.soft_losses import TARGET
from cai.types import Message, Prompt, as_dicts


def table_of(
    rows: Iterable[TrainingRow],
    arguments: Mapping[str, object],
    labels: LabelPlan | None = None,
) -> Dataset:
    """One row each, in TRL's conversational columns; pairs carry their target for `labels`.

    `arguments` are those of the chat template.
    """
    return Dataset.from_list([_columns(row, arguments, labels) for row in rows])


def confident_pairs(data: TrainingData, labels: LabelPlan) -> TrainingData:
    """The data without the pairs that the labels leave out, which are counted.

    Raises:
        TrainingError: None is left.
    """
    train, evaluation = (
        tuple(row for row in rows if labels.is_kept(row.confidence))
        for rows in (data.train, data.evaluation)
    )
    n_unsure = len(data.train) + len(data.evaluation) - len(train) - len(evaluation)
    if not train:
        raise TrainingError(
            f"No pair is at least {labels.min_margin:g} from one half. Ask for a smaller "
            "--min-margin."
        )
    dropped = data.dropped + Counter({"unsure": n_unsure})
    return replace(data, train=train, evaluation=evaluation, dropped=dropped)


def _columns(
    row: TrainingRow, arguments: Mapping[str, object], labels: LabelPlan | None
) -> dict[str, object]:
    match row.unit:
        case Prompt() as prompt:
            return {"prompt": as_dicts(prompt.messages), "id": prompt.id}
        case Demonstration() as unit:
            return {
                **_prompt_columns(unit.prompt, arguments),
                "completion": _response(unit.completion),
            }
        case Labelled() as unit:
            return {
                **_prompt_columns(unit.prompt, arguments),
                "completion": _response(unit.completion),
                "label": unit.label,
            }
        case PreferencePair() as unit:
            columns = {
                **_prompt_columns(unit.prompt, arguments),
                "chosen": _response(unit.chosen),
                "rejected": _response(unit.rejected),
            }
            if labels is not None:
                columns[TARGET] = labels.target(row.confidence)
            return columns


def _prompt_columns(prompt: Prompt, arguments: Mapping[str, object]) -> dict[str, object]:
    columns: dict[str, object] = {"prompt": as_dicts(prompt.messages)}
    return {**columns, "chat_template_kwargs": dict(arguments)} if arguments else columns


def _response(text: str) -> Sequence[Mapping[str, str]]:
    return as_dicts([Message("assistant", text)])


def check_lengths(trainer: Trainer, data: TrainingData, console: Console) -> None:
    """Says how many rows TRL left out. Packed rows are no longer rows, and are not counted.

    Raises:
        TrainingError: None is left to train on, or of those held out.
    """
    args = cast(Any, trainer.args)
    limit = getattr(args, "max_length", None)  # GRPO and RLOO have none
    if limit is None:
        return
    parts = (
        ("to train on", trainer.train_dataset, len(data.train), bool(getattr(args, "packing", 0))),
        ("held out", trainer.eval_dataset, len(data.evaluation), bool(_packs_evaluation(args))),
    )
    for name, dataset, n_before, is_packed in parts:
        if dataset is None:
            continue
        n = len(cast(Any, dataset))
        if n == 0:
            raise _too_long(name, limit)
        if n < n_before and not is_packed:
            console.print(
                f"left out: {n_before - n} of {n_before} rows {name}, over {limit} tokens"
            )


@contextmanager
def no_rows_errors(max_length: int | None) -> Generator[None]:
    """Explains what DPO raises where no row is left for the reference's log-probabilities.

    Raises:
        TrainingError: No row is left.
    """
    try:
        yield
    except ValueError as error:
        if "expected a non-empty list of Tensors" in str(error):
            raise _too_long("to train on, or held out,", max_length) from error
        raise


def _packs_evaluation(args: Any) -> bool:
    wanted = getattr(args, "eval_packing", None)
    return bool(getattr(args, "packing", False) if wanted is None else wanted)


def _too_long(name: str, limit: int | None) -> TrainingError:
    return TrainingError(
        f"No row {name} is short enough for max_length, {limit} tokens. Set a larger max_length."
    )


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
    # each control token that was spelled in a content and obeyed would be one more
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
        case PreferencePair() as unit:
            texts += [unit.chosen, unit.rejected]
        case Demonstration() | Labelled() as unit:
            texts.append(unit.completion)
        case _:
            pass
    return texts
