"""Two judges on the same matchups and pairs: figures worked out by hand."""

from pathlib import Path

import pytest
from made_verdicts import Said, judged, judged_run, principle_verdict

from cai.evaluation.policies.matchups import Matchups
from cai.evaluation.policies.responses import EvaluationPrompt, PolicyResponses
from cai.evaluation.policies.text_metrics import ALL
from cai.evaluation.stats.bootstrap import unit_of
from cai.methods.judging.verdict import Candidate, Verdict
from cai.rounds.judge_drift import agreement_gap, judge_gap, judges_agree
from cai.types import user_prompt

PAIR = ("round 0", "round 1")
OLD, NEW, EVEN, UNREAD = (
    Verdict("a", 0.2),
    Verdict("b", 0.8),
    Verdict("tie", 0.5),
    Verdict("unparsed", None),
)


def matchups(n: int) -> Matchups:
    """Round 0 and round 1 on n prompts, each with one response."""
    prompts = [user_prompt(f"Question {i}?", str(i)) for i in range(n)]
    asked = {unit_of(prompt): EvaluationPrompt(prompt, ALL) for prompt in prompts}
    said = {name: {unit: (Candidate(f"{name} says"),) for unit in asked} for name in PAIR}
    return Matchups(PolicyResponses(asked, said, dict.fromkeys(PAIR, frozenset()), 0), (PAIR,), 0)


def verdicts(*said: Verdict) -> dict[str, Verdict]:
    return {f"{i}/round 0/round 1/1": each for i, each in enumerate(said)}


def test_the_gap_is_the_win_rate_by_one_less_that_by_the_other_on_what_both_read():
    """The new policy wins 3.5 of 4 by the current judge, 2 of 4 by the frozen one."""
    frozen = verdicts(OLD, NEW, OLD, NEW, UNREAD)
    current = verdicts(NEW, NEW, EVEN, NEW, NEW)
    gap = judge_gap(matchups(5), frozen, current)
    assert gap is not None
    assert (gap.value, gap.n) == (pytest.approx(1.5 / 4), 4)
    assert gap.low is not None and gap.low <= gap.value


def test_they_agree_where_both_favour_the_same_side():
    """Both name a side in three matchups, the same one in two."""
    frozen = verdicts(OLD, NEW, OLD, NEW, UNREAD)
    current = verdicts(NEW, NEW, EVEN, NEW, NEW)
    found = judges_agree(matchups(5), frozen, current)
    assert found is not None
    assert (found.value, found.n) == (pytest.approx(2 / 3), 3)


def test_where_nothing_was_read_by_both_there_is_no_figure():
    nothing = verdicts(UNREAD, UNREAD)
    assert judge_gap(matchups(2), nothing, verdicts(NEW, NEW)) is None
    assert judges_agree(matchups(2), verdicts(EVEN, EVEN), verdicts(NEW, NEW)) is None


def test_the_gap_of_agreement_is_over_pairs_of_a_side_that_both_read(tmp_path: Path):
    """Of three pairs the current judge is right on 1.5, the frozen one on 3."""
    labels = ("a", "b", "a", "tie", "a")
    said: dict[str, tuple[Said, ...]] = {
        "current": (0.8, 0.8, 0.5, 0.8, "unparsed"),
        "frozen": (0.8, 0.2, 0.8, 0.8, 0.8),
    }
    for name, of_pairs in said.items():
        pairs = [
            judged(str(i), principle_verdict(each), label)
            for i, (each, label) in enumerate(zip(of_pairs, labels, strict=True))
        ]
        judged_run(tmp_path / name, pairs)
    gap = agreement_gap(tmp_path / "current", tmp_path / "frozen", 0)
    assert gap is not None
    assert (gap.value, gap.n) == (pytest.approx(-1.5 / 3), 3)
