"""`cai judge` on a local server: samples, revisions and pairs; outcomes, refusals, going on."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from judging_servers import both, by_letters, in_words, letter, shown
from openai_server import Json, LocalServer, Received, chat, chat_logprobs, refusal
from reward_server import (
    CallCai,
    Ended,
    assert_refused,
    refusing,
    spec,
    told_by_request,
    write_prompts,
)
from small_runs import write_rows

from cai.engine.run_folder import RunFolder
from cai.methods.judging.verdict import Outcome
from cai.methods.settings import JudgeSettings
from cai.run import Run
from cai.runs.config import JudgeRunConfig, run_config_as


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Four labelled pairs; of each the longer is the better one."""
    rows = [
        {"id": f"p{i}", "prompt": f"Lamp {i}?", "response_a": "short", "response_b": "much longer",
         "label": "b"}
        for i in range(4)
    ]  # fmt: skip
    return write_rows(tmp_path / "pairs.jsonl", rows)


@pytest.fixture
def judge(
    call_cai: CallCai, local_server: LocalServer, tmp_path: Path, pairs: Path, constitution: Path
) -> Callable[..., Ended]:
    """`cai judge` of the pairs, or of another source, with more options."""
    local_server.reply = by_letters

    def call(*more: object, of: Path = pairs) -> Ended:
        shared = ("-c", constitution, "-m", spec(local_server), "-o", tmp_path / "run")
        return call_cai("judge", of, *shared, *more)

    return call


def recipe(tmp_path: Path) -> JudgeRunConfig:
    with RunFolder.existing(tmp_path / "run") as run:
        return run_config_as(run, JudgeRunConfig)


def flat(text: str) -> str:
    return " ".join(text.split())


def test_pairs_are_judged_and_told(judge, local_server, tmp_path):
    """0.9 for the longer one in both orders: the mean is 0.1 for A and the margin 0.4."""
    ended = judge("--compose", "mean")
    assert ended.code == 0
    assert "4 pairs from 'response_a' and 'response_b'" in ended.out
    assert "4 done, 0 failed; 16 calls made, 0 from the journal" in ended.out
    assert (
        "4 comparisons: 0 a, 4 b, 0 tie, 0 inconsistent, 0 unparsed, 0 refused, 0 failed"
    ) in ended.out
    assert "flips with the order: 0 of 8 questions (0.0%)" in ended.out
    assert "mean |p − 0.5|: 0.400" in ended.out
    assert "tokens: 112 in, 48 out; this time 112 and 48" in ended.out
    run = tmp_path / "run"
    for command in (f"cai audit {run}", f"cai export {run}", f"cai agreement {run}"):
        assert command in ended.out
    assert len(local_server.received) == 17
    found = list(Run(run).judged())
    assert {each.matchups[0].verdict.outcome for each in found} == {"b"}


def test_json_is_one_object_and_the_counts_add_up(judge, tmp_path):
    outcome = json.loads(judge("--json", "--compose", "mean").out)
    assert outcome.pop("seconds") >= 0
    assert outcome.pop("mean_margin") == pytest.approx(0.4)
    assert sum(outcome["outcomes"].values()) == outcome["comparisons"]
    assert outcome == {
        "event": "end",
        "run": str(tmp_path / "run"),
        "done": 4,
        "failed": 0,
        "failures": {},
        "reasons": {},
        "flagged": 0,
        "cut_off": 0,
        "calls": 16,
        "calls_from_journal": 0,
        "cost_usd": None,
        "bad_rows": 0,
        "skipped": {},
        "responses_left_out": {},
        "labelled": 4,
        "comparisons": 4,
        "outcomes": {
            "a": 0,
            "b": 4,
            "tie": 0,
            "inconsistent": 0,
            "unparsed": 0,
            "refused": 0,
            "failed": 0,
        },
        "flips": 0,
        "questions_in_both_orders": 8,
        "calls_by_logprobs": 16,
        "calls_below_min_mass": 0,
        "share_below_min_mass": 0.0,
        "prompt_tokens": 112,
        "completion_tokens": 48,
    }


