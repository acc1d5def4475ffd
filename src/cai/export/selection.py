"""Which rows an export takes, and on which side of the split a prompt is."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from cai.errors import ExportError
from cai.export.formats import PAIRED, Format
from cai.export.rows import Unit, prompt_of
from cai.methods.revision_flags import Flag
from cai.types import Message, Prompt, as_dicts

PairChoice = Literal["best-worst", "all", "one"]

ROUNDING = 1e-9  # so that 0.6 is 0.1 from one half
LEAST_LIKENESS, MOST_LIKENESS = 0.5, 0.99


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows are exported.

    `drops` are the flags that cost a chain its place; chains without a usable text never have one.
    `all_rounds` gives an SFT row for each round's revision, as the paper does, and not for the last
    alone. `sft_share` of the prompts go to SFT and the others to preferences, decided by the
    prompt's content, so that equal prompts stay together; None gives every prompt to both.

    `pairs` says which of a judged group: the best over the worst, every matchup, or one matchup a
    prompt drawn by the prompt's id. A pair is left out where its probability is less than
    `min_margin` from one half, and where its orders disagree, unless `keeps_inconsistent`.
    `balances_length` leaves out the least sure pairs until the chosen response is as often the
    longer as the shorter one. Of rows whose likeness is at least `near_duplicates` the first stays.
    A scored response is taken, or labelled good, from `min_score` in [−1, 1] on.
    """

    drops: frozenset[Flag] = frozenset({"critique-instead", "cut-off"})
    all_rounds: bool = False
    sft_share: float | None = None
    pairs: PairChoice = "best-worst"
    min_margin: float = 0.0
    keeps_inconsistent: bool = False
    balances_length: bool = False
    near_duplicates: float | None = None
    min_score: float = 0.0

    def check(self, format: Format) -> None:
        """Finds out whether these settings can be followed for that format.

        Raises:
            ExportError: A number is out of its range, or a setting has no meaning for the format.
        """
        for name, value, low, high in (
            ("sft_share", self.sft_share, 0.0, 1.0),
            ("min_margin", self.min_margin, 0.0, 0.5),
            ("near_duplicates", self.near_duplicates, LEAST_LIKENESS, MOST_LIKENESS),
            ("min_score", self.min_score, -1.0, 1.0),
        ):
            if value is not None and not low <= value <= high:
                raise ExportError(
                    f"{name} is {value:g}, and it must be from {low:g} to {high:g}. Change it."
                )
        if self.balances_length and format not in PAIRED:
            raise ExportError(
                f"Lengths are balanced between the sides of pairs, and {format!r} has none. Leave "
                f"the balance out, or export {', '.join(PAIRED)}."
            )
        if self.near_duplicates is not None and format == "everything":
            raise ExportError(
                "'everything' leaves nothing out, near duplicates neither. Keep them, or export "
                "another format."
            )

    def refusal(self, unit: Unit, confidence: float, format: Format) -> str | None:
        """Why a unit that comes from no run is left out, for what holds of those too; or None."""
        if self.is_elsewhere(prompt_of(unit), format):
            return "in the other split"
        return "unsure" if confidence - 0.5 < self.min_margin - ROUNDING else None

    def is_elsewhere(self, prompt: Prompt, format: Format) -> bool:
        """Whether the split keeps the prompt for exports of the other kind."""
        if self.sft_share is None or format not in ("sft", *PAIRED):
            return False
        return is_sft_prompt(prompt.messages, self.sft_share) != (format == "sft")


def is_sft_prompt(messages: Iterable[Message], sft_share: float) -> bool:
    """Whether a prompt belongs to the SFT side of the split; the same for equal prompts, always."""
    text = json.dumps(as_dicts(list(messages)), ensure_ascii=True)
    digest = hashlib.blake2b(text.encode(), digest_size=8, person=b"cai-split").digest()
    return int.from_bytes(digest, "big") < sft_share * 2**64
