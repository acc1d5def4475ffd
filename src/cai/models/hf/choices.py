"""Log-probabilities of given options as the next text of a local model.

All options of a request are read in passes that share its tokens: an option of one token costs
nothing beyond the request, a longer one a row of its own after the cached request.

The last digits of a log-probability depend on what else is in the pass. So in float32 they are
rounded, and one that the rest of the pass could round either way is read again from the request
alone: a choice has the same bits whatever else is in flight.

Example:
    request = ChoiceRequest(tuple(ids), speller.spell(("A", "B")))
    batches = split_into_batches([request], PREFILL_TOKENS)
    found = answer(network, PrefixCache(0), batches[0], PREFILL_TOKENS)
    rounded(network, found)[request].logprobs
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from cai.errors import ModelError
from cai.models.base import Choice, Usage, mass_of
from cai.models.hf.forward import Network
from cai.models.hf.kv_cache import Prefix, prefix_of
from cai.models.hf.prefix_cache import (
    SHORT,
    ChoiceRequest,
    PrefixCache,
    PrefixGroup,
    grouped,
    read,
)

STEP = 2e-3  # of log-odds in nats: a probability moves by 0.00025 at most
# How far log-odds may move with the shape of the pass; by 1e-5 in the embedded model.
MARGIN = 2e-5


@dataclass(frozen=True, slots=True)
class _Row:
    """A request with one of the rows of its options, and its cached prefix."""

    question: ChoiceRequest
    number: int
    prefix: Prefix | None

    @property
    def ids(self) -> list[int]:
        return [*self.question.ids, *self.question.options.rows[self.number]]

    @property
    def n_cached(self) -> int:
        return self.prefix.n_tokens if self.prefix else 0

    @property
    def n_new(self) -> int:
        return len(self.ids) - self.n_cached

    @property
    def n_read(self) -> int:
        """After how many tokens at its end the prediction is read."""
        return 1 + len(self.question.options.rows[self.number])


def answer(
    network: Network, cache: PrefixCache, groups: Sequence[PrefixGroup], n_tokens: int
) -> dict[ChoiceRequest, Choice | ModelError]:
    """The choice of each request, or why it has none.

    A pass takes at most `n_tokens`, or one row. Shared prefixes are stored in the cache.
    """
    values = _values(_passes(network, cache, groups, n_tokens))
    return {question: _choice(question, found) for question, found in values.items()}


def rounded(
    network: Network, choices: Mapping[ChoiceRequest, Choice | ModelError]
) -> dict[ChoiceRequest, Choice | ModelError]:
    """The choices as functions of their requests only, bit for bit where the network is exact.

    Their log-odds are rounded to `STEP`. Where a change by `MARGIN` could round one to another
    step, the request is read again in passes of its own.
    """
    if not network.is_exact:
        return dict(choices)
    found: dict[ChoiceRequest, Choice | ModelError] = {}
    for question, choice in choices.items():
        if isinstance(choice, Choice) and _is_unsure(choice):
            (values,) = _values(_passes_alone(network, question)).values()
            choice = _choice(question, values)
        found[question] = _rounded(choice) if isinstance(choice, Choice) else choice
    return found


def _values(passes: Iterable[tuple[list[_Row], Tensor]]) -> dict[ChoiceRequest, list[float]]:
    """The log-probability of each step of each request's options."""
    values: dict[ChoiceRequest, list[float]] = {}
    for rows, logits in passes:
        logits = logits.float()  # log-sum-exp over a vocabulary needs more than bfloat16
        n_read = logits.shape[1]
        for row in rows:
            values.setdefault(row.question, [math.nan] * len(row.question.options.steps))
        found = [
            (values[row.question], step, (index, n_read - 1 - each.from_end, each.token))
            for index, row in enumerate(rows)
            for step, each in enumerate(row.question.options.steps)
            if each.row == row.number
        ]
        # One transfer for the whole pass: reading single logits off a GPU would wait at each.
        at = torch.tensor([place for _, _, place in found]).to(logits.device)
        row, column, token = at.unbind(1)
        tensor = logits[row, column, token] - logits.logsumexp(2)[row, column]
        logprobs = cast(list[float], tensor.tolist())  # pyright: ignore[reportUnknownMemberType]
        for (of, step, _), logprob in zip(found, logprobs, strict=True):
            of[step] = logprob
    return values


