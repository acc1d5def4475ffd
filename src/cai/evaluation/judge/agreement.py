"""How far a judge agrees with people, on pairs that people labelled.

The "AI labeler alignment" of Lee et al. 2023, arXiv:2309.00267, over both orders, with what a share
alone hides: chance (kappa), confidence (calibration), unreadable verdicts, and the accuracy of
always taking the longer response. The strength of a person's preference is not used.

Example:
    report = agreement(judged, settings, prices=Prices(million_in_usd=0.5, million_out_usd=1.5))
    print(report.overall.accuracy, report.longer, report.cost.usd)
    print(" ".join(report.caveats))
"""

from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace

from cai.errors import EvaluationError
from cai.evaluation.judge.label_metrics import Figures, LabelSeries, Tempering
from cai.evaluation.judge.position_bias import Negations, negations_of
from cai.evaluation.stats.bootstrap import Estimate, unit_of
from cai.evaluation.stats.calibration import Bin
from cai.methods.judging.composition import Composer
from cai.methods.judging.ranking import Judged
from cai.methods.judging.verdict import PrincipleVerdict, Verdict, by_order
from cai.methods.settings import JudgeSettings
from cai.models.base import Usage

# A tag with more values than these, such as an id, is not broken down.
MAX_TAG_VALUES = 100


@dataclass(frozen=True, slots=True)
class Prices:
    """US dollars: for a million prompt or completion tokens of the judge, and for a person's label.

    None if unknown.
    """

    million_in_usd: float | None = None
    million_out_usd: float | None = None
    human_label_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of each readable verdict; unreadable ones are paid for too.

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