def test_letters_of_little_probability_are_counted_at_the_end_and_in_the_export(
    judge, call_cai, local_server, tmp_path
):
    """Of one pair of four "Okay" has 97 %: its four calls of sixteen are read from words."""

    def answer(received: Received) -> Json:
        if "Lamp 3?" not in str(received.body):
            return by_letters(received)
        if "logprobs" in received.body:
            return chat_logprobs(Okay=math.log(0.97), A=math.log(0.01))
        return in_words(received)

    local_server.reply = answer
    ended = judge()
    assert "4 of 16 calls (25.0%), read from words" in ended.out
    assert "4 comparisons: 0 a, 4 b" in ended.out
    assert json.loads(judge("--json").out)["calls_below_min_mass"] == 4
    out = ("--format", "preference", "-o", tmp_path / "pairs.out.jsonl")
    assert "1 of the rows (25%)" in flat(call_cai("export", tmp_path / "run", *out).out)


def test_answers_that_the_limit_ends_are_counted_with_the_option_that_helps(judge, local_server):
    local_server.reply = chat("", "length", reasoning_content="Let me think. " * 9)
    ended = judge()
    assert "cut off at the limit of tokens: 16 answers. Raise --max-tokens" in ended.out
    assert json.loads(judge("--json").out)["cut_off"] == 16


def test_a_second_time_nothing_is_asked(judge, local_server):
    judge("--limit", 1)
    judge()
    n_before = len(local_server.received)
    ended = judge()
    assert len(local_server.received) == n_before
    assert "4 comparisons: 0 a, 4 b" in ended.out
    assert "tokens: 112 in, 48 out; this time 0 and 0" in ended.out


def test_samples_are_judged(judge, call_cai, local_server, tmp_path):
    local_server.reply = lambda received: (
        by_letters(received)
        if "<response_a>" in str(received.body)
        else chat("long " * (1 + received.body["seed"] % 50))
    )
    prompts = write_prompts(tmp_path / "prompts.jsonl", 3)
    made = ("-m", spec(local_server), "-k", 3, "-o", tmp_path / "samples")
    assert call_cai("sample", prompts, *made).code == 0
    ended = judge(of=tmp_path / "samples")
    assert ended.code == 0
    assert "3 groups of samples" in ended.out
    assert "9 comparisons: " in ended.out
    assert "agreement" not in ended.out
    assert "judges its own responses" in flat(ended.err)
    for each in Run(tmp_path / "run").judged():
        texts = [candidate.text for candidate in each.group.candidates]
        assert each.ranking is not None
        assert texts[each.ranking[0]] == max(texts, key=len)


def test_revisions_are_judged_against_their_originals(judge, call_cai, local_server, tmp_path):
    local_server.reply = lambda received: (
        by_letters(received) if "<response_a>" in str(received.body) else told_by_request(received)
    )
    prompts = write_prompts(tmp_path / "prompts.jsonl", 3)
    made = ("-c", "testbed", "-m", spec(local_server), "-o", tmp_path / "revised")
    assert call_cai("revise", prompts, *made).code == 0
    ended = judge(of=tmp_path / "revised")
    assert "3 groups of responses and their revisions" in ended.out
    assert "3 comparisons: " in ended.out


def test_a_rationale_is_asked_for_and_clamped(judge, local_server, tmp_path):
    """Four pairs × two orders × two principles, each a rationale and a letter; 0.9 becomes 0.6."""
    ended = judge("--rationale", "--compose", "mean")
    assert "32 calls made" in ended.out
    assert "mean |p − 0.5|: 0.100" in ended.out
    settings = recipe(tmp_path).settings
    assert (settings.rationale, settings.clamp) == (True, (0.4, 0.6))


def test_the_options_become_the_plan(judge, tmp_path):
    judge(
        *("--rationale", "--clamp", "off", "--negated", "--principles", 1, "--samples", 2),
        *("--judge-temperature", 0.7, "--tie-margin", 0.05, "--tag", "size", "--seed", 3),
        *("--pairing", "swiss", "--max-tokens", 99, "--compose", "product", "--principle-tests"),
    )
    found = recipe(tmp_path)
    assert found.settings == JudgeSettings(
        tags=("size",),
        principles=1,
        rationale=True,
        clamp=None,
        samples=2,
        negated=True,
        few_shots=0,
        tie_margin=0.05,
        principle_tests=True,
        compose="product",
    )
    assert (found.pairing, found.seed) == ("swiss", 3)
    (drawn,) = found.judges
    assert (drawn.temperature, drawn.max_tokens, drawn.reads_logprobs) == (0.7, 99, True)


