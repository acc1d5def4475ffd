"""A reward model's folder: network, tokenizer, and in `cai.json` how its input is made.

A reward model is a transformers model for sequence classification with one output, whole or as an
adapter of peft on top of another model. Anything else is refused here, so that no reward ever comes
from a head that was never trained. Facts of others in `cai.json` are left as they are: those of the
reward model are under the key `reward`.

Example:
    checkpoint = open_reward_checkpoint(ModelSource("models/reward"))
    checkpoint.facts.is_conditioned  # whether it reads principles with every conversation
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from pydantic import BaseModel, ConfigDict, ValidationError
from transformers import AutoModelForSequenceClassification

from cai.errors import TrainingError
from cai.models.hf.loading import (
    CONFIGS,
    TOKENIZERS,
    AdapterFacts,
    ModelSource,
    Opener,
    WeightReport,
    check_weights,
    device_of,
    dtype_of,
    is_adapter,
    merged,
    name_of,
    no_weight_report,
    plain_errors,
    quiet,
    read_adapter,
    tokenizer_folder,
    where_of,
)
from cai.models.hf.tokenizer import Tokenizer
from cai.training.reward_model.network import Classifier, RewardNetwork
from cai.training.reward_model.principles import RewardTemplate

FILE = "cai.json"
_HEADS = ("score", "classifier")


class NamedConstitution(BaseModel):
    """The constitution that the labels were made with, and its principles' texts by id."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    hash: str
    principles: dict[str, str] = {}


class RewardFacts(BaseModel):
    """How the input of a reward model is made.

    A conditioned one reads principles with every conversation, written by `template`, the text of a
    `reward` template; its hash is stored beside it and must be that of the text.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    is_conditioned: bool = False
    constitution: NamedConstitution | None = None
    template: str | None = None
    template_hash: str | None = None


@dataclass(frozen=True, slots=True)
class RewardCheckpoint:
    """An opened reward model. `name` says all that can change a reward."""

    name: str
    network: RewardNetwork
    tokenizer: Tokenizer
    facts: RewardFacts


def write_facts(folder: str | Path, facts: RewardFacts) -> None:
    """Writes the facts into the folder's `cai.json`, beside those of others.

    Raises:
        TrainingError: The facts say conditioned and have no template, or the file is damaged.
    """
    _check(Path(folder), facts)
    # over what is there: other tools keep their own facts in the same file
    content = _content(Path(folder)) | {"reward": facts.model_dump(mode="json")}
    text = json.dumps(content, ensure_ascii=False, indent=2) + "\n"
    (Path(folder) / FILE).write_text(text, "utf-8")


def read_facts(folder: str | Path) -> RewardFacts:
    """The facts of that folder; without a file those of a model that is not conditioned.

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
        raise TrainingError(
            f"{path}: the file must hold a mapping. Copy the file again from the training."
        )
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
            f"{facts.template_hash}. Restore the old text."
        )


_MODELS = cast(Opener[tuple[Classifier, WeightReport]], AutoModelForSequenceClassification)


def open_reward_checkpoint(source: ModelSource) -> RewardCheckpoint:
    """Reads configuration, tokenizer, weights and `cai.json`.

    `source.path` may be the folder of an adapter, which names its base model itself.

    Raises:
        ModelError: Something is missing or damaged.
        TrainingError: It is not a reward model, or it cannot read conversations.
    """
    folder = source.adapter or source.path
    adapter: AdapterFacts | None = None
    if source.adapter is not None or is_adapter(source.path):
        adapter = read_adapter(folder)
        if adapter.task != "SEQ_CLS":
            raise TrainingError(
                f"{folder}: this adapter was trained for the task {adapter.task}, and a reward "
                "model's is SEQ_CLS. Give the folder that the training of a reward model wrote."
            )
        base = source.path if source.adapter is not None else adapter.base
        source = replace(source, path=base, adapter=folder)
    device, where = device_of(source.device), where_of(source)
    with plain_errors(source, "reward model"), quiet(is_local=Path(source.path).is_dir()):
        config = CONFIGS.from_pretrained(source.path, **where)
        facts = config.get_text_config().to_dict()  # pyright: ignore[reportUnknownMemberType]
        whole = cast(Mapping[str, object], config.to_dict())
        # an adapter's base has no reward head: the head is in the adapter
        if adapter is None:
            _check_head(source.path, whole, config.num_labels)
        dtype = dtype_of(source, facts, device)
        tokenizer = TOKENIZERS.from_pretrained(tokenizer_folder(source), **where)
        with no_weight_report():
            model, report = _MODELS.from_pretrained(
                source.path, num_labels=1, dtype=dtype, output_loading_info=True, **where
            )
        heads = [name for name in _HEADS if adapter is not None and name in adapter.replaced]
        check_weights(source.path, report, "reward model", brought=heads)
        if adapter is not None:
            model = merged(model, folder)
        context = cast(int | None, facts.get("max_position_embeddings"))
        network = RewardNetwork(model, device, context)
    if tokenizer.chat_template is None:
        raise TrainingError(
            f"{folder}: the reward model has no chat template, so it cannot read conversations. "
            "Put the chat template it was trained with into the folder."
        )
    commit = cast(str | None, whole.get("_commit_hash"))
    return RewardCheckpoint(name_of(source, commit, dtype), network, tokenizer, read_facts(folder))


def _check_head(path: str, config: Mapping[str, object], n_outputs: int | None) -> None:
    kinds = [str(kind) for kind in cast(Sequence[object], config.get("architectures") or ())]
    if not any(kind.endswith("ForSequenceClassification") for kind in kinds):
        kind = ", ".join(kinds) or "a model of no named kind"
        raise TrainingError(
            f"{path}: this is {kind}, which has no reward head. Train a reward model from it "
            "first, or give the folder of one."
        )
    if n_outputs != 1:
        raise TrainingError(
            f"{path}: the head has {n_outputs} outputs, and a reward model has one. Give a reward "
            "model, not a classifier."
        )
