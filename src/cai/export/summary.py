"""How many rows an export wrote, and how many it left out for which reason."""

from collections import Counter
from dataclasses import dataclass, field

from cai.export.formats import Format
from cai.export.mixing import MixOutcome


@dataclass(slots=True)
class ExportSummary:
    """The counts of an export, filled while its rows are written."""

    format: Format
    n_rows: int = 0  # with those of other files
    # Pairs, responses, prompts or records of the runs: all that are not dropped became rows.
    n_considered: int = 0
    dropped: Counter[str] = field(default_factory=Counter[str])
    # Of `kto`, where a pair becomes two rows, and why a response of an exported pair is not a row.
    n_good: int = 0
    n_bad: int = 0
    unwritten: Counter[str] = field(default_factory=Counter[str])
    mixed: list[MixOutcome] = field(default_factory=list[MixOutcome])

    def describe(self) -> str:
        """Such as: sft: 480 rows; left out: 8 failed, 12 unchanged."""
        text = f"{self.format}: {self.n_rows} rows"
        if self.format == "kto":
            text += f" ({self.n_good} good, {self.n_bad} bad)"
        for title, by in (("left out", self.dropped), ("responses not written", self.unwritten)):
            reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(by.items()))
            text += f"; {title}: {reasons}" if reasons else ""
        mixed = ", ".join(outcome.describe() for outcome in self.mixed)
        return f"{text}; mixed in: {mixed}" if mixed else text

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
