"""The policies of an evaluation: models to sample, runs, or files of responses.

Example:
    >>> [each.name for each in parse_policies(["before=embedded", "hf:models/rl"])]
    ['before', 'rl']
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cai.errors import UsageError
from cai.methods.roles import RoleModel
from cai.models.base import Sampling
from cai.models.registry import KINDS, open_model, parse_spec
from cai.runs.records import is_run

# The name ends at the first =, but a spec may have one too (`openai:m?top_k=1`, a URL's query), so
# a name has none of the characters that come before it there.
_NAMED = re.compile(r"(?P<name>[^=:/?]+)=(?P<source>.+)", re.DOTALL)
_SCHEME = re.compile(rf"^(?:{'|'.join(KINDS)}|anthropic|vllm):")


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy by the name used in all figures.

    `source` is a model's spec, the folder of a run, or a file of responses; a model also has its
    `role_model`, which is sampled.
    """

    name: str
    source: str
    role_model: RoleModel | None = None

    @property
    def folder(self) -> str:
        """The name as a folder's."""
        return _folder_name(self.name)


@dataclass(frozen=True, slots=True)
class PolicySpec:
    """NAME=SOURCE as it was written; the name defaults to that of the source."""

    name: str
    source: str

    @classmethod
    def parse(cls, text: str) -> "PolicySpec":
        """The name and source of `before=embedded`, or of a source alone.

        The folder of a model stands for `hf:FOLDER`.

        Raises:
            UsageError: The name or the source is empty.
        """
        match = _NAMED.fullmatch(text.strip())
        name, source = (match["name"].strip(), match["source"].strip()) if match else ("", text)
        if not source.strip() or (match and not name):
            raise UsageError(
                f"{text!r} does not name a policy. Write NAME=SOURCE, such as after=hf:models/rl."
            )
        return cls.of(name, source)

    @classmethod
    def of(cls, name: str, source: str) -> "PolicySpec":
        """The source under that name; an empty name becomes the last part of the source."""
        path = Path(source)
        model_files = ("config.json", "adapter_config.json")
        if path.is_dir() and any((path / each).is_file() for each in model_files):
            source = f"hf:{source}"
        if not name:
            bare = _SCHEME.sub("", source.partition("?")[0].partition("@http")[0])
            last = bare.rstrip("/").rpartition("/")[2]
            name = re.sub(r"\.(?:jsonl?|csv|parquet|tsv)(?:\.gz)?$", "", last) or source
        return cls(name, source)

    @property
    def is_model(self) -> bool:
        """Whether it must be sampled: neither the folder of a run nor a file."""
        return not is_run(self.source) and not Path(self.source).exists()


def parse_policies(texts: Sequence[str]) -> tuple[PolicySpec, ...]:
    """The policies in their order, each with its own name.

    Raises:
        UsageError: Two share a name, or a text is not a policy.
    """
    specs = tuple(PolicySpec.parse(text) for text in texts)
    check_policies(specs)
    return specs


def check_policies(specs: Sequence[PolicySpec]) -> None:
    """Checks names and specs before any model is opened.

    Raises:
        UsageError: As `parse_policies`.
    """
    # Responses are stored by folder name, and two names may be one folder: "a b" and "a-b".
    seen: dict[str, PolicySpec] = {}
    for each in specs:
        other = seen.setdefault(_folder_name(each.name), each)
        if other is not each:
            both = repr(other.name)
            if other.name != each.name:
                both += f" and {each.name!r}, which is one folder"
            raise UsageError(
                f"Two policies are called {both}: {other.source} and "
                f"{each.source}. Name them: -p before={other.source} -p after={each.source}"
            )
        if each.is_model:
            try:
                parse_spec(each.source)
            except UsageError as error:
                raise UsageError(
                    f"{each.source!r} is not a policy: no run folder, model folder or file has "
                    f"that name, and {str(error)[0].lower()}{str(error)[1:]}"
                ) from None


def open_policies(
    specs: Sequence[PolicySpec], sampling: Sampling, templates: str | None = None
) -> tuple[Policy, ...]:
    """The policies, models opened; a model that is named twice is opened once.

    Raises:
        ModelError: A model does not exist or cannot be loaded.
    """
    opened = {each.source: open_model(each.source) for each in specs if each.is_model}
    policies: list[Policy] = []
    for each in specs:
        model = opened.get(each.source)
        role_model = None if model is None else RoleModel.of(model, sampling, templates)
        policies.append(Policy(each.name, each.source, role_model))
    return tuple(policies)


def _folder_name(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "policy"
