"""How often one policy's responses are better than another's."""

from collections.abc import Mapping
from dataclasses import dataclass

from cai.evaluation.bootstrap import Estimate
from cai.evaluation.matches import MatchOutcome


@dataclass(frozen=True, slots=True)
class WinRate:
    """`policy` against `opponent` over `n` matches on `n_prompts` prompts.

    `outcomes` has every outcome, `a` being the policy's win, and adds up to `n`. `rate` is the
    share of readable matches that it wins; a tie, an inconsistent verdict and equal responses count
    one half. `probability` is the mean of the judge's probability over the same. Both lie in
    [0, 1], as does `length_controlled`, which is what `rate` would be at equal length. A figure is
    None where nothing can be computed. `longer` is the share of matches in which the policy's
    response is the longer one.
    """

    policy: str
    opponent: str
    n: int
    n_prompts: int
    outcomes: Mapping[MatchOutcome, int]
    rate: Estimate | None
    probability: Estimate | None
    length_controlled: Estimate | None
    longer: float | None
