"""A page of HTML as its reader has it: text, tables by caption, headings, and every attribute."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

VOID = {"meta", "link", "br", "img", "input", "hr", "base"}


@dataclass
class Page(HTMLParser):
    """The parts of a page that tests ask for; `read` fills it."""

    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    headings: list[tuple[int, str]] = field(default_factory=list)
    tables: dict[str, list[list[str]]] = field(default_factory=dict)
    scripts: list[str] = field(default_factory=list)
    marks: list[tuple[str, str]] = field(default_factory=list)
    inside: list[str] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    folded: list[str] = field(default_factory=list)
    unfolded: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._rows: list[list[str]] = []
        self._caption = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.inside.append(tag)
        if tag == "table":
            self._rows = []
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("th", "td"):
            self._rows[-1].append("")
        elif tag in ("h1", "h2", "h3", "h4"):
            self.headings.append((int(tag[1]), ""))
        elif tag in ("ins", "del"):
            self.marks.append((tag, ""))

    def handle_endtag(self, tag: str) -> None:
        assert self.inside, f"</{tag}> closes nothing"
        assert self.inside.pop() == tag, f"</{tag}> is out of order"
        if tag == "table":
            self.tables.setdefault(self._caption, []).extend(self._rows)

    def handle_data(self, data: str) -> None:
        if "script" in self.inside:
            self.scripts.append(data)
            return
        if "style" in self.inside:
            return
        self.pieces.append(data)
        is_folded = "details" in self.inside and "summary" not in self.inside
        (self.folded if is_folded else self.unfolded).append(data)
        last = self.inside[-1] if self.inside else ""
        if last == "caption":
            self._caption = data
        elif self._rows and ("th" in self.inside or "td" in self.inside):
            self._rows[-1][-1] += data
        elif self.headings and {"h1", "h2", "h3", "h4"} & set(self.inside):
            level, text = self.headings[-1]
            self.headings[-1] = (level, text + data)
        elif last in ("ins", "del"):
            self.marks[-1] = (last, self.marks[-1][1] + data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.pieces).split())

    def row(self, caption: str, name: str) -> list[str]:
        """The figures of the row of that name."""
        return next(row[1:] for row in self.tables[caption] if row[0] == name)


def read(path: Path) -> Page:
    """The page, every element of which is closed in order."""
    page = Page()
    page.feed(path.read_text("utf-8"))
    page.close()
    assert page.inside == []
    return page