def test_a_clamp_of_ones_own(judge, tmp_path):
    judge("--clamp", "0.3,0.8")
    assert recipe(tmp_path).settings.clamp == (0.3, 0.8)


def test_a_server_without_log_probabilities_is_read_by_its_words(judge, local_server, tmp_path):
    local_server.reply = in_words
    ended = judge("--limit", 2)
    assert ended.code == 0
    said = flat(ended.err)
    assert "WARNING: openai:tiny@" in said
    assert "gives no usable log-probabilities; its verdicts are read from what it writes" in said
    assert "2 comparisons: 0 a, 2 b" in ended.out
    assert [each.reads_logprobs for each in recipe(tmp_path).judges] == [False]
    local_server.reply = by_letters
    assert_refused(judge(), "is a run with other settings: judges[0].reads_logprobs: ")


def test_log_probabilities_that_are_wanted_and_missing_are_an_error(judge, local_server, tmp_path):
    local_server.reply = in_words
    assert_refused(judge("--verdicts", "logprobs"), "Log-probabilities were asked for")
    assert not (tmp_path / "run").exists()


def test_parsed_verdicts_may_be_wanted(judge, local_server):
    """Two orders, two principles, three samples, four pairs: 48 calls, none for letters."""
    local_server.reply = in_words
    ended = judge("--verdicts", "parsed", "--samples", 3, "--judge-temperature", 0.8)
    assert "WARNING" not in ended.err
    assert "48 calls made" in ended.out
    assert len(local_server.received) == 48
    assert not any("logprobs" in body for body in local_server.bodies)


def test_a_jury(judge, local_server, tmp_path):
    local_server.models = ("tiny", "small")
    ended = judge("-m", spec(local_server, "small"))
    assert "32 calls made" in ended.out
    first = next(Run(tmp_path / "run").judged())
    judges = [each.judge.split("@")[0] for each in first.matchups[0].verdict.principle_verdicts]
    assert judges == ["openai:tiny"] * 2 + ["openai:small"] * 2


REPLIES: list[tuple[str, Callable[[Received], Json], bool, Outcome]] = [
    ("nothing", lambda r: chat(""), False, "unparsed"),
    ("both letters", lambda r: chat("A, B"), False, "unparsed"),
    ("a letter in a word", lambda r: chat("Apparently"), False, "unparsed"),
    ("another language", lambda r: chat("Beide Antworten sind gut."), False, "unparsed"),
    ("an endless rationale", lambda r: chat("It is. " * 99, "length"), False, "unparsed"),
    ("a refusal", lambda r: chat("I'm sorry, but I cannot compare these."), False, "refused"),
    ("a filter", lambda r: chat(None, "content_filter"), False, "refused"),
    ("always A", lambda r: chat("A"), False, "inconsistent"),
    ("always A by letters", lambda r: both(0.999), True, "tie"),
    ("one letter missing", lambda r: chat_logprobs(**{letter(r): -0.05}, So=-3.5), True, "b"),
]


@pytest.mark.parametrize(("reply", "has_letters", "outcome"), [each[1:] for each in REPLIES],
                         ids=[each[0] for each in REPLIES])  # fmt: skip
def test_bad_answers_are_counted_as_what_they_are(
    judge, local_server, reply: Callable[[Received], Json], has_letters: bool, outcome: Outcome
):
    local_server.reply = reply
    ended = judge("--json", "--verdicts", "logprobs" if has_letters else "parsed")
    found = json.loads(ended.out)
    assert ended.code == 0
    assert found["outcomes"] == {each: 4 * (each == outcome) for each in found["outcomes"]}
    assert found["flagged"] == (4 if outcome in ("unparsed", "refused") else 0)


def test_letters_that_are_missing_after_the_first_question_are_unparsed(judge, local_server):
    """The probe sees letters; then one pair gets none, and one that are no numbers."""
    local_server.reply = refusing("Lamp 1?", chat_logprobs(Well=-0.1, So=-2.5), by_letters)
    found = json.loads(judge("--json").out)
    assert (found["outcomes"]["b"], found["outcomes"]["unparsed"]) == (3, 1)
    assert sum(found["outcomes"].values()) == found["comparisons"] == 4


