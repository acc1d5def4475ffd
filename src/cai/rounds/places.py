"""The folder of a series: where everything lies.

rounds.yaml            what was asked: the same recipe goes on, another is refused
rounds.json            every finished round's figures, and how it ended
anchors/               prompts and people's pairs, frozen at the start
round-K/prompts.jsonl  the prompts of the round
round-K/steps/         its runs, files and trainings, as `cai run` makes them
round-K/anchors/       what its policy answered, and what the judges said of it
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Places:
    """The places in one series' folder."""

    out: Path

    def round(self, number: int) -> Path:
        return self.out / f"round-{number}"

    def steps(self, number: int) -> Path:
        return self.round(number) / "steps"

    def anchors(self, number: int) -> Path:
        return self.round(number) / "anchors"

    def responses(self, number: int) -> Path:
        """The run of the policy's responses to the anchors' prompts."""
        return self.anchors(number) / "responses" / name_of(number).replace(" ", "-")


def name_of(number: int) -> str:
    """The policy of a round, as tables name it."""
    return f"round {number}"
