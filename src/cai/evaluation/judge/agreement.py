"""How far a judge agrees with people, on pairs that people labelled.

The "AI labeler alignment" of Lee et al. 2023, arXiv:2309.00267, over both orders, with what a share
alone hides: chance (kappa), confidence (calibration), unreadable verdicts, and what always taking
the longer response would reach. How sure the people were is not used: a label is a label.

What is found of a judge against people, and what a reader must know beside the figures.
"""

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from cai.errors import EvaluationError
from cai.evaluation.judge.cost import NO_PRICES, Cost, Prices, cost_of
from cai.evaluation.judge.label_metrics import Figures, LabelSeries, Tempering
from cai.evaluation.judge.position_bias import Negations, negations_of
from cai.evaluation.stats.bootstrap import Estimate, unit_of
from cai.evaluation.stats.calibration import Bin
from cai.methods.judging.ranking import Judged, JudgedMatchup
from cai.methods.judging.verdict import (
    Group,
    Label,
    PrincipleVerdict,
    Verdict,
    by_order,
    verdict_of,
)
from cai.methods.settings import JudgeSettings
from cai.models.base import Usage

MOST_VALUES = 100
"""A tag with more values than these is not broken down."""

_LEANING = (0.4, 0.6)
_UNKNOWN = (
    "Better than chance or not cannot be told: all prompts are alike, so there is no interval."
)


@dataclass(frozen=True, slots=True)
class AgreementReport:
    """A judge against people.

    The `n_groups` are the labelled pairs of `overall`, `n_unlabelled`, `n_not_compared`, whose
    labelled first two responses never met, and `n_failed`, without any verdict. `one_order` reads
    the first order alone. `by_principle` and `by_judge` rest on the judgements of that one; a
    principle that is drawn has only the pairs it was drawn for. `longer` is the accuracy of always
    taking the longer response (in characters; equal lengths one half), `label_a_share` the share of
    a among labels of a side. `tempering` is None where no temperature fits. `crowded_tags` have
    more than 100 values and are not in `by_tag`.
    """

    overall: Figures
    one_order: Figures
    by_principle: Mapping[str, Figures]
    by_judge: Mapping[str, Figures]
    by_tag: Mapping[str, Mapping[str, Figures]]
    crowded_tags: tuple[str, ...]
    curve: tuple[Bin, ...]
    tempering: Tempering | None
    label_a_share: float | None
    longer: Estimate | None
    negations: Negations
    cost: Cost
    n_unlabelled: int
    n_not_compared: int
    n_failed: int

    @property
    def n_groups(self) -> int:
        return self.overall.n + self.n_unlabelled + self.n_not_compared + self.n_failed

    @property
    def caveats(self) -> tuple[str, ...]:
        """Plain sentences, the most important first."""
        return (*_judge_caveats(self), *_data_caveats(self))

    def as_json(self) -> dict[str, object]:
        """Mappings, lists, texts and numbers; null for what has no figure."""
        return {"n_groups": self.n_groups, **asdict(self), "caveats": list(self.caveats)}


def chance_caveat(accuracy: Estimate) -> str | None:
    """A sentence unless the accuracy is better than chance: its interval lies above one half."""
    low = accuracy.value if accuracy.low is None else accuracy.low
    high = accuracy.value if accuracy.high is None else accuracy.high
    if low > 0.5:
        return None if accuracy.low is not None else _UNKNOWN
    if high < 0.5:
        return "Worse than chance on these pairs: the judge sides against people."
    return "No better than chance on these pairs: the interval of the accuracy includes one half."


