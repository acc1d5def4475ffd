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
from cai.evaluation.stats.bootstrap import Estimate, Floats, ratio_estimate
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
    own = _opened(policy)
    if isinstance(own, str):
        return {}, dict.fromkeys(["entropy", *earlier], own)
    encoded = [encode_request(cast(Tokenizer, own.tokenizer), each.messages) for each in prompts]
    with eval_mode(own.model, seed):
        samples = sample(own.model, encoded, cast(int, own.tokenizer.pad_token_id), max_tokens)
    logs = _logs(own, samples, seed)
    n_tokens = np.array([n for part in samples for n in part.n_tokens], np.float64)
    # One response to each prompt, so each is a unit of its own.
    units = np.arange(len(logs))
    # A token's mean, hence over tokens: the mean of each response's own mean would weigh the tokens
    # of a short response more.
    found = {"entropy": ratio_estimate(-logs, n_tokens, units, seed)}
    lost: dict[str, str] = {}
    # In round 1 the round before is round 0, and may be the policy itself: each is opened once.
    opened: dict[str, Floats] = {policy: logs}
    for name, spec in earlier.items():
        if spec not in opened:
            others = _others(spec, own, samples, seed)
            if isinstance(others, str):
                lost[name] = others
                continue
            opened[spec] = others
        found[name] = ratio_estimate(logs - opened[spec], np.ones(len(logs)), units, seed)
    return found, lost


def _logs(policy: StartModel, samples: Sequence[Sampled], seed: int) -> Floats:
    with eval_mode(policy.model, seed), torch.inference_mode():
        found = [each for part in samples for each in log_probabilities(policy.model, part)]
    return np.array(found, np.float64)


def _others(spec: str, own: StartModel, samples: Sequence[Sampled], seed: int) -> Floats | str:
    """The log-probabilities under another policy, or why there are none."""
    # In a function of its own: the model is dropped before the next one is loaded.
    other = _opened(spec)
    if isinstance(other, str):
        return other
    # Other tokens cut the response at other places, and a sum over them is of another sequence.
    if other.tokenizer.get_vocab() != own.tokenizer.get_vocab():
        return f"{spec} has other tokens than {own.spec}"
    return _logs(other, samples, seed)


def _opened(spec: str) -> StartModel | str:
    """The model, or why it gives no log-probabilities of tokens."""
    if parse_spec(spec).is_remote:
        return f"{spec} is behind a server, which shows no tokens"
    try:
        return open_start_model(spec, "language")
    except CaiError as error:
        return str(error)
