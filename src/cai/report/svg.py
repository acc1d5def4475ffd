"""Pictures as inline SVG for a page that is light or dark: colours are those of the page.

Matplotlib draws with its figure alone. Text stays text, ids are the same every time and differ from
picture to picture, and every colour becomes a variable of the page's style sheet.
"""

# pyright: reportUnknownMemberType=false
# matplotlib leaves some of its types open: what is unknown stays in this file

import io
import re
import warnings
from collections.abc import Callable
from typing import Any, TypeAlias

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cai.report.model import Plot
from cai.types import content_hash

INK, SOFT, GRID = "#010203", "#040506", "#070809"
COLOURS = ("#0a0b01", "#0a0b02", "#0a0b03", "#0a0b04", "#0a0b05")
"""Marks in the picture for the colours of the page; no real colours."""

_VARIABLES = {
    INK: "--ink",
    SOFT: "--soft",
    GRID: "--rule",
    **{colour: f"--c{n}" for n, colour in enumerate(COLOURS, 1)},
}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": SOFT,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "text.parse_math": False,  # a name may hold a dollar sign
}
_WIDTH_INCHES = 3.7

Drawing: TypeAlias = Callable[[Axes], None]


def plot(title: str, words: str, draw: Drawing, height_inches: float = 2.4) -> Plot:
    """The picture that `draw` makes on empty axes; `words` say what it shows."""
    salt = content_hash("plot", title, words)
    with mpl.rc_context({**_STYLE, "svg.hashsalt": salt}), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # letters that its own font lacks: the reader's may not
        figure = Figure(figsize=(_WIDTH_INCHES, height_inches), layout="constrained")
        figure.patch.set_visible(False)
        axes = figure.subplots()
        axes.patch.set_visible(False)
        draw(axes)
        file = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(file, format="svg", metadata=nothing)
    return Plot(title, _inlined(file.getvalue(), salt), words)


def _inlined(svg: str, salt: str) -> str:
    """The picture without declarations and addresses, with its own ids and the page's colours."""
    body = svg[svg.index("<svg") :]
    for pattern, new in (
        (r"<metadata>.*?</metadata>\s*|<style.*?</style>\s*|<!--.*?-->\s*", ""),
        (r'\s+xmlns(?::\w+)?="[^"]*"', ""),
        (r'<g id="[^"]*"', "<g"),
        (r'\bid="([^"]+)"', rf'id="p{salt}-\1"'),
        (r'xlink:href="#([^"]+)"', rf'href="#p{salt}-\1"'),
        (r"url\(#([^)]+)\)", rf"url(#p{salt}-\1)"),
        (r" font-family: [^;\"]*;", ""),
        (r"\n *", "\n"),
    ):
        body = re.sub(pattern, new, body, flags=re.DOTALL)
    head, _, rest = body.partition(">")
    head = re.sub(r'\s(?:width|height|version)="[^"]*"', "", head)
    for colour, variable in _VARIABLES.items():
        rest = rest.replace(colour, f"var({variable})")
    return f"{head}>{rest}".strip()
