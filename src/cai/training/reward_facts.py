"""What a reward model's folder says of its training: `cai.json`, beside the weights.

Other facts in the same file are kept: those here stand under the key `reward`.
"""

import json
from pathlib import Path
from typing import cast

from pydantic import BaseModel, ConfigDict, ValidationError

from cai.errors import TrainingError
from cai.training.principled import RewardTemplate

FILE = "cai.json"


class NamedConstitution(BaseModel):
    """Which constitution the labels were made with, and its principles' texts by id."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    hash: str
    principles: dict[str, str] = {}


class RewardFacts(BaseModel):
    """How the input of a reward model is made.

    A conditioned one reads principles with every conversation, put there by `template`, the text of
    a `reward` template; its hash is stored beside it and must be that of the text.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    is_conditioned: bool = False
    constitution: NamedConstitution | None = None
    template: str | None = None
    template_hash: str | None = None


def write_facts(folder: str | Path, facts: RewardFacts) -> None:
    """Puts the facts in the folder's `cai.json`, beside what else stands there.

    Raises:
        TrainingError: The facts say conditioned and have no template, or the file is damaged.
    """
    _check(Path(folder), facts)
    content = _content(Path(folder)) | {"reward": facts.model_dump(mode="json")}
    text = json.dumps(content, ensure_ascii=False, indent=2) + "\n"
    (Path(folder) / FILE).write_text(text, "utf-8")


def read_facts(folder: str | Path) -> RewardFacts:
    """The facts of that folder; those of a model that is not conditioned where it has none.

    Raises:
        TrainingError: The file is damaged.
    """
    found = _content(Path(folder)).get("reward")
    if found is None:
        return RewardFacts()
    try:
        facts = RewardFacts.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(["reward", *map(str, first["loc"])])
        raise TrainingError(
            f"{Path(folder) / FILE}: {where}: {first['msg']}. Copy the file again from the "
            "training, or train the model again."
        ) from error
    _check(Path(folder), facts)
    return facts


def _content(folder: Path) -> dict[str, object]:
    path = folder / FILE
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise TrainingError(
            f"{path}: cannot be read as JSON ({error}). Copy the file again from the training."
        ) from error
    if not isinstance(content, dict):
        raise TrainingError(f"{path}: a mapping is wanted. Copy the file again from the training.")
    return cast(dict[str, object], content)


def _check(folder: Path, facts: RewardFacts) -> None:
    if facts.is_conditioned != (facts.template is not None):
        raise TrainingError(
            f"{folder / FILE}: a conditioned reward model has a template, and no other has. "
            "Give both or neither."
        )
    if facts.template is not None and facts.template_hash != RewardTemplate(facts.template).hash:
        raise TrainingError(
            f"{folder / FILE}: the template is not the one of the training, by its hash "
            f"{facts.template_hash}. Put the old text back."
        )
