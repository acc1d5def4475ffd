"""`cai constitution test` on a local server that likes the longer response, and as it ships."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from judging_servers import by_letters, in_words, letter
from openai_server import Json, LocalServer, Received, chat
from reward_server import CallCai, Ended, assert_refused, refusing, spec

CONSTITUTION = """
name: three
principles:
- id: be-long
  text: Be long.
  tags: [size]
  tests:
  - {prompt: 'Which lamp?', better: 'The one on the shelf.', worse: 'That.'}
  - {prompt: 'Which cup?', better: 'The blue one over there.', worse: 'This.'}
- {id: be-kind, text: Be kind.}
- id: be-brief
  text: Be brief.
  tests:
  - {prompt: 'Which hat?', better: 'Mine.', worse: 'The one that hangs on the door.'}
"""
RUBRIC = """
name: rubric
principles:
- id: be-good
  text: Be good.
  rubric:
  - {id: long, text: Be long., weight: 3.0}
  - {id: late, text: Be late.}
  tests:
  - {prompt: 'Which hat?', better: 'Mine.', worse: 'The one that hangs on the door.'}
"""


@pytest.fixture
def check(call_cai: CallCai, local_server: LocalServer, tmp_path: Path) -> Callable[..., Ended]:
    """`cai constitution test` of the three, or of another text, with more options."""
    local_server.reply = by_letters

    def call(*more: object, text: str = CONSTITUTION) -> Ended:
        path = tmp_path / "own.yaml"
        path.write_text(text)
        return call_cai("constitution", "test", path, "-m", spec(local_server), *more)

    return call


def test_what_passes_is_a_line_of_points(check):
    ended = check("--principle", "be-long")
    assert ended.code == 0
    assert ended.out == ("be-long  ..  least 0.90\n\nwithout tests: be-kind\n2 tests: 2 passed\n")


def test_what_fails_is_shown_with_both_texts_and_both_orders(check):
    """The longer one at 0.9 in both orders: the brief one has 0.1."""
    ended = check()
    assert ended.code == 1
    lines = ended.out.splitlines()
    assert lines[:2] == ["be-long   ..  least 0.90", "be-brief  F  least 0.10"]
    shown = lines[lines.index("FAILED be-brief[1]: b (probability of the better one 0.10)") :]
    assert shown[1:5] == [
        "  principle: Be brief.",
        "  prompt:    Which hat?",
        "  better:    Mine.",
        "  worse:     The one that hangs on the door.",
    ]
    assert shown[5].endswith(": better first 0.10, better second 0.10")
    assert shown[-1] == "3 tests: 2 passed, 1 failed"


def test_json_has_every_test(check):
    tests = json.loads(check("--json").out)["tests"]
    probabilities = [each.pop("probability") for each in tests]
    assert probabilities == pytest.approx([0.9, 0.9, 0.1])
    assert tests == [
        {"principle": "be-long", "test": 1, "result": "passed", "outcome": "a"},
        {"principle": "be-long", "test": 2, "result": "passed", "outcome": "a"},
        {"principle": "be-brief", "test": 1, "result": "failed", "outcome": "b"},
    ]


def test_a_server_without_log_probabilities_is_read_in_words(check, local_server: LocalServer):
    local_server.reply = in_words
    ended = check("--tag", "size")
    assert ended.code == 0
    assert "its verdicts are read from what it writes" in " ".join(ended.err.split())
    assert "2 tests: 2 passed" in ended.out


def test_log_probabilities_that_are_asked_for_and_absent_are_an_error(
    check, local_server: LocalServer
):
    local_server.reply = in_words
    assert_refused(check("--verdicts", "logprobs"), "Log-probabilities were asked for")


def test_what_cannot_be_read_has_its_own_sign_and_is_no_pass(check, local_server: LocalServer):
    def unsure(received: Received) -> Json:
        if "Which cup?" in str(received.body):
            return chat("It depends.")
        return chat(f"Verdict: {letter(received)}")

    local_server.reply = unsure
    ended = check("--verdicts", "parsed", "--principle", "be-long")
    assert ended.code == 1
    assert "be-long  .?  least 1.00" in ended.out
    assert "UNREADABLE be-long[2]: unparsed\n" in ended.out
    assert "better first unparsed, better second unparsed" in ended.out
    assert ended.out.endswith("2 tests: 1 passed, 1 unreadable\n")
    tests = json.loads(check("--verdicts", "parsed", "--principle", "be-long", "--json").out)
    assert tests["tests"][1]["probability"] is None


def test_a_call_that_fails_is_said_with_its_reason(check, local_server: LocalServer):
    local_server.reply = refusing("Which cup?", otherwise=by_letters)
    ended = check("--principle", "be-long")
    assert ended.code == 1
    assert "UNREADABLE be-long[2]: failed\n" in ended.out
    assert "maximum context length is 2048 tokens" in ended.out


def test_of_a_rubric_every_criterion_is_shown(check):
    ended = check(text=RUBRIC)
    assert ended.code == 1
    assert " long: better first 0.10, better second 0.10" in ended.out
    assert " late: better first 0.10, better second 0.10" in ended.out


def test_the_reversed_question_is_shown_as_such(check):
    """Asked which one is worse it names the longer one too: 0.9 and 0.1 make a tie."""
    ended = check("--negated", "--principle", "be-brief")
    assert ended.code == 1
    assert "FAILED be-brief[1]: tie (probability of the better one 0.50)" in ended.out
    assert " reversed: better first 0.90, better second 0.90" in ended.out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--principle", "be-log"], "no principle 'be-log'. Did you mean 'be-long'?"),
        (["--principle", "be-kind"], "None of the requested principles of 'three' has tests."),
        (["--tag", "colour"], "None of the requested principles of 'three' has tests."),
        (["--principles", "1"], "No such option"),
        (["--clamp", "0.6,0.7", "--rationale"], "It must hold one half"),
    ],
)
def test_a_wrong_option_is_said(check, options: list[str], said: str):
    assert_refused(check(*options), said)


def test_a_constitution_without_tests_is_said_before_a_call(check, local_server: LocalServer):
    ended = check(text="name: bare\nprinciples:\n- {id: be-kind, text: Be kind.}\n")
    assert ended.code == 2
    assert "Write some: each has a prompt, a better and a worse response." in ended.err
    assert local_server.received == []


@pytest.mark.slow
def test_the_embedded_model_passes_the_tests_of_its_own_constitution(call_cai: CallCai):
    ended = call_cai("constitution", "test", "testbed", "-m", "embedded", "--json")
    tests = json.loads(ended.out)["tests"]
    assert len(tests) >= 3
    assert not any(each["result"] == "unreadable" for each in tests)
    failed = [(each["principle"], each["test"]) for each in tests if each["result"] == "failed"]
    assert failed == []
    assert ended.code == 0
