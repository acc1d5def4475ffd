"""The simulated server of the benchmarks as a process of its own, for tests of whole runs."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

SERVER = Path(__file__).parents[2] / "benchmarks" / "engine" / "server.py"


class SimulatedServer:
    """A running server; it notes the digest of each request and of each whole answer."""

    def __init__(self, process: "subprocess.Popen[str]", url: str, folder: Path) -> None:
        self.process = process
        self.url = url
        self._folder = folder

    @property
    def spec(self) -> str:
        """How the command line names its model."""
        return f"openai:sim@{self.url}"

    @property
    def asked(self) -> list[str]:
        """The requests so far; the texts of their answers begin with these digests."""
        return (self._folder / "asked.txt").read_text().split()

    @property
    def answered(self) -> list[str]:
        return (self._folder / "answered.txt").read_text().split()

    @property
    def stats(self) -> dict[str, Any]:
        return json.loads(self.send("GET", "/stats"))

    def send(self, method: str, path: str) -> bytes:
        connection = HTTPConnection(urlsplit(self.url).netloc, timeout=10)
        try:
            connection.request(method, path)
            return connection.getresponse().read()
        finally:
            connection.close()

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def simulated(folder: Path, **options: object) -> Generator[SimulatedServer]:
    """A server with these options, which keeps its notes in the folder."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, str(SERVER), "--log", str(folder / "answered.txt")]
    command += ["--asked-log", str(folder / "asked.txt")]
    for name, value in options.items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield SimulatedServer(process, process.stdout.readline().strip(), folder)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def wait_until(is_so: Callable[[], bool], timeout_s: float = 60.0) -> None:
    """Returns once it is so; fails where it never is."""
    began_s = time.monotonic()
    while not is_so():
        assert time.monotonic() - began_s < timeout_s, "it never came to be so"
        time.sleep(0.005)
