"""A pair of responses to one prompt with the label of a person, and what its reader has to know.

Example:
    pair = LabelledPair(Prompt("7", messages), "Mend it.", "Break it.", label="a")
    pair.swapped.label       # "b"
    at_random(pair)          # the pair or the swapped one, the same in every run
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from cai.data.conversations import (
    texts_of,
)
from cai.data.pair_labels import Label
from cai.data.source import ItemKind, Preference
from cai.types import Prompt, content_hash


@dataclass(frozen=True, slots=True)
class LabelledPair:
    """Two responses to one prompt, and their human label, None without one."""

    prompt: Prompt
    response_a: str
    response_b: str
    label: Label | None = None
    label_confidence: float = 1.0  # in [0.5, 1]
    model_a: str = ""  # "" if unknown
    model_b: str = ""
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    has_confidence: bool = False  # whether the row itself gives the confidence

    @property
    def texts(self) -> list[str]:
        """What is judged, without the label: an id that is made from the content is of these."""
        return [*texts_of(self.prompt.messages), "", self.response_a, self.response_b]

    @property
    def swapped(self) -> "LabelledPair":
        """The same pair and the same preference, with A and B exchanged."""
        return replace(
            self,
            response_a=self.response_b,
            response_b=self.response_a,
            label=_OTHER[self.label] if self.label else None,
            model_a=self.model_b,
            model_b=self.model_a,
        )


_OTHER: dict[Label, Label] = {"a": "b", "b": "a", "tie": "tie"}


def _preference(pair: LabelledPair) -> Preference | None:
    if pair.label not in ("a", "b"):
        return None
    # Sorted, so that the same comparison has the same hash whichever response is A.
    sides = sorted((pair.response_a, pair.response_b))
    better = pair.response_a if pair.label == "a" else pair.response_b
    return hash((*texts_of(pair.prompt.messages), *sides)), int(better != sides[0])


PAIRS: ItemKind[LabelledPair] = ItemKind(
    noun="pair",
    with_id=lambda pair, id: replace(pair, prompt=replace(pair.prompt, id=id)),
    with_metadata=lambda pair, metadata: replace(
        pair, prompt=replace(pair.prompt, metadata=metadata)
    ),
    id_of=lambda pair: pair.prompt.id,
    id_texts=lambda pair: pair.texts,
    other_texts=lambda pair: (
        *(pair.label or "", repr(pair.label_confidence), pair.model_a, pair.model_b),
        pair.prompt.metadata,
        *(text for name_and_value in sorted(pair.tags.items()) for text in name_and_value),
    ),
    label=lambda pair: pair.label,
    label_names={"a": "A is better", "b": "B is better", "tie": "tie", None: "no label"},
    models=lambda pair: (pair.model_a, pair.model_b),
    preference=_preference,
)


def at_random(pair: LabelledPair) -> LabelledPair:
    """The pair or the swapped one, so that the position of a response says nothing about it."""
    # The parity of a hash of both texts in sorted order decides which one is A, so the better one's
    # position is independent of its being better, and the same in every run.
    texts = sorted((pair.response_a, pair.response_b))
    is_odd = int(content_hash("sides", *texts_of(pair.prompt.messages), *texts), 16) % 2
    return pair if texts[is_odd] == pair.response_a else pair.swapped
