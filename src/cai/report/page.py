"""The first screen of a report: what was done, whether it worked, its cost, what to distrust."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Generic, TypeVar

from cai.engine.progress import duration
from cai.evaluation import format
from cai.evaluation.judge.self_preference import model_relation
from cai.report.model import Caveat, Fact, Headline, Section, SectionCost, SectionTable
from cai.report.text import model_name

T = TypeVar("T", Headline, Caveat)

COMPARING = 5
"""Sections of this weight compare policies: their headlines come first."""

_MAX_HEADLINES = 8
_MAX_CAVEATS = 8


@dataclass(frozen=True, slots=True)
class Numbered(Generic[T]):
    """A headline or a caveat, and the number of its section; None for the whole report."""

    number: int | None
    item: T


@dataclass(frozen=True, slots=True)
class Page:
    """All that the template shows.

    `inner` are the numbers of sections that lie inside of others: they are shown folded, and not on
    the first screen. `n_more_caveats` are shown in their sections only.
    """

    title: str
    when: str
    sections: tuple[Section, ...]
    inner: frozenset[int]
    headlines: tuple[Numbered[Headline], ...]
    caveats: tuple[Numbered[Caveat], ...]
    n_more_caveats: int
    cost: SectionCost
    costs: SectionTable
    versions: tuple[Fact, ...]

    @property
    def numbered(self) -> list[tuple[int, Section]]:
        """Every section with its number."""
        return list(enumerate(self.sections, 1))


def build_page(title: str, sections: Sequence[Section]) -> Page:
    """The page over these sections, in their order."""
    holders: list[int | None] = []  # by section the index of the innermost one that holds it
    for section in sections:
        # With the slash, or `runs/a` would hold `runs/ab`.
        outer = [i for i, each in enumerate(sections) if section.path.startswith(f"{each.path}/")]
        holders.append(max(outer, key=lambda i: len(sections[i].path), default=None))
    inner = frozenset(number for number, holder in enumerate(holders, 1) if holder is not None)
    caveats = list(_caveats(sections, inner))
    # What is inside of an evaluation or of rounds is summed up by the outer section's own caveats.
    shown = [each for each in caveats if each.number not in inner][:_MAX_CAVEATS]
    # Times are in ISO 8601: their first ten characters are the day, and sort as text.
    days = sorted(section.started[:10] for section in sections if section.started)
    return Page(
        title=title,
        when=" to ".join(dict.fromkeys([*days[:1], *days[-1:]])),
        sections=tuple(sections),
        inner=inner,
        headlines=tuple(_headlines(sections, inner)),
        caveats=tuple(shown),
        n_more_caveats=len(caveats) - len(shown),
        cost=_total_cost(sections, holders),
        costs=SectionTable(
            "What each part took",
            ("part", "calls", "tokens in", "tokens out", "cost", "time"),
            tuple(
                (
                    f"{number}. {section.title}",
                    format.counted(section.cost.n_calls),
                    format.counted(section.cost.tokens_in),
                    format.counted(section.cost.tokens_out),
                    format.money(section.cost.cost_usd),
                    format.NONE if (s := section.cost.seconds) is None else duration(s),
                )
                for number, section in enumerate(sections, 1)
            ),
            "What holds other parts is not added to the whole twice." if inner else "",
        ),
        versions=tuple(dict.fromkeys(fact for each in sections for fact in each.versions)),
    )


def _headlines(sections: Sequence[Section], inner: frozenset[int]) -> Iterator[Numbered[Headline]]:
    """Sections that compare policies first, then the others in the order of the chain.

    The few places are given out by weight, so that a long chain of runs before the evaluation
    cannot use them up; only the order on the page is that of the chain.
    """
    outer = {number: each for number, each in enumerate(sections, 1) if number not in inner}
    n_left = _MAX_HEADLINES
    # Sections that compare go before the rest, the weightiest first; all others have one rank, in
    # which their numbers decide.
    taken: list[tuple[int, int, tuple[Headline, ...]]] = []
    for number, section in sorted(outer.items(), key=lambda item: (-item[1].weight, item[0])):
        is_main = section.weight >= COMPARING or len(outer) == 1
        lines = section.headlines[: min(n_left, 6 if is_main else 2)]
        taken.append((-max(COMPARING - 1, section.weight), number, lines))
        n_left -= len(lines)
    for _, number, lines in sorted(taken, key=lambda each: each[:2]):
        yield from (Numbered(number, line) for line in lines)


def _caveats(sections: Sequence[Section], inner: frozenset[int]) -> Iterator[Numbered[Caveat]]:
    """Serious ones first, those of the whole before those of its sections; equal sentences once.

    Those of inner sections come last.
    """
    listed = [Numbered(None, each) for each in _relation_caveats(sections)]
    if any(each.judges for each in sections) and not any(each.has_truth for each in sections):
        text = "No label of a person is in any of this: “better” is only what the judge says."
        listed.append(Numbered(None, Caveat(text)))
    listed += [
        Numbered(number, each)
        for number, section in enumerate(sections, 1)
        for each in section.caveats
    ]
    seen: set[str] = set()
    # Four passes, and not a sort, for the sake of equal sentences: the most prominent is shown.
    for is_inner, is_serious in product((False, True), (True, False)):
        for each in listed:
            is_next = each.item.is_serious == is_serious and (each.number in inner) == is_inner
            if is_next and each.item.text not in seen:
                seen.add(each.item.text)
                yield each


def _relation_caveats(sections: Sequence[Section]) -> Iterator[Caveat]:
    """Where a judge is, or is of one family with, the model that a policy was first trained from.

    A policy may be the result of several trainings, each of which starts from the one before: the
    line is followed to its first model.
    """
    # By the folder's last name: the spec that another training started from may be relative to any
    # folder, or absolute.
    bases = {each.path.rpartition("/")[2]: each.trained_from for each in sections}
    bases = {name: base for name, base in bases.items() if base}
    seen: set[tuple[str, str]] = set()
    for judge in dict.fromkeys(judge for each in sections for judge in each.judges):
        for root in bases.values():
            line: set[str] = set()  # trainings may name each other in a circle
            while (name := root.rstrip("/").rpartition("/")[2].removeprefix("hf:")) in bases:
                if name in line:
                    break
                line.add(name)
                root = bases[name]
            relation, names = model_relation(judge, root), (model_name(judge), model_name(root))
            if relation is None or names in seen:
                continue
            seen.add(names)
            who = f"The judge is the very model that was trained here, {names[0]}"
            if relation == "family":
                who = (
                    f"The judge {names[0]} is of one family with {names[1]}, which was trained here"
                )
            yield Caveat(f"{who}: a judge tends to favour what it would write itself.", True)


def _total_cost(sections: Sequence[Section], holders: Sequence[int | None]) -> SectionCost:
    """The sum over all sections, each number None where no section has it.

    Dollars are None where those of any section are unknown. What is inside of another section
    counts once: of the outer section's number and the sum of its inner ones the larger is taken,
    since an outer section may or may not have counted them.
    """

    def total(of: Callable[[SectionCost], float | None]) -> float | None:
        numbers = [of(section.cost) for section in sections]
        if all(number is None for number in numbers):
            return None
        inner = [0.0] * len(sections)
        whole = 0.0
        # The deepest first, so that a section's inner sum is complete before it is compared.
        for i in sorted(range(len(sections)), key=lambda i: -sections[i].path.count("/")):
            number, holder = max(numbers[i] or 0.0, inner[i]), holders[i]
            if holder is None:
                whole += number
            else:
                inner[holder] += number
        return whole

    def count(of: Callable[[SectionCost], float | None]) -> int | None:
        return None if (n := total(of)) is None else round(n)

    # Dollars of a part of the steps would be read as those of the whole; calls and tokens are
    # known wherever there are any.
    is_priced = all(section.cost.cost_usd is not None for section in sections)
    return SectionCost(
        n_calls=count(lambda cost: cost.n_calls),
        tokens_in=count(lambda cost: cost.tokens_in),
        tokens_out=count(lambda cost: cost.tokens_out),
        cost_usd=total(lambda cost: cost.cost_usd) if is_priced else None,
        seconds=total(lambda cost: cost.seconds),
    )
