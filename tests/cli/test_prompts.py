"""`cai prompts list, show, render`: what is printed is what a model is asked, to the letter."""

import json

import pytest
from openai_server import chat
from reward_server import assert_refused, spec

from cai.constitution.loader import load_constitution
from cai.templates import STEPS, load_templates, shipped_sets

PRINCIPLE = load_constitution("testbed").principles[0]


def test_list_names_every_shipped_set(call_cai):
    out = call_cai("prompts", "list").out
    for name in shipped_sets():
        templates = load_templates(name)
        assert f"{name}  {templates.settings.kind} models, {templates.hash}: " in out


def test_show_prints_the_templates(call_cai):
    templates = load_templates("chat")
    whole = call_cai("prompts", "show", "chat")
    assert whole.code == 0
    assert all(templates.sources[step].strip() in whole.out for step in STEPS)
    one = call_cai("prompts", "show", "chat", "critique").out
    assert templates.sources["critique"].strip() in one
    assert templates.sources["judge"].strip() not in one


@pytest.mark.parametrize("name", shipped_sets())
@pytest.mark.parametrize("step", STEPS)
def test_render_takes_the_example_of_the_principle(call_cai, step, name):
    ended = call_cai(
        *("prompts", "render", step, "-c", "testbed", "--principle", PRINCIPLE.id),
        *("--prompts", name),
    )
    assert ended.code == 0
    assert ended.out.startswith("[user]\n" if name == "chat" else "[text]\n")
    assert PRINCIPLE.examples[0].prompt in ended.out


def test_what_is_rendered_is_what_a_model_is_asked(call_cai, local_server, tmp_path):
    """One chain through a server, beside the same requests rendered."""
    constitution = tmp_path / "one.yaml"
    constitution.write_text(
        "name: one\nprinciples:\n- {id: dry, text: 'It keeps {{ lamps }} dry.'}\n"
    )
    replies = iter(["Pour {% water %} in.", "It gets wet.", "Wipe it."])
    local_server.reply = lambda received: chat(next(replies))
    shared = ("-c", constitution)
    call_cai("try", "How do I clean it?", *shared, "-m", spec(local_server))
    asked = [body["messages"] for body in local_server.bodies]

    texts = ("--prompt", "How do I clean it?", "--response", "Pour {% water %} in.")
    texts = (*texts, "--critique", "It gets wet.", "--json")
    rendered = [
        json.loads(call_cai("prompts", "render", step, *shared, *texts).out)
        for step in ("respond", "critique", "revise")
    ]
    assert rendered == asked
    assert "It keeps {{ lamps }} dry." in asked[1][-1]["content"]


def test_few_shots_come_first(call_cai):
    shared = (
        "prompts",
        "render",
        "critique",
        "-c",
        "testbed",
        "--prompt",
        "Hi?",
        "--response",
        "Ho.",
    )
    plain = json.loads(call_cai(*shared, "--json").out)
    shown = json.loads(call_cai(*shared, "--few-shots", 1, "--json").out)
    shot = PRINCIPLE.examples[0]
    assert shown[-len(plain) :] == plain
    assert [turn["content"] for turn in shown[:2]] == [shot.prompt, shot.response]
    assert shown[3]["content"] == shot.critique


def test_a_judge_is_shown_few_shots_and_asked_the_reversed_question(call_cai):
    shared = ("prompts", "render", "judge", "-c", "testbed", "--prompt", "Hi?", "--response", "Ho.")
    plain = json.loads(call_cai(*shared, "--json").out)
    negated = json.loads(call_cai(*shared, "--negated", "--json").out)
    assert len(plain) == len(negated) == 1
    assert "breaks this principle more" in negated[0]["content"]
    assert "breaks this principle more" not in plain[0]["content"]
    shown = json.loads(call_cai(*shared, "--few-shots", 1, "--json").out)
    assert [turn["role"] for turn in shown] == ["user", "assistant", "user"]
    assert shown[1]["content"] == "A"
    assert PRINCIPLE.examples[0].revision in shown[0]["content"]


def test_a_reward_model_is_shown_what_to_keep_or_what_to_break(call_cai):
    shared = ("prompts", "render", "reward", "-c", "testbed", "--principle", PRINCIPLE.id)
    kept = json.loads(call_cai(*shared, "--json").out)
    broken = json.loads(call_cai(*shared, "--negated", "--json").out)
    assert [turn["role"] for turn in kept] == ["user", "assistant"]
    assert kept[1] == broken[1]
    assert PRINCIPLE.text in kept[0]["content"]
    assert kept[0]["content"].replace("should keep", "should break") == broken[0]["content"]


def test_control_characters_are_made_visible(call_cai):
    out = call_cai("prompts", "render", "respond", "-c", "testbed", "--prompt", "a\x1b[2Jb").out
    assert "a\\x1b[2Jb" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["render", "critique", "-c", "testbed", "--principle", "no-such"], "no-harm"),
        (["render", "critique", "-c", "no-such"], "The shipped ones are"),
        (["show", "no-such"], "Shipped sets: chat, transcript"),
    ],
)
def test_unknown_names_are_answered_with_the_known_ones(call_cai, arguments, said):
    assert_refused(call_cai("prompts", *arguments), said)
