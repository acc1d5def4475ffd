"""Critique and revision: the requests in their order, seeds, principles, plans, unusable revisions.

Exactly what a model is asked is asserted here for the shipped sets, word for word.
"""

from collections import Counter
from dataclasses import replace

import pytest

from cai.constitution.schema import Constitution, FewShot, Principle
from cai.errors import ContextLengthError, ModelError, ModelUnavailable, UsageError
from cai.methods.revision import (
    Chain,
    RevisionRoles,
    RoleModel,
    Round,
    chain_steps,
    draw_principle,
    revise,
    revise_chain,
    revision_roles,
)
from cai.methods.settings import ReviseSettings
from cai.models.base import Completion, Sampling, Usage
from cai.models.scripted import Reply, ScriptedModel
from cai.templates import load_templates
from cai.types import Message, Prompt, user_prompt

SHOT = FewShot(
    prompt="Where is my hat?",
    response="Who cares.",
    critique="This is rude.",
    revision="I do not know. Have you looked in the barn?",
)
POLITE = Principle(id="stay-polite", text="The response is polite.", examples=(SHOT,))
ONE = Constitution(name="one", principles=(POLITE,))
HELLO = user_prompt("How do I clean a lamp?", "lamp-1")

ASK_CRITIQUE = (
    "Critique your last response under this principle: The response is polite.\n"
    "Say in a sentence or two what breaks it. If nothing does, write only: No revision needed."
)
ASK_REVISION = (
    "Rewrite your response so that it keeps the principle.\n"
    "Write only the new response, addressed to the person who asked."
)
ASK_DIRECT = (
    "Rewrite your last response so that it keeps this principle: The response is polite.\n"
    "Write only the new response, addressed to the person who asked."
)
RUDE, CRITIQUE, KIND = "Ask a goat.", "The response is rude.", "Wipe it with a soft cloth."


def user(text: str) -> Message:
    return Message("user", text)


def says(text: str) -> Message:
    return Message("assistant", text)


async def chain_of(
    *replies: Reply,
    settings: ReviseSettings = ReviseSettings(),
    prompt: Prompt = HELLO,
    seed: int = 0,
) -> tuple[Chain, ScriptedModel]:
    model = ScriptedModel(replies)
    chain = await revise_chain(revision_roles(model), ONE, prompt, settings, seed)
    return chain, model


def asked(model: ScriptedModel) -> list[tuple[Message, ...]]:
    return [request.messages for request in model.requests]


def seeds(model: ScriptedModel) -> list[int | None]:
    return [request.sampling.seed for request in model.requests if request.sampling]


# The requests


async def test_a_round_asks_for_response_critique_and_revision_in_exactly_these_words():
    chain, model = await chain_of(RUDE, CRITIQUE, KIND)
    exchange = (user("How do I clean a lamp?"), says(RUDE))
    assert asked(model) == [
        (user("How do I clean a lamp?"),),
        (*exchange, user(ASK_CRITIQUE)),
        (*exchange, user(ASK_CRITIQUE), says(CRITIQUE), user(ASK_REVISION)),
    ]
    assert chain == Chain(
        HELLO,
        Completion(RUDE),
        (Round("stay-polite", Completion(CRITIQUE), Completion(KIND)),),
    )
    assert chain.final == KIND and chain.revisions == (KIND,)


async def test_the_next_round_starts_from_the_revision():
    settings = ReviseSettings(rounds=2)
    chain, model = await chain_of(
        RUDE, CRITIQUE, KIND, "Still dull.", "Wipe it well.", settings=settings
    )
    assert chain.revisions == (KIND, "Wipe it well.")
    assert asked(model)[3] == (user(HELLO.request), says(KIND), user(ASK_CRITIQUE))
    assert RUDE not in model.requests[4].text and CRITIQUE not in model.requests[4].text


