"""Plots and examples of a judged run, collected while its records are read once.

Plots: calibration, win rate by length ratio, confidence, and principles. Examples: the surest
verdicts, those against the labels of people, those where the orders disagree, and unreadable ones.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from cai.evaluation import format
from cai.evaluation.judge.agreement import AgreementReport
from cai.evaluation.judge.audit import AuditReport
from cai.evaluation.stats.bootstrap import GrowingColumns, share_estimate, unit_of
from cai.methods.judging.ranking import Judged, JudgedMatchup
from cai.methods.judging.verdict import UNREADABLE, Group, JudgeCall
from cai.report import charts
from cai.report.examples import BY_HASH, TopN, example_groups, hash_fraction
from cai.report.model import Example, ExampleGroup, Fact, Plot
from cai.report.text import model_name, prompt_block, text_block

RATIOS: Sequence[float] = (0.25, 0.5, 0.75, 0.9, 1.1, 4 / 3, 2.0, 4.0)
"""Edges of the bins of length A over length B; even on a log scale, narrow around equal length."""

_POINTS = {"a": 1.0, "b": 0.0, "tie": 0.5, "inconsistent": 0.5}
_N_BARS = 10
_MAX_PRINCIPLES = 12
_MAX_RATIONALE = 500
_One = tuple[Group, JudgedMatchup]


class JudgedFigures:
    """Counts and examples of the judged groups that pass through; twenty bytes a matchup."""

    def __init__(self, n_examples: int) -> None:
        self.n_matchups = 0
        self.has_labels = False
        # Arrays of numbers, not of objects: a run may have a million matchups.
        self._columns = GrowingColumns(units="q", bins="b", points="d")
        self._confidence: Counter[int] = Counter()
        self._surest, self._against_people, self._orders, self._unread, self._sample = (
            TopN[_One](n_examples) for _ in range(5)
        )

    def through(self, groups: Iterable[Judged]) -> Iterator[Judged]:
        """The same groups, each counted as it passes."""
        for judged in groups:
            group, matchups = judged.group, judged.matchups
            unit, fraction = unit_of(group.prompt), hash_fraction(group.prompt.id)
            self.n_matchups += len(matchups)
            self.has_labels = self.has_labels or is_labelled(judged)
            for each in matchups:
                verdict = each.verdict
                if verdict.p_a is not None:
                    # A certainty of exactly 1 is in the last bar, not in one of its own.
                    confidence = max(verdict.p_a, 1 - verdict.p_a)
                    self._confidence[min(int((confidence - 0.5) * 2 * _N_BARS), _N_BARS - 1)] += 1
                a, b = (len(group.candidates[i].text) for i in (each.first, each.second))
                # An empty response has no length ratio; an unreadable verdict has no winner.
                if a and b and verdict.outcome in _POINTS:
                    place = int(np.searchsorted(RATIOS, a / b, side="right"))
                    self._columns.add(unit, place, _POINTS[verdict.outcome])
            # Of a group at most one matchup of each kind, lest one prompt fills a list.
            unread = [each.verdict.outcome in UNREADABLE for each in matchups]
            for top, numbers in (
                (self._surest, [each.verdict.margin for each in matchups]),
                (self._against_people, [_margin_against(group, each) for each in matchups]),
                (self._orders, [_order_gap(each) for each in matchups]),
                (self._unread, [fraction if each else None for each in unread]),
            ):
                known = [(number, -i) for i, number in enumerate(numbers) if number is not None]
                if known:
                    number, i = max(known)  # of equal numbers the first, as its -i is the largest
                    top.offer(number, (group, matchups[-i]))
            # The fraction picks the matchup as well, or the sample would show first ones alone.
            if matchups:
                self._sample.offer(fraction, (group, matchups[int(fraction * len(matchups))]))
            yield judged

    def groups(self) -> Iterator[ExampleGroup]:
        """Kinds without any example are left out."""
        kinds = (
            ("Best against worst: the surest verdicts", "highest margin", self._surest),
            ("Judge and people disagree", "surest of the judge first", self._against_people),
            ("The orders disagree", "widest apart first, under any principle", self._orders),
            ("Not read", BY_HASH, self._unread),
            ("A sample", BY_HASH, self._sample),
        )
        return example_groups(kinds, _example, " prompts")

    def plots(self, habits: AuditReport | None, people: AgreementReport | None) -> Iterator[Plot]:
        """Plots without figures are left out."""
        if people is not None and people.curve and people.overall.ece is not None:
            bins = "; ".join(
                f"said {each.mean_p_a:.2f}, people {each.share_a:.2f} ({each.n:,} pairs)"
                for each in people.curve
            )
            n = f"{people.overall.n_readable:,} pairs"
            words = f"Expected calibration error {people.overall.ece:.3f} on {n}. {bins}"
            yield charts.calibration("Calibration against people", words, people.curve)
        if people is not None and len(people.by_principle) > 1:
            rows = [
                (name, [charts.Point.of(each.accuracy)])
                for name, each in people.by_principle.items()
                if each.accuracy is not None
            ]
            words = "Right by the labels of people: " + ", ".join(
                f"{name} {format.percent(points[0].value)}" for name, points in rows
            )
            axis = charts.Axis("right by people", (0, 1.02), [("", 0.5)])
            yield charts.forest("Each principle against people", words, axis, rows)
        yield from self._length_plot()
        if self._confidence:
            edges = [0.5 + i / (2 * _N_BARS) for i in range(_N_BARS + 1)]
            counts = [self._confidence[i] for i in range(_N_BARS)]
            words = "Verdicts by the probability of the side that they favour: " + ", ".join(
                f"from {low:.2f} {n:,}" for low, n in zip(edges, counts, strict=False) if n
            )
            label = "probability of the favoured side"
            yield charts.histogram("How sure the judge is", words, label, edges, counts)
        if habits is not None and len(habits.principles.influences) > 1:
            influences = habits.principles.influences
            shares = [(each.principle_id, each.decides or 0.0) for each in influences]
            what = "Share of verdicts that would change without the principle"
            axis = charts.Axis("share of verdicts it decides")
            yield charts.bars("Which principles decide", what, axis, shares)

    def _length_plot(self) -> Iterator[Plot]:
        """The share that A wins over the length ratio, a point for each bin with matchups."""
        edges = (RATIOS[0] / 2, *RATIOS, RATIOS[-1] * 2)
        last = len(RATIOS)
        columns = self._columns
        units, bins = columns.integers("units"), columns.integers("bins")
        values = columns.floats("points")
        points: list[charts.Point] = []
        texts: list[str] = []
        for i in range(last + 1):
            inside = bins == i
            share = share_estimate(
                values[inside], np.ones(int(inside.sum())), units[inside], seed=0
            )
            if share is None:
                continue
            # The ratio is drawn on a log scale, on which half as long mirrors twice as long.
            middle = (math.log2(edges[i]) + math.log2(edges[i + 1])) / 2
            points.append(charts.Point.of(share, middle))
            label = f"{edges[i]:.2g} to {edges[i + 1]:.2g}"
            if i in (0, last):  # the outermost bins are open: their far edges only place the point
                label = f"above {edges[i]:.2g}" if i else f"below {edges[1]:.2g}"
            texts.append(f"{label} {format.share(share)} of {share.n:,}")
        if len(points) > 1:
            words = "Share that A wins by how much longer it is: " + "; ".join(texts)
            axis = charts.Axis("share that A wins", (-0.04, 1.04), [("even", 0.5)])
            ticks = [(name, i - 3.0) for i, name in enumerate("⅛¼½1248")]
            along = charts.Axis("how many times as long A is as B", (-3.1, 3.1), ticks=ticks)
            yield charts.scatter("Length against win", words, axis, along, points)


def is_labelled(judged: Judged) -> bool:
    """Whether people labelled the group's first two responses, and the judge compared them."""
    is_compared = any((each.first, each.second) == (0, 1) for each in judged.matchups)
    return judged.group.label is not None and is_compared


