"""The pictures of a judged run: calibration, length against win, sureness, and principles.

Which verdicts are shown to be read: the surest, the disputed, the unreadable.
"""

import math
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from cai.evaluation import format
from cai.evaluation.judge.agreement import AgreementReport
from cai.evaluation.judge.audit import AuditReport
from cai.evaluation.stats.bootstrap import Estimate, share_estimate, unit_of
from cai.methods.judging.ranking import Judged, JudgedMatchup
from cai.methods.judging.verdict import UNREADABLE, Group, JudgeCall, PrincipleVerdict
from cai.report import charts
from cai.report.examples import Best, lot
from cai.report.model import Example, Fact, Plot, Said, Shelf
from cai.report.text import model_name, prompt_block, text_block

RATIOS: Sequence[float] = (0.25, 0.5, 0.75, 0.9, 1.1, 4 / 3, 2.0, 4.0)
"""Edges of the bins of length A over length B."""

_POINTS = {"a": 1.0, "b": 0.0, "tie": 0.5, "inconsistent": 0.5}
_N_BARS = 10


@dataclass(slots=True)
class PlotTally:
    """Takes one judged group after the other; some twenty bytes a matchup."""

    units: "array[int]" = field(default_factory=lambda: array("q"))
    bins: "array[int]" = field(default_factory=lambda: array("b"))
    points: "array[float]" = field(default_factory=lambda: array("d"))
    sureness: Counter[int] = field(default_factory=Counter[int])

    def add(self, judged: Judged) -> None:
        unit = unit_of(judged.group.prompt)
        for each in judged.matchups:
            verdict = each.verdict
            if verdict.p_a is not None:
                sure = max(verdict.p_a, 1 - verdict.p_a)
                self.sureness[min(int((sure - 0.5) * 2 * _N_BARS), _N_BARS - 1)] += 1
            a, b = (len(judged.group.candidates[i].text) for i in (each.first, each.second))
            if a and b and verdict.outcome in _POINTS:
                self.units.append(unit)
                self.bins.append(int(np.searchsorted(RATIOS, a / b, side="right")))
                self.points.append(_POINTS[verdict.outcome])

    def by_length(self) -> Iterator[tuple[int, Estimate]]:
        """The number of each bin that is not empty, and the share of its matchups that A wins."""
        units, bins = np.array(self.units, np.int64), np.array(self.bins, np.int64)
        points = np.array(self.points, np.float64)
        for number in range(len(RATIOS) + 1):
            inside = bins == number
            found = share_estimate(
                points[inside], np.ones(int(inside.sum())), units[inside], seed=0
            )
            if found is not None:
                yield number, found


def judged_plots(
    tally: PlotTally, habits: AuditReport | None, people: AgreementReport | None
) -> Iterator[Plot]:
    """Those that there are figures for."""
    if people is not None and people.curve and people.overall.ece is not None:
        words = (
            f"Expected calibration error {people.overall.ece:.3f} on "
            f"{people.overall.n_readable:,} pairs. "
            + "; ".join(
                f"said {each.mean_p_a:.2f}, people {each.share_a:.2f} ({each.n:,} pairs)"
                for each in people.curve
            )
        )
        yield charts.calibration("Calibration against people", words, people.curve)
        if len(people.by_principle) > 1:
            yield _accuracies(people)
    found = list(tally.by_length())
    if len(found) > 1:
        yield _length_plot(found)
    if tally.sureness:
        yield _sureness_plot(tally.sureness)
    if habits is not None and len(habits.principles.influences) > 1:
        yield _decides_plot(habits)


def _accuracies(people: AgreementReport) -> Plot:
    rows = [
        (name, [charts.Point.of(each.accuracy)])
        for name, each in people.by_principle.items()
        if each.accuracy is not None
    ]
    words = "Right by the labels of people: " + ", ".join(
        f"{name} {format.percent(points[0].value)}" for name, points in rows
    )
    axis = charts.Axis("right by people", (0, 1.02), [("", 0.5)])
    return charts.forest("Each principle against people", words, axis, rows)


