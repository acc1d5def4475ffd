"""The policies of an evaluation: models that are sampled, or responses that there are already."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cai.errors import UsageError
from cai.methods.roles import RoleModel
from cai.models.base import Sampling
from cai.models.registry import KINDS, open_model, parse_spec
from cai.runs.records import is_run
from cai.templates import load_templates

_NAMED = re.compile(r"(?P<name>[^=:/?]+)=(?P<source>.+)", re.DOTALL)
_MODEL_FILES = ("config.json", "adapter_config.json")

_SCHEME = re.compile(rf"^(?:{'|'.join(KINDS)}|anthropic|vllm):")


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy by the name that its figures stand under.

    `source` is a model's spec, the folder of a run, or a file of responses. `model` is there for
    a model, which is then sampled.
    """

    name: str
    source: str
    role_model: RoleModel | None = None

    @property
    def folder(self) -> str:
        """The name as a folder's."""
        return _folder_of(self.name)


@dataclass(frozen=True, slots=True)
class PolicySpec:
    """NAME=SOURCE as it was written; the name is that of the source where none is given."""

    name: str
    source: str

    @classmethod
    def parse(cls, text: str) -> "PolicySpec":
        """The name and source of `before=embedded`, or of a source alone.

        The folder of a model stands for `hf:FOLDER`.

        Raises:
            UsageError: Nothing is named.
        """
        found = _NAMED.fullmatch(text.strip())
        name, source = (found["name"].strip(), found["source"].strip()) if found else ("", text)
        if not source.strip() or (found and not name):
            raise UsageError(
                f"{text!r} names no policy. Write NAME=SOURCE, such as after=hf:models/rl."
            )
        return cls.of(name, source)

    @classmethod
    def of(cls, name: str, source: str) -> "PolicySpec":
        """The source under that name, or under its own where the name is empty."""
        if _is_model_folder(source):
            source = f"hf:{source}"
        return cls(name or _name_of(source), source)

    @property
    def is_model(self) -> bool:
        """Whether it is to be sampled: neither the folder of a run nor a file."""
        return not is_run(self.source) and not Path(self.source).exists()


def parse_policies(texts: Sequence[str]) -> tuple[PolicySpec, ...]:
    """The policies in their order, each with a name of its own.

    Raises:
        UsageError: Two have the same name, or something is no policy at all.
    """
    found = tuple(PolicySpec.parse(text) for text in texts)
    check_policies(found)
    return found


def check_policies(found: Sequence[PolicySpec]) -> None:
    """Finds out before a model is opened whether these can be policies, each with its folder.

    Raises:
        UsageError: As `parse_policies`.
    """
    seen: dict[str, PolicySpec] = {}
    for each in found:
        other = seen.setdefault(_folder_of(each.name), each)
        if other is not each:
            raise UsageError(
                f"Two policies are called {_both(other.name, each.name)}: {other.source} and "
                f"{each.source}. Name them: -p before={other.source} -p after={each.source}"
            )
        if each.is_model:
            _check_spec(each.source)


def open_policies(
    named: Sequence[PolicySpec], sampling: Sampling, templates: str | None = None
) -> tuple[Policy, ...]:
    """The policies, models opened; one that is named twice is opened once.

    Raises:
        ModelError: A model is not there or cannot be loaded.
    """
    opened = {each.source: open_model(each.source) for each in named if each.is_model}

    def opened_policy(each: PolicySpec) -> Policy:
        model = opened.get(each.source)
        if model is None:
            return Policy(each.name, each.source)
        if templates is None:
            return Policy(each.name, each.source, RoleModel.of(model, sampling))
        return Policy(each.name, each.source, RoleModel(model, load_templates(templates), sampling))

    return tuple(map(opened_policy, named))


def _folder_of(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "policy"


def _both(name: str, other: str) -> str:
    return repr(name) if name == other else f"{name!r} and {other!r}, which is one folder"


def _check_spec(source: str) -> None:
    try:
        parse_spec(source)
    except UsageError as error:
        raise UsageError(
            f"{source!r} is no policy: there is no run folder, model folder or file of that name, "
            f"and {str(error)[0].lower()}{str(error)[1:]}"
        ) from None


def _is_model_folder(source: str) -> bool:
    path = Path(source)
    return path.is_dir() and any((path / name).is_file() for name in _MODEL_FILES)


def _name_of(source: str) -> str:
    """The last part of a path or name, without scheme, endpoint, options and suffix."""
    bare = source.partition("?")[0].partition("@http")[0]
    place = (
        re.sub(rf"^(?:{'|'.join(KINDS)}|anthropic|vllm):", "", bare).rstrip("/").rpartition("/")[2]
    )
    return re.sub(r"\.(?:jsonl?|csv|parquet|tsv)(?:\.gz)?$", "", place) or source
