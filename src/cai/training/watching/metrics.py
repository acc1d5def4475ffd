"""The names of all figures that are watched, and where those of the trainer come from."""

from collections.abc import Mapping

from cai.evaluation.text_figures import TEXT_METRICS

Figures = dict[str, float]
"""Values by metric; a figure that could not be measured is not in it."""

METRICS: Mapping[str, str] = {
    **TEXT_METRICS,
    "reward": "reward, mean",
    "reward_std": "reward, standard deviation",
    "reward_length_correlation": "Spearman's correlation of reward and length",
    "kl": "KL divergence of the policy from the reference, nats a response",
    "kl_start": "KL divergence of the start from the policy, nats a response of the start",
    "entropy": "entropy of the policy, nats a token",
}
"""What each metric is; these are the names that rules know."""

_AS_LOGGED = {
    "entropy": "entropy",
    "reward": "reward",
    "reward_std": "reward_std",
    "cut_off": "completions/clipped_ratio",
}

OF_REWARDS = ("reward", "reward_std")


def trainer_figures(logs: Mapping[str, object]) -> Figures:
    """The metrics among the numbers that a trainer of TRL logs at a step.

    GRPO and RLOO log the KL divergence as a mean over tokens; times the mean length in tokens it is
    in nats a response, which does not fall when a policy hides its drift in longer answers.
    """
    numbers = {name: float(value) for name, value in logs.items() if isinstance(value, int | float)}
    figures = {ours: numbers[theirs] for ours, theirs in _AS_LOGGED.items() if theirs in numbers}
    if "kl" in numbers and "completions/mean_length" in numbers:
        figures["kl"] = numbers["kl"] * numbers["completions/mean_length"]
    return {name: value for name, value in figures.items() if value == value}
