"""The calibration plot: what is drawn, and the files it is written to."""

from pathlib import Path

import pytest
from made_verdicts import judged, principle_verdict

from cai.errors import EvaluationError, UsageError
from cai.evaluation.judge.agreement import AgreementReport, agreement
from cai.evaluation.judge.calibration_plot import calibration_figure, draw_calibration

SAID = [(0.95, "a")] * 6 + [(0.95, "b")] * 2 + [(0.25, "b")] * 3 + [(0.55, "a")]


@pytest.fixture
def report() -> AgreementReport:
    return agreement(
        judged(str(i), principle_verdict(p), label) for i, (p, label) in enumerate(SAID)
    )


def test_a_point_and_a_bar_for_each_bin(report: AgreementReport):
    """0.25: none of 3; 0.55: 1 of 1; 0.95: 6 of 8. ECE (3 · 0.25 + 0.45 + 8 · 0.2) / 12 = 0.233."""
    above, below = calibration_figure(report).axes
    diagonal, curve = above.lines
    assert list(map(list, diagonal.get_data())) == [[0, 1], [0, 1]]
    assert curve.get_xdata() == pytest.approx([0.25, 0.55, 0.95])
    assert curve.get_ydata() == pytest.approx([0, 1, 0.75])
    assert [bar.get_height() for bar in below.patches] == [3, 1, 8]
    assert [bar.get_x() for bar in below.patches] == pytest.approx([0.2, 0.5, 0.9])
    assert above.get_title() == "Calibration of the judge: ECE 0.233, n = 12"


def test_the_axes_say_in_words_what_they_are(report: AgreementReport):
    above, below = calibration_figure(report).axes
    assert "people prefer response A" in above.get_ylabel()
    assert "pairs" in below.get_ylabel()
    assert "how probable the judge finds" in below.get_xlabel()


@pytest.mark.parametrize(("name", "start"), [("c.png", b"\x89PNG\r\n"), ("c.SVG", b"<?xml")])
def test_the_suffix_says_the_kind(report: AgreementReport, tmp_path: Path, name: str, start: bytes):
    draw_calibration(report, tmp_path / name)
    content = (tmp_path / name).read_bytes()
    assert content.startswith(start)
    assert len(content) > 5000


def test_another_suffix_is_an_error_that_says_which_there_are(
    report: AgreementReport, tmp_path: Path
):
    with pytest.raises(UsageError, match=r"\.png or \.svg"):
        draw_calibration(report, tmp_path / "c.gif")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_an_error(report: AgreementReport, tmp_path: Path):
    with pytest.raises(UsageError, match="there is no folder"):
        draw_calibration(report, tmp_path / "absent" / "c.png")
    (tmp_path / "c.png").mkdir()
    with pytest.raises(EvaluationError, match="cannot be written"):
        draw_calibration(report, tmp_path / "c.png")


def test_nothing_readable_is_nothing_to_draw():
    unread = agreement([judged("1", principle_verdict("refused"), "a")])
    with pytest.raises(EvaluationError, match="no calibration to draw"):
        calibration_figure(unread)
