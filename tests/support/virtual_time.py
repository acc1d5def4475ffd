"""Time that passes at once: what would sleep for minutes is done in a moment, and always the same.

Nothing of `cai` is replaced: asyncio reads all time from its loop, and this is a loop of its own.
"""

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine

Test = Callable[..., Coroutine[None, None, None]]


class _Jumping(selectors.DefaultSelector):
    """Moves the clock to the next timer instead of waiting for it."""

    now_s = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise AssertionError("Every task waits, and no timer will ever wake one.")
        self.now_s += max(timeout, 0.0)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose time jumps; for what waits for no thread and no network."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_s


def in_virtual_time(test: Test) -> Callable[..., None]:
    """The test, run in a loop whose time jumps."""

    @functools.wraps(test)
    def run(*args: object, **fixtures: object) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(test(*args, **fixtures))

    return run


def now_s() -> float:
    """The time of the running loop, as a clock."""
    return asyncio.get_running_loop().time()
