"""How Sphinx builds these pages: `make docs`."""

from importlib import import_module
from pathlib import Path
from tomllib import loads

_metadata = loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))["project"]

project = "cai"
author = "the authors of cai"
version = release = str(_metadata["version"])

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "experiments"]  # its tables stand in pages
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3

default_role = "code"  # docstrings write `names` in single backticks
autodoc_member_order = "bysource"
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = f"cai {release}"

import_module("cai")  # a broken installation fails here and not page by page
