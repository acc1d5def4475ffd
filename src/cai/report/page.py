"""The first screen: what was done, whether it worked, what it cost, and what to distrust."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from cai.engine.progress import duration
from cai.evaluation import format
from cai.evaluation.judge.self_preference import kinship
from cai.report.model import Doubt, Fact, Headline, Section, SectionTable, Took
from cai.report.text import model_name

_MOST_HEADLINES = 8
_MOST_DOUBTS = 8
COMPARING = 5
"""Parts of this weight compare policies: their headlines are the first."""


@dataclass(frozen=True, slots=True)
class Noted:
    """A headline or a doubt, and the number of the part that it is of; None for the whole."""

    number: int | None
    what: Headline | Doubt


@dataclass(frozen=True, slots=True)
class Page:
    """All that the template shows.

    `held` are the numbers of parts that lie inside of others, which are told folded; the first
    screen is about the others. `n_more_doubts` are in the parts alone.
    """

    title: str
    when: str
    parts: tuple[Section, ...]
    held: frozenset[int]
    headlines: tuple[Noted, ...]
    doubts: tuple[Noted, ...]
    n_more_doubts: int
    took: Took
    costs: SectionTable
    versions: tuple[Fact, ...]

    @property
    def numbered(self) -> list[tuple[int, Section]]:
        """Every part with its number."""
        return list(enumerate(self.parts, 1))


def page_of(title: str, parts: Sequence[Section]) -> Page:
    """The page over these parts, in their order."""
    holders = [_holder(part, parts) for part in parts]
    held = frozenset(place for place, holder in enumerate(holders, 1) if holder is not None)
    doubts = list(_doubts(parts, held))
    shown = [each for each in doubts if each.number not in held][:_MOST_DOUBTS]
    dates = sorted(part.began for part in parts if part.began)
    first, last = (dates[0], dates[-1]) if dates else ("", "")
    return Page(
        title,
        _date(first) if _date(first) == _date(last) else f"{_date(first)} to {_date(last)}",
        parts=tuple(parts),
        held=held,
        headlines=tuple(_headlines(parts, held)),
        doubts=tuple(shown),
        n_more_doubts=len(doubts) - len(shown),
        took=_sum(parts),
        costs=_costs(parts),
        versions=tuple(dict.fromkeys(fact for part in parts for fact in part.versions)),
    )


def _date(moment: str) -> str:
    return moment[:10]


def _headlines(parts: Sequence[Section], held: Collection[int]) -> Iterator[Noted]:
    """What compares policies first, then the others in the order of the chain, some of each."""
    outer = [place for place in range(len(parts)) if place + 1 not in held]
    order = sorted(outer, key=lambda place: (-parts[place].weight, place))
    left = _MOST_HEADLINES
    taken: dict[int, tuple[Headline, ...]] = {}
    for place in order:
        part = parts[place]
        is_main = part.weight >= COMPARING or len(outer) == 1
        taken[place] = part.headlines[: min(left, 6 if is_main else 2)]
        left -= len(taken[place])
    for place in sorted(order, key=lambda place: (-max(COMPARING - 1, parts[place].weight), place)):
        yield from (Noted(place + 1, each) for each in taken[place])


def _doubts(parts: Sequence[Section], held: Collection[int]) -> Iterator[Noted]:
    """Loud ones first, of the whole before those of its parts; equal sentences once.

    Those of parts inside of others come last.
    """
    listed = [Noted(None, each) for each in _of_the_whole(parts)]
    listed += [Noted(place, each) for place, part in enumerate(parts, 1) for each in part.doubts]
    seen: set[str] = set()
    for is_held, is_loud in product((False, True), (True, False)):
        for each in listed:
            assert isinstance(each.what, Doubt)
            is_next = each.what.is_loud == is_loud and (each.number in held) == is_held
            if is_next and each.what.text not in seen:
                seen.add(each.what.text)
                yield each


def _of_the_whole(parts: Sequence[Section]) -> Iterator[Doubt]:
    yield from _kin_doubts(parts)
    judges = [judge for part in parts for judge in part.judges]
    if judges and not any(part.has_truth for part in parts):
        yield Doubt(
            "No label of a person is in any of this: “better” is what the judge says, "
            "and nothing more."
        )


def _kin_doubts(parts: Sequence[Section]) -> Iterator[Doubt]:
    """Where a judge is kin to a model that was trained, through all it was trained from."""
    bases = {part.path.rpartition("/")[2]: part.trained_from for part in parts if part.trained_from}
    told: set[tuple[str, str]] = set()
    for judge in dict.fromkeys(judge for part in parts for judge in part.judges):
        for base in bases.values():
            root = _root(base, bases)
            kin = kinship(judge, root)
            name = (model_name(judge), model_name(root))
            if kin is None or name in told:
                continue
            told.add(name)
            if kin == "same":
                who = f"The judge is the very model that was trained here, {name[0]}"
            else:
                who = f"The judge {name[0]} is of one family with {name[1]}, which was trained here"
            yield Doubt(f"{who}: a judge tends to favour what it would write itself.", True)


def _root(base: str, bases: dict[str, str]) -> str:
    """The first model of a line of trainings."""
    seen: set[str] = set()
    while (name := base.rstrip("/").rpartition("/")[2].removeprefix("hf:")) in bases:
        if name in seen:
            break
        seen.add(name)
        base = bases[name]
    return base


def _sum(parts: Sequence[Section]) -> Took:
    """What all took. Dollars are None where those of any part are not known."""
    costs = _whole(parts, lambda took: took.cost_usd)
    return Took(
        _rounded(_whole(parts, lambda took: took.n_calls)),
        _rounded(_whole(parts, lambda took: took.tokens_in)),
        _rounded(_whole(parts, lambda took: took.tokens_out)),
        None if any(part.took.cost_usd is None for part in parts) else costs,
        _whole(parts, lambda took: took.seconds),
    )


def _whole(parts: Sequence[Section], of: Callable[[Took], float | None]) -> float | None:
    """The sum over the parts; what holds others counts for no less than they do, and not twice.

    None where nobody counted it in any part.
    """
    numbers = [of(part.took) for part in parts]
    if all(number is None for number in numbers):
        return None
    holders = [_holder(part, parts) for part in parts]
    inner = [0.0] * len(parts)
    whole = 0.0
    for place in sorted(range(len(parts)), key=lambda place: -parts[place].path.count("/")):
        number = max(numbers[place] or 0.0, inner[place])
        holder = holders[place]
        if holder is None:
            whole += number
        else:
            inner[holder] += number
    return whole


def _holder(part: Section, parts: Sequence[Section]) -> int | None:
    """The place of the part whose folder holds this one's, the innermost of several."""
    found = [place for place, other in enumerate(parts) if part.path.startswith(f"{other.path}/")]
    return max(found, key=lambda place: len(parts[place].path), default=None)


def _rounded(number: float | None) -> int | None:
    return None if number is None else round(number)


def _costs(parts: Sequence[Section]) -> SectionTable:
    rows = tuple(
        (
            f"{place}. {part.title}",
            format.counted(part.took.n_calls),
            format.counted(part.took.tokens_in),
            format.counted(part.took.tokens_out),
            format.money(part.took.cost_usd),
            _seconds(part.took.seconds),
        )
        for place, part in enumerate(parts, 1)
    )
    held = any(_holder(part, parts) is not None for part in parts)
    note = "What holds other parts is not added to the whole twice." if held else ""
    headings = ("part", "calls", "tokens in", "tokens out", "cost", "time")
    return SectionTable("What each part took", headings, rows, note)


def _seconds(seconds: float | None) -> str:
    return format.NONE if seconds is None else duration(seconds)
