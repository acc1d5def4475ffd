"""Units as the data sets that TRL's trainers read.

Every row tells TRL to tokenise its contents with control tokens kept as text, so that no row can
end its own turn and open another one: `chat_template_kwargs` reaches `apply_chat_template` in every
trainer (in GRPO and RLOO through their setting of that name).
"""

# pyright: reportUnknownMemberType=false
# datasets leaves some of its types open: what is unknown stays in this file

from collections.abc import Iterable, Mapping, Sequence

from datasets import Dataset

from cai.export.units import Demonstration, Labelled, Pair, Unit
from cai.training.labels import LabelPlan
from cai.training.soft_losses import TARGET
from cai.types import Message, Prompt, as_dicts

SANITIZED = {"sanitize_control_tokens": True}


def table_of(units: Iterable[Unit], labels: LabelPlan | None = None) -> Dataset:
    """One row a unit, in TRL's conversational columns; pairs carry their target for `labels`."""
    return Dataset.from_list([_row(unit, labels) for unit in units])


def _row(unit: Unit, labels: LabelPlan | None) -> dict[str, object]:
    match unit:
        case Prompt():
            return {"prompt": _turns(unit), "id": unit.id}
        case Demonstration():
            return {**_asked(unit.prompt), "completion": _said(unit.completion)}
        case Labelled():
            return {
                **_asked(unit.prompt),
                "completion": _said(unit.completion),
                "label": unit.label,
            }
        case Pair():
            row = {
                **_asked(unit.prompt),
                "chosen": _said(unit.chosen),
                "rejected": _said(unit.rejected),
            }
            if labels is not None:
                row[TARGET] = labels.target(probability_of(unit))
            return row


def probability_of(pair: Pair) -> float:
    """How probable it is that the chosen response is better: 1 where nobody says."""
    return 1.0 if pair.chosen_probability is None else pair.chosen_probability


def _asked(prompt: Prompt) -> dict[str, object]:
    return {"prompt": _turns(prompt), "chat_template_kwargs": SANITIZED}


def _turns(prompt: Prompt) -> Sequence[Mapping[str, str]]:
    return as_dicts(prompt.messages)


def _said(text: str) -> Sequence[Mapping[str, str]]:
    return as_dicts([Message("assistant", text)])
