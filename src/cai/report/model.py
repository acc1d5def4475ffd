"""The data model of a report: sections with figures, tables, plots and examples.

Nothing here is HTML. Texts of data and models are stored unescaped; the template escapes them.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Caveat:
    """A sentence that lowers trust in a figure; serious ones are listed first."""

    text: str
    is_serious: bool = False


@dataclass(frozen=True, slots=True)
class Headline:
    """A figure and its description; `bounds` is its interval as text, or ""."""

    figure: str
    what: str
    bounds: str = ""


@dataclass(frozen=True, slots=True)
class SectionCost:
    """Calls, tokens, dollars and seconds of a step; None where they are unknown."""

    n_calls: int | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost_usd: float | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Fact:
    """A name and its value, as in "How it was made"."""

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
    """A picture as inline SVG; `words` is its text alternative, with all figures."""

    title: str
    svg: str
    words: str


SpanKind = Literal["same", "ins", "del"]


@dataclass(frozen=True, slots=True)
class Span:
    """Consecutive words that are unchanged, inserted or deleted."""

    kind: SpanKind
    text: str


@dataclass(frozen=True, slots=True)
class TextBlock:
    """A text to read, as one span or as a diff; `n_more` characters are cut at its end."""

    label: str
    spans: tuple[Span, ...]
    n_more: int = 0


@dataclass(frozen=True, slots=True)
class Example:
    """Texts to read. The title holds figures and ids, and no text of a model."""

    title: str
    texts: tuple[TextBlock, ...]
    facts: tuple[Fact, ...] = ()


@dataclass(frozen=True, slots=True)
class ExampleGroup:
    """Examples of one kind; `selection` says how they were chosen."""

    heading: str
    selection: str
    examples: tuple[Example, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """One step of the chain: a run, a training, an evaluation, or a series of rounds.

    `path` is shown, and set, by the page; of a run also `started`, `cost` and `versions` are set
    there. `done` is a sentence about the step, `started` its time in ISO 8601. `weight` orders the
    headlines of several sections: those that compare policies precede those that describe data.
    Tables that are None or have no rows are not shown. `has_truth` is True where labels of people
    or a known truth were compared with the judge. `judges` are full model names, `trained_from` is
    the model that a training started from.
    """

    title: str
    done: str
    path: str = ""
    started: str = ""
    weight: int = 0
    facts: tuple[Fact, ...] = ()
    headlines: tuple[Headline, ...] = ()
    caveats: tuple[Caveat, ...] = ()
    cost: SectionCost = SectionCost()  # shared by all sections without one: it is frozen
    tables: tuple[SectionTable | None, ...] = ()
    plots: tuple[Plot, ...] = ()
    examples: tuple[ExampleGroup, ...] = ()
    versions: tuple[Fact, ...] = ()
    has_truth: bool = False
    judges: tuple[str, ...] = ()
    trained_from: str = ""