def _judge_caveats(report: AgreementReport) -> Iterator[str]:
    accuracy, longer = report.overall.accuracy, report.longer
    if accuracy is None:
        yield "No accuracy: no readable verdict is on a pair of which people prefer a side."
    elif (chance := chance_caveat(accuracy)) is not None:
        yield chance
    if accuracy and longer and accuracy.value <= longer.value:
        yield f"Always taking the longer response is right as often, or more: {longer.value:.1%}."
    if report.n_failed:
        yield f"{report.n_failed} groups failed altogether and are in no figure."
    n_unread = report.overall.n - report.overall.n_readable
    if n_unread:
        yield (
            f"{n_unread} of {report.overall.n} verdicts could not be read; accuracy, kappa and "
            "calibration are of the others."
        )


def _data_caveats(report: AgreementReport) -> Iterator[str]:
    if report.overall.n_prompts == 1 < report.overall.n:
        yield "All pairs are of one prompt: the intervals hold for that prompt alone."
    share = report.label_a_share
    if share is not None and not _LEANING[0] <= share <= _LEANING[1]:
        yield (
            f"{share:.0%} of the labels are A: one order alone flatters a judge that favours the "
            f"{'first' if share > 0.5 else 'second'} place."
        )
    if report.overall.n_label_ties:
        yield f"{report.overall.n_label_ties} pairs that people call even count in kappa alone."
    if report.n_unlabelled:
        yield f"{report.n_unlabelled} judged groups without a label are left out."
    if report.n_not_compared:
        yield f"{report.n_not_compared} labelled groups whose first two never met are left out."
    for name in report.crowded_tags:
        yield f"The tag {name!r} has more than {MOST_VALUES} values and is not broken down."


NO_TOKENS = Usage()


def agreement(
    judged: Iterable[Judged],
    settings: JudgeSettings = JudgeSettings(),
    *,
    prices: Prices = NO_PRICES,
    n_failed: int = 0,
    seed: int = 0,
) -> AgreementReport:
    """The report over all labelled pairs, read once; `settings` are those they were judged by.

    Of a group of several responses the label is about the first two, and so is what is read.
    `n_failed` is how many groups more were to be judged and have no verdict at all.

    Raises:
        EvaluationError: No pair has a label.
    """
    tally = _Tally(settings)
    for each in judged:
        tally.add(each)
    if not len(tally.overall):
        raise EvaluationError(
            f"None of {tally.n_unlabelled + tally.n_not_compared} judged pairs has a label of "
            f"people to agree with, and {n_failed} groups failed. Give pairs whose file says which "
            "response people prefer."
        )
    return tally.report(prices, n_failed, seed)


@dataclass(slots=True)
class _Tags:
    """Which rows have which value of each tag."""

    rows: dict[str, dict[str, "array[int]"]] = field(
        default_factory=dict[str, dict[str, "array[int]"]]
    )
    crowded: set[str] = field(default_factory=set[str])

    def add(self, row: int, tags: Mapping[str, str]) -> None:
        for name, value in tags.items():
            if name not in self.crowded:
                values = self.rows.setdefault(name, {})
                values.setdefault(value, array("q")).append(row)
                if len(values) > MOST_VALUES:
                    self.crowded.add(name)
                    del self.rows[name]


