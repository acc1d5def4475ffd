"""The temperature at which a judge's probabilities agree best with labels of people.

Temperature scaling, Guo et al. 2017, arXiv:1706.04599, §4.2: one number T for all pairs, and
σ(logit(p) / T) in place of p. It changes no verdict, only how sure the judge is.
"""

from collections.abc import Sequence
from math import exp, log

from cai.errors import EvaluationError

LOWEST, HIGHEST = 0.02, 50.0
_EDGE = 1e-6
_ROUNDS = 80


def fit_temperature(p_a: Sequence[float], is_a: Sequence[bool]) -> float:
    """The T in [0.02, 50] of the least cross-entropy against the labels.

    `p_a` are probabilities that response A is better, `is_a` whether people say so. Found by golden
    section: the loss is convex in 1/T.

    Raises:
        EvaluationError: There are no pairs, or no probability that differs from one half.
    """
    logits = [_logit(p) for p in p_a]
    if not any(abs(logit) > _EDGE for logit in logits):
        raise EvaluationError(
            "No temperature can be fitted: there is no pair on which the judge favours a side. "
            "Give labelled pairs that it can tell apart."
        )

    def loss(inverse: float) -> float:
        return sum(
            _softplus(-inverse * logit if right else inverse * logit)
            for logit, right in zip(logits, is_a, strict=True)
        )

    low, high = 1 / HIGHEST, 1 / LOWEST
    golden = (5**0.5 - 1) / 2
    for _ in range(_ROUNDS):
        left, right = high - golden * (high - low), low + golden * (high - low)
        if loss(left) <= loss(right):
            high = right
        else:
            low = left
    return 2 / (low + high)


def tempered(probability: float, temperature: float) -> float:
    """σ(logit(p) / T) in [0, 1]; certainties stay what they are."""
    if temperature == 1 or probability in (0.0, 1.0):
        return probability
    return logistic(log(probability / (1 - probability)) / temperature)


def logistic(logit: float) -> float:
    """1 / (1 + exp(−x)) in [0, 1], for any x."""
    return 1 / (1 + exp(-logit)) if logit >= 0 else exp(logit) / (1 + exp(logit))


def _logit(p: float) -> float:
    bounded = min(max(p, _EDGE), 1 - _EDGE)
    return log(bounded / (1 - bounded))


def _softplus(x: float) -> float:
    """log(1 + exp(x))."""
    return max(x, 0.0) + log(1 + exp(-abs(x)))
