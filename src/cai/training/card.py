"""The card of a trained model: README.md with the front matter that the Hugging Face hub reads.

The words are in `card.md.j2`. Names of this machine do not go into a card: of an absolute path the
last part alone is shown, and of a model on a server no address.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import yaml
from jinja2 import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from cai.errors import TrainingError
from cai.evaluation.family import Kin, kinship
from cai.training.settings import Trainer

_TEMPLATE = Path(__file__).with_name("card.md.j2")
_LIBRARIES = ("cai-toolkit", "trl", "transformers", "torch", "accelerate", "peft")
_ADDRESS = re.compile(r"@https?://[^\s+]+")
_ABSOLUTE = re.compile(r"(?<![\w./])(?:~/|/(?!/))(?:[^\s/#+@]+/)*([^\s/#+@]+)/?")
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_HUB_DATA = re.compile(r"hub:(?P<name>[\w.-]+(?:/[\w.-]+)?)")


@dataclass(frozen=True, slots=True)
class DataSource:
    """A file or data set as it was named, with its rows and whose labels they carry."""

    name: str
    n_rows: int
    labels: Literal["ai", "people", "none"] = "none"


@dataclass(frozen=True, slots=True)
class Feedback:
    """By what the responses were written and judged."""

    constitution: str | None = None
    """Its name and version."""
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
    """All that a card tells. Paths and names of models are as the user wrote them."""

    path: str
    base_model: str
    trainer: Trainer
    loss: str
    data: Sequence[DataSource]
    data_hash: str
    feedback: Feedback = Feedback()
    settings: Mapping[str, object] | None = None
    """As `describe_settings` tells them."""
    lora: Mapping[str, object] | None = None
    figures: Sequence[Figure] = ()
    license: str | None = None


def write_card(folder: str | Path, facts: CardFacts) -> Path:
    """Writes README.md into the model's folder, over one that is there, and returns its path.

    Raises:
        TrainingError: The folder cannot be written to.
    """
    path = Path(folder, "README.md")
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(card_text(facts), encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise TrainingError(
            f"{path}: the card cannot be written ({error.strerror}). The model itself is saved; "
            "make the folder writable, and run the same command again."
        ) from None
    return path


def card_text(facts: CardFacts) -> str:
    """The whole card, front matter first."""
    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["shown"] = shown
    environment.filters["line"] = _line
    template = environment.from_string(_TEMPLATE.read_text("utf-8"))
    n_rows = sum(source.n_rows for source in facts.data)
    by_people = sum(source.n_rows for source in facts.data if source.labels == "people")
    return template.render(
        front=yaml.safe_dump(front_matter(facts), sort_keys=False, allow_unicode=True).strip(),
        facts=facts,
        feedback=facts.feedback,
        name=_name(facts.path),
        n_rows=n_rows,
        people_share=by_people / n_rows if n_rows else 0.0,
        kin=_kin(facts),
        versions=_versions(),
        is_reward=facts.trainer == "reward",
    )


def front_matter(facts: CardFacts) -> dict[str, object]:
    """What the hub reads: names of the hub alone, as it refuses others."""
    base = facts.base_model.removeprefix("hf:")
    is_local = os.path.exists(base)
    found: dict[str, object] = {}
    if facts.license is not None:
        found["license"] = facts.license
    if _HUB_NAME.fullmatch(base) and not is_local:
        found["base_model"] = base
    found["library_name"] = "peft" if facts.lora is not None else "transformers"
    found["pipeline_tag"] = (
        "text-classification" if facts.trainer == "reward" else "text-generation"
    )
    extra = ["lora"] if facts.lora is not None else []
    found["tags"] = ["cai", "constitutional-ai", "rlaif", "trl", facts.trainer, *extra]
    hub_data = [_HUB_DATA.match(source.name) for source in facts.data]
    datasets = list(dict.fromkeys(match["name"] for match in hub_data if match))
    if datasets:
        found["datasets"] = datasets
    return found


def shown(text: object) -> str:
    """A path or model without what is of this machine: addresses, and folders of absolute paths."""
    return _ABSOLUTE.sub(r"\1", _ADDRESS.sub("", _line(text)))


def _line(text: object) -> str:
    """On one line, and inert in a table."""
    return " ".join(str(text).split()).replace("|", "\\|")


def _name(path: str) -> str:
    return _line(Path(path).name or path)


def _kin(facts: CardFacts) -> list[tuple[str, Kin]]:
    """The judges that are of the trained model's own family."""
    found: list[tuple[str, Kin]] = []
    for judge in facts.feedback.judges:
        kin = kinship(judge, facts.base_model)
        if kin is not None:
            found.append((judge, kin))
    return found


def _versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for library in _LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found