async def test_without_rounds_there_is_only_the_response():
    chain, model = await chain_of(f"  {RUDE}\n", settings=ReviseSettings(rounds=0))
    assert len(model.requests) == 1
    assert chain == Chain.of(HELLO, RUDE)
    assert chain.final == RUDE and chain.revisions == ()


async def test_direct_revision_is_one_call_a_round():
    settings = ReviseSettings(rounds=2, direct=True)
    chain, model = await chain_of(RUDE, KIND, "Wipe it well.", settings=settings)
    assert asked(model)[1:] == [
        (user(HELLO.request), says(RUDE), user(ASK_DIRECT)),
        (user(HELLO.request), says(KIND), user(ASK_DIRECT)),
    ]
    assert [each.critique for each in chain.rounds] == [None, None]
    assert chain.final == "Wipe it well."


@pytest.mark.parametrize(
    ("is_direct", "sentence"),
    [
        (False, "Change only what the critique names and keep every other word."),
        (True, "Change only what breaks it and keep every other word."),
    ],
)
async def test_a_minimal_edit_is_asked_for_in_the_revision(is_direct: bool, sentence: str):
    settings = ReviseSettings(direct=is_direct, minimal=True)
    replies = [RUDE, KIND] if is_direct else [RUDE, CRITIQUE, KIND]
    _, model = await chain_of(*replies, settings=settings)
    assert sentence in model.requests[-1].messages[-1].content.splitlines()
    assert all("Change only" not in request.text for request in model.requests[:-1])


async def test_few_shots_stand_before_the_exchange():
    _, model = await chain_of(RUDE, CRITIQUE, KIND, settings=ReviseSettings(few_shots=5))
    shown = (user(SHOT.prompt), says(SHOT.response), user(ASK_CRITIQUE), says(SHOT.critique))
    exchange = (user(HELLO.request), says(RUDE), user(ASK_CRITIQUE))
    assert asked(model) == [
        (user(HELLO.request),),
        (*shown, *exchange),
        (*shown, user(ASK_REVISION), says(SHOT.revision), *exchange, says(CRITIQUE),
         user(ASK_REVISION)),
    ]  # fmt: skip


async def test_few_shots_of_direct_revision_show_no_critique():
    _, model = await chain_of(RUDE, KIND, settings=ReviseSettings(few_shots=1, direct=True))
    assert asked(model)[1] == (
        user(SHOT.prompt), says(SHOT.response), user(ASK_DIRECT), says(SHOT.revision),
        user(HELLO.request), says(RUDE), user(ASK_DIRECT),
    )  # fmt: skip


async def test_of_many_few_shots_only_as_many_as_asked_for_are_shown():
    other = SHOT.model_copy(update={"prompt": "Where is my drum?"})
    principle = POLITE.model_copy(update={"examples": (SHOT, other)})
    constitution = Constitution(name="two-shots", principles=(principle,))
    for n in (0, 1, 2):
        model = ScriptedModel([RUDE, CRITIQUE, KIND])
        settings = ReviseSettings(few_shots=n)
        await revise_chain(revision_roles(model), constitution, HELLO, settings, 0)
        shown = [SHOT.prompt in model.requests[1].text, other.prompt in model.requests[1].text]
        assert sum(shown) == n


async def test_a_conversation_is_kept_whole_with_its_system_turn():
    """Only the last answer is critiqued and revised; what came before is shown as it was."""
    before = (Message("system", "Be brief."), user("Hello?"), says("Yes?"))
    prompt = Prompt("talk", (*before, user("How do I clean a lamp?")))
    _, model = await chain_of(RUDE, CRITIQUE, KIND, prompt=prompt)
    assert asked(model)[0] == prompt.messages
    assert asked(model)[1] == (*prompt.messages, says(RUDE), user(ASK_CRITIQUE))
    assert asked(model)[2][: len(prompt.messages)] == prompt.messages


# Models that differ


