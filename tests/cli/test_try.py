"""`cai try`: each step of one chain printed, as a run would make it; refusals."""

import pytest
from openai_server import chat, refusal
from reward_server import assert_refused, serving, spec

REPLIES = {
    "How do I": "Drop it \x1b[31mhard.",
    "Critique": "It breaks something.",
    "Rewrite": "I would mend it instead.",
}


def acting(received):
    """A response, a critique or a revision, by what the last turn asks."""
    last = received.body["messages"][-1]["content"]
    asked = next((text for text in ("Rewrite", "Critique") if text in last), "How do I")
    return chat(REPLIES[asked])


def test_every_step_is_printed(call_cai, local_server):
    local_server.reply = acting
    ended = call_cai(
        "try", "How do I drop it?", "-c", "testbed", "-m", spec(local_server), "--rounds", 2
    )
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert lines[0] == "response: Drop it \\x1b[31mhard."
    assert sum(line.startswith("round ") for line in lines) == 2
    assert lines.count("critique: It breaks something.") == 2
    assert lines.count("revision: I would mend it instead.") == 2
    assert "flags: unchanged" in lines, "the second round changes nothing"
    assert len(local_server.received) == 5


def test_a_critique_that_finds_nothing_may_end_it(call_cai, local_server):
    local_server.reply = lambda received: chat("No revision needed.")
    ended = call_cai(
        "try", "Hi?", "-c", "testbed", "-m", spec(local_server), "--rounds", 3, "--stop-early"
    )
    assert ended.code == 0
    assert ended.out.endswith("The critique finds nothing; the chain ends.\n")
    assert len(local_server.received) == 2


def test_reasoning_is_shown_apart(call_cai, local_server):
    local_server.reply = chat("It is a lamp.", reasoning_content="What is asked?")
    ended = call_cai("try", "Hi?", "-c", "testbed", "-m", spec(local_server), "--rounds", 0)
    assert ended.out == "response, reasoning: What is asked?\nresponse: It is a lamp.\n"


def test_each_part_can_have_a_model_of_its_own(call_cai, local_server):
    with serving(chat("It breaks something.")) as critic:
        ended = call_cai(
            *("try", "Hi?", "-c", "testbed", "-m", spec(local_server)),
            *("--critique-model", spec(critic)),
        )
    assert ended.code == 0
    assert "critique: It breaks something." in ended.out
    assert (len(critic.received), len(local_server.received)) == (1, 2)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--tag", "nothing"], "Its tags: "),
        (["-c", "no-such"], "The shipped ones are"),
        (["--prompts", "transcript/no-such"], "There is no template set"),
        (["-m", "hf:/no/such/folder"], "/no/such/folder"),
        (["--critique-model", "openai:tiny@http://127.0.0.1:1/v1"], "Cannot reach"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_asked(call_cai, local_server, options, said):
    shared = ("try", "Hi?", "-c", "testbed", "-m", spec(local_server))
    assert_refused(call_cai(*shared, *options), said)
    assert local_server.received == []


def test_a_server_that_refuses_is_one_message(call_cai, local_server):
    local_server.reply = refusal(400, "I do not like this.")
    ended = call_cai("try", "Hi?", "-c", "testbed", "-m", spec(local_server))
    assert ended.code == 2
    assert ended.err.startswith("error: ")
    assert "I do not like this." in ended.err
