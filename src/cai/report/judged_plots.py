"""The pictures of a judged run: calibration, length against win, sureness, and principles."""

import math
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from cai.evaluation import format
from cai.evaluation.agreement_report import AgreementReport
from cai.evaluation.audit import AuditReport
from cai.evaluation.bootstrap import Estimate, share_estimate, unit_of
from cai.judging.ranking import Judged
from cai.report import charts
from cai.report.pieces import Plot

RATIOS: Sequence[float] = (0.25, 0.5, 0.75, 0.9, 1.1, 4 / 3, 2.0, 4.0)
"""Edges of the bins of length A over length B."""

_POINTS = {"a": 1.0, "b": 0.0, "tie": 0.5, "inconsistent": 0.5}
_N_BARS = 10


@dataclass(slots=True)
class PlotTally:
    """Takes one judged group after the other; some twenty bytes a contest."""

    units: "array[int]" = field(default_factory=lambda: array("q"))
    bins: "array[int]" = field(default_factory=lambda: array("b"))
    points: "array[float]" = field(default_factory=lambda: array("d"))
    sureness: Counter[int] = field(default_factory=Counter[int])

    def add(self, judged: Judged) -> None:
        unit = unit_of(judged.group.prompt)
        for each in judged.contests:
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
        """The number of each bin that is not empty, and the share of its contests that A wins."""
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
