"""The shared nouns: prompts, seeds and content hashes."""

import dataclasses
import re

import pytest

from cai.types import Message, Prompt, as_dicts, content_hash, derive_seed, user_prompt


def test_a_request_is_the_last_turn():
    prompt = Prompt(
        "x", (Message("user", "Hi."), Message("assistant", "?"), Message("user", "Go."))
    )
    assert prompt.request == "Go."
    assert user_prompt("Hi.", "7", "file:7") == Prompt("7", (Message("user", "Hi."),), "file:7")


def test_what_is_shared_cannot_be_changed():
    for thing, name in ((Message("user", "Hi."), "content"), (user_prompt("Hi."), "id")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(thing, name, "other")


def test_messages_become_the_dicts_that_trainers_read():
    assert as_dicts([Message("system", "a"), Message("user", "b")]) == [
        {"role": "system", "content": "a"},
        {"role": "user", "content": "b"},
    ]
    assert as_dicts([]) == []


def test_a_seed_is_the_same_in_every_process_and_version():
    """These numbers decide what finished runs hold: they may never change."""
    assert derive_seed(0, "lamp-1", "respond") == 824817169
    assert derive_seed(0, "lamp-1", "round", 0) == 2072597231


def test_parts_of_a_seed_do_not_run_together():
    seeds = [
        derive_seed("ab", "c"),
        derive_seed("a", "bc"),
        derive_seed("abc"),
        derive_seed("abc", ""),
        derive_seed(1, 2),
        derive_seed(12),
        derive_seed("1", 2),
        derive_seed(1, "2"),
    ]
    assert len(set(seeds)) == len(seeds)


def test_seeds_fill_their_range_evenly():
    """Of 4,000 seeds, half lie in the upper half: 2,000, with a standard deviation of 31.6."""
    seeds = [derive_seed("even", number) for number in range(4000)]
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert abs(sum(seed >= 2**30 for seed in seeds) - 2000) < 4 * 31.6
    assert len(set(seeds)) == 4000


def test_a_content_hash_names_its_parts_and_where_they_end():
    hashes = [
        content_hash(),
        content_hash(""),
        content_hash("", ""),
        content_hash("ab", "c"),
        content_hash("a", "bc"),
        content_hash("abc"),
        content_hash("\ud800"),
        content_hash("naïve"),
    ]
    assert len(set(hashes)) == len(hashes)
    assert all(re.fullmatch("[0-9a-f]{12}", each) for each in hashes)
    assert content_hash("ab", "c") == hashes[3]
