"""Responses of the policy under training to a fixed set of prompts, and their log-probabilities.

Everything random happens in a fork of the random state, from one seed: the training continues as if
nothing had been drawn, and two steps differ by their policies, not by their random numbers.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from transformers import GenerationConfig, PreTrainedModel

from cai.errors import TrainingError
from cai.models.hf.tokenizer import Tokenizer, decode

BATCH = 8  # prompts at a time: the logits of as many responses are in memory at once


@dataclass(frozen=True, slots=True)
class Sampled:
    """One batch of responses: prompts padded on the left, responses on the right.

    `tokens` and `is_real` are of shape (responses, prompt + response); the first `n_prompt` columns
    are the prompts'. `is_real` covers the end token of a response, nothing after it.
    """

    tokens: torch.Tensor
    is_real: torch.Tensor
    n_prompt: int
    end_ids: tuple[int, ...]

    @property
    def n_tokens(self) -> list[int]:
        """Tokens of each response, its end token among them."""
        return cast(list[int], self.is_real[:, self.n_prompt :].sum(dim=1).tolist())

    @property
    def cut_off(self) -> list[bool]:
        """Whether each response ended without an end token."""
        ends = torch.tensor(self.end_ids, device=self.tokens.device)
        drawn = self.tokens[:, self.n_prompt :]
        has_end = (torch.isin(drawn, ends) & self.is_real[:, self.n_prompt :].bool()).any(dim=1)
        return cast(list[bool], (~has_end).tolist())

    def texts(self, tokenizer: Tokenizer) -> list[str]:
        """The responses as text."""
        rows = zip(self.tokens[:, self.n_prompt :].tolist(), self.n_tokens, strict=True)
        return [decode(tokenizer, cast(list[int], row)[:n]) for row, n in rows]


@contextmanager
def eval_mode(model: torch.nn.Module, seed: int) -> Generator[None]:
    """The model in evaluation mode, without gradients, with random numbers of its own.

    Modes of all modules and the random states of CPU and GPUs are as before afterwards.
    """
    # module by module: a frozen part may be in evaluation mode, and `model.train()` then would
    # switch its dropout on
    modes = [(module, module.training) for module in model.modules()]
    gpus = range(torch.cuda.device_count())
    model.eval()
    try:
        with torch.random.fork_rng(devices=gpus), torch.no_grad():
            torch.manual_seed(seed)
            yield
    finally:
        for module, is_training in modes:
            module.training = is_training


def sample(
    model: PreTrainedModel, prompts: Sequence[Sequence[int]], pad_id: int, max_new_tokens: int
) -> list[Sampled]:
    """One response to each prompt at temperature 1, in batches; the prompts are token ids.

    Raises:
        TrainingError: The policy gives no probabilities: its logits are NaN or infinite.
    """
    ends = cast(int | list[int] | None, model.generation_config.eos_token_id)
    if ends is None:
        ends = cast(int | list[int] | None, model.config.eos_token_id)
    # generation settings win, as in `generate` itself; some name several tokens that end a turn
    end_ids = () if ends is None else (ends,) if isinstance(ends, int) else tuple(ends)
    settings = GenerationConfig(
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        max_new_tokens=max_new_tokens,
        eos_token_id=list(end_ids),
        pad_token_id=pad_id,
        use_cache=True,
    )
    samples: list[Sampled] = []
    for start in range(0, len(prompts), BATCH):
        batch = prompts[start : start + BATCH]
        n_prompt = max(map(len, batch))
        padded = [[pad_id] * (n_prompt - len(ids)) + list(ids) for ids in batch]
        mask = [[0] * (n_prompt - len(ids)) + [1] * len(ids) for ids in batch]
        tokens = torch.tensor(padded, device=model.device)
        is_real = torch.tensor(mask, device=model.device)
        # drawing from probabilities that are NaN is an assertion on the GPU, after which the whole
        # process can no longer use it: so they are looked at before
        logits = model(
            input_ids=tokens,
            attention_mask=is_real,
            position_ids=_positions(is_real),
            logits_to_keep=1,
            use_cache=False,
        ).logits
        if not torch.isfinite(logits).all():
            raise TrainingError(
                "The policy gives values that are not numbers: the training has diverged. "
                "Go back to an earlier checkpoint and use a lower learning rate."
            )
        tokens = cast(Any, model).generate(
            input_ids=tokens, attention_mask=is_real, generation_config=settings
        )
        # true up to the first end token, and on it; what was generated after it is padding
        is_end = torch.isin(
            tokens[:, n_prompt:], torch.tensor(end_ids, dtype=torch.long, device=tokens.device)
        )
        before_end = is_end.cumsum(dim=1) - is_end.long() == 0
        is_real = torch.cat([is_real, before_end.long()], dim=1)
        samples.append(Sampled(tokens, is_real, n_prompt, end_ids))
    return samples


def log_probabilities(model: PreTrainedModel, sampled: Sampled) -> list[float]:
    """The log-probability of each response given its prompt, in nats: the sum over its tokens."""
    # the logits at one token predict the next: those of the response start one column before it
    n_response = sampled.tokens.shape[1] - sampled.n_prompt
    logits = model(
        input_ids=sampled.tokens,
        attention_mask=sampled.is_real,
        position_ids=_positions(sampled.is_real),
        logits_to_keep=n_response + 1,
        use_cache=False,
    ).logits[:, -n_response - 1 : -1]
    drawn = sampled.tokens[:, sampled.n_prompt :, None]
    # log-softmax at the tokens that were drawn only: logit − logsumexp over the vocabulary
    chosen = logits.gather(2, drawn).squeeze(2).float()
    each = chosen - logits.float().logsumexp(dim=2)
    return cast(list[float], (each * sampled.is_real[:, sampled.n_prompt :]).sum(dim=1).tolist())


def _positions(is_real: torch.Tensor) -> torch.Tensor:
    # counted from a row's first real token: padding on the left must not shift its positions
    return (is_real.cumsum(dim=1) - 1).clamp(min=0)