async def test_each_part_asks_its_own_model_through_its_own_templates():
    chatty = ScriptedModel([RUDE, KIND], name="chat")
    base = ScriptedModel([f" {CRITIQUE}"], name="base", is_chat=False)
    chat, transcript = load_templates("chat"), load_templates("transcript")
    roles = RevisionRoles(
        RoleModel(chatty, chat, Sampling(1.0, max_tokens=10)),
        RoleModel(base, transcript, Sampling(0.5, max_tokens=20)),
        RoleModel(chatty, chat, Sampling(0.0, max_tokens=30)),
    )
    await revise_chain(roles, ONE, HELLO, ReviseSettings(), 0)
    assert len(chatty.requests) == 2
    assert chatty.requests[1].messages[-2:] == (says(CRITIQUE), user(ASK_REVISION))
    (critique,) = base.requests
    assert critique.messages == (
        Message(
            "text",
            f"Human: How do I clean a lamp?\n\nAssistant: {RUDE}\n\nHuman: Look again at your last "
            "reply. Does it follow this rule? The response is polite.\nExplain in a sentence or "
            "two what goes against the rule. If nothing does, say: No revision needed.\n\n"
            "Assistant:",
        ),
    )
    samplings = [request.sampling for request in (*chatty.requests, critique) if request.sampling]
    assert [(each.temperature, each.max_tokens) for each in samplings] == [
        (1.0, 10),
        (0.0, 30),
        (0.5, 20),
    ]


async def test_the_stop_strings_of_a_transcript_come_after_one_s_own():
    model = ScriptedModel(["Wipe it."], is_chat=False)
    one = RoleModel.of(model, Sampling(stop=("END",)))
    roles = RevisionRoles(one, one, one)
    await revise_chain(roles, ONE, HELLO, ReviseSettings(rounds=0), 0)
    assert model.requests[0].sampling is not None
    assert model.requests[0].sampling.stop == ("END", "\n\nHuman:", "\n\nAssistant:")
    chat = ScriptedModel(["Wipe it."])
    await revise_chain(revision_roles(chat), ONE, HELLO, ReviseSettings(rounds=0), 0)
    assert chat.requests[0].sampling == Sampling(1.0, seed=seeds(chat)[0])


async def test_a_few_shot_transcript_ends_with_the_assistant_s_open_turn():
    model = ScriptedModel([RUDE, CRITIQUE, KIND], is_chat=False)
    await revise_chain(revision_roles(model), ONE, HELLO, ReviseSettings(few_shots=1), 0)
    for request in model.requests:
        (message,) = request.messages
        assert message.role == "text" and message.content.endswith("\n\nAssistant:")
    assert "\n\nAssistant: This is rude.\n\nHuman: " in model.requests[1].text


async def test_reasoning_is_kept_apart_and_never_shown_again():
    thought = [
        Completion(text, reasoning=f"Secret {n}.") for n, text in enumerate([RUDE, CRITIQUE, KIND])
    ]
    chain, model = await chain_of(*thought)
    assert chain.response.reasoning == "Secret 0."
    assert all("Secret" not in request.text for request in model.requests)
    assert chain.rounds[0].critique == Completion(CRITIQUE, reasoning="Secret 1.")


async def test_usage_is_the_sum_of_all_steps():
    """10 + 20 + 30 tokens read, 1 + 2 + 3 written."""
    said = [
        Completion(text, usage=Usage(10 * n, n))
        for n, text in enumerate([RUDE, CRITIQUE, KIND], start=1)
    ]
    chain, _ = await chain_of(*said)
    assert chain.usage == Usage(60, 6)


# Seeds


async def test_every_step_has_a_seed_of_its_own():
    settings = ReviseSettings(rounds=3)
    model = ScriptedModel(lambda messages, sampling: "Fine.")
    for id in ("lamp-1", "lamp-2"):
        for seed in (0, 1):
            await revise_chain(revision_roles(model), ONE, user_prompt("?", id), settings, seed)
    drawn = seeds(model)
    assert len(drawn) == len(set(drawn)) == 2 * 2 * 7
    assert all(seed is not None and 0 <= seed < 2**31 for seed in drawn)


