"""One client as a process of its own, and what it took: time, processor time and memory.

A client counts with all the processes that it starts. It is ended when the server has seen nothing
new from it for a while.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from simulated import ServerEnded, Simulated, Stats

_STALLED_S = 90.0
_LIMIT_S = 1800.0
_LOOK_S = 0.02
_SAMPLE_S = 0.2
_MB = 2**20


@dataclass(frozen=True, slots=True)
class Command:
    arguments: Sequence[str]
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Measured:
    """What a client took, and what the server counted. `n_done` is what the client says itself."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    n_done: int
    caveat: str
    stats: Stats

    @property
    def cpu_ms_a_call(self) -> float:
        return 1000 * self.cpu_s / max(1, self.stats.answered)


def measure(
    command: Command,
    server: Simulated,
    folder: Path,
    until: Callable[[Stats], bool] = lambda stats: False,
) -> Measured:
    """Run the command to its end, or kill it and all its children once `until` holds.

    Raises:
        ServerEnded: The server is gone.
    """
    folder.mkdir(parents=True, exist_ok=True)
    out, err = folder / "stdout.txt", folder / "stderr.txt"
    began = time.monotonic()
    with out.open("w") as out_file, err.open("w") as err_file:
        process = subprocess.Popen(
            command.arguments,
            cwd=folder,
            env={**os.environ, **command.environment},
            stdin=subprocess.DEVNULL,
            stdout=out_file,
            stderr=err_file,
            start_new_session=True,
        )
        try:
            caveat, peak_mb, usage, code = _watch(process.pid, server, until)
        except ServerEnded:
            _kill(process.pid)
            process.wait()
            raise
    process.returncode = code
    wall_s = time.monotonic() - began
    n_done = _done(out)
    if code and not caveat:
        caveat = f"ends with code {code}: {_last_line(err)}"
    peak_mb = max(peak_mb, usage.ru_maxrss * 1024 / _MB)
    cpu_s = usage.ru_utime + usage.ru_stime
    return Measured(wall_s, cpu_s, peak_mb, n_done, caveat, server.stats())


def _watch(
    pid: int, server: Simulated, until: Callable[[Stats], bool]
) -> tuple[str, float, "os.struct_rusage", int]:
    """Why it was ended if it was, its peak over all processes, what it used, and its exit code."""
    began = sampled = moved = time.monotonic()
    received, peak_mb, caveat = 0, 0.0, ""
    while True:
        found, status, usage = os.wait4(pid, os.WNOHANG)
        if found:
            _kill(pid)  # what it may have left behind
            return caveat, peak_mb, usage, os.waitstatus_to_exitcode(status)
        time.sleep(_LOOK_S)
        now = time.monotonic()
        if now < sampled + _SAMPLE_S:
            continue
        sampled = now
        peak_mb = max(peak_mb, _memory_mb(pid))
        stats = server.stats()
        if stats.received > received:
            received, moved = stats.received, now
        if until(stats):
            caveat = "killed"
        elif now > moved + _STALLED_S:
            caveat = "hangs"
        elif now > began + _LIMIT_S:
            caveat = f"not done after {_LIMIT_S:.0f} s"
        if caveat:
            _kill(pid)


def _kill(session: int) -> None:
    """End every process of that session."""
    for pid in _processes(session):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _processes(session: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == session and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def _memory_mb(session: int) -> float:
    """Memory of all processes of that session; what they share is counted once."""
    kilobytes = 0
    for pid in _processes(session):
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        kilobytes += sum(
            int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")
        )
    return kilobytes / 1024


def _done(out: Path) -> int:
    """The number of complete rows in the last line that is an object of JSON."""
    for line in reversed(out.read_text(errors="replace").splitlines()):
        if line.startswith("{"):
            try:
                return int(json.loads(line)["done"])
            except (ValueError, KeyError):
                continue
    return 0


def _last_line(path: Path) -> str:
    lines = path.read_text(errors="replace").strip().splitlines() or ["nothing said"]
    return lines[-1].strip()[:160].replace("|", "/")
