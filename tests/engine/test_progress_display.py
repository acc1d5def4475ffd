"""The display: when a line is shown and what of it; and the steady beat behind it."""

import asyncio
import io

import pytest
from rich.console import Console

from cai.engine.budget import Ledger
from cai.engine.endpoint import EndpointView
from cai.engine.engine import Engine
from cai.engine.progress import Display, LastSnapshot, Progress, Snapshot, last_snapshot, reporting
from cai.engine.run_folder import RunFolder


def plain() -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, width=40, force_terminal=False), out


def test_off_a_terminal_a_line_comes_every_ten_seconds_also_when_nothing_finishes():
    console, out = plain()
    display = Display(console)
    for second in range(36):
        display.show(Snapshot(elapsed_s=second, total=1_000_000))
    assert out.getvalue().count("\n") == 3
    assert "\x1b" not in out.getvalue()


def test_off_a_terminal_a_line_comes_at_every_tenth_but_not_more_than_one_a_second():
    console, out = plain()
    display = Display(console)
    for step in range(1, 51):  # ten in two seconds
        display.show(Snapshot(elapsed_s=0.2 * step, total=100, done=step))
    assert out.getvalue().count("\n") == 5
    for step in range(50, 100):
        display.show(Snapshot(elapsed_s=10, total=100, done=step))
    assert out.getvalue().count("\n") == 5


def test_a_long_line_is_not_broken_and_nothing_in_it_is_taken_for_markup():
    console, out = plain()
    endpoints = (EndpointView("[red]h:1/v1", 3, 64, 0.5, None),)
    snapshot = Snapshot(elapsed_s=10, total=100, done=9, flagged=4, endpoints=endpoints)
    Display(console).show(snapshot)
    assert out.getvalue() == f"{snapshot.line()} | {snapshot.endpoint_lines()[0]}\n"


def test_the_last_snapshot_is_a_summary():
    console, out = plain()
    last = Snapshot(state="finished", elapsed_s=3, total=2, done=2)
    Display(console).show(last)
    assert out.getvalue() == last.summary() + "\n"


def test_on_a_terminal_there_are_live_lines_and_then_the_summary():
    out = io.StringIO()
    display = Display(Console(file=out, force_terminal=True, width=200))
    endpoints = (EndpointView("h:1/v1", 3, 64, 0.5, None),)
    display.show(Snapshot(elapsed_s=20, total=10, endpoints=endpoints))
    display.show(Snapshot(state="finished", elapsed_s=20, total=10, done=10))
    text = out.getvalue()
    assert "0/10 examples" in text
    assert "3 of 64 calls in flight" in text
    assert "10 done in 20 s" in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")


def test_a_display_that_is_closed_gives_the_terminal_back():
    out = io.StringIO()
    display = Display(Console(file=out, force_terminal=True, width=200))
    display.show(Snapshot(total=10))
    display.close()
    display.close()
    assert out.getvalue().rindex("\x1b[?25h") > out.getvalue().rindex("\x1b[?25l")


@pytest.mark.parametrize("seen", [[0.1, 0.9], [0.1, 0.9, 1.2], [0.1, 1.2, 1.3]])
def test_a_snapshot_is_kept_once_a_second(tmp_path, seen: list[float]):
    with RunFolder.open(tmp_path, {"n": 1}, {}) as run:
        assert last_snapshot(run) is None
        last = LastSnapshot(run)
        for elapsed_s in seen:
            last.save(Snapshot(elapsed_s=elapsed_s))
    with RunFolder.existing(tmp_path) as run:
        assert last_snapshot(run) == Snapshot(elapsed_s=max(x for x in seen if x in (0.1, 1.2)))


def test_the_last_snapshot_is_kept_in_any_case(tmp_path):
    with RunFolder.open(tmp_path, {"n": 1}, {}) as run:
        last = LastSnapshot(run)
        last.save(Snapshot(elapsed_s=1))
        last.save(Snapshot(state="finished", elapsed_s=1.1, done=4))
    with RunFolder.existing(tmp_path) as run:
        assert last_snapshot(run) == Snapshot(state="finished", elapsed_s=1.1, done=4)


@pytest.fixture
def progress(tmp_path):
    with RunFolder.open(tmp_path / "run", {"n": 1}, {}) as run:
        yield Progress(Engine(run.journal, Ledger()), total=3, n_before=1)


async def test_each_beat_tells_a_snapshot_and_the_end_tells_the_last(progress: Progress):
    seen: list[Snapshot] = []
    async with reporting(progress, [seen.append], interval_s=0.01):
        await asyncio.sleep(0.05)
        progress.add_done(is_flagged=True)
        progress.add_failed("time-out")
    assert len(seen) > 2
    assert {each.state for each in seen[:-1]} == {"running"}
    last = seen[-1]
    assert (last.state, last.finished, last.flagged) == ("finished", 3, 1)
    assert last.failures == {"time-out": 1}


async def test_a_run_that_ends_in_an_error_is_told_as_stopped(progress: Progress):
    seen: list[Snapshot] = []
    with pytest.raises(ZeroDivisionError):
        async with reporting(progress, [seen.append]):
            raise ZeroDivisionError
    assert seen[-1].state == "stopped"
