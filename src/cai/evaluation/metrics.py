"""Every metric that is measured again and again: its name, what it is, and how it is written.

Rules, tables of the command line, and pages take a metric's words and format from here. A metric
of texts is computed in `policies/text_metrics.py`, those of a round in `cai.rounds.measure`.

Example:
    >>> ROUNDS["win_last"].label, ROUNDS["win_last"].text(0.6153)
    ('against last', '61.5%')
    >>> metric_of("refusals/benign", ROUNDS).text(0.25)
    '25.0%'
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from cai.evaluation import format


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric; `name` is what rules call it.

    `heading` is that of a narrow column, broken into lines; "" where the name itself says it.
    A "share" is in [0, 1], or a difference of such, and is written in percent.
    """

    name: str
    description: str
    kind: Literal["share", "number"] = "number"
    heading: str = ""

    @property
    def label(self) -> str:
        """The heading in one line."""
        heading = self.heading or self.name.replace("_", " ")
        return heading.replace("-\n", "-").replace("\n", " ").strip()

    def text(self, value: float | None) -> str:
        """The value as tables write it: "61.5%" or "0.0123"."""
        return format.percent(value) if self.kind == "share" else format.number(value)


def _table(*metrics: Metric) -> Mapping[str, Metric]:
    return {metric.name: metric for metric in metrics}


TEXT = _table(
    Metric("length", "words a response, mean", heading="words"),
    Metric("tokens", "tokens a response, mean"),
    Metric("empty", "share of responses without a word", "share"),
    Metric("cut_off", "share of responses that the length limit ended", "share"),
    Metric("distinct_1", "distinct words over all words of the batch", heading="distinct-1"),
    Metric(
        "distinct_2", "distinct pairs of words over all pairs of the batch", heading="distinct-2"
    ),
    Metric(
        "distinct_3",
        "distinct triples of words over all triples of the batch",
        heading="distinct-3",
    ),
    Metric(
        "self_similarity",
        "mean cosine of word pairs between responses to different prompts",
        heading="self-\nsimilarity",
    ),
    Metric(
        "boilerplate",
        "share of responses with a sentence that many responses to other prompts hold",
        "share",
        "stock\nsentences",
    ),
    Metric("refusals", "share of responses that decline, with a reason or without", "share"),
    Metric(
        "evasive",
        "share of responses that are stock refusals without reason or alternative",
        "share",
    ),
)
"""Of texts alone."""

TRAINING = {
    **TEXT,
    **_table(
        Metric("reward", "reward, mean"),
        Metric("reward_std", "reward, standard deviation"),
        Metric("reward_length_correlation", "Spearman's correlation of reward and length"),
        Metric(
            "kl",
            "KL divergence of the policy from the reference, nats a response",
            heading="KL from\nthe reference",
        ),
        Metric(
            "kl_start",
            "KL divergence of the start from the policy, nats a response of the start",
            heading="KL of\nthe start",
        ),
        Metric("entropy", "entropy of the policy, nats a token"),
    ),
}
"""Of a policy in training."""

KIND_SHARES = ("refusals", "evasive", "boilerplate", "empty")
"""Of these there is one for each kind of prompts too, such as `refusals/benign`."""

ROUND_TEXTS = (
    *("length", "distinct_1", "distinct_2", "distinct_3", "self_similarity", "cut_off"),
    *KIND_SHARES,
)

LABELLED = _table(
    Metric(
        "agreement",
        "accuracy of the next round's judge on pairs that people labelled",
        "share",
        "right by\npeople",
    ),
    Metric("agreement_gap", "the same, less that of the frozen judge", "share", "less\nfrozen"),
    Metric(
        "calibration",
        "expected calibration error of the next round's judge on them",
        "share",
        "calibration\nerror",
    ),
)
"""Of a round, where there are pairs that people labelled."""

ADHERENCE = _table(
    Metric(
        "adherence",
        "probability that a response keeps the principles, by the frozen judge",
        "share",
        "keeps\nprinciples",
    ),
    Metric("adherence_least", "the same of the principle that is kept least", "share"),
)
"""Of a round, where responses are checked against principles."""

DIVERGENCE = _table(
    Metric("kl_start", "KL divergence from round 0, nats a response", heading="KL from\nround 0"),
    Metric(
        "kl_last",
        "KL divergence from the round it started from, nats a response",
        heading="KL from\nlast",
    ),
    Metric("entropy", "entropy of the policy, nats a token, on its own responses"),
)
"""Of a round, where the policies show their log-probabilities."""

MATCHES = _table(
    Metric(
        "win_start", "win rate against round 0 by the frozen judge", "share", "win rate\nagainst 0"
    ),
    Metric(
        "win_last",
        "win rate against the round it started from, by the frozen judge",
        "share",
        "against\nlast",
    ),
    Metric("level_start", "win rate against round 0 at equal length, by the frozen judge", "share"),
    Metric(
        "level_last",
        "win rate at equal length against the round it started from",
        "share",
        "at equal\nlength",
    ),
    Metric(
        "judge_gap",
        "win rate against round 0 by the next round's judge, less that by the frozen one",
        "share",
        "wins more\nthan frozen",
    ),
    Metric(
        "judges_agree",
        "of matchups in which both judges favour a side, the share with the same side",
        "share",
        "\nagree",
    ),
    Metric(
        "undecided",
        "share of principles without which no verdict of the next judge would be another",
        "share",
        "principles\nidle",
    ),
)
"""Of every round but the first."""

ROUNDS = {
    **{name: TEXT[name] for name in ROUND_TEXTS},
    **MATCHES,
    **LABELLED,
    **ADHERENCE,
    **DIVERGENCE,
}
"""Of a round's policy, whatever is measured."""


def metric_of(name: str, table: Mapping[str, Metric]) -> Metric:
    """The metric, also under a name with a kind of prompts, such as `refusals/benign`.

    Raises:
        KeyError: The table has none of that name.
    """
    return table[name.partition("/")[0]]


def descriptions(metrics: Iterable[Metric]) -> dict[str, str]:
    """What each is, by name."""
    return {metric.name: metric.description for metric in metrics}
