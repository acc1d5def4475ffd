"""What a batch of responses looks like, from its texts alone: length, variety, stock phrases.

Distinct-n is that of Li et al. 2016, arXiv:1510.03055, §5, but over the n-grams of the batch where
they divide by its words, so that a batch without any repetition has 1 for every n. Like every share
of distinct things it falls with the size of the batch: compare batches of one size only.

What a policy's responses look like on prompts of one kind, by their texts alone.
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

STOCK_SHARE = 0.3
"""A sentence is stock where more than this share of the responses to other prompts holds it."""

SHORTEST_STOCK = 4
"""Words; shorter sentences ("Happy to help.") are shared by good answers too."""

_WORD = re.compile(r"[\w'’]+")
_SENTENCE_END = re.compile(r"[.!?\n]+")


@dataclass(frozen=True, slots=True)
class ResponseBatch:
    """Responses of the policy, one a place; what is not known of any is None as a whole.

    A prompt may come more than once: responses to the same prompt are never compared with each
    other. A reward is None where nothing scored the response.
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


def text_figures(batch: ResponseBatch) -> dict[str, float]:
    """The figures of a batch by metric; those that its texts do not determine are left out."""
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
        **_reward_figures(batch, texts),
    }
    return {name: value for name, value in found.items() if value is not None}


def distinct(texts: Sequence[Sequence[str]], n: int) -> float | None:
    """Distinct n-grams over all n-grams of the texts, in (0, 1]; None where there is none."""
    grams = list(chain.from_iterable(_grams(words, n) for words in texts))
    return len(set(grams)) / len(grams) if grams else None


def self_similarity(prompts: Sequence[str], texts: Sequence[Sequence[str]]) -> float | None:
    """Mean cosine between the word-pair counts of responses to different prompts, in [0, 1].

    None where no two prompts have a response of two words. The mean over all pairs is had without
    going over them: for unit vectors u, the sum of u·v over pairs is |Σ u|², less that of each
    prompt.
    """
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
    """Share of responses that hold a stock sentence, in [0, 1]; None where there is one prompt."""
    found = hold_stock(prompts, responses)
    return None if found is None else _mean(found)


def hold_stock(prompts: Sequence[str], responses: Sequence[str]) -> list[bool] | None:
    """Whether each response holds a stock sentence; None where there is one prompt.

    No list of phrases: a sentence of at least four words is stock, for a response, where at least
    two responses to other prompts hold it too, and more than 30 % of them all do.
    """
    sizes = Counter(prompts)
    if len(sizes) < 2:
        return None
    sentences = [_sentences(text) for text in responses]
    everywhere = Counter(chain.from_iterable(sentences))
    by_prompt: dict[str, Counter[tuple[str, ...]]] = defaultdict(Counter)
    for prompt, own in zip(prompts, sentences, strict=True):
        by_prompt[prompt].update(own)

    def is_stock(sentence: tuple[str, ...], prompt: str) -> bool:
        elsewhere = everywhere[sentence] - by_prompt[prompt][sentence]
        return elsewhere > max(1, STOCK_SHARE * (len(responses) - sizes[prompt]))

    return [
        any(is_stock(sentence, prompt) for sentence in own)
        for prompt, own in zip(prompts, sentences, strict=True)
    ]


def _reward_figures(
    batch: ResponseBatch, texts: Sequence[Sequence[str]]
) -> dict[str, float | None]:
    if batch.rewards is None:
        return {}
    lengths = batch.n_tokens or [len(words) for words in texts]
    scored = [
        (reward, length)
        for reward, length in zip(batch.rewards, lengths, strict=True)
        if reward is not None and reward == reward
    ]
    if not scored:
        return {}
    rewards, kept = np.array(scored, dtype=np.float64).T
    return {
        "reward": float(rewards.mean()),
        "reward_std": float(rewards.std()),
        "reward_length_correlation": spearman(rewards, kept),
    }


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _grams(words: Sequence[str], n: int) -> Iterable[tuple[str, ...]]:
    return zip(*(words[start:] for start in range(n)), strict=False)


def _sentences(text: str) -> set[tuple[str, ...]]:
    found = (tuple(_words(part)) for part in _SENTENCE_END.split(text))
    return {words for words in found if len(words) >= SHORTEST_STOCK}


def _square(vector: dict[tuple[str, ...], float]) -> float:
    return sum(value * value for value in vector.values())


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return sum(numbers) / len(numbers)


ALL = "all"
"""The kind of all prompts together."""


@dataclass(frozen=True, slots=True)
class Conduct:
    """The responses to the prompts of one kind.

    `kind` is `all`, or what was said of the prompts, such as `harmful` and `benign`. `figures` are
    those of this module by name; `shares` are the shares of responses among them, with 95 %
    intervals by prompt. Of benign prompts `refusals` are over-refusals.
    """

    kind: str
    n: int
    figures: Mapping[str, float]
    shares: Mapping[str, Estimate]


def conduct(
    kind: str,
    units: Sequence[int],
    responses: Sequence[str],
    cut_off: Sequence[bool] | None,
    seed: int,
) -> Conduct:
    """The conduct of responses, of which those with the same unit answer the same prompt."""
    prompts = [str(unit) for unit in units]
    batch = ResponseBatch(prompts, responses, cut_off=cut_off)
    flags = {
        "refusals": [is_refusal(text) for text in responses],
        "evasive": [is_evasive(text) for text in responses],
        "boilerplate": hold_stock(prompts, responses),
        "empty": [not text.strip() for text in responses],
    }
    places = np.array(units, np.int64)
    shares = {
        name: share_estimate(np.array(found, np.float64), np.ones(len(found)), places, seed)
        for name, found in flags.items()
        if found is not None
    }
    return Conduct(
        kind,
        len(responses),
        text_figures(batch),
        {name: share for name, share in shares.items() if share is not None},
    )
