"""What a label costs: tokens, dollars, and a person's price beside it."""

from dataclasses import dataclass

from cai.models.base import Usage


@dataclass(frozen=True, slots=True)
class Prices:
    """US dollars: for a million tokens read and written by the judge, and for a person's label.

    None where nobody said.
    """

    million_in_usd: float | None = None
    million_out_usd: float | None = None
    human_label_usd: float | None = None


NO_PRICES = Prices()


@dataclass(frozen=True, slots=True)
class Cost:
    """What each readable verdict took, those that could not be read being paid for too.

    Tokens are None where the judge counted none, dollars where tokens or prices are unknown.
    """

    n_labels: int
    prompt_tokens: float | None
    completion_tokens: float | None
    usd: float | None
    human_usd: float | None

    @property
    def cheaper(self) -> float | None:
        """How many times cheaper than a person's label; below 1 where it is dearer."""
        return self.human_usd / self.usd if self.usd and self.human_usd is not None else None


def cost_of(n_labels: int, usage: Usage, prices: Prices) -> Cost:
    """The cost of each of so many labels that took so many tokens together."""
    if not n_labels or usage == Usage():
        return Cost(n_labels, None, None, None, prices.human_label_usd)
    read, written = usage.prompt_tokens / n_labels, usage.completion_tokens / n_labels
    usd = None
    if prices.million_in_usd is not None and prices.million_out_usd is not None:
        usd = (read * prices.million_in_usd + written * prices.million_out_usd) / 1e6
    return Cost(n_labels, read, written, usd, prices.human_label_usd)
