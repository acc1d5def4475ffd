"""A thread in which judges are called, through a journal, while a trainer holds the main thread.

A judge call made for a reward is a call like any other: saved before it is used, retried when it
fails for a cause that may pass, within the caps, and never repeated. So a training that resumes
from a checkpoint pays for no call twice.

Example:
    with JudgeThread(folder, config, [role.model for role in roles]) as thread:
        judges = thread.prepare_judges(roles, constitution, JudgeSettings())
        verdict = thread.submit(compare(judges, constitution, comparison, settings, seed)).result()
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
from cai.methods.roles import Judge, RoleModel
from cai.methods.settings import JudgeSettings, ScoreSettings
from cai.models.base import Model
from cai.runs.execution import opened
from cai.runs.judge_preparation import prepare_judges, wrap_judges
from cai.training.environment import is_main_process

T = TypeVar("T")


class JudgeThread:
    """Judges that can be called from any thread; use it in a `with` statement."""

    def __init__(
        self,
        folder: Path,
        config: Mapping[str, JsonValue],
        models: Sequence[Model],
        caps: Caps = Caps(),
        prices: PriceList = PriceList(),
        concurrency: int | None = None,
    ) -> None:
        self._folder = folder
        self._config = config
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
            self.submit(self._open()).result()
        except BaseException as error:  # Python calls `__exit__` only after a whole `__enter__`
            self.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    async def _open(self) -> None:
        await self._stack.enter_async_context(opened(self._models))
        run = self._stack.enter_context(RunFolder.open(self._folder, self._config, {}))
        ledger = Ledger.of(run.database, self._prices)
        self._engine = Engine(run.journal, ledger, self._caps, Scheduling(self._concurrency))
        # the engine learns of a model by being asked for it, and checks the prices of those only
        for model in self._models:
            self._engine.wrap(model, "judge")
        self._engine.check_caps()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            # models and journal are closed in the loop that they were opened in
            self.submit(self._stack.aclose()).result()
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    @property
    def engine(self) -> Engine:
        """The engine that the calls go through."""
        assert self._engine is not None, "the thread has not been started"
        return self._engine

    def prepare_judges(
        self,
        roles: Sequence[RoleModel],
        constitution: Constitution,
        settings: JudgeSettings | ScoreSettings,
    ) -> tuple[Judge, ...]:
        """The judges, probed and checked as for any other command, and called through the journal.

        The probe itself, one call to each judge, is not in the journal: a server may have changed
        by the time that a training resumes. Raises as `cai.runs.judge_preparation.prepare_judges`.
        """
        console = Console(stderr=True, quiet=not is_main_process())
        judges = self.submit(prepare_judges(roles, constitution, settings, console)).result()
        return wrap_judges(judges, self.engine.wrap, "judge")

    def submit(self, work: Coroutine[None, None, T]) -> "Future[T]":
        """Starts work in the thread of the judges, from any other thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)