async def test_a_seed_depends_on_nothing_but_run_example_and_step():
    """Other texts, more rounds, other replies and few-shots leave the seeds as they were."""
    short = ScriptedModel(lambda messages, sampling: "Fine.")
    long = ScriptedModel(lambda messages, sampling: str(sampling.seed))
    await revise_chain(revision_roles(short), ONE, user_prompt("?", "x"), ReviseSettings(), 7)
    settings = ReviseSettings(rounds=3, few_shots=1)
    await revise_chain(revision_roles(long), ONE, user_prompt("Other words?", "x"), settings, 7)
    assert seeds(long)[:3] == seeds(short)


async def test_the_same_seed_gives_the_same_chain():
    model = ScriptedModel(lambda messages, sampling: f"{messages[-1].content} {sampling.seed}")
    first, second = [await revise(model, ONE, "Hello?", rounds=3, seed=5) for _ in range(2)]
    assert first == second
    assert first != await revise(model, ONE, "Hello?", rounds=3, seed=6)


# Principles

WEIGHTED = Constitution(
    name="weighted",
    principles=(
        Principle(id="often", text="A.", weight=3.0, tags=("harm",)),
        Principle(id="seldom", text="B.", weight=1.0, tags=("harm", "tone")),
        Principle(id="never", text="C.", weight=0.0, tags=("tone", "unused")),
    ),
)


def test_principles_are_drawn_in_proportion_to_their_weights():
    """Of 4,000 draws 3,000 are expected; the standard deviation is √(4000·¾·¼) = 27.4."""
    drawn = Counter(draw_principle(WEIGHTED, (), seed).id for seed in range(4000))
    assert abs(drawn["often"] - 3000) < 4 * 27.4
    assert set(drawn) == {"often", "seldom"}


def test_tags_narrow_the_draw():
    drawn = {
        tags: {draw_principle(WEIGHTED, tags, seed).id for seed in range(200)}
        for tags in [("tone",), ("harm",), ("tone", "harm")]
    }
    assert drawn == {
        ("tone",): {"seldom"},
        ("harm",): {"often", "seldom"},
        ("tone", "harm"): {"often", "seldom"},
    }


@pytest.mark.parametrize("tag", ["typo", "unused"])
async def test_a_tag_that_nothing_drawable_has_is_an_error_with_the_tags_there_are(tag: str):
    with pytest.raises(UsageError, match=rf"'weighted'.*{tag}\. Its tags: harm, tone, unused"):
        draw_principle(WEIGHTED, (tag,), 0)
    with pytest.raises(UsageError, match=r"Its tags: none"):
        draw_principle(ONE, (tag,), 0)


async def test_each_round_draws_anew():
    chains = [
        await revise(ScriptedModel(lambda m, s: "Fine."), WEIGHTED, "Hello?", rounds=4, seed=seed)
        for seed in range(50)
    ]
    orders = {tuple(each.principle_id for each in chain.rounds) for chain in chains}
    assert len(orders) > 4
    assert any(len(set(order)) == 2 for order in orders)


async def test_the_principle_drawn_is_the_one_asked_under():
    model = ScriptedModel(lambda messages, sampling: "Fine.")
    chain = await revise(model, WEIGHTED, "Hello?", rounds=5)
    texts = {"often": "principle: A.", "seldom": "principle: B."}
    critiques = model.requests[1::2]
    for request, each in zip(critiques, chain.rounds, strict=True):
        assert texts[each.principle_id] in request.messages[-1].content


# Ending early, and revisions that are of no use


async def test_a_critique_that_finds_nothing_ends_the_chain_early():
    settings = ReviseSettings(rounds=3, stop_early=True)
    chain, model = await chain_of(RUDE, CRITIQUE, KIND, "No revision needed!", settings=settings)
    assert len(model.requests) == 4
    assert chain.rounds[-1] == Round("stay-polite", Completion("No revision needed!"), None)
    assert chain.final == KIND and chain.revisions == (KIND, KIND)