def test_where_nothing_can_be_read_there_is_no_margin(judge, local_server):
    local_server.reply = chat("")
    ended = judge("--verdicts", "parsed")
    assert "4 comparisons: 0 a, 0 b, 0 tie, 0 inconsistent, 4 unparsed" in ended.out
    assert "flips with the order: 0 of 0 questions\n" in ended.out
    assert json.loads(judge("--verdicts", "parsed", "--json").out)["mean_margin"] is None


def test_a_pair_of_which_every_call_fails_is_a_failed_record(judge, local_server, tmp_path):
    taste = refusal(400, "The prompt is not to my taste.")
    local_server.reply = refusing("Lamp 2?", taste, by_letters)
    ended = judge()
    assert ended.code == 1
    assert "3 done, 1 failed" in ended.out
    assert "3 comparisons: 0 a, 3 b" in ended.out
    with RunFolder.existing(tmp_path / "run") as run:
        (failed,) = run.records("failed")
    assert failed.error is not None
    assert "not to my taste" in failed.error.message


def test_a_key_that_the_first_calls_find_wrong_stops_the_run(judge, local_server, tmp_path):
    rows = [{"prompt": f"Lamp {i}?", "response_a": "x", "response_b": "y"} for i in range(300)]
    many = write_rows(tmp_path / "many.jsonl", rows)
    replies = iter([both(0.5)])
    local_server.reply = lambda received: next(replies, refusal(401, "no"))
    assert_refused(judge("--concurrency", 8, of=many), "25 examples in a row failed")
    assert len(local_server.received) < 300


def test_bad_pairs_stop_before_any_call_unless_they_are_skipped(judge, local_server, pairs):
    with pairs.open("a") as file:
        file.write('{"id": "p9", "prompt": "Hm?", "response_a": "x", "response_b": "x"}\n')
    assert_refused(judge(), "pairs.jsonl:5: ", "--skip-bad-rows")
    assert local_server.received == []
    ended = judge("--skip-bad-rows")
    assert ended.code == 0
    assert "pairs.jsonl:5: " in ended.out
    assert json.loads(judge("--skip-bad-rows", "--json").out)["bad_rows"] == 1


def test_columns_can_be_named(judge, tmp_path):
    rows = [{"q": "Hm?", "good": "much longer", "bad": "short"}]
    odd = write_rows(tmp_path / "odd.jsonl", rows)
    columns = ("--prompt-column", "q", "--better-column", "good", "--worse-column", "bad")
    ended = judge(*columns, of=odd)
    assert ended.code == 0
    assert "'good' (better) and 'bad'" in ended.out
    first = next(Run(tmp_path / "run").judged())
    assert first.matchups[0].verdict.outcome == first.group.label


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--tag", "no-such-tag"], "has a tag of no-such-tag"),
        (["--principles", "some"], "'some' is neither 'all' nor a whole number"),
        (["--principles", "0"], "neither 'all' nor a whole number"),
        (["--clamp", "0.4"], "neither 'off' nor two numbers"),
        (["--clamp", "0.6,0.7"], "must hold one half"),
        (["--tie-margin", "0.7"], "0.7 is not in the range"),
        (["--few-shots", "2"], "has examples"),
        (["--judge-temperature", "-1"], "is not in the range"),
        (["--pairing", "some"], "'some' is not one of"),
        (["--verdicts", "guessed"], "'guessed' is not one of"),
        (["-c", "no-such-constitution"], "The shipped ones are"),
        (["--a-column", "x"], "--a-column and --b-column belong together"),
    ],
)
def test_a_wrong_option_is_said_before_any_call(judge, local_server, tmp_path, options, said):
    assert_refused(judge(*options), said)
    assert local_server.received == []
    assert not (tmp_path / "run").exists()


def test_a_judge_that_is_named_twice_is_said(judge, local_server, tmp_path):
    assert_refused(judge("-m", spec(local_server)), "Name at least one, and each once")
    assert not (tmp_path / "run").exists()


def test_samples_of_a_judge_by_letters_are_refused(judge, tmp_path):
    assert_refused(judge("--samples", 3), "is read once, by its log-probabilities")
    assert not (tmp_path / "run").exists()


def test_both_orders_reach_the_server(judge, local_server):
    judge("--limit", 1, "--tag", "size")
    asked = [shown(received) for received in local_server.received[1:]]
    assert sorted(asked) == [("much longer", "short"), ("short", "much longer")]
