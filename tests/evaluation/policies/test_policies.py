"""Policies as they are named: models, folders, runs and files, and what is none of them."""

import re
import shutil
from pathlib import Path

import pytest
from small_runs import sampled, write_rows

from cai.errors import UsageError
from cai.evaluation.policies.policies import open_policies, parse_policies
from cai.models.base import Sampling
from cai.models.registry import embedded_folder


def named(*texts: str) -> list[tuple[str, str]]:
    return [(each.name, each.source) for each in parse_policies(texts)]


@pytest.mark.parametrize(
    ("text", "name", "source"),
    [
        ("embedded", "embedded", "embedded"),
        ("embedded?device=cpu", "embedded", "embedded?device=cpu"),
        ("start=embedded?device=cpu", "start", "embedded?device=cpu"),
        ("hf:org/Small-1B", "Small-1B", "hf:org/Small-1B"),
        ("after = hf:models/rl", "after", "hf:models/rl"),
        ("openai:big@http://localhost:1/v1", "big", "openai:big@http://localhost:1/v1"),
        ("openai:org/big@http://localhost:1/v1", "big", "openai:org/big@http://localhost:1/v1"),
    ],
)
def test_a_model_has_the_last_part_of_its_name_unless_another_is_given(
    text: str, name: str, source: str
):
    assert named(text) == [(name, source)]


@pytest.mark.parametrize("file", ["config.json", "adapter_config.json"])
def test_the_folder_of_a_model_or_adapter_stands_for_the_model(tmp_path: Path, file: str):
    folder = tmp_path / "rl"
    folder.mkdir()
    (folder / file).write_text("{}")
    assert named(str(folder), f"again={folder}") == [
        ("rl", f"hf:{folder}"),
        ("again", f"hf:{folder}"),
    ]


async def test_runs_and_files_are_read_and_not_opened(tmp_path: Path):
    run = await sampled(tmp_path / "run", {"a": ["Yes."]})
    file = write_rows(tmp_path / "mine.jsonl", [{"prompt": "Why?", "response": "So."}])
    found = parse_policies([run, str(file)])
    assert [each.name for each in found] == ["run", "mine"]
    assert not any(each.is_model for each in found)
    assert [each.role_model for each in open_policies(found, Sampling())] == [None, None]


def test_a_model_that_is_named_twice_is_opened_once():
    one, other = open_policies(parse_policies(["a=embedded", "b=embedded"]), Sampling())
    assert one.role_model is not None
    assert other.role_model is not None
    assert one.role_model.model is other.role_model.model


def test_a_model_with_options_and_a_folder_is_opened(tmp_path: Path):
    folder = tmp_path / "policy"
    shutil.copytree(embedded_folder(), folder)
    sampling = Sampling(max_tokens=8)
    found = open_policies(parse_policies(["embedded?device=cpu", str(folder)]), sampling)
    assert [each.name for each in found] == ["embedded", "policy"]
    assert all(each.role_model and each.role_model.sampling == sampling for each in found)


def test_two_policies_of_one_name_are_refused_with_how_to_name_them():
    with pytest.raises(UsageError) as found:
        parse_policies(["hf:a/small", "hf:b/small"])
    assert str(found.value) == (
        "Two policies are called 'small': hf:a/small and hf:b/small. Name them: "
        "-p before=hf:a/small -p after=hf:b/small"
    )


def test_two_names_that_would_be_one_folder_are_refused():
    with pytest.raises(UsageError, match="'a b' and 'a-b', which is one folder"):
        parse_policies(["a b=embedded", "a-b=embedded"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "'' does not name a policy. Write NAME=SOURCE"),
        ("=embedded", "no run folder, model folder or file has that name"),
        ("after=", "no run folder, model folder or file has that name"),
        ("imbedded", "Did you mean 'embedded'?"),
        ("runs/absent", "'runs/absent' is not a policy: no run folder, model folder or file"),
        ("x=embedded?colour=red", "there is no option 'colour'"),
    ],
)
def test_what_is_no_policy_is_refused_before_a_model_is_opened(text: str, said: str):
    with pytest.raises(UsageError, match=re.escape(said)):
        parse_policies([text])
