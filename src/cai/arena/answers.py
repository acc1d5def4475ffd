"""The common prompts, and what each policy answered to them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cai.evaluation.conduct import ALL, Conduct, conduct
from cai.jobs.prompt_source import PromptSource
from cai.judging.comparisons import Candidate
from cai.types import Prompt


@dataclass(frozen=True, slots=True)
class Prompts:
    """Prompts of one kind; `all` where nothing is said of them."""

    source: PromptSource
    kind: str = ALL


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt that every policy answered, and its kind."""

    prompt: Prompt
    kind: str


@dataclass(frozen=True, slots=True)
class Answers:
    """The common prompts by unit, in their order, and each policy's responses to them.

    `models` are those who gave each policy's responses, as far as anybody knows. `n_passed_over` is
    how many prompts not all policies answered.
    """

    asked: Mapping[int, Asked]
    by_policy: Mapping[str, Mapping[int, tuple[Candidate, ...]]]
    models: Mapping[str, frozenset[str]]
    n_passed_over: int

    @property
    def kinds(self) -> tuple[str, ...]:
        """What was said of the prompts; nothing where nothing was."""
        return tuple(dict.fromkeys(each.kind for each in self.asked.values() if each.kind != ALL))

    def of(self, policy: str, kind: str = ALL) -> Iterator[tuple[int, Asked, Candidate]]:
        """A policy's responses to the prompts of a kind."""
        for unit, asked in self.asked.items():
            if kind in (ALL, asked.kind):
                for response in self.by_policy[policy][unit]:
                    yield unit, asked, response

    def conduct(self, policy: str, seed: int) -> tuple[Conduct, ...]:
        """What a policy's responses look like, of all prompts first and then of each kind."""
        return tuple(self._conduct(policy, kind, seed) for kind in (ALL, *self.kinds))

    def _conduct(self, policy: str, kind: str, seed: int) -> Conduct:
        rows = list(self.of(policy, kind))
        return conduct(
            kind,
            [unit for unit, _, _ in rows],
            [response.text for _, _, response in rows],
            [response.is_cut_off for _, _, response in rows],
            seed,
        )
