"""The rules over the figures of a training: see `cai.evaluation.rules`."""

from cai.evaluation import rules
from cai.evaluation.rules import Rule, Vocabulary
from cai.training.watching.metrics import METRICS

VOCABULARY = Vocabulary(METRICS)


def parse_rule(text: str) -> Rule:
    """The rule of a training that a text says. Raises UsageError, as `cai.evaluation.rules`."""
    return rules.parse_rule(text, VOCABULARY)


DEFAULT_RULES: tuple[Rule, ...] = tuple(
    parse_rule(text)
    for text in (
        "length > 2*start for 3",
        "length < 0.5*start for 3",
        "empty > 0.1",
        "cut_off > 0.5 for 3",
        "distinct_2 < 0.5*start",
        "self_similarity > start+0.2",
        "boilerplate > start+0.3",
        "refusals > start+0.3",
        "evasive > 0.3",
        "reward_length_correlation > 0.8 for 3",
        "kl > 30",
        "kl_start > 30",
        "entropy < 0.25*start for 3",
    )
)
"""Only warnings: what is wrong in one run is the aim of another."""
