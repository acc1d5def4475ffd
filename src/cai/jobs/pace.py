"""How a run is carried out; none of it changes a result."""

from dataclasses import dataclass
from pathlib import Path

from cai.engine.spending.gate import Caps
from cai.engine.telling.progress import Teller
from cai.errors import UsageError


@dataclass(frozen=True, slots=True)
class Part:
    """The examples whose position leaves `number` − 1 when divided by `of`.

    The parts of a source share no example and together are the whole; each is a run of its own,
    made by any machine, and an export of all their folders is that of one run over the whole.
    """

    number: int
    of: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            raise UsageError(
                f"There is no part {self.number} of {self.of}. Write 1/4, 2/4, 3/4 and 4/4."
            )

    def has(self, position: int) -> bool:
        return position % self.of == self.number - 1


WHOLE = Part(1, 1)


@dataclass(frozen=True, slots=True)
class Pace:
    """What may differ between two starts of the same run.

    `concurrency` is the most calls at a time to each endpoint; None leaves it to the engine, which
    adapts. `limit` takes the first examples of the source alone, `sample` so many spread over it; a
    later start of the same run does the others. `retry_failed` does examples again that failed for
    a lasting cause. `update` turns a run of another recipe into this one, of which the journal
    answers what it can. `hedges` asks the last stragglers twice. `whole` is how many examples there
    will be where the source is itself a sample, for the estimate. `prices` is a file of prices that
    go before the shipped ones. `tell` gets every snapshot in place of lines on the console.
    """

    concurrency: int | None = None
    limit: int | None = None
    sample: int | None = None
    part: Part = WHOLE
    retry_failed: bool = False
    update: bool = False
    hedges: bool = False
    whole: int | None = None
    caps: Caps = Caps()
    prices: Path | None = None
    tell: Teller | None = None

    def check(self) -> None:
        """Finds out before a run whether its parts fit together.

        Raises:
            UsageError: There is a cap, and stragglers are to be asked twice.
        """
        if self.hedges and self.caps != Caps():
            raise UsageError(
                "A cap cannot be kept where stragglers are asked twice: of the answer that comes "
                "second nobody learns what it took. Leave one of the two out."
            )

    def n_of(self, n_items: int) -> int:
        """How many of so many examples of a source this start is about, sampled or not."""
        within = range(min(n_items, self.limit or n_items))
        return len(within[self.part.number - 1 :: self.part.of])

    def is_sampled(self, index: int, n: int) -> bool:
        """Whether the example of that index among the `n` is one of the sample."""
        if self.sample is None or self.sample >= n:
            return True
        return index * self.sample // n != (index - 1) * self.sample // n