def _length_plot(found: Sequence[tuple[int, Estimate]]) -> Plot:
    points = [charts.Point.of(estimate, _middle(number)) for number, estimate in found]
    words = "Share that A wins by how much longer it is: " + "; ".join(
        f"{_range(number)} {format.share(estimate)} of {estimate.n:,}" for number, estimate in found
    )
    axis = charts.Axis("share that A wins", (-0.04, 1.04), [("even", 0.5)])
    ticks = [("⅛", -3.0), ("¼", -2.0), ("½", -1.0), ("1", 0.0), ("2", 1.0), ("4", 2.0), ("8", 3.0)]
    along = charts.Axis("how many times as long A is as B", (-3.1, 3.1), ticks=ticks)
    return charts.scatter("Length against win", words, axis, along, points)


def _middle(number: int) -> float:
    """The middle of a bin, as a power of two."""
    edges = (RATIOS[0] / 2, *RATIOS, RATIOS[-1] * 2)
    return (math.log2(edges[number]) + math.log2(edges[number + 1])) / 2


def _range(number: int) -> str:
    if number == 0:
        return f"below {RATIOS[0]:.2g}"
    if number == len(RATIOS):
        return f"above {RATIOS[-1]:.2g}"
    return f"{RATIOS[number - 1]:.2g} to {RATIOS[number]:.2g}"


def _sureness_plot(sureness: Counter[int]) -> Plot:
    edges = [0.5 + place / (2 * _N_BARS) for place in range(_N_BARS + 1)]
    counts = [sureness[place] for place in range(_N_BARS)]
    words = "Verdicts by the probability of the side that they favour: " + ", ".join(
        f"from {low:.2f} {n:,}" for low, n in zip(edges, counts, strict=False) if n
    )
    label = "probability of the favoured side"
    return charts.histogram("How sure the judge is", words, label, edges, counts)


def _decides_plot(habits: AuditReport) -> Plot:
    found = habits.principles.influences
    rows = [(each.principle_id, each.decides or 0.0) for each in found]
    words = "Share of verdicts that would be other without the principle: " + ", ".join(
        f"{name} {format.percent(share)}" for name, share in rows
    )
    axis = charts.Axis("share of verdicts it turns")
    return charts.bars("Which principles decide", words, axis, rows)


_MOST_PRINCIPLES = 12
_LONGEST_RATIONALE = 500
_One = tuple[Group, JudgedMatchup]


@dataclass(slots=True)
class VerdictExamples:
    """Takes one judged group after the other; of each group and kind one matchup at most."""

    n: int
    surest: Best[_One] = field(init=False)
    against_people: Best[_One] = field(init=False)
    orders: Best[_One] = field(init=False)
    unread: Best[_One] = field(init=False)
    sample: Best[_One] = field(init=False)

    def __post_init__(self) -> None:
        self.surest, self.against_people = Best(self.n), Best(self.n)
        self.orders, self.unread, self.sample = Best(self.n), Best(self.n), Best(self.n)

    def add(self, judged: Judged) -> None:
        group, drawn = judged.group, lot(judged.group.prompt.id)
        for best, numbers in (
            (self.surest, [each.verdict.margin for each in judged.matchups]),
            (self.against_people, [_against_people(group, each) for each in judged.matchups]),
            (self.orders, [_gap(each) for each in judged.matchups]),
            (self.unread, [_unread(each, drawn) for each in judged.matchups]),
        ):
            known = [(number, place) for place, number in enumerate(numbers) if number is not None]
            if known:
                number, place = max(known, key=lambda each: (each[0], -each[1]))
                best.offer(number, (group, judged.matchups[place]))
        if judged.matchups:
            place = int(drawn * len(judged.matchups))
            self.sample.offer(drawn, (group, judged.matchups[place]))

    def shelves(self) -> Iterator[Shelf]:
        """Only those on which something stands."""
        kinds = (
            ("Best against worst: the surest verdicts", "highest margin", self.surest),
            ("Judge and people disagree", "surest of the judge first", self.against_people),
            ("The orders disagree", "widest apart first, under any principle", self.orders),
            ("Not read", "drawn by the hash of the prompt's id", self.unread),
            ("A sample", "drawn by the hash of the prompt's id", self.sample),
        )
        for heading, how, best in kinds:
            if best.items:
                chosen = f"{len(best.items)} of {best.n_offered:,} prompts: {how}."
                yield Shelf(heading, chosen, tuple(contest_example(*each) for each in best.items))


