"""Rows as the data sets that TRL's trainers read, in TRL's conversational format.

Columns are those of TRL's `dataset_formats`: prompt and completion, with a label, or chosen and
rejected; or the prompt only. Each row also holds the arguments for `apply_chat_template` with which
control tokens in its contents stay text, so that no row can end its own turn and open another one.
transformers does that for most tokenizers, not for all: it is tried once for a model, and where it
does not work rows with control tokens are refused. GRPO and RLOO have a setting for it.

TRL leaves out rows longer than `max_length` without a message. They are counted here, and it is an
error if none is left.

Example:
    arguments = template_arguments(tokenizer)  # {"sanitize_control_tokens": True}
    table_of(data.train, arguments, LabelPlan("soft"))  # prompt, chosen, rejected, and the target
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
from cai.models.base import folded
from cai.models.hf.tokenizer import Tokenizer, control_tokens
from cai.training.data.load import TrainingData, TrainingRow
from cai.training.plan import LabelPlan
from cai.training.soft_losses import TARGET
from cai.types import Message, Prompt, as_dicts


def table_of(
    rows: Iterable[TrainingRow],
    arguments: Mapping[str, object],
    labels: LabelPlan | None = None,
    *,
    folds_system: bool = False,
) -> Dataset:
    """One row each, in TRL's conversational columns; pairs carry their target for `labels`.

    `arguments` are those of the chat template. With `folds_system`, the text of system turns stands
    at the head of the user's next turn.
    """

    def prompt(prompt: Prompt) -> Sequence[Mapping[str, str]]:
        return as_dicts(folded(prompt.messages) if folds_system else prompt.messages)

    def response(text: str) -> Sequence[Mapping[str, str]]:
        return as_dicts([Message("assistant", text)])

    def columns(row: TrainingRow) -> dict[str, object]:
        if isinstance(row.unit, Prompt):  # GRPO and RLOO have the arguments in their config
            return {"prompt": prompt(row.unit), "id": row.unit.id}
        shared: dict[str, object] = {"prompt": prompt(row.unit.prompt)}
        if arguments:
            shared["chat_template_kwargs"] = dict(arguments)
        match row.unit:
            case Demonstration() as unit:
                return {**shared, "completion": response(unit.completion)}
            case Labelled() as unit:
                return {**shared, "completion": response(unit.completion), "label": unit.label}
            case PreferencePair() as unit:
                both = {"chosen": response(unit.chosen), "rejected": response(unit.rejected)}
                target = {} if labels is None else {TARGET: labels.target(row.confidence)}
                return {**shared, **both, **target}

    return Dataset.from_list([columns(row) for row in rows])


def confident_pairs(data: TrainingData, labels: LabelPlan) -> TrainingData:
    """The data without the pairs that the labels leave out, which are counted.

    Raises:
        TrainingError: None is left.
    """
    train, evaluation = (
        tuple(row for row in rows if labels.is_confident(row.confidence))
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


def check_lengths(trainer: Trainer, data: TrainingData, console: Console) -> None:
    """Prints how many rows TRL left out. Packed rows are no longer rows, and are not counted.

    Raises:
        TrainingError: None is left to train on, or none of those held out.
    """
    args = cast(Any, trainer.args)
    limit = getattr(args, "max_length", None)  # GRPO and RLOO have none
    if limit is None:
        return
    packs = bool(getattr(args, "packing", False))  # only SFT has packing
    packs_evaluation = getattr(args, "eval_packing", None)
    if packs_evaluation is None:  # as TRL has it: then as in training
        packs_evaluation = packs
    parts = (
        ("to train on", trainer.train_dataset, len(data.train), packs),
        ("held out", trainer.eval_dataset, len(data.evaluation), packs_evaluation),
    )
    for name, dataset, n_before, is_packed in parts:
        if dataset is None:
            continue
        n = len(cast(Any, dataset))
        if n == 0:  # some trainers would end after 0 steps, others fail somewhere inside
            raise _too_long(name, limit)
        if n < n_before and not is_packed:
            console.print(
                f"left out: {n_before - n} of {n_before} rows {name}, over {limit} tokens"
            )


@contextmanager
def no_rows_errors(max_length: int | None) -> Generator[None]:
    """Explains what TRL raises where no row is left, or the chat template refuses one.

    Raises:
        TrainingError: Either is so.
    """
    try:
        yield
    except TemplateError as error:
        raise TrainingError(
            f"The model's chat template refuses the turns of a row: {error}. Turns of user and "
            "assistant that alternate, the user's first, are what every template takes."
        ) from error
    except ValueError as error:
        if "expected a non-empty list of Tensors" in str(error):
            raise _too_long("to train on, or held out,", max_length) from error
        raise


def _too_long(name: str, limit: int | None) -> TrainingError:
    return TrainingError(
        f"No row {name} is short enough for max_length, {limit} tokens. Set a larger max_length."
    )


SANITIZED: Mapping[str, object] = {"sanitize_control_tokens": True}


def template_arguments(tokenizer: Any) -> dict[str, object]:
    """What TRL passes to the chat template with every row; nothing where it has no effect."""
    return dict(SANITIZED) if keeps_text(tokenizer) else {}


def keeps_text(tokenizer: Any) -> bool:
    """Whether contents that spell every control token encode to as many of them as harmless ones.

    The probe is a dialogue of one request and one response.
    """
    names = control_tokens(tokenizer)
    if not names:
        return True

    def n_control(content: str) -> int:
        turns = [{"role": role, "content": content} for role in ("user", "assistant")]
        encoded = tokenizer.apply_chat_template(turns, tokenize=True, return_dict=True, **SANITIZED)
        # counted among the tokens of all turns: the template's own are the same for every content
        tokens = tokenizer.convert_ids_to_tokens(encoded["input_ids"])
        return sum(token in names for token in tokens)

    try:
        plain, spelled = n_control("word"), n_control(f"word {' '.join(names)} word")
    except (TemplateError, NotImplementedError, ValueError, TypeError, KeyError):
        return False
    # each control token that was spelled in a content and taken as one would be one more
    return plain == spelled


def refuses_system(tokenizer: Any) -> bool:
    """Whether the chat template refuses a system turn, and takes the rest without it."""

    def takes(*roles: str) -> bool:
        try:
            turns = [{"role": role, "content": "word"} for role in roles]
            tokenizer.apply_chat_template(turns, tokenize=False)
        except TemplateError:
            return False
        return True

    return takes("user", "assistant") and not takes("system", "user", "assistant")


def ends_turn(tokenizer: Any, stop_ids: Iterable[int]) -> bool:
    """Whether the chat template writes a token behind an answer at which generation stops.

    A policy that is trained without one never learns to stop.
    """
    probe = "wordword"
    turns = [{"role": "user", "content": "word"}, {"role": "assistant", "content": probe}]
    try:
        text = str(tokenizer.apply_chat_template(turns, tokenize=False))
    except TemplateError:
        return True  # it refuses even such turns, which is another error
    behind = text.rpartition(probe)[2]
    return any(token in behind for token in tokenizer.convert_ids_to_tokens(list(stop_ids)))


def check_rows(
    rows: Iterable[TrainingRow], tokenizer: PreTrainedTokenizerBase | Tokenizer, spec: str
) -> None:
    """Checks that no content spells a control token, for templates that would obey it.

    Raises:
        TrainingError: One does.
    """
    names = control_tokens(tokenizer)  # pyright: ignore[reportArgumentType]
    for row in rows:
        texts = [turn.content for turn in prompt_of(row.unit).messages]
        match row.unit:
            case PreferencePair() as unit:
                texts += [unit.chosen, unit.rejected]
            case Demonstration() | Labelled() as unit:
                texts.append(unit.completion)
            case _:
                pass
        spelled = next((name for name in names for text in texts if name in text), None)
        if spelled is not None:
            raise TrainingError(
                f"{row.source}: row {prompt_of(row.unit).id} holds the control token "
                f"{spelled!r}, and the chat template of {spec} would obey it. Clean the rows, or "
                "train with --allow-control-tokens where they are meant."
            )