@dataclass(frozen=True, slots=True)
class AgreementReport:
    """A judge against people.

    The `n_groups` are the labelled pairs of `overall`, `n_unlabelled`, `n_not_compared`, whose
    first two responses the judge never compared, and `n_failed`, without any verdict. `one_order`
    uses order AB alone. `by_principle` and `by_judge` use the verdicts of that one alone; a
    principle sampled for some pairs has only those. `longer` is the accuracy of always taking the
    longer response (in characters; equal lengths one half), `label_a_share` the share of a among
    labels of a side. `tempering` is None where no temperature fits. `crowded_tags` have more than
    100 values and are not in `by_tag`.
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
        return tuple(_caveats(self))

    def as_json(self) -> dict[str, object]:
        """Mappings, lists, texts and numbers; null for what has no figure."""
        return {"n_groups": self.n_groups, **asdict(self), "caveats": list(self.caveats)}


def agreement(
    judged: Iterable[Judged],
    settings: JudgeSettings = JudgeSettings(),
    composer: Composer = Composer(),
    *,
    prices: Prices = Prices(),
    n_failed: int = 0,
    seed: int = 0,
) -> AgreementReport:
    """The report over all labelled pairs, iterated once; `settings` are those of the judging.

    `composer` is the one that composed them: the same rule gives the figures of single principles.
    In a group of several responses the label is about the first two, and only their matchup is
    used. `n_failed` further groups have no verdict at all.

    Raises:
        EvaluationError: No pair has a label.
    """
    tally = _Tally(settings, composer)
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
class _Tally:
    settings: JudgeSettings
    composer: Composer
    overall: LabelSeries = field(default_factory=LabelSeries)
    one_order: LabelSeries = field(default_factory=LabelSeries)
    by_length: LabelSeries = field(default_factory=LabelSeries)
    by_principle: dict[str, LabelSeries] = field(default_factory=dict[str, LabelSeries])
    by_judge: dict[str, LabelSeries] = field(default_factory=dict[str, LabelSeries])
    tag_rows: dict[str, dict[str, "array[int]"]] = field(
        default_factory=dict[str, dict[str, "array[int]"]]
    )
    crowded_tags: set[str] = field(default_factory=set[str])
    negations: Negations = field(default_factory=Negations)
    usage: Usage = Usage()
    n_unlabelled: int = 0
    n_not_compared: int = 0

    def add(self, judged: Judged) -> None:
        group, label = judged.group, judged.group.label
        matchups = (each for each in judged.matchups if (each.first, each.second) == (0, 1))
        matchup = next(matchups, None)
        if label is None:
            self.n_unlabelled += 1
            return
        if matchup is None:
            self.n_not_compared += 1
            return
        unit, verdict = unit_of(group.prompt), matchup.verdict
        self._add_tags(len(self.overall), group.tags)
        self.overall.add(unit, label, verdict.outcome, verdict.p_a)
        self.usage += verdict.usage
        self.negations += negations_of(verdict.principle_verdicts)
        first = _order_ab_verdict(verdict, self.settings, self.composer)
        self.one_order.add(unit, label, first.outcome, first.p_a)
        # "Always take the longer response" is measured as a judge of its own.
        a, b = (len(each.text) for each in group.candidates[:2])
        longer, p = ("tie", 0.5) if a == b else ("a", 1.0) if a > b else ("b", 0.0)
        self.by_length.add(unit, label, longer, p)
        parts: dict[tuple[str, str], list[PrincipleVerdict]] = defaultdict(list)
        for each in verdict.principle_verdicts:
            parts["principle", each.principle_id].append(each)
            parts["judge", each.judge].append(each)
        for (kind, name), part in parts.items():
            series = self.by_principle if kind == "principle" else self.by_judge
            found = self.composer.verdict(part)
            series.setdefault(name, LabelSeries()).add(unit, label, found.outcome, found.p_a)

    def _add_tags(self, row: int, tags: Mapping[str, str]) -> None:
        for name, value in tags.items():
            if name not in self.crowded_tags:
                values = self.tag_rows.setdefault(name, {})
                values.setdefault(value, array("q")).append(row)
                if len(values) > MAX_TAG_VALUES:
                    self.crowded_tags.add(name)
                    del self.tag_rows[name]

    def report(self, prices: Prices, n_failed: int, seed: int) -> AgreementReport:
        overall = self.overall.figures(seed)
        labels = self.overall.label_counts()
        n_sided = labels["a"] + labels["b"]
        return AgreementReport(
            overall=overall,
            one_order=self.one_order.figures(seed),
            by_principle={name: each.figures(seed) for name, each in self.by_principle.items()},
            by_judge={name: each.figures(seed) for name, each in self.by_judge.items()},
            by_tag={
                name: {value: self.overall.figures(seed, rows) for value, rows in values.items()}
                for name, values in self.tag_rows.items()
            },
            crowded_tags=tuple(sorted(self.crowded_tags)),
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


def _order_ab_verdict(verdict: Verdict, settings: JudgeSettings, composer: Composer) -> Verdict:
    """The verdict as if the judge had been called in order AB alone."""
    if not verdict.principle_verdicts:
        return verdict
    # Order AB stands in for order BA as well, so that both go through the same averaging and the
    # two figures differ by the order alone.
    clamp = settings.clamp if settings.rationale else None
    parts: list[PrincipleVerdict] = []
    for each in verdict.principle_verdicts:
        order = each.order_ab
        outcome, p_a = by_order(order, order, clamp=clamp, tie_margin=settings.tie_margin)
        parts.append(replace(each, order_ba=order, outcome=outcome, p_a=p_a))
    return composer.verdict(parts)


def cost_of(n_labels: int, usage: Usage, prices: Prices) -> Cost:
    """The cost of each of `n_labels` labels that took this usage together."""
    if not n_labels or usage == Usage():
        return Cost(n_labels, None, None, None, prices.human_label_usd)
    read, written = usage.prompt_tokens / n_labels, usage.completion_tokens / n_labels
    usd = None
    if prices.million_in_usd is not None and prices.million_out_usd is not None:
        usd = (read * prices.million_in_usd + written * prices.million_out_usd) / 1e6
    return Cost(n_labels, read, written, usd, prices.human_label_usd)


def chance_caveat(accuracy: Estimate) -> str | None:
    """A sentence unless the accuracy is better than chance: its interval lies above one half."""
    low = accuracy.value if accuracy.low is None else accuracy.low
    high = accuracy.value if accuracy.high is None else accuracy.high
    if low > 0.5:
        if accuracy.low is not None:
            return None
        return "Chance cannot be excluded: all prompts are alike, so there is no interval."
    if high < 0.5:
        return "Worse than chance on these pairs: the judge sides against people."
    return "No better than chance on these pairs: the interval of the accuracy includes one half."


def _caveats(report: AgreementReport) -> Iterator[str]:
    overall, accuracy, longer = report.overall, report.overall.accuracy, report.longer
    if accuracy is None:
        yield "No accuracy: no readable verdict is on a pair of which people prefer a side."
    elif (chance := chance_caveat(accuracy)) is not None:
        yield chance
    if accuracy and longer and accuracy.value <= longer.value:
        yield f"Always taking the longer response is right as often, or more: {longer.value:.1%}."
    if report.n_failed:
        yield f"{report.n_failed} groups failed altogether and are in no figure."
    n_unread = overall.n - overall.n_readable
    if n_unread:
        yield (
            f"{n_unread} of {overall.n} verdicts could not be read; accuracy, kappa and "
            "calibration are of the others."
        )
    if overall.n_prompts == 1 < overall.n:
        yield "All pairs are of one prompt: the intervals hold for that prompt alone."
    share = report.label_a_share
    if share is not None and not 0.4 <= share <= 0.6:
        yield (
            f"{share:.0%} of the labels are A: one order alone flatters a judge that favours the "
            f"{'first' if share > 0.5 else 'second'} place."
        )
    if overall.n_label_ties:
        yield f"{overall.n_label_ties} pairs that people call even count in kappa alone."
    if report.n_unlabelled:
        yield f"{report.n_unlabelled} judged groups without a label are left out."
    if report.n_not_compared:
        yield f"{report.n_not_compared} labelled groups whose first two never met are left out."
    for name in report.crowded_tags:
        yield f"The tag {name!r} has more than {MAX_TAG_VALUES} values and is not broken down."
