"""The options that say how a run is carried out, through `cai revise` on a local server.

None of them changes a result; each is to ask no more than it must.
"""

import json
import re
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from openai_server import Json, LocalServer, Received, refusal
from reward_server import (
    TOO_LONG,
    CallCai,
    Ended,
    assert_refused,
    serving,
    slowly,
    spec,
    told_by_request,
    write_prompts,
)

from cai.engine.run_folder import RunFolder
from cai.run import Run

N_PROMPTS = 40
N_CALLS = N_PROMPTS * 3
SHIPPED = Path(__file__).parents[3]

Revise = Callable[..., Ended]


@pytest.fixture
def n_prompts() -> int:
    return N_PROMPTS


def outcome(ended: Ended) -> Json:
    return json.loads(ended.out.splitlines()[-1])


def positions(folder: Path) -> list[int]:
    with RunFolder.existing(folder) as run:
        return [record.position for record in run.records("done")]


def steps_asked(server: LocalServer, n_before: int) -> list[int]:
    """How many messages each later request has: 1 for a response, 3 a critique, 5 a revision."""
    return [len(body["messages"]) for body in server.bodies[n_before:]]


def test_a_dry_run_keeps_what_it_asked_and_the_whole_run_asks_the_rest(
    revise: Revise, local_server: LocalServer, tmp_path: Path
):
    ended = revise("--dry-run")
    assert ended.code == 0
    assert "16 done, 0 failed; 48 calls made" in ended.out
    found = positions(tmp_path / "run")
    assert len(found) == 16
    assert found[0] < 3 and found[-1] > 36  # spread over the whole source
    assert max(b - a for a, b in pairwise(found)) <= 3
    ended = revise("--json")
    assert (ended.code, outcome(ended)["done"], outcome(ended)["calls"]) == (0, 40, 72)
    assert len(local_server.received) == N_CALLS


def test_a_second_dry_run_asks_nothing(revise: Revise, local_server: LocalServer):
    first = outcome(revise("--dry-run", "--json"))
    second = outcome(revise("--dry-run", "--json"))
    assert second["calls"] == 0
    assert len(local_server.received) == 48
    for each in (first, second):
        each["estimate"].pop("seconds")
    assert second["estimate"] == first["estimate"]


@pytest.mark.usefixtures("wide_console")
def test_an_estimate_is_of_the_whole_run(revise: Revise, tmp_path: Path):
    """Each call reads 7 tokens and writes 3; forty of each role, at $1 and $2 a token."""
    options = ("--dry-run", "--prices", write_prices(tmp_path, "openai:tiny@*"))
    estimate = outcome(revise(*options, "--json"))["estimate"]
    assert (estimate["n_sample"], estimate["n_total"], estimate["uncertainty"]) == (16, 40, 0)
    for role in estimate["roles"]:
        figures = (role["n_calls"], role["prompt_tokens"], role["completion_tokens"])
        assert figures == (40, 280, 120)
        assert role["cost_usd"] == pytest.approx(280 + 2 * 120)
    assert {role["role"] for role in estimate["roles"]} == {"respond", "critique", "revise"}
    assert estimate["seconds"] >= 0

    shown = revise(*options).out
    assert "the whole run" in shown
    rows = [line.split() for line in shown.splitlines()]
    assert ["all", "120", "840", "360", "$1,560.00"] in rows
    assert "40 examples, estimated from 16, ± 0%" in shown


def test_a_dry_run_of_a_part_estimates_the_part(revise: Revise):
    estimate = outcome(revise("--dry-run", "--part", "1/2", "--json"))["estimate"]
    assert (estimate["n_sample"], estimate["n_total"]) == (16, 20)


def test_parts_exported_together_are_one_run_over_the_whole(
    revise: Revise, call_cai: CallCai, local_server: LocalServer, tmp_path: Path
):
    """One example fails and some are left out, which must not shift the others."""

    def reply(received: Received) -> object:
        messages = received.body["messages"]
        if "number 4?" in messages[0]["content"]:
            return refusal(400, TOO_LONG)
        if len(messages) == 5 and re.search("number (7|11|12)\\?", messages[0]["content"]):
            return told_by_request(received) | {"choices": [empty_choice()]}
        return told_by_request(received)

    local_server.reply = reply
    assert revise(run="whole/run").code == 1
    parts = [f"part-{number}/run" for number in (1, 2, 3)]
    for number, part in enumerate(parts, 1):
        revise("--part", f"{number}/3", run=part)
    assert [len(positions(tmp_path / part)) for part in parts] == [14, 12, 13]

    for format in ("sft", "preference", "everything"):
        files = []
        for name, runs in (("whole", ["whole/run"]), ("parts", parts), ("mixed", parts[::-1])):
            file = tmp_path / f"{name}-{format}.jsonl"
            folders = [tmp_path / run for run in runs]
            assert call_cai("export", *folders, "--format", format, "-o", file).code == 0
            files.append(file.read_bytes())
        assert files[0].count(b"\n") >= 35
        assert files[1] == files[0]
        assert files[2] == files[0]


