"""The page as one HTML text: no script but its own, no reference to anything outside.

Whatever a model or a file said is escaped by the template, and a policy in the head of the page
forbids every script but the one of the page, by its hash, and every request.
"""

import base64
import hashlib
from importlib.metadata import version
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from cai.engine.telling.snapshot import duration
from cai.evaluation import format
from cai.report.page import Page
from cai.report.pieces import Plot
from cai.report.wording import clean

_FOLDER = Path(__file__).parent
_TEMPLATE, _STYLE, _SCRIPT = "page.html.j2", "page.css", "page.js"


def render(page: Page) -> str:
    """The whole page."""
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_clean,
    )
    environment.filters.update(
        counted=format.counted, money=format.money, duration=duration, picture=_picture
    )
    script = (_FOLDER / _SCRIPT).read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template(_TEMPLATE).render(
        page=page,
        style=Markup((_FOLDER / _STYLE).read_text("utf-8")),
        script=Markup(script),
        version=version("cai-toolkit"),
        policy=f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'",
    )


def _clean(value: object) -> object:
    """Texts without the characters that HTML cannot hold."""
    return clean(value) if isinstance(value, str) and type(value) is str else value


def _picture(plot: Plot) -> Markup:
    """The picture as it was drawn: matplotlib escapes the names in it."""
    return Markup(plot.svg)
