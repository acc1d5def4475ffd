"""Which revisions are shown to be read, and how."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from cai.evaluation import format
from cai.evaluation.format import plural
from cai.report.choosing import Best, lot
from cai.report.diffs import changed_share, diff
from cai.report.known_truth import n_broken
from cai.report.pieces import Example, Said, Shelf
from cai.report.wording import prompt_block, text_block
from cai.revision import Chain
from cai.revision_flags import FLAGS, Flag

_N_OF_FLAG = 3
_LONGEST_CRITIQUE = 600
_MOST_ROUNDS = 6


@dataclass(slots=True)
class Chosen:
    """Takes one chain after the other and keeps a few of each kind.

    Where the truth is known, the best are those that mend most, the worst those that are left
    with most broken principles.
    """

    n: int
    has_truth: bool
    mended: Best[Chain] = field(init=False)
    worst: Best[Chain] = field(init=False)
    changed: Best[Chain] = field(init=False)
    sample: Best[Chain] = field(init=False)
    flagged: dict[Flag, Best[Chain]] = field(init=False)

    def __post_init__(self) -> None:
        self.mended, self.worst = Best(self.n), Best(self.n)
        self.changed, self.sample = Best(self.n), Best(self.n)
        self.flagged = {flag: Best(min(_N_OF_FLAG, self.n)) for flag in FLAGS}

    def add(self, chain: Chain) -> None:
        drawn = lot(chain.prompt.id)
        self.sample.offer(drawn, chain)
        first, final = chain.response.text, chain.final
        self.changed.offer(changed_share(first, final), chain)
        flags: set[Flag] = {flag for each in chain.rounds for flag in each.flags}
        for flag in flags:
            self.flagged[flag].offer(drawn, chain)
        before = n_broken(chain.prompt.request, first) if self.has_truth else None
        after = n_broken(chain.prompt.request, final) if self.has_truth else None
        if before is not None and after is not None:
            if before > after:
                self.mended.offer(before - after + drawn, chain)
            if after:
                self.worst.offer(after + drawn, chain)

    def shelves(self) -> Iterator[Shelf]:
        """Only those on which something stands."""
        kinds = (
            (
                "Best: what revision mends",
                "most principles kept after and broken before",
                self.mended,
            ),
            ("Worst: what revision leaves", "most principles still broken", self.worst),
            ("Most changed", "most words that are only in one of the texts", self.changed),
            ("A sample", "drawn by the hash of the prompt's id", self.sample),
        )
        for heading, how, best in kinds:
            if best.items:
                chosen = f"{len(best.items)} of {best.n_offered:,}: {how}."
                examples = tuple(chain_example(each) for each in best.items)
                yield Shelf(heading, chosen, examples)
        flagged = tuple(
            chain_example(chain, f"{flag}: ")
            for flag in FLAGS
            for chain in self.flagged[flag].items
        )
        if flagged:
            how = f"up to {_N_OF_FLAG} of each flag, drawn by the hash of the prompt's id."
            yield Shelf("Flagged", how, flagged)


def chain_example(chain: Chain, before: str = "") -> Example:
    """The prompt, the whole change as a diff, and every round under it."""
    share = changed_share(chain.response.text, chain.final)
    change = f"{format.percent(share)} of words changed" if share else "the text stays"
    flags = format.listed(dict.fromkeys(flag for each in chain.rounds for flag in each.flags))
    title = f"{before}{chain.prompt.id}: {plural(len(chain.rounds), 'round')}, {change}"
    return Example(
        title + (f", flags: {flags}" if flags else ""),
        (
            prompt_block(chain.prompt),
            diff("first response → final text", chain.response.text, chain.final),
            *_rounds(chain),
        ),
    )


def _rounds(chain: Chain) -> Iterator[Said]:
    before = chain.response.text
    for number, each in enumerate(chain.rounds[:_MOST_ROUNDS], 1):
        flags = f", {format.listed(each.flags)}" if each.flags else ""
        name = f"round {number}, {each.principle_id}"
        if each.critique is not None:
            yield text_block(f"{name}: critique", each.critique.text, _LONGEST_CRITIQUE)
        if each.revision is not None and each.revision.text == before:
            yield Said(f"{name}: the text stays{flags}", ())
        elif each.revision is not None:
            yield diff(f"{name}: revision{flags}", before, each.revision.text)
        before = chain.revisions[number - 1]
