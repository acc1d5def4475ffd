"""The last snapshot of a run, kept in its journal so that another terminal can watch it."""

import json

from cai.engine.storage.run_folder import RunFolder
from cai.engine.telling.snapshot import Snapshot

_NAME = "progress"
_EVERY_S = 1.0


class LastSnapshot:
    """Keeps a snapshot a second, and the last one. Nobody waits until it is stored."""

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self._kept_s = -_EVERY_S

    def keep(self, snapshot: Snapshot) -> None:
        if snapshot.state != "running" or snapshot.elapsed_s - self._kept_s >= _EVERY_S:
            self._kept_s = snapshot.elapsed_s
            self._run.put_state(_NAME, json.dumps(snapshot.as_json()))


def last_snapshot(run: RunFolder) -> Snapshot | None:
    """The last snapshot that was kept; None before there was one, or where it cannot be read."""
    content = run.state(_NAME)
    try:
        return None if content is None else Snapshot.from_json(json.loads(str(content)))
    except ValueError:  # of another version of cai
        return None
