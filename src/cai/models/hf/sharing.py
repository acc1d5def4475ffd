"""Which questions begin alike, so that their common beginning is read once for all of them.

One comparison under many principles is many questions about the same conversation and responses.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from cai.models.hf.spelling import Ids, Spelled

_LEAST_SHARED = 32


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """A request in token ids, and the options that may follow it."""

    ids: Ids
    options: Spelled

    @property
    def n_at_most(self) -> int:
        return len(self.ids) + self.options.n_longest

    @property
    def n_rows(self) -> int:
        """In how many rows it is read: more than one where options take several tokens."""
        return len(self.options.rows)


@dataclass(frozen=True, slots=True)
class Group:
    """Questions whose first `n_shared` tokens are the same; 0 where too few are."""

    questions: tuple[Question, ...]
    n_shared: int

    @property
    def shared(self) -> Ids:
        return self.questions[0].ids[: self.n_shared]

    @property
    def n_rows(self) -> int:
        return sum(question.n_rows for question in self.questions)

    @property
    def n_saved(self) -> int:
        return (self.n_rows - 1) * self.n_shared

    @property
    def n_tokens(self) -> int:
        """How many tokens are read for it."""
        return self.n_shared + sum(self.n_new(question) for question in self.questions)

    def n_new(self, question: Question) -> int:
        """How many of them are read for that question alone."""
        n_each = len(question.ids) - self.n_shared
        return sum(n_each + len(row) for row in question.options.rows)


@dataclass(frozen=True, slots=True)
class _Part:
    """Neighbours in the order of their tokens, and the groups by which they save most tokens."""

    questions: tuple[Question, ...]
    groups: tuple[Group, ...]
    n_saved: int

    def joined(self, other: "_Part", n_shared: int) -> "_Part":
        questions = self.questions + other.questions
        groups, n_saved = self.groups + other.groups, self.n_saved + other.n_saved
        return _Part(questions, groups, n_saved).at_best(n_shared)

    def at_best(self, n_shared: int) -> "_Part":
        """The part as a single group, where that saves more."""
        whole = Group(self.questions, n_shared)
        if n_shared < _LEAST_SHARED or whole.n_saved <= self.n_saved:
            return self
        return _Part(self.questions, (whole,), whole.n_saved)


def portions(questions: Iterable[Question], n_tokens: int) -> list[list[Group]]:
    """The questions in groups, these in portions that read about `n_tokens` each, or one question.

    A group that is larger is cut, and each of its parts reads the beginning for itself.
    """
    portions: list[list[Group]] = []
    n_left = 0
    for group in sorted(_all_cut(shared_groups(questions), n_tokens), key=_order):
        if not portions or group.n_tokens > n_left:
            portions.append([])
            n_left = n_tokens
        portions[-1].append(group)
        n_left -= group.n_tokens
    return portions


def shared_groups(questions: Iterable[Question]) -> list[Group]:
    """All questions in the groups that save the most tokens; one that shares nothing is alone.

    The last token of a request is never shared: a row must read a token to predict the next.
    """
    ordered = sorted(questions, key=lambda question: question.ids)
    parts = [_alone(question) for question in ordered]
    shared = [_n_common(one.ids, other.ids) for one, other in pairwise(ordered)]
    # Each part is known at both of its ends. Longest beginnings are joined first, so the beginning
    # that two parts share is always that of the two neighbours where they meet.
    first, last = list(range(len(parts))), list(range(len(parts)))
    for at in sorted(range(len(shared)), key=lambda at: -shared[at]):
        start, stop = first[at], last[at + 1]
        parts[start] = parts[start].joined(parts[at + 1], shared[at])
        first[stop], last[start] = start, stop
    return list(parts[0].groups) if parts else []


def _alone(question: Question) -> _Part:
    alone = _Part((question,), (Group((question,), 0),), 0)
    return alone.at_best(len(question.ids) - 1)


def _n_common(one: Ids, other: Ids) -> int:
    """How many tokens both begin with, the last one of either left out."""
    low, high = 0, min(len(one), len(other)) - 1
    while low < high:
        middle = (low + high + 1) // 2
        if one[:middle] == other[:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _all_cut(groups: Sequence[Group], n_tokens: int) -> list[Group]:
    return [part for group in groups for part in _cut(group, n_tokens)]


def _cut(group: Group, n_tokens: int) -> list[Group]:
    """The group in groups that read about `n_tokens` each beside the beginning, or one question."""
    parts: list[list[Question]] = []
    n_left = 0
    for question in group.questions:
        if not parts or group.n_new(question) > n_left:
            parts.append([])
            n_left = n_tokens
        parts[-1].append(question)
        n_left -= group.n_new(question)
    return [Group(tuple(part), group.n_shared) for part in parts]


def _order(group: Group) -> tuple[int, int]:
    """Those that fit into the same passes stand together."""
    return group.n_shared, len(group.questions[0].ids)
