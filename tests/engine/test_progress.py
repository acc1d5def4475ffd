"""Snapshots: what their lines say, and that JSON keeps all of it."""

import json
from dataclasses import replace

from cai.engine.endpoint import EndpointView
from cai.engine.progress import Snapshot
from cai.models.base import Usage


def test_rate_and_remaining_time_leave_out_what_was_done_before():
    """10 of this process in 5 s are 2/s; 100 - 80 - 10 = 10 are left, which takes 5 s."""
    snapshot = Snapshot(
        elapsed_s=5, total=100, n_before=80, done=9, failed=1, failures={"time-out": 1}
    )
    assert snapshot.line() == "90/100 examples · 2.0/s · 5 s left · 1 failed (1 time-out)"


def test_the_line_tells_tokens_cost_retries_flags_and_what_the_journal_gave():
    """5 in 100 s are 3 a minute; 995 are left, which takes 19,900 s; 950 tokens: 9.5/s."""
    snapshot = Snapshot(
        elapsed_s=100,
        total=1000,
        done=5,
        flagged=2,
        usage=Usage(1_234_567, 950),
        cost_usd=1.5,
        retries={"rate limit": 1, "time-out": 3},
        n_from_journal=1234,
        n_hedged=2,
    )
    assert snapshot.line() == (
        "5/1,000 examples · 3.0/min · 5 h 31 min left · 1.2M tokens in, 950 out · 10 tokens/s · "
        "$1.50 · 4 retries (3 time-out, 1 rate limit) · 2 hedged · 2 flagged · "
        "1,234 calls from the journal"
    )


def test_without_a_known_total_there_is_no_remaining_time():
    assert Snapshot(elapsed_s=1, done=7).line() == "7 examples · 7.0/s"


def test_before_anything_is_done_there_is_no_remaining_time():
    assert Snapshot(total=10).line() == "0/10 examples · 0.0/s"


def test_more_examples_than_the_total_leave_nothing_to_wait_for():
    assert "0 s left" in Snapshot(elapsed_s=1, total=1, done=3).line()


def test_no_time_left_is_told_while_more_is_under_way_than_finished():
    endpoints = (EndpointView("h:1/v1", 3, 64, 0.5, None),)
    snapshot = Snapshot(elapsed_s=5, total=100, done=4, n_waiting=2, endpoints=endpoints)
    assert snapshot.remaining_s is None
    assert replace(snapshot, done=5).remaining_s == 95.0


def test_what_an_older_version_did_not_tell_is_at_its_default():
    assert Snapshot.from_json({"done": 3}) == Snapshot(done=3)


def test_the_summary_says_what_it_took():
    snapshot = Snapshot(state="finished", elapsed_s=125, total=100, n_before=20)
    assert snapshot.summary() == "20 done in 2 min 05 s · 20 of them before · 0.0/s"


def test_an_endpoint_tells_its_load_or_that_it_is_away():
    busy = EndpointView("h1:8000/v1", 31, 64, 0.254, None)
    away = EndpointView("h2:8000/v1", 1, 64, 0.3, 61.2)
    in_process = EndpointView("embedded#1", 9, None, 0.1, None)
    snapshot = Snapshot(endpoints=(busy, away, in_process))
    assert snapshot.endpoint_lines() == [
        "h1:8000/v1: 31 of 64 calls in flight, 0.25 s a call",
        "h2:8000/v1: down for 1 min 01 s, retried",
    ]


def test_json_keeps_all_of_it():
    snapshot = Snapshot(
        state="stopped",
        elapsed_s=2.5,
        total=10,
        done=1,
        failed=1,
        usage=Usage(5, 3),
        failures={"time-out": 1},
        endpoints=(EndpointView("h:1/v1", 1, 2, None, None),),
    )
    content = json.loads(json.dumps(snapshot.as_json()))
    assert content["remaining_s"] == 10.0
    assert Snapshot.from_json(content) == snapshot
