"""Rows as the data sets that TRL's trainers read.

Every row tells TRL what to hand to `apply_chat_template`: to keep control tokens in its contents
text, so that no row can end its own turn and open another one. GRPO and RLOO have a setting for it.
"""

# pyright: reportUnknownMemberType=false
# datasets leaves some of its types open: what is unknown stays in this file

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from datasets import Dataset

from cai.errors import TrainingError
from cai.export.units import Demonstration, Labelled, Pair
from cai.training.data.loading import TrainingData
from cai.training.data.rows import TrainingRow
from cai.training.labels import LabelPlan
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


def evaluation_table(
    data: TrainingData, arguments: Mapping[str, object], labels: LabelPlan | None = None
) -> Dataset | None:
    """The rows held out; None where there are none."""
    return table_of(data.evaluation, arguments, labels) if data.evaluation else None


def sure_enough(data: TrainingData, labels: LabelPlan) -> TrainingData:
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
            return {"prompt": _turns(prompt), "id": prompt.id}
        case Demonstration() as unit:
            return {**_asked(unit.prompt, arguments), "completion": _said(unit.completion)}
        case Labelled() as unit:
            return {
                **_asked(unit.prompt, arguments),
                "completion": _said(unit.completion),
                "label": unit.label,
            }
        case Pair() as unit:
            columns = {
                **_asked(unit.prompt, arguments),
                "chosen": _said(unit.chosen),
                "rejected": _said(unit.rejected),
            }
            if labels is not None:
                columns[TARGET] = labels.target(row.confidence)
            return columns


def _asked(prompt: Prompt, arguments: Mapping[str, object]) -> dict[str, object]:
    asked: dict[str, object] = {"prompt": _turns(prompt)}
    return {**asked, "chat_template_kwargs": dict(arguments)} if arguments else asked


def _turns(prompt: Prompt) -> Sequence[Mapping[str, str]]:
    return as_dicts(prompt.messages)


def _said(text: str) -> Sequence[Mapping[str, str]]:
    return as_dicts([Message("assistant", text)])
