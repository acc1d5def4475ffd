"""Which questions begin alike, so that their common beginning is read once for all of them.

One comparison under many principles is many questions about the same conversation and responses.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from cai.models.hf.kept import n_common
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


_Groups = tuple[Group, ...]


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
    """All questions in groups that save many tokens; one that shares too little is alone.

    The last token of a request is never shared: a row must read a token to predict the next.
    """
    ordered = sorted(questions, key=lambda question: question.ids)
    parts: dict[int, _Groups] = {at: _alone(question) for at, question in enumerate(ordered)}
    shared = [n_common(one.ids[:-1], other.ids[:-1]) for one, other in pairwise(ordered)]
    # Neighbours in the order of their tokens are joined, longest beginnings first, so that what two
    # parts share is what the two questions share where they meet. Each part is known at both ends.
    first, last = list(range(len(ordered))), list(range(len(ordered)))
    for at in sorted(range(len(shared)), key=lambda at: -shared[at]):
        if shared[at] < _LEAST_SHARED:
            break
        start, stop = first[at], last[at + 1]
        parts[start] = _joined((*parts[start], *parts.pop(at + 1)), shared[at])
        first[stop], last[start] = start, stop
    return [group for groups in parts.values() for group in groups]


def _alone(question: Question) -> _Groups:
    n_shared = len(question.ids) - 1
    is_shared = question.n_rows > 1 and n_shared >= _LEAST_SHARED
    return (Group((question,), n_shared if is_shared else 0),)


def _joined(groups: _Groups, n_shared: int) -> _Groups:
    """These groups, whose questions all share so much, in the way that saves most of three.

    They stay apart, or all become one, or those do that share no more than this among themselves.
    """
    deeper = tuple(group for group in groups if group.n_shared > n_shared)
    rest = tuple(group for group in groups if group.n_shared <= n_shared)
    ways = [groups, (_merged(groups, n_shared),)]
    if deeper and rest:
        ways.append((*deeper, _merged(rest, n_shared)))
    return max(ways, key=lambda way: sum(group.n_saved for group in way))


def _merged(groups: _Groups, n_shared: int) -> Group:
    return Group(tuple(each for group in groups for each in group.questions), n_shared)


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
