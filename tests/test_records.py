"""Chains and recipes on their way into a run folder and back."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from cai.engine.records import Failure, Record
from cai.engine.run_folder import RunFolder
from cai.errors import JournalError
from cai.models.protocol import Completion, Usage
from cai.records import (
    Draw,
    Named,
    RevisionRecipe,
    Source,
    dump_chain,
    load_chain,
    read_chains,
    read_recipe,
)
from cai.revision import Chain, RevisionPlan, Round
from cai.types import Message, Prompt, user_prompt

DRAW = Draw(
    model="scripted",
    templates=Named(name="chat", hash="0123456789ab"),
    temperature=1.0,
    top_p=0.9,
    top_k=5,
    max_tokens=64,
    stop=("END",),
)
RECIPE = RevisionRecipe(
    source=Source(files=("asked.jsonl",), column="prompt", hash="ba9876543210"),
    constitution=Named(name="one", hash="aaaaaaaaaaaa", version="1.2.0"),
    plan=RevisionPlan(rounds=2, tags=("harm",), is_minimal=True),
    roles={"respond": DRAW, "critique": DRAW, "revise": DRAW},
    seed=7,
)
FULL = Chain(
    Prompt("talk-1", (Message("system", "Be brief."), Message("user", "Hello?")), "asked.jsonl:3"),
    Completion("What.", "length", Usage(10, 2), "Let me think."),
    (
        Round("stay-polite", Completion("The response is rude."), Completion("Hi."), ("evasive",)),
        Round("no-harm", None, Completion("Hello."), ("unchanged", "cut-off")),
        Round("no-harm", Completion("No revision needed."), None),
    ),
)
TEXTS = [
    "",
    "naïve 👍",
    "two\nlines\r\n\ttab",
    '"quoted" \\ back',
    "\x00\x1f\x7f",
    "\u2028\u2029",
    "😀",
]


@pytest.mark.parametrize("chain", [FULL, Chain.of(user_prompt("Hello?"), "Hi.")])
def test_a_chain_comes_back_as_it_was(chain: Chain):
    assert load_chain(dump_chain(chain)) == chain


@pytest.mark.parametrize("text", TEXTS)
def test_every_text_comes_back_as_it_was(text: str):
    chain = Chain(user_prompt(text), Completion(text, reasoning=text))
    body = dump_chain(chain)
    assert load_chain(body) == chain
    assert json.loads(body)["response"]["text"] == text


def test_half_a_surrogate_pair_becomes_the_replacement_character():
    """No file can hold it; the two halves of one character beside each other are that character."""
    chain = load_chain(dump_chain(Chain.of(user_prompt("Hm?"), "half \ud83d, whole \ud83d\ude00")))
    assert chain.response.text == "half \ufffd, whole \U0001f600"


def test_a_recipe_comes_back_from_its_run_as_it_was(tmp_path: Path):
    with RunFolder.open(tmp_path, RECIPE.model_dump(mode="json"), {}) as run:
        assert read_recipe(run) == RECIPE
    with RunFolder.existing(tmp_path) as run:
        assert read_recipe(run) == RECIPE


@pytest.mark.parametrize(
    ("recipe", "where"),
    [
        ({"method": "judge"}, "source: Field required"),
        (RECIPE.model_dump(mode="json") | {"new": 1}, "new: Extra inputs are not permitted"),
        (RECIPE.model_dump(mode="json") | {"seed": "x"}, "seed: Input should be a valid integer"),
    ],
)
def test_a_run_of_another_kind_is_named_with_what_is_wrong(
    recipe: dict[str, object], where: str, tmp_path: Path
):
    with RunFolder.open(tmp_path, recipe, {}) as run, pytest.raises(JournalError) as caught:
        read_recipe(run)
    assert f"{tmp_path}: run.yaml is not that of a revision run" in str(caught.value)
    assert where in str(caught.value)


def test_chains_are_read_in_the_order_of_the_source_without_the_failed(tmp_path: Path):
    with RunFolder.open(tmp_path, RECIPE.model_dump(mode="json"), {}) as run:
        for position in (2, 0, 3):
            prompt = user_prompt("Hello?", str(position))
            run.add(Record(position, str(position), dump_chain(replace(FULL, prompt=prompt))))
        run.add(Record(1, "1", "", Failure("ModelError", "busy", False)))
        found = list(read_chains(run))
    assert [(position, chain.prompt.id) for position, chain in found] == [
        (0, "0"),
        (2, "2"),
        (3, "3"),
    ]
    assert all(chain.rounds == FULL.rounds for _, chain in found)
