"""Progress: what the lines say, when they are printed, and when not."""

import io

from rich.console import Console

from cai.engine.telling.progress import Progress
from cai.models.protocol import Usage


class Clock:
    """A clock that stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def plain() -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, width=40, force_terminal=False), out


def test_rate_and_remaining_time_leave_out_what_was_done_before():
    """10 of this process in 5 s are 2/s; 100 - 80 - 10 = 10 are left, which takes 5 s."""
    clock = Clock()
    progress = Progress(plain()[0], total=100, n_before=80, is_quiet=True, clock=clock)
    clock.now += 5
    progress.update(done=9, failed=1)
    assert progress.line() == "90/100 examples · 2.0/s · 5 s left · 1 failed"


def test_the_line_tells_tokens_failures_flags_and_what_the_journal_gave():
    """5 in 100 s are 3 a minute; 995 are left, which takes 19,900 s."""
    clock = Clock()
    progress = Progress(plain()[0], total=1000, is_quiet=True, clock=clock)
    clock.now += 100
    progress.update(done=3, flagged=2, usage=Usage(1_000_000, 950), from_journal=1234)
    progress.update(done=2, usage=Usage(234_567, 0))
    assert progress.line() == (
        "5/1,000 examples · 3.0/min · 5 h 31 min left · 1.2M tokens in, 950 out · 2 flagged · "
        "1,234 calls from the journal"
    )


def test_without_a_known_total_there_is_no_remaining_time():
    clock = Clock()
    progress = Progress(plain()[0], total=None, is_quiet=True, clock=clock)
    clock.now += 1
    progress.update(done=7)
    assert progress.line() == "7 examples · 7.0/s"


def test_before_anything_is_done_there_is_no_remaining_time():
    progress = Progress(plain()[0], total=10, is_quiet=True, clock=Clock())
    assert progress.line() == "0/10 examples · 0.0/s"


def test_more_examples_than_the_total_leave_nothing_to_wait_for():
    clock = Clock()
    progress = Progress(plain()[0], total=1, is_quiet=True, clock=clock)
    clock.now += 1
    progress.update(done=3)
    assert "0 s left" in progress.line()


def test_off_a_terminal_a_line_comes_every_ten_seconds():
    console, out = plain()
    clock = Clock()
    with Progress(console, total=1_000_000, clock=clock) as progress:
        for _ in range(35):
            clock.now += 1
            progress.update(done=1)
        assert out.getvalue().count("\n") == 3
    assert "\x1b" not in out.getvalue()


def test_off_a_terminal_a_line_comes_at_every_tenth_but_not_more_than_one_a_second():
    console, out = plain()
    clock = Clock()
    with Progress(console, total=100, clock=clock) as progress:
        for _ in range(50):
            clock.now += 0.2  # ten in two seconds
            progress.update(done=1)
        assert out.getvalue().count("\n") == 5
        for _ in range(50):
            progress.update(done=1)
        assert out.getvalue().count("\n") == 5


def test_a_long_line_is_not_broken_and_nothing_in_it_is_taken_for_markup():
    console, out = plain()
    clock = Clock()
    with Progress(console, total=100, clock=clock) as progress:
        clock.now += 10
        progress.update(done=9, failed=3, flagged=4, usage=Usage(1, 2), from_journal=5)
    assert out.getvalue().splitlines()[0] == progress.line()


def test_the_summary_says_what_it_took():
    console, out = plain()
    clock = Clock()
    with Progress(console, total=100, n_before=20, clock=clock) as progress:
        clock.now += 125
    assert out.getvalue() == "20 done in 2 min 05 s · 20 of them before · 0.0/s\n"
    progress.update(done=1)


def test_a_quiet_progress_says_nothing():
    for is_terminal in (False, True):
        out = io.StringIO()
        console = Console(file=out, force_terminal=is_terminal)
        clock = Clock()
        with Progress(console, total=10, is_quiet=True, clock=clock) as progress:
            clock.now += 60
            progress.update(done=10)
        assert out.getvalue() == ""


def test_on_a_terminal_there_is_a_live_line_and_then_the_summary():
    out = io.StringIO()
    clock = Clock()
    console = Console(file=out, force_terminal=True, width=200)
    with Progress(console, total=10, clock=clock) as progress:
        clock.now += 20
        progress.update(done=10)
    text = out.getvalue()
    assert "0/10 examples" in text
    assert "10 done in 20 s" in text
    assert text.count("\n") < 5


def test_a_live_line_gives_the_terminal_back_after_an_error():
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=200)
    try:
        with Progress(console, total=10):
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert out.getvalue().rindex("\x1b[?25h") > out.getvalue().rindex("\x1b[?25l")
