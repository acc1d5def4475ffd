"""What is judged: two responses to a prompt, or several, with what is known of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from cai.types import Prompt

Label = Literal["a", "b", "tie"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two responses to one prompt, before judging."""

    prompt: Prompt
    response_a: str
    response_b: str

    @property
    def swapped(self) -> "Comparison":
        return Comparison(self.prompt, self.response_b, self.response_a)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A response and who gave it; `model` is "" where nobody knows.

    `is_cut_off` says that it ended where no more tokens were allowed.
    """

    text: str
    model: str = ""
    is_cut_off: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """Two or more responses to one prompt: what one record of a judged run is about.

    `label` is what people say of the first two (`a` is the first); None without a label.
    `label_confidence` in [0.5, 1] is how sure they are. `tags` are names and values to count by.
    """

    prompt: Prompt
    candidates: tuple[Candidate, ...]
    label: Label | None = None
    label_confidence: float = 1.0
    tags: Mapping[str, str] = field(default_factory=dict[str, str])

    def comparison(self, first: int, second: int) -> Comparison:
        """The candidates of these indices as A and B."""
        return Comparison(self.prompt, self.candidates[first].text, self.candidates[second].text)
