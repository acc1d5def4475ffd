"""How far a policy is from earlier ones, token by token, on responses of its own.

KL(π ‖ π₀) is estimated as the mean over responses y of π of log π(y|x) − log π₀(y|x), in nats a
response; the entropy as the mean over their tokens of −log π. One response at temperature 1 to each
prompt, from a seed of its own.
"""

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import torch

from cai.errors import CaiError
from cai.evaluation.stats.bootstrap import Estimate, Floats, bootstrap_interval
from cai.models.hf.tokenizer import Tokenizer, encode_request
from cai.models.registry import parse_spec
from cai.training.base_model import StartModel, open_start_model
from cai.training.monitor.policy_samples import Sampled, eval_mode, log_probabilities, sample
from cai.types import Prompt


def divergences(
    policy: str,
    earlier: Mapping[str, str],
    prompts: Sequence[Prompt],
    max_tokens: int,
    seed: int,
) -> tuple[dict[str, Estimate], dict[str, str]]:
    """The entropy, and the divergence from each earlier policy, by the name it is given here.

    The second mapping says of what could not be measured why.
    """
    missing = ["entropy", *earlier]
    if parse_spec(policy).is_remote:
        return {}, dict.fromkeys(missing, f"{policy} is behind a server, which shows no tokens")
    try:
        own = open_start_model(policy, "language")
    except CaiError as error:
        return {}, dict.fromkeys(missing, str(error))
    samples = _samples(own, prompts, max_tokens, seed)
    logs = _logs(own, samples, seed)
    n_tokens = np.array([n for part in samples for n in part.n_tokens], np.float64)
    found = {"entropy": _mean(-logs, n_tokens, seed)}
    lost: dict[str, str] = {}
    opened: dict[str, Floats] = {policy: logs}
    for name, spec in earlier.items():
        if spec not in opened:
            others = _others(spec, own, samples, seed)
            if isinstance(others, str):
                lost[name] = others
                continue
            opened[spec] = others
        found[name] = _mean(logs - opened[spec], np.ones(len(logs)), seed)
    return found, lost


def _samples(
    policy: StartModel, prompts: Sequence[Prompt], max_tokens: int, seed: int
) -> list[Sampled]:
    tokenizer = cast(Tokenizer, policy.tokenizer)
    encoded = [encode_request(tokenizer, prompt.messages) for prompt in prompts]
    pad = policy.tokenizer.pad_token_id
    with eval_mode(policy.model, seed):
        return sample(policy.model, encoded, cast(int, pad), max_tokens)


def _logs(policy: StartModel, samples: Sequence[Sampled], seed: int) -> Floats:
    with eval_mode(policy.model, seed), torch.inference_mode():
        found = [each for part in samples for each in log_probabilities(policy.model, part)]
    return np.array(found, np.float64)


def _others(spec: str, own: StartModel, samples: Sequence[Sampled], seed: int) -> Floats | str:
    """The log-probabilities under another policy, or why there are none."""
    if parse_spec(spec).is_remote:
        return f"{spec} is behind a server, which shows no tokens"
    try:
        other = open_start_model(spec, "language")
    except CaiError as error:
        return str(error)
    if other.tokenizer.get_vocab() != own.tokenizer.get_vocab():
        return f"{spec} has other tokens than {own.spec}"
    return _logs(other, samples, seed)


def _mean(sums: Floats, weights: Floats, seed: int) -> Estimate:
    """The sum over the sum of the weights, with an interval over responses."""
    rows = np.column_stack((sums, weights))
    interval = bootstrap_interval(rows, lambda drawn: drawn[:, 0] / drawn[:, 1], seed)
    low, high = interval or (None, None)
    return Estimate(float(sums.sum() / weights.sum()), len(sums), low, high)
