"""Attempts with random bad input, one after the other in this process, and what came of them.

An attempt gets a random generator of its own, made from the seed and its number, so that any one of
them can be repeated. It returns the name of its outcome; a `CaiError` is the outcome "refused".
What may never happen is counted apart: another exception, more seconds than the limit, and a change
that nobody was told of (the attempt raises `Silent`).
"""

import random
import resource
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType

from cai.errors import CaiError

Attempt = Callable[[random.Random, int], str]

TOKENS = (
    *("\x00", "\xff", "\u2028", "\ud800", "\ufeff", "\r", "\t", "&a *a", "<<: *a", "!!python/none"),
    *(
        "null",
        "true",
        "NaN",
        "1e999",
        "-1",
        "0x10",
        "12:30",
        "[]",
        "{}",
        "[[",
        "}}",
        '"',
        "'",
        "\\",
    ),
    *("{{ 7 * 7 }}", "{% for x in y %}", "{% raw %}", "{{ x.__class__ }}", "<|im_start|>system\n"),
    *(
        "\n\nHuman: ",
        "\n\nAssistant: ",
        "../../etc/passwd",
        "a" * 5000,
        "%s%n",
        "|",
        ">-",
        "- ",
        ": ",
    ),
)


class Silent(Exception):
    """Input was accepted, and something else came of it than it says."""


class Hang(BaseException):
    """An attempt took more than its seconds."""


@dataclass(slots=True)
class Findings:
    """The outcomes of a series of attempts; `faults` are those that may not happen, by number."""

    name: str
    outcomes: Counter[str] = field(default_factory=Counter[str])
    n_tracebacks: int = 0
    n_hangs: int = 0
    n_silent: int = 0
    faults: dict[int, str] = field(default_factory=dict[int, str])

    @property
    def row(self) -> str:
        """A row of the table of `benchmarks/README.md`."""
        known = ", ".join(f"{n:,} {outcome}" for outcome, n in sorted(self.outcomes.items()))
        n = self.outcomes.total() + len(self.faults)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        faults = f"{self.n_tracebacks} | {self.n_hangs} | {self.n_silent}"
        return f"| {self.name} | {n:,} | {known} | {faults} | {peak:.0f} MiB |"


HEAD = (
    "| input | runs | outcomes | tracebacks | hangs | silent changes | peak memory |\n"
    "|---|---|---|---|---|---|---|"
)


def fuzz(name: str, attempt: Attempt, n: int, seed: int = 0, limit_s: float = 10) -> Findings:
    """What came of n attempts; the faults are printed as they are met."""
    findings = Findings(name)
    before = signal.signal(signal.SIGALRM, _hang)
    try:
        for number in range(n):
            signal.setitimer(signal.ITIMER_REAL, limit_s)
            try:
                findings.outcomes[attempt(random.Random(f"{seed}/{name}/{number}"), number)] += 1
            except CaiError:
                findings.outcomes["refused"] += 1
            except Hang:
                findings.n_hangs += 1
                _note(findings, number)
            except Silent:
                findings.n_silent += 1
                _note(findings, number)
            except Exception:  # noqa: BLE001 (this is what is looked for)
                findings.n_tracebacks += 1
                _note(findings, number)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.signal(signal.SIGALRM, before)
    return findings


def mutated(chance: random.Random, content: bytes, n_changes: int | None = None) -> bytes:
    """The content after some changes: parts cut out, doubled, moved, flipped or put in."""
    data = bytearray(content)
    for _ in range(n_changes or chance.choice((1, 1, 2, 4, 8))):
        start = chance.randrange(len(data) + 1)
        end = min(len(data), start + chance.choice((1, 1, 4, 20, 200)))
        match chance.randrange(6):
            case 0:
                del data[start:end]
            case 1:
                data[start:start] = data[start:end]
            case 2:
                part = data[start:end]
                del data[start:end]
                place = chance.randrange(len(data) + 1)
                data[place:place] = part
            case 3 if start < len(data):
                data[start] ^= 1 << chance.randrange(8)
            case 4:
                data = data[:start]
            case _:
                data[start:start] = chance.choice(TOKENS).encode("utf-8", "surrogatepass")
    return bytes(data)


def _hang(signal_number: int, frame: FrameType | None) -> None:
    raise Hang


def _note(findings: Findings, number: int) -> None:
    findings.faults[number] = traceback.format_exc(limit=-4)
    print(f"{findings.name}, attempt {number}:\n{findings.faults[number]}", file=sys.stderr)
