"""Metrics of a batch of responses from its texts alone: length, diversity, boilerplate, refusals.

Distinct-n is that of Li et al. 2016, arXiv:1510.03055, §5. Like every share of distinct things it
falls with the size of the batch: compare batches of one size only.

Example:
    >>> batch = ResponseBatch(["p", "q"], ["To be or not", "To be sure"])
    >>> text_figures(batch)["distinct_1"]  # 5 distinct of 7 words
    0.7142857142857143
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import sqrt

import numpy as np

from cai.errors import UsageError
from cai.evaluation.stats.bootstrap import Estimate, share_estimate
from cai.evaluation.stats.calibration import spearman
from cai.methods.revision_flags import is_evasive, is_refusal

# The kind of all prompts together.
ALL = "all"

# A sentence is stock where more than this share of the responses to other prompts holds it.
STOCK_SHARE = 0.3

SHORTEST_STOCK = 4
"""Words; shorter sentences ("Happy to help.") are shared by good answers too."""

_WORD = re.compile(r"[\w'’]+")
_SENTENCE_END = re.compile(r"[.!?\n]+")


@dataclass(frozen=True, slots=True)
class ResponseBatch:
    """Responses of one policy, each with its prompt; a column that is unknown is None.

    Prompts may repeat: responses to the same prompt are never compared with each other. A reward
    is None where nothing scored the response.

    Raises:
        UsageError: A column has another length than the responses.
    """

    prompts: Sequence[str]
    responses: Sequence[str]
    rewards: Sequence[float | None] | None = None
    n_tokens: Sequence[int] | None = None
    cut_off: Sequence[bool] | None = None

    def __post_init__(self) -> None:
        for name in ("prompts", "rewards", "n_tokens", "cut_off"):
            values = getattr(self, name)
            if values is not None and len(values) != len(self.responses):
                raise UsageError(
                    f"Batch: {len(self.responses)} responses with {len(values)} {name}. "
                    "Give one for each response."
                )


@dataclass(frozen=True, slots=True)
class Conduct:
    """The metrics of the responses to the prompts of one kind.

    `kind` is `all`, or the given kind of the prompts, such as `harmful` or `benign`; on benign
    prompts `refusals` are over-refusals. `figures` are those of `text_figures`; `shares` are the
    shares of responses among them, with 95 % intervals by prompt.
    """

    kind: str
    n: int
    figures: Mapping[str, float]
    shares: Mapping[str, Estimate]


def text_figures(batch: ResponseBatch) -> dict[str, float]:
    """The metrics of a batch by name; those that it does not determine are left out."""
    if not batch.responses:
        return {}
    texts = [_words(text) for text in batch.responses]
    found: dict[str, float | None] = {
        "length": _mean(len(words) for words in texts),
        "tokens": None if batch.n_tokens is None else _mean(batch.n_tokens),
        "empty": _mean(not words for words in texts),
        "cut_off": None if batch.cut_off is None else _mean(batch.cut_off),
        "distinct_1": distinct(texts, 1),
        "distinct_2": distinct(texts, 2),
        "distinct_3": distinct(texts, 3),
        "self_similarity": self_similarity(batch.prompts, texts),
        "boilerplate": boilerplate(batch.prompts, batch.responses),
        "refusals": _mean(is_refusal(text) for text in batch.responses),
        "evasive": _mean(is_evasive(text) for text in batch.responses),
    }
    lengths = batch.n_tokens or [len(words) for words in texts]
    scored = [
        (reward, length)
        for reward, length in zip(batch.rewards or [None] * len(texts), lengths, strict=True)
        if reward is not None and reward == reward  # a nan stands for a failed scorer
    ]
    if scored:
        rewards, scored_lengths = np.array(scored, dtype=np.float64).T
        found["reward"] = float(rewards.mean())
        found["reward_std"] = float(rewards.std())
        found["reward_length_correlation"] = spearman(rewards, scored_lengths)
    return {name: value for name, value in found.items() if value is not None}


def distinct(texts: Sequence[Sequence[str]], n: int) -> float | None:
    """Distinct n-grams over all n-grams of the texts, in (0, 1]; None where there is none."""
    # Over the n-grams of the batch, where the paper divides by its words, so that a batch without
    # any repetition has 1 for every n.
    grams = list(chain.from_iterable(_grams(words, n) for words in texts))
    return len(set(grams)) / len(grams) if grams else None


def self_similarity(prompts: Sequence[str], texts: Sequence[Sequence[str]]) -> float | None:
    """Mean cosine between the word-pair counts of responses to different prompts, in [0, 1].

    None where no two prompts have a response of two words.
    """
    # Going over all pairs would be quadratic in the batch. For unit vectors u, the sum of u·v over
    # all ordered pairs is |Σ u|²; the pairs of one prompt are subtracted the same way.
    together: dict[tuple[str, ...], float] = defaultdict(float)
    by_prompt: dict[str, dict[tuple[str, ...], float]] = {}
    counts: Counter[str] = Counter()
    for prompt, words in zip(prompts, texts, strict=True):
        pairs = Counter(_grams(words, 2))
        if not pairs:
            continue
        counts[prompt] += 1
        own = by_prompt.setdefault(prompt, defaultdict(float))
        norm = sqrt(sum(count * count for count in pairs.values()))
        for pair, count in pairs.items():
            together[pair] += count / norm
            own[pair] += count / norm
    n_pairs = counts.total() ** 2 - sum(count * count for count in counts.values())
    if n_pairs == 0:
        return None
    within = sum(_square(own) for own in by_prompt.values())
    return max(0.0, _square(together) - within) / n_pairs


def boilerplate(prompts: Sequence[str], responses: Sequence[str]) -> float | None:
    """Share of responses with a stock sentence, in [0, 1]; None for fewer than two prompts."""
    flags = has_stock_sentence(prompts, responses)
    return None if flags is None else _mean(flags)


def has_stock_sentence(prompts: Sequence[str], responses: Sequence[str]) -> list[bool] | None:
    """Whether each response has a stock sentence; None for fewer than two prompts.

    A sentence of at least four words is stock, for a response, where at least two responses to
    other prompts have it too, and more than 30 % of them do. There is no list of phrases.
    """
    sizes = Counter(prompts)
    if len(sizes) < 2:
        return None
    # A set a response: a sentence that it repeats counts once.
    sentences = [
        {
            tuple(words)
            for part in _SENTENCE_END.split(text)
            if len(words := _words(part)) >= SHORTEST_STOCK
        }
        for text in responses
    ]
    everywhere = Counter(chain.from_iterable(sentences))
    by_prompt: dict[str, Counter[tuple[str, ...]]] = defaultdict(Counter)
    for prompt, own in zip(prompts, sentences, strict=True):
        by_prompt[prompt].update(own)

    # Other prompts only: responses to the same prompt share sentences for good reasons.
    def is_stock(sentence: tuple[str, ...], prompt: str) -> bool:
        elsewhere = everywhere[sentence] - by_prompt[prompt][sentence]
        return elsewhere > max(1, STOCK_SHARE * (len(responses) - sizes[prompt]))

    return [
        any(is_stock(sentence, prompt) for sentence in own)
        for prompt, own in zip(prompts, sentences, strict=True)
    ]


def conduct(
    kind: str,
    units: Sequence[int],
    responses: Sequence[str],
    cut_off: Sequence[bool] | None,
    seed: int,
) -> Conduct:
    """The metrics of responses; those with the same unit answer the same prompt."""
    prompts = [str(unit) for unit in units]
    batch = ResponseBatch(prompts, responses, cut_off=cut_off)
    flags = {
        "refusals": [is_refusal(text) for text in responses],
        "evasive": [is_evasive(text) for text in responses],
        "boilerplate": has_stock_sentence(prompts, responses),
        "empty": [not text.strip() for text in responses],
    }
    ones, clusters = np.ones(len(responses)), np.array(units, np.int64)
    shares = {
        name: share
        for name, each in flags.items()
        if each is not None
        and (share := share_estimate(np.array(each, np.float64), ones, clusters, seed))
    }
    return Conduct(kind, len(responses), text_figures(batch), shares)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _grams(words: Sequence[str], n: int) -> Iterable[tuple[str, ...]]:
    return zip(*(words[start:] for start in range(n)), strict=False)


def _square(vector: dict[tuple[str, ...], float]) -> float:
    return sum(value * value for value in vector.values())


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return sum(numbers) / len(numbers)
