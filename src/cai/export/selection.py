"""Which rows an export selects, and on which side of the split a prompt is.

Example:
    selection = Selection(pairs="all", min_margin=0.1, sft_share=0.5)
    selection.check("preference")                          # ExportError where it makes no sense
    selection.is_in_other_split(prompt, "preference")      # True for a prompt of the SFT half
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from cai.constitution.schema import Compose
from cai.errors import ExportError
from cai.export.formats import PAIRED, Format
from cai.export.rows import Unit, prompt_of
from cai.methods.revision_flags import Flag
from cai.types import Message, Prompt, as_dicts

PairChoice = Literal["best-worst", "all", "one"]

ROUNDING = 1e-9  # so that 0.6 is 0.1 from one half
# Below, unrelated texts on one topic count as duplicates; above, MinHash cannot tell texts apart.
MIN_SIMILARITY, MAX_SIMILARITY = 0.5, 0.99


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows are exported."""

    # The flags that exclude a chain; chains without a usable text are always excluded.
    drops: frozenset[Flag] = frozenset({"critique-instead", "cut-off"})
    # An SFT row for each round's revision, as in the paper, and not for the last alone.
    all_rounds: bool = False
    # This share of the prompts goes to SFT and the others to preferences, by a hash of the content,
    # so that equal prompts are in one split; None gives every prompt to both.
    sft_share: float | None = None
    # Of a judged group: the best over the worst, every matchup, or one matchup drawn by prompt id.
    pairs: PairChoice = "best-worst"
    min_margin: float = 0.0  # least distance of a pair's probability from one half
    includes_inconsistent: bool = False  # pairs whose two orders disagree
    # Drops the least confident pairs until the chosen response is as often the longer as the
    # shorter one.
    balances_length: bool = False
    # Of rows whose similarity is at least this, only the first is exported.
    near_duplicates: float | None = None
    min_score: float = 0.0  # in [−1, 1]; a scored response is labelled good from here on
    # How the principles of a judged pair become one probability; None is the way of its run.
    compose: Compose | None = None

    def check(self, format: Format) -> None:
        """Checks that these settings are possible for that format.

        Raises:
            ExportError: A number is out of its range, or a setting has no meaning for the format.
        """
        for name, value, low, high in (
            ("sft_share", self.sft_share, 0.0, 1.0),
            ("min_margin", self.min_margin, 0.0, 0.5),
            ("near_duplicates", self.near_duplicates, MIN_SIMILARITY, MAX_SIMILARITY),
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
                "'everything' leaves nothing out, near duplicates neither. Leave that option out, "
                "or export another format."
            )

    def refusal(self, unit: Unit, confidence: float, format: Format) -> str | None:
        """Why a unit of a file that no run wrote is left out; None if it is not."""
        if self.is_in_other_split(prompt_of(unit), format):
            return "in the other split"
        return "unsure" if confidence - 0.5 < self.min_margin - ROUNDING else None

    def is_in_other_split(self, prompt: Prompt, format: Format) -> bool:
        """Whether the split reserves the prompt for exports of the other kind."""
        if self.sft_share is None or format not in ("sft", *PAIRED):
            return False
        return is_sft_prompt(prompt.messages, self.sft_share) != (format == "sft")


def is_sft_prompt(messages: Iterable[Message], sft_share: float) -> bool:
    """Whether a prompt belongs to the SFT side of the split; always the same for equal prompts."""
    text = json.dumps(as_dicts(list(messages)), ensure_ascii=True)
    digest = hashlib.blake2b(text.encode(), digest_size=8, person=b"cai-split").digest()
    return int.from_bytes(digest, "big") < sft_share * 2**64