@dataclass(slots=True)
class _Tally:
    settings: JudgeSettings
    overall: LabelSeries = field(default_factory=LabelSeries)
    one_order: LabelSeries = field(default_factory=LabelSeries)
    by_length: LabelSeries = field(default_factory=LabelSeries)
    by_principle: dict[str, LabelSeries] = field(default_factory=dict[str, LabelSeries])
    by_judge: dict[str, LabelSeries] = field(default_factory=dict[str, LabelSeries])
    tags: _Tags = field(default_factory=_Tags)
    negations: Negations = field(default_factory=Negations)
    usage: Usage = NO_TOKENS
    n_unlabelled: int = 0
    n_not_compared: int = 0

    def add(self, judged: Judged) -> None:
        label = judged.group.label
        matchup = _first_two(judged)
        if label is None:
            self.n_unlabelled += 1
        elif matchup is None:
            self.n_not_compared += 1
        else:
            self._add(judged.group, label, matchup.verdict)

    def _add(self, group: Group, label: Label, verdict: Verdict) -> None:
        unit = unit_of(group.prompt)
        self.tags.add(len(self.overall), group.tags)
        self.overall.add(unit, label, verdict.outcome, verdict.p_a)
        self.usage += verdict.usage
        self.negations += negations_of(verdict.principle_verdicts)
        first = _one_order(verdict, self.settings)
        self.one_order.add(unit, label, first.outcome, first.p_a)
        longer = _longer(group)
        self.by_length.add(unit, label, longer, {"a": 1.0, "b": 0.0, "tie": 0.5}[longer])
        self._add_parts(self.by_principle, unit, label, _by_principle(verdict))
        self._add_parts(self.by_judge, unit, label, _by_judge(verdict))

    def _add_parts(
        self,
        series: dict[str, LabelSeries],
        unit: int,
        label: Label,
        parts: Mapping[str, Sequence[PrincipleVerdict]],
    ) -> None:
        for name, part in parts.items():
            found = verdict_of(part, self.settings.tie_margin)
            series.setdefault(name, LabelSeries()).add(unit, label, found.outcome, found.p_a)

    def report(self, prices: Prices, n_failed: int, seed: int) -> AgreementReport:
        overall = self.overall.figures(seed)
        labels = self.overall.label_counts()
        n_sided = labels["a"] + labels["b"]
        return AgreementReport(
            overall=overall,
            one_order=self.one_order.figures(seed),
            by_principle=_figures(self.by_principle, seed),
            by_judge=_figures(self.by_judge, seed),
            by_tag={
                name: {value: self.overall.figures(seed, rows) for value, rows in values.items()}
                for name, values in self.tags.rows.items()
            },
            crowded_tags=tuple(sorted(self.tags.crowded)),
            curve=self.overall.curve(),
            tempering=self.overall.tempering(),
            label_a_share=labels["a"] / n_sided if n_sided else None,
            longer=self.by_length.figures(seed).accuracy,
            negations=self.negations,
            cost=cost_of(overall.n_readable, self.usage, prices),
            n_unlabelled=self.n_unlabelled,
            n_not_compared=self.n_not_compared,
            n_failed=n_failed,
        )


def _figures(series: Mapping[str, LabelSeries], seed: int) -> dict[str, Figures]:
    return {name: each.figures(seed) for name, each in series.items()}


def _first_two(judged: Judged) -> JudgedMatchup | None:
    """The matchup that a label speaks of: the first candidate as A, the second as B."""
    return next((each for each in judged.matchups if (each.first, each.second) == (0, 1)), None)


def _one_order(verdict: Verdict, settings: JudgeSettings) -> Verdict:
    """The verdict as it would be had only the first order been asked."""
    if not verdict.principle_verdicts:
        return verdict
    return verdict_of(
        [_there(each, settings) for each in verdict.principle_verdicts], settings.tie_margin
    )


def _there(principle_verdict: PrincipleVerdict, settings: JudgeSettings) -> PrincipleVerdict:
    order_ab = principle_verdict.order_ab
    clamp = settings.clamp if settings.rationale else None
    outcome, p_a = by_order(order_ab, order_ab, clamp=clamp, tie_margin=settings.tie_margin)
    return replace(principle_verdict, order_ba=order_ab, outcome=outcome, p_a=p_a)


def _by_principle(verdict: Verdict) -> dict[str, list[PrincipleVerdict]]:
    parts: dict[str, list[PrincipleVerdict]] = {}
    for each in verdict.principle_verdicts:
        parts.setdefault(each.principle_id, []).append(each)
    return parts


def _by_judge(verdict: Verdict) -> dict[str, list[PrincipleVerdict]]:
    parts: dict[str, list[PrincipleVerdict]] = {}
    for each in verdict.principle_verdicts:
        parts.setdefault(each.judge, []).append(each)
    return parts


def _longer(group: Group) -> Label:
    a, b = (len(each.text) for each in group.candidates[:2])
    return "tie" if a == b else "a" if a > b else "b"
