"""Every metric measured repeatedly: its name, description, and format.

Rules, tables of the command line, and reports use a metric's words and format from here. Metrics
of texts are computed in `policies/text_metrics.py`, those of a round in `cai.rounds.measure`.

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
    """One metric; `name` is its name in rules.

    `heading` is that of a narrow column, broken into lines; "" if the name will do.
    A "share" is in [0, 1], or a difference of such, and written in percent.
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


def _number(name: str, description: str, heading: str = "") -> Metric:
    return Metric(name, description, "number", heading)


def _share(name: str, description: str, heading: str = "") -> Metric:
    return Metric(name, description, "share", heading)


def _table(*metrics: Metric) -> dict[str, Metric]:
    return {metric.name: metric for metric in metrics}


# Of texts alone. The order of a table is that of its columns wherever it is shown.
TEXT = _table(
    _number("length", "words a response, mean", "words"),
    _number("tokens", "tokens a response, mean"),
    _share("empty", "share of responses without a word"),
    _share("cut_off", "share of responses that the length limit ended"),
    _number("distinct_1", "distinct words over all words of the batch", "distinct-1"),
    _number("distinct_2", "distinct pairs of words over all pairs of the batch", "distinct-2"),
    _number("distinct_3", "distinct triples of words over all triples of the batch", "distinct-3"),
    _number(
        "self_similarity",
        "mean cosine of word pairs between responses to different prompts",
        "self-\nsimilarity",
    ),
    _share(
        "boilerplate",
        "share of responses with a sentence that many responses to other prompts hold",
        "stock\nsentences",
    ),
    _share("refusals", "share of responses that decline, with a reason or without"),
    _share("evasive", "share of responses that are stock refusals without reason or alternative"),
)

# Of a policy in training.
TRAINING = TEXT | _table(
    _number("reward", "reward, mean"),
    _number("reward_std", "reward, standard deviation"),
    _number("reward_length_correlation", "Spearman's correlation of reward and length"),
    _number(
        "kl",
        "KL divergence of the policy from the reference, nats a response",
        "KL from\nthe reference",
    ),
    # In the other direction: on responses of the start, which shows what the policy unlearns.
    _number(
        "kl_start",
        "KL divergence of the start from the policy, nats a response of the start",
        "KL of\nthe start",
    ),
    _number("entropy", "entropy of the policy, nats a token"),
)

# These have one figure for each kind of prompts too, such as `refusals/benign`.
KIND_SHARES = ("refusals", "evasive", "boilerplate", "empty")

ROUND_TEXTS = (
    *("length", "distinct_1", "distinct_2", "distinct_3", "self_similarity", "cut_off"),
    *KIND_SHARES,
)

# Of every round but the first. Two judges measure it: the frozen one is the same in all rounds, the
# next round's judge is the policy itself or made from it, and drifts.
MATCHES = _table(
    _share("win_start", "win rate against round 0 by the frozen judge", "win rate\nagainst 0"),
    _share(
        "win_last",
        "win rate against the round it started from, by the frozen judge",
        "against\nlast",
    ),
    _share("level_start", "win rate against round 0 at equal length, by the frozen judge"),
    _share(
        "level_last",
        "win rate at equal length against the round it started from",
        "at equal\nlength",
    ),
    _share(
        "judge_gap",
        "win rate against round 0 by the next round's judge, less that by the frozen one",
        "wins more\nthan frozen",
    ),
    _share(
        "judges_agree",
        "of matchups in which both judges favour a side, the share with the same side",
        "\nagree",
    ),
    _share(
        "undecided",
        "share of principles without which no verdict of the next judge would be another",
        "principles\nidle",
    ),
)

# Of a round, if there are pairs that people labelled.
LABELLED = _table(
    _share(
        "agreement",
        "accuracy of the next round's judge on pairs that people labelled",
        "right by\npeople",
    ),
    _share("agreement_gap", "the same, less that of the frozen judge", "less\nfrozen"),
    _share(
        "calibration",
        "expected calibration error of the next round's judge on them",
        "calibration\nerror",
    ),
)

# Of a round, if responses are checked against principles.
ADHERENCE = _table(
    _share(
        "adherence",
        "probability that a response keeps the principles, by the frozen judge",
        "keeps\nprinciples",
    ),
    _share("adherence_least", "the same of the principle that is kept least"),
)

# Of a round, if the policies give log-probabilities.
DIVERGENCE = _table(
    _number("kl_start", "KL divergence from round 0, nats a response", "KL from\nround 0"),
    _number(
        "kl_last", "KL divergence from the round it started from, nats a response", "KL from\nlast"
    ),
    _number("entropy", "entropy of the policy, nats a token, on its own responses"),
)

# Of a round's policy, whatever is measured.
ROUNDS = {name: TEXT[name] for name in ROUND_TEXTS} | MATCHES | LABELLED | ADHERENCE | DIVERGENCE


def metric_of(name: str, table: Mapping[str, Metric]) -> Metric:
    """The metric, also under a name with a kind of prompts, such as `refusals/benign`.

    Raises:
        KeyError: The table has none of that name.
    """
    return table[name.partition("/")[0]]


def descriptions(metrics: Iterable[Metric]) -> dict[str, str]:
    """The descriptions by name."""
    return {metric.name: metric.description for metric in metrics}
