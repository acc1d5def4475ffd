"""The parts of the benchmark: each makes a fresh server for each of its rows, and gives a table."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from clients import BARE, CAI, TIMEOUT_S, Client, Setting
from environments import NotInstalled
from job import write_prompts
from measuring import Measured, measure
from simulated import ServerEnded, Stats, simulated
from table import Table, per_cent

FAULTS = 0.1
_ROUNDS_AGAIN = 4
_UNMEASURED = (NotInstalled, ServerEnded)


@dataclass(frozen=True, slots=True)
class Bench:
    """What all parts share. `fast_ms` is the latency where only the client's own work counts."""

    folder: Path
    n_prompts: int
    n_many: int
    mean_ms: float
    fast_ms: float
    clients: Sequence[Client]

    def prompts(self, n: int) -> Path:
        path = self.folder / f"prompts-{n}.jsonl"
        if not path.exists():
            write_prompts(path, n)
        return path

    def setting(self, name: str, url: str, n_slots: int, rounds: int = 1) -> Setting:
        folder = self.folder / name.replace(",", "").replace(" ", "-")
        return Setting(self.prompts(self.n_prompts), url, n_slots, folder, rounds)

    def measure(self, client: Client, part: str, n_slots: int, faults: float = 0.0) -> Measured:
        """One client over the whole job.

        Raises:
            NotInstalled: The client's environment cannot be made.
            ServerEnded: The server is gone.
        """
        _say(f"{part}: {client.name}, {n_slots} slots")
        with simulated(n_slots, self.mean_ms, faults) as server:
            setting = self.setting(f"{part}-{client.name}-{n_slots}", server.url, n_slots)
            return measure(client.command(setting), server, setting.folder)


def speed(bench: Bench, slots: Sequence[int]) -> Table:
    """Without faults: how near each client comes to the bare one."""
    table = Table(
        f"{bench.n_prompts:,} prompts, respond, critique and revise, {bench.mean_ms:g} ms a call",
        "slots|client|of bare throughput|slots' time used|CPU ms a call|peak MB|wall s|"
        "rows complete|paid twice|remark",
    )
    for n_slots in slots:
        bound = 0.0
        for client in bench.clients:
            try:
                took = bench.measure(client, "speed", n_slots)
            except _UNMEASURED as error:
                table.add(n_slots, client.name, *[""] * 7, error)
                continue
            bound = bound or took.stats.calls_per_s
            table.add(
                n_slots,
                client.name,
                per_cent(took.stats.calls_per_s / bound if bound else 0.0),
                f"{took.stats.used(n_slots):.3f}",
                f"{took.cpu_ms_a_call:.2f}",
                f"{took.peak_mb:.0f}",
                f"{took.wall_s:.1f}",
                per_cent(took.n_done / bench.n_prompts),
                took.stats.duplicates,
                took.caveat,
            )
    return table


def faults(bench: Bench, n_slots: int) -> Table:
    """With faults of all kinds: the time against the bare client's without any."""
    without = bench.measure(BARE, "no-faults", n_slots).stats.window_s
    allowed_s = 1.3 * without + 2 * TIMEOUT_S
    table = Table(
        f"{FAULTS:.0%} faults of five kinds, {n_slots} slots, time-out {TIMEOUT_S} s; the bare "
        f"client without faults takes {without:.1f} s, so that {allowed_s:.1f} s are allowed",
        "client|time s|x bare without faults|rows complete|paid twice|faults met|remark",
    )
    for client in bench.clients:
        try:
            took = bench.measure(client, "faults", n_slots, FAULTS)
        except _UNMEASURED as error:
            table.add(client.name, *[""] * 5, error)
            continue
        seconds = took.stats.window_s
        table.add(
            client.name,
            f"{seconds:.1f}",
            f"{seconds / without:.2f}",
            per_cent(took.n_done / bench.n_prompts),
            took.stats.duplicates,
            took.stats.n_faults,
            took.caveat,
        )
    return table


def killed(bench: Bench, n_slots: int) -> Table:
    """Killed with SIGKILL when half of the calls are answered, and started again."""
    table = Table(
        f"Killed half way and started again, {n_slots} slots",
        "client|answered before|answered in all|paid twice|rows complete|wall s again|remark",
    )
    for client in bench.clients:
        try:
            before, again = _killed_once(bench, client, n_slots)
        except _UNMEASURED as error:
            table.add(client.name, *[""] * 5, error)
            continue
        early = "" if before.caveat == "killed" else f"not killed: {before.remark or 'finished'}"
        table.add(
            client.name,
            before.stats.answered,
            again.stats.answered,
            again.stats.duplicates,
            per_cent(again.n_done / bench.n_prompts),
            f"{again.wall_s:.1f}",
            early or again.caveat,
        )
    return table


def _killed_once(bench: Bench, client: Client, n_slots: int) -> tuple[Measured, Measured]:
    """One client up to the kill, and the same command again."""

    def is_half_way(stats: Stats) -> bool:
        return stats.answered >= bench.n_prompts * 3 // 2

    _say(f"killed: {client.name}")
    with simulated(n_slots, bench.mean_ms) as server:
        setting = bench.setting(f"killed-{client.name}", server.url, n_slots)
        command = client.command(setting)
        before = measure(command, server, setting.folder, is_half_way)
        return before, measure(command, server, setting.folder)


def memory(bench: Bench, n_slots: int) -> Table:
    """Peak memory of cai for few prompts and for many."""
    table = Table(
        f"Memory of cai, {bench.fast_ms:g} ms a call, {n_slots} slots",
        "prompts|peak MB|CPU ms a call|calls a second|wall s|rows complete|remark",
    )
    for n in (bench.n_prompts, bench.n_many):
        _say(f"memory: {n:,} prompts")
        with simulated(n_slots, bench.fast_ms) as server:
            setting = Setting(bench.prompts(n), server.url, n_slots, bench.folder / f"memory-{n}")
            took = measure(CAI.command(setting), server, setting.folder)
        table.add(
            f"{n:,}",
            f"{took.peak_mb:.0f}",
            f"{took.cpu_ms_a_call:.2f}",
            f"{took.stats.calls_per_s:.0f}",
            f"{took.wall_s:.1f}",
            per_cent(took.n_done / n),
            took.caveat,
        )
    return table


def again(bench: Bench, n_slots: int) -> Table:
    """A finished run of cai, started again: nothing is left to do."""
    table = Table(
        f"{bench.n_prompts:,} prompts x {_ROUNDS_AGAIN} rounds with cai, and the same again",
        "|wall s|CPU s|peak MB|calls made|rows complete|remark",
    )
    with simulated(n_slots, bench.fast_ms) as server:
        setting = bench.setting("again", server.url, n_slots, _ROUNDS_AGAIN)
        for name in ("first", "again"):
            _say(f"finished run: {name}")
            server.reset()
            took = measure(CAI.command(setting), server, setting.folder)
            table.add(
                name,
                f"{took.wall_s:.2f}",
                f"{took.cpu_s:.2f}",
                f"{took.peak_mb:.0f}",
                took.stats.received,
                per_cent(took.n_done / bench.n_prompts),
                took.caveat,
            )
    return table


def all_parts(bench: Bench, slots: Sequence[int], names: Sequence[str]) -> Iterator[Table]:
    """The tables of the named parts, each as soon as it is measured."""
    if "speed" in names:
        yield speed(bench, slots)
    if "faults" in names:
        yield faults(bench, slots[0])
    if "killed" in names:
        yield killed(bench, slots[0])
    if "memory" in names:
        yield memory(bench, slots[0])
    if "again" in names:
        yield again(bench, slots[0])


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
