"""What is found of a judge against people, and what a reader must know beside the figures."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

from cai.evaluation.bootstrap import Estimate
from cai.evaluation.calibration import Bin
from cai.evaluation.costs import Cost
from cai.evaluation.figures import Figures, Tempering
from cai.evaluation.negations import Negations

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
    def remarks(self) -> tuple[str, ...]:
        """Plain sentences, the most important first."""
        return (*_judge_remarks(self), *_data_remarks(self))

    def as_json(self) -> dict[str, object]:
        """Mappings, lists, texts and numbers; null for what has no figure."""
        return {"n_groups": self.n_groups, **asdict(self), "remarks": list(self.remarks)}


def chance_remark(accuracy: Estimate) -> str | None:
    """A sentence unless the accuracy is better than chance: its interval lies above one half."""
    low = accuracy.value if accuracy.low is None else accuracy.low
    high = accuracy.value if accuracy.high is None else accuracy.high
    if low > 0.5:
        return None if accuracy.low is not None else _UNKNOWN
    if high < 0.5:
        return "Worse than chance on these pairs: the judge sides against people."
    return "No better than chance on these pairs: the interval of the accuracy includes one half."


def _judge_remarks(report: AgreementReport) -> Iterator[str]:
    accuracy, longer = report.overall.accuracy, report.longer
    if accuracy is None:
        yield "No accuracy: no readable verdict is on a pair of which people prefer a side."
    elif (chance := chance_remark(accuracy)) is not None:
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


def _data_remarks(report: AgreementReport) -> Iterator[str]:
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
