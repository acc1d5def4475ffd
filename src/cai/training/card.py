"""The card of a trained model: README.md with the front matter that the Hugging Face hub reads.

The text is in `card.md.j2`. Names of this machine do not go into a card: of an absolute path only
the last part is shown, and of a model on a server no address. Of the settings a card has what
differs from TRL's own defaults: a config has up to 190 fields, and a reader wants the five that
a person chose.

Example:
    facts = CardFacts("models/sl", "hf:base", trainer_spec("sft"), "cross-entropy", sources, "1f3a")
    write_card("models/sl", facts)  # models/sl/README.md
"""

import dataclasses
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, cast

import yaml
from jinja2 import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic_core import to_jsonable_python
from transformers import TrainingArguments
from transformers.trainer_pt_utils import AcceleratorConfig

from cai.atomic_write import atomic_write
from cai.errors import TrainingError
from cai.evaluation.judge.self_preference import model_relation
from cai.export.provenance import Provenance, public_name
from cai.training.data.load import TrainingData
from cai.training.trainers import LABELLED_ROWS, METRICS, TrainerSpec

_TEMPLATE = Path(__file__).with_name("card.md.j2")
_LIBRARIES = ("cai-toolkit", "trl", "transformers", "torch", "accelerate", "peft")
# names of models and data sets on the hub
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_HUB_DATA = re.compile(r"hub:(?P<name>[\w.-]+(?:/[\w.-]+)?)")


@dataclass(frozen=True, slots=True)
class DataSource:
    """A file or data set as it was named, with its rows and the source of their labels."""

    name: str
    n_rows: int
    labels: Literal["ai", "people", "none"] = "none"


