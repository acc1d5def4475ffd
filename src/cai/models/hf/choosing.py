"""How probable each of some given answers is as what the model writes next."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from cai.errors import ModelError
from cai.models.hf.batching import grouped
from cai.models.hf.network import Network
from cai.models.protocol import Choice, Usage

_Ids = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """A request and the options that may follow it, in token ids."""

    ids: _Ids
    options: tuple[_Ids, ...]

    def __post_init__(self) -> None:
        if not self.options or not all(self.options):
            raise ModelError("A choice needs options, and none may be empty. Give their texts.")

    @property
    def n_tokens(self) -> int:
        return len(self.ids) + sum(len(option) for option in self.options)

    @property
    def n_at_most(self) -> int:
        return len(self.ids) + max(len(option) for option in self.options)


@dataclass(frozen=True, slots=True)
class _Term:
    """The log-probability of one option token; `back` counts from the end of its row."""

    question: int
    option: int
    back: int
    token: int


def answer(network: Network, questions: Sequence[Question]) -> list[Choice]:
    """The choice of each question: sums of log-probabilities of each option's tokens, normalised.

    Options of one token share the pass of their request.
    """
    sums = [[0.0] * len(question.options) for question in questions]
    terms = _terms(questions)
    for rows in grouped(list(terms), len):
        for term, value in _values(network, [(row, terms[row]) for row in rows]):
            sums[term.question][term.option] += value
    return [
        Choice.normalised(logprobs, Usage(len(question.ids)))
        for question, logprobs in zip(questions, sums, strict=True)
    ]


def _terms(questions: Sequence[Question]) -> dict[_Ids, list[_Term]]:
    """Every option token, under the row that predicts it: the request and the option's start."""
    terms: dict[_Ids, list[_Term]] = defaultdict(list)
    for number, question in enumerate(questions):
        for index, option in enumerate(question.options):
            terms[question.ids + option[:-1]] += [
                _Term(number, index, len(option) - 1 - place, token)
                for place, token in enumerate(option)
            ]
    return terms


def _values(
    network: Network, rows: Sequence[tuple[_Ids, list[_Term]]]
) -> list[tuple[_Term, float]]:
    last = 1 + max(term.back for _, terms in rows for term in terms)
    logits = network.score([list(row) for row, _ in rows], last).float()
    places = [(number, term) for number, (_, terms) in enumerate(rows) for term in terms]
    at = torch.tensor([(number, last - 1 - term.back, term.token) for number, term in places])
    row, place, token = at.to(logits.device).unbind(1)
    values = logits[row, place, token] - logits.logsumexp(2)[row, place]
    return [(term, value) for (_, term), value in zip(places, _as_list(values), strict=True)]


def _as_list(values: Tensor) -> list[float]:
    return cast(list[float], values.tolist())  # pyright: ignore[reportUnknownMemberType]
