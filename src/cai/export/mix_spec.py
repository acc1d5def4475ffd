"""The mix of an export as it is written: FILE[:weight=0.3][:count=5000][:confidence=0.9].

`FILE:helpfulness` has the share that people's helpfulness data had in Constitutional AI (Bai et
al. 2022, arXiv:2212.08073, §3.2 and §4.1): 135,296 comparisons of people beside 182,831 of the
model's; in SFT two samples for each of 135,296 prompts beside the four revisions of 182,831; in
reinforcement learning those prompts and 474,300 more beside 182,831 and 491,142.

Example:
    Mix.parse("helpful.jsonl:weight=0.3:confidence=0.9")
    Mix.parse("helpful.jsonl:helpfulness").share("preference")      # 0.425
    Mixing.of(["helpful.jsonl:count=5000"]).check("sft")            # UsageError if impossible
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from cai.errors import UsageError
from cai.export.data_files import DataFile, Kind
from cai.suggest import did_you_mean

_HELPFUL, _HARMLESS = 135_296, 182_831
_MORE_HELPFUL, _MORE_HARMLESS = 474_300, 491_142
_COMPARISONS = _HELPFUL / (_HELPFUL + _HARMLESS)
_PAPER: dict[Kind, float] = {
    "sft": 2 * _HELPFUL / (2 * _HELPFUL + 4 * _HARMLESS),
    "preference": _COMPARISONS,
    "kto": _COMPARISONS,
    "prompts": (_HELPFUL + _MORE_HELPFUL) / (_HELPFUL + _MORE_HELPFUL + _HARMLESS + _MORE_HARMLESS),
}
_NAMES = ("weight", "count", "confidence")


@dataclass(frozen=True, slots=True)
class Mix:
    """A file or data set whose rows are mixed in: all of them, a share, or a number."""

    file: str
    # The share of the mixed rows that come from it, in (0, 1); "helpfulness" is the paper's.
    weight: float | Literal["helpfulness"] | None = None
    count: int | None = None
    confidence: float | None = None  # in (0.5, 1], of labels whose row has none of its own

    @classmethod
    def parse(cls, text: str) -> "Mix":
        """The mix as it is written in one text.

        Raises:
            UsageError: An entry is repeated, unknown, or a number out of its range.
        """
        # Read from the end, as a file's own name may have colons in it: what is not an entry
        # belongs to the name.
        file, entries = text, list[tuple[str, str | None]]()
        while ":" in file:
            before, _, last = file.rpartition(":")
            name, equals, value = last.partition("=")
            if last == "helpfulness":
                name, value = "weight", None
            elif not (equals and name.isidentifier()):
                break
            if name not in _NAMES:
                hint = did_you_mean(name, _NAMES, f"Write one of {', '.join(_NAMES)}.")
                raise UsageError(f"{text}: a mix has no {name!r}. {hint}")
            if name in dict(entries):
                raise UsageError(f"{text}: gives the {name} twice. Give it once.")
            file = before
            entries.append((name, value))
        mix = cls(file)
        for name, value in reversed(entries):
            if value is None:
                mix = replace(mix, weight="helpfulness")
                continue
            try:
                if name == "count":
                    mix = replace(mix, count=int(value.replace("_", "").replace(",", "")))
                    continue
                number = float(value)
            except ValueError:
                number = math.nan
            if not math.isfinite(number):
                kind = "a whole number" if name == "count" else "a number"
                raise UsageError(f"{text}: the {name} is {value!r}, and it is {kind}. Change it.")
            is_weight = name == "weight"
            mix = replace(mix, weight=number) if is_weight else replace(mix, confidence=number)
        mix.check()
        return mix

    def check(self) -> None:
        """Checks that the mix is possible.

        Raises:
            UsageError: A number is out of its range, or both a weight and a count are given.
        """
        weight, count, confidence = self.weight, self.count, self.confidence
        if not self.file:
            raise UsageError("A mix names no file. Write FILE, or FILE:weight=0.3.")
        if weight is not None and count is not None:
            raise UsageError(
                f"{self.file}: has a weight and a count, and each sets the number of rows. "
                "Give one of them."
            )
        if isinstance(weight, float | int) and not 0 < weight < 1:
            raise UsageError(
                f"{self.file}: the weight is {weight:g}, and it is the share of the mixed rows, "
                "between 0 and 1. Change it."
            )
        if count is not None and count < 1:
            raise UsageError(f"{self.file}: the count is {count}, and it is at least 1. Change it.")
        if confidence is not None and not 0.5 < confidence <= 1:
            raise UsageError(
                f"{self.file}: the confidence is {confidence:g}, and it is the probability that a "
                "label is right, above 0.5 and at most 1. Change it."
            )

    def share(self, kind: Kind) -> float | None:
        """The requested share of the mixed rows; None where a number or all are requested."""
        return _PAPER[kind] if self.weight == "helpfulness" else self.weight

    def data_file(self, kind: Kind, *, skip_bad_rows: bool) -> DataFile:
        """The file to read.

        Raises:
            UsageError: There is a confidence, and rows of that kind have no labels.
        """
        source = DataFile(self.file, kind, self.confidence or 1.0, skip_bad_rows)
        if self.confidence is not None and not source.is_labelled:
            raise UsageError(
                f"{self.file}: has a confidence, and rows of {kind!r} have no labels. Leave it out."
            )
        return source


@dataclass(frozen=True, slots=True)
class Mixing:
    """All mixes of an export; which rows are drawn depends on the seed and on their contents."""

    mixes: tuple[Mix, ...] = ()
    seed: int = 0
    skip_bad_rows: bool = False

    @classmethod
    def of(cls, mix: "Mixing | Sequence[Mix | str]") -> "Mixing":
        """The mixing itself, or one of these mixes.

        Raises:
            UsageError: As `Mix.parse`.
        """
        if isinstance(mix, Mixing):
            return mix
        return cls(tuple(each if isinstance(each, Mix) else Mix.parse(each) for each in mix))

    def check(self, kind: Kind) -> None:
        """Checks that the shares leave room for other rows.

        Raises:
            UsageError: They do not, or a file is named twice, or a mix is not possible.
        """
        files = [mix.file for mix in self.mixes]
        twice = next((file for file in files if files.count(file) > 1), None)
        if twice is not None:
            raise UsageError(f"{twice}: is mixed in twice. Name it once.")
        for mix in self.mixes:
            mix.check()
        total = sum(mix.share(kind) or 0.0 for mix in self.mixes)
        if total >= 1:
            raise UsageError(
                f"The weights of the mix sum to {total:g}, and the rows that they are mixed into "
                "have the rest of 1. Make them smaller."
            )


NO_MIX = Mixing()
