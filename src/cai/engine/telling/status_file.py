"""The last snapshot of a run in a file of its folder, so that another terminal can watch it."""

import json
import time
from contextlib import suppress
from pathlib import Path

from cai.engine.telling.snapshot import Snapshot

STATUS_FILE = "progress.json"
_PART_FILE = "progress.json.part"
_EVERY_S = 1.0


class StatusFile:
    """Writes snapshots, one a second, whole or not at all.

    It is no part of the run: a disk that has no room for it does not stop anything.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._written_s = -_EVERY_S

    def write(self, snapshot: Snapshot) -> None:
        if snapshot.state == "running" and snapshot.elapsed_s - self._written_s < _EVERY_S:
            return
        self._written_s = snapshot.elapsed_s
        content = {"at": time.time(), **snapshot.as_json()}
        part = self._folder / _PART_FILE
        with suppress(OSError):
            part.write_text(json.dumps(content) + "\n", "utf-8")
            part.replace(self._folder / STATUS_FILE)


def read_status(folder: Path) -> Snapshot | None:
    """The last snapshot that was written; None where there is none that can be read."""
    try:
        return Snapshot.from_json(json.loads((folder / STATUS_FILE).read_text("utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None
