"""What `import cai` gives: the names it imports, sorted, and no others."""

import ast
from pathlib import Path

import cai


def test_all_is_sorted():
    assert cai.__all__ == sorted(cai.__all__)


def test_all_is_exactly_what_the_package_imports():
    tree = ast.parse(Path(cai.__file__).read_text("utf-8"))
    imported = [
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
    assert sorted(imported) == cai.__all__


def test_every_exported_name_is_there():
    for name in cai.__all__:
        assert getattr(cai, name) is not None


def test_exported_functions_and_classes_say_what_they_are():
    undocumented = [name for name in cai.__all__ if not getattr(cai, name).__doc__]
    assert undocumented == []
