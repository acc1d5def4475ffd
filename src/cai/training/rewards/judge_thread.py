"""A thread in which judges are asked, through a journal, while a trainer holds the main thread.

A judgement made for a reward is a call like any other: kept before it is used, asked again when it
fails for a cause that may pass, within the caps, and never asked twice. So a training that is taken
up again from a checkpoint pays for nothing that it has had.
"""

import asyncio
import threading
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from rich.console import Console

from cai.constitution.schema import Constitution
from cai.engine.budget import Caps, Ledger, PriceList
from cai.engine.engine import Engine, Scheduling, new_event_loop
from cai.engine.run_files import JsonValue
from cai.engine.run_folder import RunFolder
from cai.methods.judging.judge import Judge
from cai.methods.roles import RoleModel
from cai.methods.settings import JudgeSettings, ScoreSettings
from cai.models.base import Model
from cai.runs.job import opened
from cai.runs.judges import asked_through, prepare_judges
from cai.training.environment import is_main_process

T = TypeVar("T")


class JudgeThread:
    """Models as a run asks them, from any thread; hold it in a `with` statement."""

    def __init__(
        self,
        folder: Path,
        recipe: Mapping[str, JsonValue],
        models: Sequence[Model],
        caps: Caps = Caps(),
        prices: PriceList = PriceList(),
        concurrency: int | None = None,
    ) -> None:
        self.folder = folder
        self._recipe = recipe
        self._models = models
        self._caps = caps
        self._prices = prices
        self._concurrency = concurrency
        self._engine: Engine | None = None
        self._loop = new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="judges", daemon=True)
        self._stack = AsyncExitStack()

    def __enter__(self) -> "JudgeThread":
        self._thread.start()
        try:
            self.wait_for(self._open())
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.wait_for(self._stack.aclose())
        finally:
            self._end()

    def through(self, model: Model, role: str) -> Model:
        """The model in that role, asked as a run asks: to be awaited inside the room only."""
        return self.engine.through(model, role)

    def prepare(
        self,
        roles: Sequence[RoleModel],
        constitution: Constitution,
        settings: JudgeSettings | ScoreSettings,
    ) -> tuple[Judge, ...]:
        """The judges, probed and checked as for any other command, and asked through the journal.

        Raises:
            CaiError: As `cai.runs.judges.prepare_judges`.
        """
        console = Console(stderr=True, quiet=not is_main_process())
        judges = self.wait_for(prepare_judges(roles, constitution, settings, console))
        return asked_through(judges, self.engine.through, "judge")

    @property
    def engine(self) -> Engine:
        assert self._engine is not None, "the room is not open"
        return self._engine

    def begin(self, work: Coroutine[None, None, T]) -> "Future[T]":
        """Begins work inside the room, from any thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def result_of(self, work: Coroutine[None, None, T]) -> T:
        """The result of work that is done inside the room, awaited in another loop."""
        return await asyncio.wrap_future(self.begin(work))

    def wait_for(self, work: Coroutine[None, None, T]) -> T:
        """The result of work that is done inside the room; the calling thread waits."""
        return self.begin(work).result()

    async def _open(self) -> None:
        await self._stack.enter_async_context(opened(self._models))
        run = self._stack.enter_context(RunFolder.open(self.folder, self._recipe, {}))
        ledger = Ledger.of(run.database, self._prices)
        self._engine = Engine(run.journal, ledger, self._caps, Scheduling(self._concurrency))
        for model in self._models:
            self._engine.through(model, "judge")
        self._engine.check_caps()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