def empty_choice() -> Json:
    return {"index": 0, "message": {"role": "assistant", "content": ""}, "finish_reason": "stop"}


def test_all_parts_may_go_into_one_folder(revise: Revise, local_server: LocalServer):
    for number in (3, 1, 2):
        assert revise("--part", f"{number}/3").code == 0
    assert outcome(revise("--json"))["calls"] == 0
    assert len(local_server.received) == N_CALLS


@pytest.mark.parametrize("part", ["0/3", "4/3", "1", "a/b", "1/0"])
def test_a_part_that_is_none_is_said(revise: Revise, local_server: LocalServer, part: str):
    assert_refused(revise("--part", part), part.split("/")[0])
    assert local_server.received == []


def test_an_update_after_an_edited_template_asks_only_what_it_changes(
    revise: Revise, local_server: LocalServer, tmp_path: Path
):
    """The request for a revision comes last, so responses and critiques stay."""
    own = tmp_path / "own"
    own.mkdir()
    template = own / "revise.j2"
    shutil.copy(SHIPPED / "prompts" / "chat" / "revise.j2", template)
    (own / "set.yaml").write_text("base: chat\n")
    assert revise("--prompts", own).code == 0
    before = list(Run(tmp_path / "run").chains())
    template.write_text(template.read_text() + "\nMention no lamp.\n")
    n_before = len(local_server.received)

    assert_refused(revise("--prompts", own), "is a run with other settings", "--update")
    assert len(local_server.received) == n_before
    assert len(list(Run(tmp_path / "run").chains())) == N_PROMPTS

    ended = revise("--prompts", own, "--update", "--json")
    found = outcome(ended)
    assert (ended.code, found["done"], found["calls"]) == (0, 40, 40)
    assert found["calls_from_journal"] == 80
    assert steps_asked(local_server, n_before) == [5] * 40
    after = list(Run(tmp_path / "run").chains())
    for old, new in zip(before, after, strict=True):
        assert (new.response, new.rounds[0].critique) == (old.response, old.rounds[0].critique)
        assert new.final != old.final
    assert outcome(revise("--prompts", own, "--json"))["calls"] == 0


def test_an_update_after_an_edited_principle_asks_only_the_chains_that_drew_it(
    revise: Revise, local_server: LocalServer, tmp_path: Path
):
    file = tmp_path / "three.yaml"
    principles = [{"id": id, "text": f"The response is {id}."} for id in ("kind", "brief", "true")]

    def write() -> Path:
        file.write_text(yaml.safe_dump({"name": "three", "principles": principles}))
        return file

    assert revise(constitution=write()).code == 0
    before = list(Run(tmp_path / "run").chains())
    n_drew = sum(chain.rounds[0].principle_id == "brief" for chain in before)
    assert 0 < n_drew < N_PROMPTS
    principles[1]["text"] = "The response has one sentence."
    n_before = len(local_server.received)
    found = outcome(revise("--update", "--json", constitution=write()))
    assert (found["done"], found["calls"]) == (40, 2 * n_drew)
    assert sorted(steps_asked(local_server, n_before)) == [3] * n_drew + [5] * n_drew
    after = list(Run(tmp_path / "run").chains())
    for old, new in zip(before, after, strict=True):
        assert (new == old) == (old.rounds[0].principle_id != "brief")
    assert "one sentence" in (tmp_path / "run" / "constitution.yaml").read_text()


def test_a_cap_on_tokens_stops_the_run_and_a_higher_one_goes_on(
    revise: Revise, local_server: LocalServer, tmp_path: Path
):
    """A call takes ten tokens; the whole run takes 1,200 and the first of it at most 700."""
    ended = revise("--max-total-tokens", 700, "--max-tokens", 16)
    assert_refused(ended, "The cap of 700 tokens is reached")
    assert "Raise --max-total-tokens and give the same command again" in ended.err
    n_first = len(local_server.received)
    assert 15 < n_first <= 70
    with RunFolder.existing(tmp_path / "run") as run:
        assert run.journal.n_stored == n_first
        assert run.counts().failed == 0

    assert revise("--max-total-tokens", 700, "--max-tokens", 16).code == 2
    assert len(local_server.received) == n_first
    ended = revise("--max-total-tokens", 10_000, "--max-tokens", 16, "--json")
    assert (ended.code, outcome(ended)["done"]) == (0, 40)
    assert len(local_server.received) == N_CALLS