def _margin_against(group: Group, matchup: JudgedMatchup) -> float | None:
    """The judge's margin where it favours the side that people do not."""
    sides, outcome = ("a", "b"), matchup.verdict.outcome
    has_label = (matchup.first, matchup.second) == (0, 1) and group.label in sides
    if not has_label or outcome not in sides or outcome == group.label:
        return None
    return matchup.verdict.margin


def _order_gap(matchup: JudgedMatchup) -> float | None:
    """How far apart the orders are where they favour different responses, in (0, 1]."""
    # A gap without a flip is only a difference in confidence: both orders favour one response.
    gaps = [
        abs(each.order_ab.p_a - each.order_ba.p_a)
        for each in matchup.verdict.principle_verdicts
        if each.is_flip and each.order_ab.p_a is not None and each.order_ba.p_a is not None
    ]
    return max(gaps, default=None)


def _example(item: _One) -> Example:
    """Prompt and both responses, the favoured one marked, and the verdict of each principle."""
    group, matchup = item
    verdict, label = matchup.verdict, group.label
    # A label is about the first two responses of a group, whatever else was compared.
    p = "" if verdict.p_a is None else f", P(A better) {verdict.p_a:.2f}"
    people = ""
    if label is not None and (matchup.first, matchup.second) == (0, 1):
        people = f", people: {'a tie' if label == 'tie' else label.upper()}"
    outcome = verdict.outcome.upper() if verdict.outcome in ("a", "b") else verdict.outcome
    texts = [prompt_block(group.prompt)]
    for side, i in (("A", matchup.first), ("B", matchup.second)):
        candidate = group.candidates[i]
        by = f", of {model_name(candidate.model)}" if candidate.model else ""
        better = ", the judge's choice" if outcome == side else ""
        texts.append(text_block(f"response {side}{by}{better}", candidate.text))
    shown = verdict.principle_verdicts[:_MAX_PRINCIPLES]
    written = (
        text_block(f"the judge under {each.principle_id}", answers[0], _MAX_RATIONALE)
        for each in shown
        for call in (each.order_ab, each.order_ba)
        if (answers := call.rationales or call.answers)
    )
    first_written = next(written, None)  # one text of the judge is enough to see how it argues
    facts = tuple(
        Fact(
            each.principle_id + (" (asked reversed)" if each.is_negated else ""),
            f"A first {_call(each.order_ab)}, B first {_call(each.order_ba)}",
        )
        for each in shown
    )
    title = f"{group.prompt.id}: the judge says {outcome}{p}{people}"
    return Example(title, (*texts, *([first_written] if first_written else [])), facts)


def _call(call: JudgeCall) -> str:
    if call.p_a is not None:
        return f"{call.p_a:.2f}"
    reason = f" ({call.reason[:80]})" if call.reason else ""
    return f"{call.outcome}{reason}"
