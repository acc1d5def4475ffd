"""How probable each of some given options is as what the model writes next."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from cai.errors import ModelError
from cai.models.base import Choice, Usage, mass_of
from cai.models.hf.forward import Network
from cai.models.hf.kv_cache import Prefix, prefix_of
from cai.models.hf.prefix_cache import SHORT, Kept, PrefixGroup, PrefixQuestion, grouped, read


@dataclass(frozen=True, slots=True)
class _Row:
    """A question with one of the rows of its options, and what is known of its beginning."""

    question: PrefixQuestion
    number: int
    prefix: Prefix | None

    @property
    def ids(self) -> list[int]:
        return [*self.question.ids, *self.question.options.rows[self.number]]

    @property
    def n_known(self) -> int:
        return self.prefix.n_tokens if self.prefix else 0

    @property
    def n_new(self) -> int:
        return len(self.ids) - self.n_known

    @property
    def n_read(self) -> int:
        """After how many tokens at its end the prediction is read."""
        return 1 + len(self.question.options.rows[self.number])


def answer(
    network: Network, kept: Kept, groups: Sequence[PrefixGroup], n_tokens: int
) -> dict[PrefixQuestion, Choice | ModelError]:
    """The choice of each question, or why it has none.

    A pass takes at most `n_tokens`, or one row. What is shared is kept.
    """
    values = {
        question: [math.nan] * len(question.options.steps)
        for group in groups
        for question in group.questions
    }
    for rows, logits in _passes(network, kept, groups, n_tokens):
        _read(rows, logits, values)
    return {question: _choice(question, found) for question, found in values.items()}


def _passes(
    network: Network, kept: Kept, groups: Sequence[PrefixGroup], n_tokens: int
) -> Iterator[tuple[list[_Row], Tensor]]:
    """Rows that were read together, and the logits after their ends."""
    alone = [
        row
        for group in groups
        if not group.n_shared
        for row in _rows(group, kept.longest(group.questions[0].ids))
    ]
    for rows in grouped([row for row in alone if not row.prefix], lambda row: row.n_new, n_tokens):
        yield rows, network.score([row.ids for row in rows], _n_read(rows))
    yield from _after(network, [row for row in alone if row.prefix], n_tokens)
    sharing = [group for group in groups if group.n_shared]
    shared = [list(group.shared) for group in sharing]
    for numbers, (_, layers) in read(network, kept, shared, n_tokens):
        rows: list[_Row] = []
        for at, group in enumerate(sharing[number] for number in numbers):
            prefix = prefix_of(layers, at, group.n_shared)
            kept.keep(group.shared, prefix.copied)
            rows += _rows(group, prefix)
        yield from _after(network, rows, n_tokens)


def _after(
    network: Network, rows: Sequence[_Row], n_tokens: int
) -> Iterator[tuple[list[_Row], Tensor]]:
    n_cached = max((row.n_known for row in rows), default=0)
    for together in grouped(rows, lambda row: max(row.n_new, SHORT), n_tokens, n_cached):
        prefixes = [row.prefix for row in together if row.prefix]
        ids = [row.ids for row in together]
        yield together, network.score_after(prefixes, ids, _n_read(together))


def _rows(group: PrefixGroup, prefix: Prefix | None) -> list[_Row]:
    return [
        _Row(question, number, prefix)
        for question in group.questions
        for number in range(question.n_rows)
    ]


def _n_read(rows: Sequence[_Row]) -> int:
    return max(row.n_read for row in rows)


def _read(rows: Sequence[_Row], logits: Tensor, values: dict[PrefixQuestion, list[float]]) -> None:
    """Notes the log-probabilities of the tokens that these rows predict."""
    logits = logits.float()
    n_read = logits.shape[1]
    found = [
        (values[row.question], step, (index, n_read - 1 - each.order_ba, each.token))
        for index, row in enumerate(rows)
        for step, each in enumerate(row.question.options.steps)
        if each.row == row.number
    ]
    at = torch.tensor([place for _, _, place in found]).to(logits.device)
    row, column, token = at.unbind(1)
    logprobs = logits[row, column, token] - logits.logsumexp(2)[row, column]
    for (of, step, _), logprob in zip(found, _as_list(logprobs), strict=True):
        of[step] = logprob


def _choice(question: PrefixQuestion, values: Sequence[float]) -> Choice | ModelError:
    if any(map(math.isnan, values)):
        return ModelError(
            "The model's logits after this request are not numbers. Its weights may be damaged, or "
            "its dtype too narrow: load it with dtype float32."
        )
    logprobs = question.options.logprobs(values)
    try:
        return Choice.normalised(logprobs, Usage(len(question.ids)), mass_of(logprobs))
    except ModelError as error:
        return error


def _as_list(values: Tensor) -> list[float]:
    return cast(list[float], values.tolist())  # pyright: ignore[reportUnknownMemberType]