@dataclass(frozen=True, slots=True)
class Feedback:
    """The models that wrote and judged the responses, and the principles of the judges."""

    constitution: str | None = None  # its name and version
    constitution_hash: str | None = None
    principles: Sequence[str] = ()
    responders: Sequence[str] = ()
    judges: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured number by its name, over `n` cases where that is known."""

    name: str
    value: float
    n: int | None = None


@dataclass(frozen=True, slots=True)
class CardFacts:
    """The contents of a card. Paths and names of models are as the user wrote them."""

    path: str
    base_model: str
    trainer: TrainerSpec
    loss: str
    data: Sequence[DataSource]
    data_hash: str
    feedback: Feedback = Feedback()
    settings: Mapping[str, object] | None = None  # as `describe_settings` returns them
    lora: Mapping[str, object] | None = None
    figures: Sequence[Figure] = ()
    license: str | None = None


def data_sources(data: TrainingData) -> list[DataSource]:
    """The sources of the rows."""
    mixed = {outcome.mix.file for outcome in data.mixed}
    sources: list[DataSource] = []
    for name, n in data.counts.items():
        is_people = name in mixed or data.provenance.methods == ("people",)
        labels = "people" if is_people else "ai"
        sources.append(DataSource(name, n, labels if data.kind in LABELLED_ROWS else "none"))
    return sources


def feedback_of(provenance: Provenance) -> Feedback:
    """What the rows were made by; several constitutions are joined by commas."""
    constitutions = provenance.constitutions
    names = ", ".join(f"{each.name} {each.version}".strip() for each in constitutions)
    return Feedback(
        constitution=names or None,
        constitution_hash=", ".join(each.hash for each in constitutions if each.hash) or None,
        principles=provenance.principle_ids,
        responders=provenance.models,
        judges=provenance.judges,
    )


def card_figures(figures: Mapping[str, object], n_held_out: int) -> Iterator[Figure]:
    """The figures of `training.json` that a card shows."""
    for part, where, n in (
        ("train", "last step", None),
        ("evaluation", "held-out rows", n_held_out),
    ):
        values = cast("Mapping[str, float]", figures.get(part) or {})
        for name, metric in METRICS.items():
            if metric.is_result and name in values:
                yield Figure(f"{metric.label}, {where}", float(values[name]), n)
    held_out = cast("Mapping[str, Mapping[str, Any]]", figures.get("held_out") or {})
    for source, values in held_out.items():
        if values.get("accuracy") is not None:
            yield Figure(f"held-out pair accuracy ({source})", values["accuracy"], values["n"])
        yield Figure(f"calibration error ({source})", values["calibration_error"], values["n"])


def write_card(folder: str | Path, facts: CardFacts) -> Path:
    """Writes README.md into the model's folder, replacing an earlier one, and returns its path.

    Raises:
        TrainingError: The folder cannot be written to.
    """
    path = Path(folder, "README.md")
    advice = "The model itself is saved; make the folder writable, and run the same command again."
    atomic_write(path, card_text(facts), TrainingError, advice)
    return path


def card_text(facts: CardFacts) -> str:
    """The whole card, front matter first."""
    # sandboxed and strict as all templates; names from data are made inert by the filter `line`
    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["shown"] = shown
    environment.filters["line"] = _line
    template = environment.from_string(_TEMPLATE.read_text("utf-8"))
    # a judge of the trained model's own family tends to prefer its responses: the card says so
    relations = [
        (judge, model_relation(judge, facts.base_model)) for judge in facts.feedback.judges
    ]
    versions: dict[str, str] = {}
    for library in _LIBRARIES:
        with suppress(PackageNotFoundError):
            versions[library] = version(library)
    n_rows = sum(source.n_rows for source in facts.data)
    by_people = sum(source.n_rows for source in facts.data if source.labels == "people")
    return template.render(
        front=yaml.safe_dump(front_matter(facts), sort_keys=False, allow_unicode=True).strip(),
        facts=facts,
        feedback=facts.feedback,
        name=_line(Path(facts.path).name or facts.path),
        n_rows=n_rows,
        people_share=by_people / n_rows if n_rows else 0.0,
        same_family=[(judge, relation) for judge, relation in relations if relation is not None],
        versions=versions,
        is_reward=not facts.trainer.is_policy,
    )


def front_matter(facts: CardFacts) -> dict[str, object]:
    """What the hub reads. Only names of the hub: it refuses a card with others."""
    # a folder may be called OWNER/NAME too, and the hub would link the card to a stranger's model
    base = facts.base_model.removeprefix("hf:")
    is_local = os.path.exists(base)
    front: dict[str, object] = {}
    if facts.license is not None:
        front["license"] = facts.license
    if _HUB_NAME.fullmatch(base) and not is_local:
        front["base_model"] = base
    front["library_name"] = "peft" if facts.lora is not None else "transformers"
    is_policy = facts.trainer.is_policy
    front["pipeline_tag"] = "text-generation" if is_policy else "text-classification"
    extra = ["lora"] if facts.lora is not None else []
    front["tags"] = ["cai", "constitutional-ai", "rlaif", "trl", facts.trainer.name, *extra]
    hub_data = [_HUB_DATA.match(source.name) for source in facts.data]
    datasets = list(dict.fromkeys(match["name"] for match in hub_data if match))
    if datasets:
        front["datasets"] = datasets
    return front


def shown(text: object) -> str:
    """A path or model without parts of this machine: addresses, and folders of absolute paths."""
    return public_name(_line(text))


def _line(text: object) -> str:
    """On one line, and inert in a table."""
    return " ".join(str(text).split()).replace("|", "\\|")


_EXCLUDED = {
    "output_dir", "hub_token", "disable_tqdm", "do_eval", "do_train", "do_predict", "local_rank",
    "logging_dir", "run_name", "report_to", "greater_is_better", "resume_from_checkpoint",
    "use_cpu",
    "gradient_checkpointing", "gradient_checkpointing_kwargs",
}  # fmt: skip
"""Paths and devices of this machine, secrets, and what only follows from other fields."""


def describe_settings(
    config: TrainingArguments, exclude: Collection[str] = ()
) -> dict[str, object]:
    """What differs from TRL's own defaults, as JSON, sorted; no secret and no path.

    The fields in `exclude`, such as those that cai always sets, are left out.
    """
    # what is neither JSON nor an enum or dataclass, such as a dtype, is shown by its name
    defaults = to_jsonable_python(_defaults(config), fallback=str)
    values = to_jsonable_python(
        {
            field.name: getattr(config, field.name)
            for field in dataclasses.fields(config)
            if field.init and field.name not in {*_EXCLUDED, *exclude}
        },
        fallback=str,
    )
    return {name: values[name] for name in sorted(values) if values[name] != defaults.get(name)}


def _defaults(config: TrainingArguments) -> dict[str, object]:
    """The fields of a config that is given nothing, as TRL fills them in.

    No second config is made for it: under DeepSpeed that would take the place of the first one's
    plan for splitting the model.
    """
    defaults: dict[str, object] = {
        field.name: field.default
        if field.default_factory is dataclasses.MISSING
        else field.default_factory()
        for field in dataclasses.fields(config)
    }
    # what `__post_init__` makes of None, and what this machine decides
    defaults |= {
        "bf16": not config.fp16,
        "activation_checkpointing": True,
        "accelerator_config": AcceleratorConfig(),
        "dataloader_pin_memory": not config.use_cpu,
        "debug": [],
        "pad_to_multiple_of": None,
    }
    if "steps_per_generation" in defaults:
        # of GRPO and RLOO: one generation for each update, of as many rows as the update has
        steps, n_processes = config.gradient_accumulation_steps, cast("int", config.world_size)
        batch = config.per_device_train_batch_size * n_processes * steps
        defaults |= {"steps_per_generation": steps, "generation_batch_size": batch}
    return defaults
