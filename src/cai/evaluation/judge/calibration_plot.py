"""The calibration curve as a plot: the judge's probabilities against the labels of people.

Example:
    draw_calibration(agreement(judged), Path("calibration.svg"))
"""

from pathlib import Path
from typing import TYPE_CHECKING

from cai.errors import EvaluationError, UsageError
from cai.evaluation.judge.agreement import AgreementReport
from cai.evaluation.stats.calibration import N_BINS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg")

# From the palette of Okabe and Ito, which colour-blind readers can distinguish.
_BLUE, _ORANGE, _GREY = "#0072B2", "#E69F00", "#666666"
_SIZE_INCHES = (6.4, 5.6)  # 640 pixels wide
_DOTS_PER_INCH = 100


def draw_calibration(report: AgreementReport, path: Path) -> None:
    """Writes the plot as PNG or SVG, by the suffix of the path.

    Raises:
        UsageError: The suffix is another, or the folder does not exist.
        EvaluationError: As `calibration_figure`, or the file cannot be written.
    """
    check_plot_path(path)
    figure = calibration_figure(report)
    try:
        figure.savefig(path, dpi=_DOTS_PER_INCH)  # pyright: ignore[reportUnknownMemberType]
    except OSError as error:
        raise EvaluationError(
            f"{path}: the plot cannot be written ({error.strerror}). Name another path."
        ) from error


def check_plot_path(path: Path) -> None:
    """Checks the path of a plot before the figures are computed. Raises UsageError."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(
            f"{path}: a plot is written as {' or '.join(SUFFIXES)}, by the suffix of its name."
        )
    if not path.parent.is_dir():
        raise UsageError(f"{path}: there is no folder {path.parent}. Make it, or name another.")


def calibration_figure(report: AgreementReport) -> "Figure":
    """The curve over the counts of its bins.

    Raises:
        EvaluationError: No readable verdict is on a pair of which people prefer a side.
    """
    from matplotlib.figure import Figure  # heavy; unlike pyplot it has no global state

    overall, curve = report.overall, report.curve
    if not curve or overall.ece is None:
        raise EvaluationError(
            "There is no calibration to draw: no readable verdict is on a pair of which people "
            "prefer a side. Judge labelled pairs with a judge that can be read."
        )
    n = sum(each.n for each in curve)
    figure = Figure(figsize=_SIZE_INCHES, layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.plot([0, 1], [0, 1], "--", color=_GREY, label="probabilities that come true")
    above.errorbar(
        [each.mean_p_a for each in curve],
        [each.share_a for each in curve],
        yerr=(
            [each.share_a - each.bounds[0] for each in curve],
            [each.bounds[1] - each.share_a for each in curve],
        ),
        fmt="o-",
        color=_BLUE,
        elinewidth=1,
        label="this judge, in bins, with 95 % intervals",
    )
    above.set_title(f"Calibration of the judge: ECE {overall.ece:.3f}, n = {n:,}")
    above.set_ylabel("share of pairs where\npeople prefer response A")
    above.set_ylim(-0.03, 1.03)
    above.legend(loc="upper left", frameon=False)
    bars = below.bar(
        [each.low for each in curve],
        [each.n for each in curve],
        width=0.92 / N_BINS,
        align="edge",
        color=_ORANGE,
    )
    below.bar_label(bars, [f"{each.n:,}" for each in curve], padding=1, fontsize=8)
    below.margins(y=0.25)
    below.set_ylabel("pairs in the bin")
    below.set_xlabel("how probable the judge finds it that response A is better")
    below.set_xlim(-0.02, 1.02)
    below.set_xticks([place / N_BINS for place in range(N_BINS + 1)])
    return figure
