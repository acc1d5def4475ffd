"""What a model's tokens cost, from the table that ships and from the user's own.

A price belongs to a pattern of model names (`openai:gpt-4.1-mini@api.openai.com*`), so the same
name on one's own server is never billed as the hosted one. The user's table goes first; within a
table the longest pattern that fits does. What has no price is told as unknown, never as free.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cai.errors import UsageError
from cai.models.protocol import Usage

SHIPPED = Path(__file__).with_name("prices.yaml")

_Usd = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Price(BaseModel):
    """US dollars for a million tokens read and written."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    million_in_usd: _Usd
    million_out_usd: _Usd

    def of(self, usage: Usage) -> float:
        """US dollars for so many tokens."""
        read = usage.prompt_tokens * self.million_in_usd
        return (read + usage.completion_tokens * self.million_out_usd) / 1e6


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    as_of: str = ""
    models: Mapping[str, Price]


@dataclass(frozen=True, slots=True)
class PriceList:
    """Tables of prices by pattern of name, those that go first before the others."""

    tables: tuple[Mapping[str, Price], ...] = ()

    def find(self, model: str) -> Price | None:
        """The price of the model of that name; None where nobody knows it."""
        for table in self.tables:
            fitting = [pattern for pattern in table if fnmatchcase(model, pattern)]
            if fitting:
                return table[max(fitting, key=len)]
        return None


def load_prices(own: Path | None = None) -> PriceList:
    """The shipped prices, and the user's own before them.

    Raises:
        UsageError: The file cannot be read, or is no table of prices.
    """
    tables = [_read(SHIPPED).models]
    if own is not None:
        tables.insert(0, _read(own).models)
    return PriceList(tuple(tables))


def _read(path: Path) -> _Table:
    try:
        return _Table.model_validate(yaml.safe_load(path.read_text("utf-8")))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}. Name a file of prices.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        line = " ".join(str(error).split())
        raise UsageError(f"{path}: is no YAML ({line}). Repair it.") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise UsageError(
            f"{path}: {where}: {first['msg']}. Write it as\n"
            "models:\n  'openai:MODEL@HOST*': {million_in_usd: 0.40, million_out_usd: 1.60}"
        ) from error
