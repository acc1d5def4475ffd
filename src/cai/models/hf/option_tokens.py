"""How a tokenizer spells the options of a choice: as one token in several forms, or as several.

"A" may come as the tokens "A", " A" or "(A", which are gathered. "10" may come as "1", "0": then
the token "1" is only as much the option "1" as nothing that lengthens it follows.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from cai.errors import ModelError
from cai.models.base import bare, ends_bare, log_sum_exp
from cai.models.hf.tokenizer import Tokenizer, decode, encode_content

Ids = tuple[int, ...]

_MOST_KNOWN = 1024


@dataclass(frozen=True, slots=True)
class Step:
    """A token of a spelling. It follows the step `parent`, or the request where that is None.

    It is predicted in row number `row`, `order_ba` places before the row's end.
    """

    parent: int | None
    token: int
    row: int
    order_ba: int


@dataclass(frozen=True, slots=True)
class Spelled:
    """The spellings of some options as a tree of steps, parents first.

    `rows` are what must follow a request so that every step is predicted. Each option ends at the
    steps `ends`, and `longer` are the ends that go on from an end.
    """

    rows: tuple[Ids, ...]
    steps: tuple[Step, ...]
    ends: tuple[tuple[int, ...], ...]
    longer: dict[int, tuple[int, ...]]
    n_longest: int

    @classmethod
    def of(cls, paths: Sequence[Sequence[Ids]]) -> "Spelled":
        """The tree of the spellings of each option. None is empty, and no two options share one."""
        whole = {path for spellings in paths for path in spellings}
        nodes = sorted({path[:n] for path in whole for n in range(1, len(path) + 1)})
        number = {node: index for index, node in enumerate(nodes)}
        rows = _longest({node[:-1] for node in nodes})
        steps: list[Step] = []
        for node in nodes:
            before = node[:-1]
            row = next(n for n, row in enumerate(rows) if row[: len(before)] == before)
            parent = number[before] if before else None
            steps.append(Step(parent, node[-1], row, len(rows[row]) - len(before)))
        ends = tuple(tuple(number[path] for path in spellings) for spellings in paths)
        longest = max(len(node) for node in nodes)
        return cls(rows, tuple(steps), ends, _longer(nodes, ends), longest)

    def logprobs(self, values: Sequence[float]) -> list[float]:
        """Log-probability of each option, from those of the steps' tokens."""
        totals: list[float] = []
        for step, value in zip(self.steps, values, strict=True):
            totals.append(value if step.parent is None else totals[step.parent] + value)
        return [log_sum_exp([self._ending(totals, end) for end in ends]) for ends in self.ends]

    def _ending(self, totals: Sequence[float], end: int) -> float:
        """Log-probability of the steps up to this one, and then of nothing that lengthens them."""
        total = totals[end]
        if total == -math.inf or end not in self.longer:
            return total
        going_on = sum(math.exp(totals[one] - total) for one in self.longer[end])
        return total + math.log1p(-going_on) if going_on < 1 else -math.inf


def _longest(heads: set[Ids]) -> tuple[Ids, ...]:
    """Those with which no other begins."""
    ordered = sorted(heads)
    kept = [one for one, after in pairwise(ordered) if after[: len(one)] != one]
    return (*kept, ordered[-1])


def _longer(nodes: Sequence[Ids], ends: Sequence[Sequence[int]]) -> dict[int, tuple[int, ...]]:
    """Under each end, the ends that begin with it, up to the first of them on every way."""
    number = {nodes[end]: end for each in ends for end in each}
    longer: dict[int, list[int]] = defaultdict(list)
    for node, end in number.items():
        shorter = next((node[:n] for n in range(len(node) - 1, 0, -1) if node[:n] in number), None)
        if shorter is not None:
            longer[number[shorter]].append(end)
    return {end: tuple(others) for end, others in longer.items()}


class Speller:
    """Spells options in the tokens of a model with `n_tokens` logits."""

    def __init__(self, tokenizer: Tokenizer, n_tokens: int) -> None:
        self._tokenizer = tokenizer
        self._n_tokens = n_tokens
        self._singles: dict[str, list[tuple[int, bool]]] = {}
        self._known: dict[tuple[str, ...], Spelled] = {}

    def spell(self, options: Sequence[str]) -> Spelled:
        """All spellings of the options, which are such that `check_options` takes them.

        Raises:
            ModelError: The tokenizer has no tokens for an option, or the same for two of them.
        """
        known = self._known.get(tuple(options))
        if known is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            known = self._known[tuple(options)] = self._spell(options)
        return known

    def _spell(self, options: Sequence[str]) -> Spelled:
        plain = [tuple(encode_content(self._tokenizer, option)) for option in options]
        paths = [
            {one, *((token,) for token, _ in self._single(option)), *self._lengthened(one, options)}
            for option, one in zip(options, plain, strict=True)
        ]
        taken: dict[Ids, str] = {}
        for option, spellings in zip(options, paths, strict=True):
            for path in spellings:
                if not path or taken.setdefault(path, option) != option:
                    same = f"the option {taken[path]!r}" if path else "nothing"
                    raise ModelError(
                        f"For this model the option {option!r} is the same as {same}. "
                        "Name the options in texts that its tokenizer tells apart."
                    )
        return Spelled.of([sorted(spellings) for spellings in paths])

    def _lengthened(self, plain: Ids, options: Sequence[str]) -> set[Ids]:
        """The spellings of an option that begin with another option, itself in any spelling.

        Where "10" is "1", "0", it is also " 1", "0".
        """
        found: set[Ids] = set()
        for n in range(1, len(plain)):
            beginning = bare(decode(self._tokenizer, list(plain[:n])))
            if beginning in options:
                found |= {
                    (token, *plain[n:]) for token, is_open in self._single(beginning) if is_open
                }
        return found

    def _single(self, option: str) -> list[tuple[int, bool]]:
        """The tokens that are the option alone, and of each whether the text may still go on."""
        if not self._singles:
            by_text: dict[str, list[tuple[int, bool]]] = defaultdict(list)
            for token in range(self._n_tokens):
                text = decode(self._tokenizer, [token])
                if option_text := bare(text):
                    by_text[option_text].append((token, ends_bare(text)))
            self._singles = by_text
        return self._singles.get(option, [])
