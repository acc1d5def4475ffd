"""Chains as JSON, the body of a run's records, and back."""

import json
from collections.abc import Iterator
from dataclasses import asdict

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from cai.engine.run_folder import RunFolder
from cai.errors import JournalError
from cai.revision import Chain, RevisionPlan, Role

_CHAINS = TypeAdapter(Chain)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Named(_Part):
    """Something that decides results, by name and by content."""

    name: str
    hash: str
    version: str = ""


class Draw(_Part):
    """How a role's answers are drawn; the seed of each call comes from the run's seed."""

    model: str
    templates: Named
    temperature: float
    top_p: float
    top_k: int
    max_tokens: int
    stop: tuple[str, ...] = ()


class Source(_Part):
    """Where the prompts came from. `hash` is over their content."""

    files: tuple[str, ...]
    column: str
    hash: str


class RevisionRecipe(_Part):
    """All that decides the result of a revision run and nothing that does not."""

    method: str = "revise"
    source: Source
    constitution: Named
    plan: RevisionPlan
    roles: dict[Role, Draw]
    seed: int


def dump_chain(chain: Chain) -> str:
    """The chain as JSON; half a surrogate pair, which no file can hold, becomes U+FFFD."""
    text = json.dumps(asdict(chain), ensure_ascii=False)
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def load_chain(body: str) -> Chain:
    return _CHAINS.validate_json(body)


def read_recipe(run: RunFolder) -> RevisionRecipe:
    """What the run was told to do.

    Raises:
        JournalError: The run is of another method or of another version of cai.
    """
    try:
        return RevisionRecipe.model_validate(dict(run.recipe), strict=False)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise JournalError(
            f"{run.path}: run.yaml is not that of a revision run of this version of cai "
            f"({where}: {first['msg']})."
        ) from error


def read_chains(run: RunFolder) -> Iterator[tuple[int, Chain]]:
    """The finished chains in the order of the source, with their positions."""
    for record in run.records("done"):
        yield record.position, load_chain(record.body)
