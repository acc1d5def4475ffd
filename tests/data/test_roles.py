"""Names of roles that the user gives: of message lists, structs of lists and cells of JSON."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from sources import prompts_in, write

from cai.errors import SourceError
from cai.types import Message


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [{"role": "Nurse", "content": "Where?"}, {"role": "pat", "content": "Here."}]},
        {"messages": {"role": ["Nurse", "pat"], "content": ["Where?", "Here."]}},
        {"messages": "[{'from': 'Nurse', 'value': 'Where?'}, {'from': 'pat', 'value': 'Here.'}]"},
    ],
    ids=["list", "struct of lists", "text"],
)
def test_names_of_roles_that_the_user_gives_are_known(tmp_path: Path, row: dict[str, object]):
    path = write(tmp_path / "a.jsonl", {**row, "author": "pat"})
    source = prompts_in(path)
    with pytest.raises(SourceError, match="--role NAME=user"):
        source.check()
    named = replace(source, roles=(("nurse", "assistant"), ("pat", "user")))
    [prompt] = named.read()
    assert prompt.messages == (Message("assistant", "Where?"), Message("user", "Here."))
    assert json.loads(prompt.metadata) == {"author": "pat"}
