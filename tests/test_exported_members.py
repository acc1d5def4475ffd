"""What `import cai` gives: the names it imports, sorted, and no others."""

import ast
from pathlib import Path

import pytest

import cai


def test_all_is_sorted():
    assert cai.__all__ == sorted(cai.__all__)


def test_checkers_readers_and_the_interpreter_find_the_same_names_in_the_same_files():
    tree = ast.parse(Path(cai.__file__).read_text("utf-8"))
    (for_types,) = (node for node in tree.body if isinstance(node, ast.If))
    imported = {
        alias.name: node.module
        for node in for_types.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert imported == cai._HOMES
    assert sorted(imported) == cai.__all__


def test_another_name_is_an_error_that_says_so():
    with pytest.raises(AttributeError, match="module 'cai' has no attribute 'nothing'"):
        _ = cai.nothing


def test_every_exported_name_is_there():
    for name in cai.__all__:
        assert getattr(cai, name) is not None


def test_exported_functions_and_classes_say_what_they_are():
    undocumented = [name for name in cai.__all__ if not getattr(cai, name).__doc__]
    assert undocumented == []
