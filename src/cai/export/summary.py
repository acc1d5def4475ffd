"""What an export wrote and what it left out."""

from collections import Counter
from dataclasses import dataclass, field

from cai.export.formats import Format
from cai.export.mixing import MixOutcome


@dataclass(slots=True)
class ExportSummary:
    """What was written, and what was left out for which reason.

    `n_considered` is how many pairs, responses, prompts or records there were: those that are not
    among the `dropped` became rows. Of `kto` a pair becomes two rows, `n_good` and `n_bad` in all,
    and `unwritten` says why a response of a pair that stayed is none of them. Rows of other files
    are in `n_rows` and `mixed`, and in nothing else.
    """

    format: Format
    n_rows: int = 0
    n_considered: int = 0
    dropped: Counter[str] = field(default_factory=Counter[str])
    n_good: int = 0
    n_bad: int = 0
    unwritten: Counter[str] = field(default_factory=Counter[str])
    mixed: list[MixOutcome] = field(default_factory=list[MixOutcome])

    def describe(self) -> str:
        """Such as: sft: 480 rows; left out: 8 failed, 12 unchanged."""
        said = f"{self.format}: {self.n_rows} rows"
        if self.format == "kto":
            said += f" ({self.n_good} good, {self.n_bad} bad)"
        for what, found in (("left out", self.dropped), ("responses not written", self.unwritten)):
            reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(found.items()))
            said += f"; {what}: {reasons}" if reasons else ""
        mixed = ", ".join(outcome.describe() for outcome in self.mixed)
        return f"{said}; mixed in: {mixed}" if mixed else said

    def as_json(self) -> dict[str, object]:
        counts: dict[str, object] = {
            "format": self.format,
            "rows": self.n_rows,
            "considered": self.n_considered,
            "left_out": dict(self.dropped),
        }
        if self.format == "kto":
            counts |= {"good": self.n_good, "bad": self.n_bad, "unwritten": dict(self.unwritten)}
        if self.mixed:
            counts["mixed"] = [outcome.as_json() for outcome in self.mixed]
        return counts
