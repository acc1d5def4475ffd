"""Options of a choice as token sequences: one token in several forms, or several tokens.

"A" may come as the tokens "A", " A" or "(A", whose probabilities are added. "10" may come as "1",
"0": then the token "1" counts as the option "1" only with the probability that nothing follows
which makes it a longer option.
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

_MAX_CACHED = 1024


@dataclass(frozen=True, slots=True)
class Step:
    """A token of a spelling. It follows the step `parent`, or the request where that is None.

    It is predicted in row number `row`, `from_end` places before the row's end.
    """

    parent: int | None
    token: int
    row: int
    from_end: int


@dataclass(frozen=True, slots=True)
class OptionTree:
    """The spellings of some options as a tree (trie) of steps, parents first.

    `rows` are the token sequences to read after a request so that every step is predicted. Each
    option ends at the steps `ends`; `longer` maps an end to the next ends below it.
    """

    rows: tuple[Ids, ...]
    steps: tuple[Step, ...]
    ends: tuple[tuple[int, ...], ...]
    longer: dict[int, tuple[int, ...]]
    n_longest: int

    @classmethod
    def of(cls, paths: Sequence[Sequence[Ids]]) -> "OptionTree":
        """The tree of the spellings of each option. None is empty, and no two options share one."""
        whole = [path for spellings in paths for path in spellings]
        nodes = sorted({path[:n] for path in whole for n in range(1, len(path) + 1)})
        number = {node: index for index, node in enumerate(nodes)}
        # A row predicts the token after each of its prefixes, so only the longest heads are read:
        # in sorted order a head that another begins with stands right before such a one.
        heads = sorted({node[:-1] for node in nodes})
        rows = [one for one, after in pairwise(heads) if after[: len(one)] != one] + heads[-1:]
        steps: list[Step] = []
        for node in nodes:
            head = node[:-1]
            row = next(n for n, row in enumerate(rows) if row[: len(head)] == head)
            parent = number[head] if head else None
            steps.append(Step(parent, node[-1], row, len(rows[row]) - len(head)))
        longer: dict[int, list[int]] = defaultdict(list)
        for path in whole:
            shorter = (path[:n] for n in range(len(path) - 1, 0, -1) if path[:n] in whole)
            if nearest := next(shorter, None):
                longer[number[nearest]].append(number[path])
        return cls(
            rows=tuple(rows),
            steps=tuple(steps),
            ends=tuple(tuple(number[path] for path in spellings) for spellings in paths),
            longer={end: tuple(others) for end, others in longer.items()},
            n_longest=max(map(len, nodes)),
        )

    def logprobs(self, values: Sequence[float]) -> list[float]:
        """Log-probability of each option, from those of the steps' tokens."""
        totals: list[float] = []
        for step, value in zip(self.steps, values, strict=True):
            totals.append(value if step.parent is None else totals[step.parent] + value)

        def ending(end: int) -> float:
            """Log-probability of the steps up to this one, and that no longer option follows."""
            total = totals[end]
            if total == -math.inf or end not in self.longer:
                return total
            going_on = sum(math.exp(totals[one] - total) for one in self.longer[end])
            # Rounding may bring the share of longer options to 1 or above: then nothing is left.
            return total + math.log1p(-going_on) if going_on < 1 else -math.inf

        return [log_sum_exp([ending(end) for end in ends]) for ends in self.ends]


class Speller:
    """Spells options in the tokens of a model with `n_tokens` logits."""

    def __init__(self, tokenizer: Tokenizer, n_tokens: int) -> None:
        self._tokenizer = tokenizer
        self._n_tokens = n_tokens
        self._singles: dict[str, list[tuple[int, bool]]] = {}
        self._cached: dict[tuple[str, ...], OptionTree] = {}

    def spell(self, options: Sequence[str]) -> OptionTree:
        """All spellings of the options, which have to pass `check_options`.

        Raises:
            ModelError: The tokenizer has no tokens for an option, or the same for two of them.
        """
        cached = self._cached.get(tuple(options))
        if cached is not None:
            return cached
        plain = [tuple(encode_content(self._tokenizer, option)) for option in options]
        paths = [
            {one, *((token,) for token, _ in self._single(option)), *self._longer(one, options)}
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
        # a run has few sets of options; one with ever new ones must not fill the memory
        if len(self._cached) >= _MAX_CACHED:
            self._cached.clear()
        tree = OptionTree.of([sorted(spellings) for spellings in paths])
        self._cached[tuple(options)] = tree
        return tree

    def _longer(self, plain: Ids, options: Sequence[str]) -> set[Ids]:
        """The spellings of an option that begin with another option, in any spelling of that one.

        Where "10" is "1", "0", it is also " 1", "0".
        """
        spellings: set[Ids] = set()
        for n in range(1, len(plain)):
            prefix = bare(decode(self._tokenizer, list(plain[:n])))
            if prefix in options:
                # Not after "1.", say: a sign at the end closes the shorter option.
                spellings |= {
                    (token, *plain[n:]) for token, is_open in self._single(prefix) if is_open
                }
        return spellings

    def _single(self, option: str) -> list[tuple[int, bool]]:
        """The tokens that are the option alone, and of each whether the text may still go on."""
        if not self._singles:  # decodes the whole vocabulary, once for all options
            by_text: dict[str, list[tuple[int, bool]]] = defaultdict(list)
            for token in range(self._n_tokens):
                text = decode(self._tokenizer, [token])
                if option_text := bare(text):
                    by_text[option_text].append((token, ends_bare(text)))
            self._singles = by_text
        return self._singles.get(option, [])