def write_prices(folder: Path, pattern: str) -> Path:
    """A dollar a token read and two a token written."""
    price = {"million_in_usd": 1_000_000, "million_out_usd": 2_000_000}
    path = folder / "prices.yaml"
    path.write_text(yaml.safe_dump({"models": {pattern: price}}))
    return path


def test_a_cap_on_money_stops_the_run_and_a_higher_one_goes_on(
    revise: Revise, local_server: LocalServer, tmp_path: Path
):
    """A call costs $13, and the whole run $1,560."""
    prices = ("--prices", write_prices(tmp_path, "openai:tiny@*"), "--max-tokens", 16)
    ended = revise("--max-cost-usd", 900, *prices)
    assert_refused(ended, "The cap of $900 is reached")
    assert "Raise --max-cost-usd and give the same command again" in ended.err
    n_first = len(local_server.received)
    assert 15 < n_first <= 900 / 13
    ended = revise("--max-cost-usd", 5000, *prices, "--json")
    assert (ended.code, outcome(ended)["cost_usd"]) == (0, pytest.approx(1560))
    assert len(local_server.received) == N_CALLS


def test_a_cap_on_money_needs_the_price_of_every_model(
    revise: Revise, local_server: LocalServer, tmp_path: Path
):
    for more in ((), ("--prices", write_prices(tmp_path, "openai:other@*"))):
        ended = revise("--max-cost-usd", 5, *more)
        assert_refused(ended, "no price of openai:tiny@", "--prices prices.yaml")
    assert local_server.received == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("models: {a: {million_in_usd: -1, million_out_usd: 1}}", "models.a.million_in_usd"),
        ("models: [", "is not YAML"),
        ("prices: {}", "models"),
        (None, "No such file"),
    ],
)
def test_prices_that_cannot_be_read_are_said(
    revise: Revise, local_server: LocalServer, tmp_path: Path, text: str | None, said: str
):
    path = tmp_path / "prices.yaml"
    if text is not None:
        path.write_text(text)
    assert_refused(revise("--prices", path), said)
    assert local_server.received == []


@pytest.mark.parametrize("most", [1, 3, 24])
def test_so_many_calls_are_open_at_a_time_and_never_more(
    call_cai: CallCai, tmp_path: Path, most: int
):
    prompts = write_prompts(tmp_path / "prompts.jsonl", N_PROMPTS)
    # long enough that all 24 are open together on a busy machine too
    with serving(slowly(0.1 if most == 24 else 0.01)) as server:
        shared = ("-c", "testbed", "-m", spec(server), "-o", tmp_path / "run")
        assert call_cai("revise", prompts, *shared, "--concurrency", most).code == 0
        assert server.most_open == most


def failing(received: Received) -> object:
    """Too long in rows 3 and 13, an answer that is none in row 14."""
    text = received.body["messages"][0]["content"]
    if "number 3?" in text or "number 13?" in text:
        return refusal(400, TOO_LONG)
    return refusal(422, "no") if "number 14?" in text else told_by_request(received)


def test_failures_are_summarised_by_cause_and_done_again_when_asked(
    revise: Revise, local_server: LocalServer
):
    local_server.reply = failing
    ended = revise()
    assert ended.code == 1
    assert "37 done, 3 failed" in ended.out
    assert "failed: 2 context length, the first: http://127" in ended.out
    assert "failed: 1 refused request, the first: http://127" in ended.out
    assert "answers 422: 'no'" in ended.out
    assert "3 failed (2 context length, 1 refused request)" in ended.err

    local_server.reply = told_by_request
    n_before = len(local_server.received)
    ended = revise("--json")
    assert (ended.code, outcome(ended)["failures"]) == (
        1,
        {"context length": 2, "refused request": 1},
    )
    assert len(local_server.received) == n_before
    ended = revise("--retry-failed", "--json")
    assert (ended.code, outcome(ended)["done"], outcome(ended)["failures"]) == (0, 40, {})
    assert len(local_server.received) == n_before + 3 * 3
