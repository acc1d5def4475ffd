"""The simulated server as a process of its own, from the side of whoever measures."""

import json
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_SERVER = Path(__file__).with_name("server.py")


@dataclass(frozen=True, slots=True)
class Stats:
    """What the server counted."""

    received: int
    answered: int
    duplicates: int
    n_faults: int
    busy_slot_s: float
    window_s: float

    @property
    def calls_per_s(self) -> float:
        return self.answered / self.window_s if self.window_s else 0.0

    def used(self, n_slots: int) -> float:
        """Share of the slots' time in which they worked, in [0, 1]."""
        return self.busy_slot_s / (n_slots * self.window_s) if self.window_s else 0.0


class ServerEnded(Exception):
    """The simulated server is gone, so that the row cannot be measured."""


@dataclass(frozen=True, slots=True)
class Simulated:
    """A running server; `url` is that of the API."""

    url: str
    process: "subprocess.Popen[str]"

    def stats(self) -> Stats:
        counted: dict[str, Any] = json.loads(self._send("GET", "/stats"))
        return Stats(
            counted["received"],
            counted["answered"],
            counted["duplicates"],
            sum(counted["faults"].values()),
            counted["busy_slot_s"],
            counted["window_s"],
        )

    def reset(self) -> None:
        self._send("POST", "/reset")

    def _send(self, method: str, path: str) -> bytes:
        connection = HTTPConnection(urlsplit(self.url).netloc, timeout=30)
        try:
            connection.request(method, path)
            return connection.getresponse().read()
        except OSError as error:
            code = self.process.poll()
            raise ServerEnded(f"the simulated server ended (code {code}): {error}") from None
        finally:
            connection.close()


@contextmanager
def simulated(n_slots: int, mean_ms: float, faults: float = 0.0) -> Generator[Simulated]:
    """A fresh server on a free port."""
    options = {"--slots": n_slots, "--mean-ms": mean_ms, "--faults": faults}
    given = [str(part) for option in options.items() for part in option]
    process = subprocess.Popen(
        [sys.executable, str(_SERVER), *given],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        yield Simulated(process.stdout.readline().strip(), process)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