def _passes_alone(network: Network, question: ChoiceRequest) -> Iterator[tuple[list[_Row], Tensor]]:
    """Each row of the request in a pass of its own, which is a function of its tokens only."""
    for number in range(question.n_rows):
        row = _Row(question, number, None)
        yield [row], network.score([row.ids], row.n_read)


def _passes(
    network: Network, cache: PrefixCache, groups: Sequence[PrefixGroup], n_tokens: int
) -> Iterator[tuple[list[_Row], Tensor]]:
    """Rows that were read together, and the logits after their ends."""
    single = [
        row
        for group in groups
        if not group.n_shared
        for row in _rows(group, cache.longest(group.questions[0].ids))
    ]
    # apart: one row without a prefix would keep a whole pass from starting after the cached tokens
    uncached = [row for row in single if not row.prefix]
    for rows in grouped(uncached, lambda row: row.n_new, n_tokens):
        yield rows, network.score([row.ids for row in rows], max(row.n_read for row in rows))
    yield from _after_prefixes(network, [row for row in single if row.prefix], n_tokens)
    sharing = [group for group in groups if group.n_shared]
    shared = [list(group.shared) for group in sharing]
    for numbers, (_, layers) in read(network, cache, shared, n_tokens):
        rows: list[_Row] = []
        for at, group in enumerate(sharing[number] for number in numbers):
            prefix = prefix_of(layers, at, group.n_shared)
            cache.store(group.shared, prefix.copied)  # a view would keep the whole pass in memory
            rows += _rows(group, prefix)
        yield from _after_prefixes(network, rows, n_tokens)


def _after_prefixes(
    network: Network, rows: Sequence[_Row], n_tokens: int
) -> Iterator[tuple[list[_Row], Tensor]]:
    n_cached = max((row.n_cached for row in rows), default=0)
    for together in grouped(rows, lambda row: max(row.n_new, SHORT), n_tokens, n_cached):
        prefixes = [row.prefix for row in together if row.prefix]
        ids, n_read = [row.ids for row in together], max(row.n_read for row in together)
        yield together, network.score_after(prefixes, ids, n_read)


def _rows(group: PrefixGroup, prefix: Prefix | None) -> list[_Row]:
    return [
        _Row(question, number, prefix)
        for question in group.questions
        for number in range(question.n_rows)
    ]


def _choice(question: ChoiceRequest, values: Sequence[float]) -> Choice | ModelError:
    if any(map(math.isnan, values)):
        return ModelError(
            "The model's logits after this request are not numbers. Its weights may be damaged, or "
            "its dtype too narrow: load it with dtype float32."
        )
    # unlike nan, -inf is a value: an option that cannot come next
    logprobs = question.options.logprobs(values)
    try:
        return Choice.normalised(logprobs, Usage(len(question.ids)), mass_of(logprobs))
    except ModelError as error:
        return error


def _is_unsure(choice: Choice) -> bool:
    """Whether a change by `MARGIN` of one of its numbers could round it to another step."""
    steps = [each / STEP for each in _log_odds(choice) if math.isfinite(each)]
    return any(abs(each - math.floor(each) - 0.5) < MARGIN / STEP for each in steps)


def _rounded(choice: Choice) -> Choice:
    *odds, mass = [
        round(each / STEP) * STEP if math.isfinite(each) else each for each in _log_odds(choice)
    ]
    is_known = choice.mass is not None
    return Choice.normalised(odds, choice.usage, min(math.exp(mass), 1.0) if is_known else None)


def _log_odds(choice: Choice) -> list[float]:
    """Those of each option against the most probable, and the logarithm of the mass."""
    top = max(choice.logprobs)
    mass = math.log(choice.mass) if choice.mass else -math.inf
    return [*(each - top for each in choice.logprobs), mass]
