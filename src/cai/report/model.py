"""What a report is made of: parts with their figures, tables, plots and examples, as plain data.

Nothing here is HTML. Texts of data and models stand in these pieces as they are; the template
makes them inert.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Doubt:
    """A sentence that a reader must know before believing a figure; loud ones come first."""

    text: str
    is_loud: bool = False


@dataclass(frozen=True, slots=True)
class Headline:
    """A figure with what it is of; `bounds` is its interval as text, or ""."""

    figure: str
    what: str
    bounds: str = ""


@dataclass(frozen=True, slots=True)
class Took:
    """What a part took. None where nobody counted it, or has no price."""

    n_calls: int | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost_usd: float | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Fact:
    """A line about how a part was made."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class SectionTable:
    """Rows of text; the first column names the row, the others are figures."""

    caption: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Plot:
    """A picture as inline SVG, and what it shows in words, for those who do not see it."""

    title: str
    svg: str
    words: str


SpanKind = Literal["same", "ins", "del"]


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of words that stayed, came or went."""

    kind: SpanKind
    text: str


@dataclass(frozen=True, slots=True)
class Said:
    """A text to read, as one span or as a diff; `n_more` characters are left out at its end."""

    who: str
    spans: tuple[Span, ...]
    n_more: int = 0


@dataclass(frozen=True, slots=True)
class Example:
    """Texts to read. The title holds figures and ids, and no text of a model."""

    title: str
    texts: tuple[Said, ...]
    facts: tuple[Fact, ...] = ()


@dataclass(frozen=True, slots=True)
class Shelf:
    """Examples of one kind, and how they were chosen."""

    heading: str
    chosen: str
    examples: tuple[Example, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """One step of the chain: a run, a training, an evaluation, or a series of rounds.

    `done` says in a sentence what was done. `weight` orders headlines of several parts: what
    compares policies stands before what describes data. `has_truth` says that labels of people, or
    a known truth, stand beside what a judge said. `judges` are models by their whole
    names, `trained_from` the model that a training began with.
    """

    title: str
    path: str
    done: str
    began: str = ""
    weight: int = 0
    facts: tuple[Fact, ...] = ()
    headlines: tuple[Headline, ...] = ()
    doubts: tuple[Doubt, ...] = ()
    took: Took = Took()
    tables: tuple[SectionTable, ...] = ()
    plots: tuple[Plot, ...] = ()
    shelves: tuple[Shelf, ...] = ()
    versions: tuple[Fact, ...] = ()
    has_truth: bool = False
    judges: tuple[str, ...] = ()
    trained_from: str = ""
