"""PenaltySpec on length and on evasiveness, as reward functions of TRL.

Each is 0 or below, to be added to the other rewards. With weight 0 it changes nothing and is still
logged, as `rewards/length_penalty/mean` and `rewards/evasiveness_penalty/mean`.

Example:
    functions, weights = with_penalties([reward], evasiveness=0.5)
    RewardRecorder().columns(functions, weights)  # for TRL's `reward_funcs`
"""

from collections.abc import Callable, Sequence

from cai.errors import UsageError
from cai.methods.revision_flags import is_evasive
from cai.training.rewards.batch import Text, text_of

Penalty = Callable[..., list[float]]


def make_length_penalty(free: int = 256, per_token: float = 0.01, most: float = 1.0) -> Penalty:
    """A reward function: −`per_token` for each token above `free`, and never below −`most`.

    Raises:
        UsageError: A number is negative.
    """
    for name, value in (("free", free), ("per_token", per_token), ("most", most)):
        if value < 0:
            raise UsageError(f"The length penalty's {name} is {value}. Give a number from 0 up.")

    def length_penalty(
        *, completion_ids: Sequence[Sequence[int]], **_others: object
    ) -> list[float]:
        return [-min(most, per_token * max(0, len(ids) - free)) for ids in completion_ids]

    return length_penalty


def evasiveness_penalty(*, completions: Sequence[Text], **_others: object) -> list[float]:
    """−1 for a stock refusal without reason or alternative, and for an empty response, else 0."""
    texts = [text_of(completion) for completion in completions]
    # an empty response is the cheapest evasion, and no pattern of a refusal matches it
    return [-1.0 if is_evasive(text) or not text.strip() else 0.0 for text in texts]


def with_penalties(
    rewards: Sequence[object],
    weights: Sequence[float] | None = None,
    *,
    length: tuple[float, Penalty] | None = None,
    evasiveness: float = 0.0,
) -> tuple[list[object], list[float]]:
    """The rewards with both penalties after them, and the weights of all, for TRL's settings.

    The length penalty comes as weight and function; without one it is the default's, with weight 0.
    """
    length_weight, length_penalty = length or (0.0, make_length_penalty())
    functions = [*rewards, length_penalty, evasiveness_penalty]
    return functions, [*(weights or [1.0] * len(rewards)), length_weight, evasiveness]
