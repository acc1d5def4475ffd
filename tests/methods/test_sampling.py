"""Responses of policies: how many, whose, with which seeds, and what a failure does."""

from collections.abc import Sequence

import pytest

from cai.errors import ModelError
from cai.methods.roles import RoleModel
from cai.methods.sampling import respond, respond_turns, sample, sample_responses
from cai.models.base import Completion, Sampling, Usage
from cai.models.scripted import ScriptedModel
from cai.templates import load_templates
from cai.types import Message, Prompt, user_prompt

PROMPT = user_prompt("How do I mend a lamp?", "lamp")


def by_seed(messages: Sequence[Message], sampling: Sampling) -> str:
    return f" at {sampling.temperature} with {sampling.seed} "


async def test_k_responses_of_every_policy_come_policy_by_policy():
    first, second = ScriptedModel(by_seed, name="first"), ScriptedModel(by_seed, name="second")
    policies = [
        RoleModel.of(first, Sampling(0.7)),
        RoleModel.of(first, Sampling(1.0)),
        RoleModel.of(second),
    ]
    found = await sample_responses(policies, PROMPT, 2, seed=0)
    assert found.prompt == PROMPT
    assert [each.model for each in found.samples] == ["first"] * 4 + ["second"] * 2
    texts = [each.completion.text for each in found.samples]
    assert [text.split(" with ")[0] for text in texts] == ["at 0.7"] * 2 + ["at 1.0"] * 4
    assert len({text.split(" with ")[1] for text in texts}) == 6, "each has a seed of its own"


async def test_seeds_depend_on_run_prompt_policy_and_number_alone():
    async def texts(seed: int, prompt: Prompt) -> list[str]:
        found = await sample(ScriptedModel(by_seed), prompt, k=3, seed=seed)
        return [each.completion.text for each in found.samples]

    assert await texts(0, PROMPT) == await texts(0, PROMPT)
    assert not set(await texts(0, PROMPT)) & set(await texts(1, PROMPT))
    assert not set(await texts(0, PROMPT)) & set(await texts(0, user_prompt("Hm?", "other")))


async def test_a_failure_is_raised_when_all_calls_are_done():
    model = ScriptedModel(["one", ModelError("gone"), "three"])
    with pytest.raises(ModelError, match="gone"):
        await sample(model, PROMPT, k=3)
    assert len(model.requests) == 3


async def test_usage_adds_up():
    model = ScriptedModel([Completion("a", usage=Usage(5, 2)), Completion("b", usage=Usage(5, 4))])
    assert (await sample(model, PROMPT, k=2)).usage == Usage(10, 6)


async def test_a_text_alone_is_a_prompt():
    model = ScriptedModel(by_seed)
    found = await sample(model, "Hello?", k=1)
    assert found.prompt.request == "Hello?"
    assert model.requests[0].messages == (Message("user", "Hello?"),)


async def test_a_response_is_stripped_and_keeps_why_it_ended():
    model = ScriptedModel([Completion("  Wipe it.\n", "length")])
    said = await respond(RoleModel.of(model), PROMPT, seed=3)
    assert said == Completion("Wipe it.", "length")
    assert model.requests[0].sampling == Sampling(seed=3)


def test_earlier_turns_are_kept_as_they_are():
    turns = (Message("user", "Hi."), Message("assistant", "Yes?"), Message("user", "Mend it."))
    asked = respond_turns(load_templates("chat"), Prompt("talk", turns))
    assert asked == turns