async def test_without_that_plan_the_revision_is_asked_for_all_the_same():
    chain, model = await chain_of(KIND, "No revision needed.", KIND)
    assert len(model.requests) == 3
    assert chain.rounds[0].flags == ()


async def test_a_text_that_nothing_was_found_in_is_flagged_for_all_but_staying_the_same():
    dodge = "I cannot help with that question."
    chain, _ = await chain_of(dodge, "No revision needed.", dodge)
    assert chain.rounds[0].flags == ("evasive",)


@pytest.mark.parametrize(
    ("useless", "flag"), [("  \n", "empty"), ("The response is rude.", "critique-instead")]
)
async def test_a_useless_revision_is_kept_but_not_built_upon(useless: str, flag: str):
    settings = ReviseSettings(rounds=2)
    chain, model = await chain_of(RUDE, CRITIQUE, useless, CRITIQUE, KIND, settings=settings)
    first = chain.rounds[0]
    assert first.flags == (flag,) and not first.is_usable
    assert first.revision == Completion(useless.strip())
    assert asked(model)[3] == (user(HELLO.request), says(RUDE), user(ASK_CRITIQUE))
    assert chain.revisions == (RUDE, KIND)


async def test_flags_that_leave_a_text_usable_are_built_upon():
    settings = ReviseSettings(rounds=2)
    cut = Completion("Wipe it with", "length")
    chain, model = await chain_of(RUDE, CRITIQUE, cut, CRITIQUE, KIND, settings=settings)
    assert chain.rounds[0].flags == ("cut-off",)
    assert asked(model)[3][1] == says("Wipe it with")


async def test_flags_compare_with_the_text_that_was_revised():
    settings = ReviseSettings(rounds=2)
    chain, _ = await chain_of(RUDE, CRITIQUE, KIND, CRITIQUE, RUDE, settings=settings)
    assert [each.flags for each in chain.rounds] == [(), ()]
    chain, _ = await chain_of(RUDE, CRITIQUE, KIND, CRITIQUE, KIND, settings=settings)
    assert [each.flags for each in chain.rounds] == [(), ("unchanged",)]


# Failures, steps, and the short form


@pytest.mark.parametrize("n_before", [0, 1, 2])
@pytest.mark.parametrize("kind", [ModelError, ModelUnavailable, ContextLengthError])
async def test_a_call_that_fails_raises_through(n_before: int, kind: type[ModelError]):
    with pytest.raises(kind, match="busy"):
        await chain_of(*[RUDE, CRITIQUE, KIND][:n_before], kind("busy"))


async def test_the_chain_is_given_out_as_it_grows():
    model = ScriptedModel([RUDE, CRITIQUE, KIND, CRITIQUE, "Wipe it well."])
    steps = chain_steps(revision_roles(model), ONE, HELLO, ReviseSettings(rounds=2), 0)
    seen = [(len(chain.rounds), chain.final, len(model.requests)) async for chain in steps]
    assert seen == [(0, RUDE, 1), (1, KIND, 3), (2, "Wipe it well.", 5)]


async def test_the_short_form_responds_warm_and_revises_cold():
    model = ScriptedModel([RUDE, CRITIQUE, KIND])
    chain = await revise(model, ONE, HELLO.request, seed=3)
    temperatures = [each.sampling.temperature for each in model.requests if each.sampling]
    assert temperatures == [1.0, 0.3, 0.3]
    long = ScriptedModel([RUDE, CRITIQUE, KIND])
    assert chain == await revise_chain(
        revision_roles(long), ONE, user_prompt(HELLO.request), ReviseSettings(), 3
    )
    assert replace(chain, prompt=HELLO) == await revise(
        ScriptedModel([RUDE, CRITIQUE, KIND]), ONE, HELLO
    )
