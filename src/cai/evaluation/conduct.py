"""What a policy's responses look like on prompts of one kind, by their texts alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cai.evaluation.bootstrap import Estimate, share_estimate
from cai.evaluation.text_figures import Batch, hold_stock, text_figures
from cai.revision_flags import is_evasive, is_refusal

ALL = "all"
"""The kind of all prompts together."""


@dataclass(frozen=True, slots=True)
class Conduct:
    """The responses to the prompts of one kind.

    `kind` is `all`, or what was said of the prompts, such as `harmful` and `benign`. `figures` are
    those of `cai.evaluation.text_figures` by name; `shares` are the shares of responses among them,
    with 95 % intervals by prompt. Of benign prompts `refusals` are over-refusals.
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
    batch = Batch(prompts, responses, cut_off=cut_off)
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
