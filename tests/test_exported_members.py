"""What `import cai` gives: the names it imports, sorted, and no others."""

import ast
from pathlib import Path

import pytest

import cai


def test_all_is_sorted():
    assert cai.__all__ == sorted(cai.__all__)


def test_type_checkers_and_the_interpreter_find_the_same_names_in_the_same_files():
    stub = ast.parse(Path(cai.__file__).with_suffix(".pyi").read_text("utf-8"))
    imported = {
        alias.asname: node.module
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert imported == cai._HOMES


def test_dir_lists_the_public_names():
    assert dir(cai) == cai.__all__


def test_another_name_is_an_error_that_says_so():
    with pytest.raises(AttributeError, match="module 'cai' has no attribute 'nothing'"):
        _ = cai.nothing


def test_every_exported_name_is_there():
    for name in cai.__all__:
        assert getattr(cai, name) is not None


def test_exported_functions_and_classes_say_what_they_are():
    undocumented = [name for name in cai.__all__ if not getattr(cai, name).__doc__]
    assert undocumented == []