def _against_people(group: Group, matchup: JudgedMatchup) -> float | None:
    """The judge's margin where it favours the side that people do not."""
    is_labelled = (matchup.first, matchup.second) == (0, 1) and group.label in ("a", "b")
    outcome = matchup.verdict.outcome
    if not is_labelled or outcome not in ("a", "b") or outcome == group.label:
        return None
    return matchup.verdict.margin


def _gap(matchup: JudgedMatchup) -> float | None:
    """How far apart the orders are where they favour different responses, in (0, 1]."""
    gaps = [
        abs(each.order_ab.p_a - each.order_ba.p_a)
        for each in matchup.verdict.principle_verdicts
        if each.is_flip and each.order_ab.p_a is not None and each.order_ba.p_a is not None
    ]
    return max(gaps, default=None)


def _unread(matchup: JudgedMatchup, drawn: float) -> float | None:
    return drawn if matchup.verdict.outcome in UNREADABLE else None


def contest_example(group: Group, matchup: JudgedMatchup) -> Example:
    """Prompt and both responses, the favoured one named, and what each principle said."""
    verdict = matchup.verdict
    p = "" if verdict.p_a is None else f", P(A better) {verdict.p_a:.2f}"
    people = ""
    if group.label is not None and (matchup.first, matchup.second) == (0, 1):
        people = f", people: {group.label.upper() if group.label != 'tie' else 'a tie'}"
    outcome = verdict.outcome.upper() if verdict.outcome in ("a", "b") else verdict.outcome
    texts = [prompt_block(group.prompt)]
    for side, place in (("A", matchup.first), ("B", matchup.second)):
        candidate = group.candidates[place]
        by = f", of {model_name(candidate.model)}" if candidate.model else ""
        better = ", the judge's choice" if outcome == side else ""
        texts.append(text_block(f"response {side}{by}{better}", candidate.text))
    title = f"{group.prompt.id}: the judge says {outcome}{p}{people}"
    principle_verdicts = verdict.principle_verdicts[:_MOST_PRINCIPLES]
    return Example(
        title,
        (*texts, *_rationales(principle_verdicts)),
        tuple(_fact(each) for each in principle_verdicts),
    )


def _rationales(principle_verdicts: tuple[PrincipleVerdict, ...]) -> Iterator[Said]:
    """The first text that the judge wrote, where it wrote any."""
    for each in principle_verdicts:
        for reading in (each.order_ab, each.order_ba):
            written = reading.rationales or reading.answers
            if written:
                name = f"the judge under {each.principle_id}"
                yield text_block(name, written[0], _LONGEST_RATIONALE)
                return


def _fact(principle_verdict: PrincipleVerdict) -> Fact:
    orders = (
        f"A first {_read(principle_verdict.order_ab)}, B first {_read(principle_verdict.order_ba)}"
    )
    reversed_ = " (asked reversed)" if principle_verdict.is_negated else ""
    return Fact(f"{principle_verdict.principle_id}{reversed_}", orders)


def _read(reading: JudgeCall) -> str:
    if reading.p_a is not None:
        return f"{reading.p_a:.2f}"
    reason = f" ({reading.reason[:80]})" if reading.reason else ""
    return f"{reading.outcome}{reason}"
