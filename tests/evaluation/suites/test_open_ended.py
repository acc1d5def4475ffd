"""What responses to open prompts come to, each figure worked out by hand."""

from collections.abc import Iterable, Mapping

import pytest

from cai.evaluation.stats.bootstrap import Estimate
from cai.evaluation.suites.files import Kind
from cai.evaluation.suites.open_ended import OpenPrompt, TurnResponses, response_figures
from cai.methods.judging.pointwise import Score, Scored, ScoreOutcome
from cai.types import user_prompt

DECLINES = "I cannot help with breaking it, because it is not yours."
DODGES = "I cannot help with that."
HELPS = "Wipe it with a cloth."


def prompts(**sides: tuple[str, str]) -> dict[str, OpenPrompt]:
    return {
        id: OpenPrompt(user_prompt(f"Lamp {id}?", id), group, side)
        for id, (group, side) in sides.items()
    }


def turn(
    texts: Mapping[str, str], scored: Mapping[str, Scored] | None = None, *, failed: int = 0
) -> TurnResponses:
    return TurnResponses(1, texts, scored, failed)


def figures(
    kind: Kind, asked: Mapping[str, OpenPrompt], turns: Iterable[TurnResponses]
) -> Mapping[str, Estimate]:
    return response_figures(kind, asked, turns).estimates()


def scored(id: str, *values: float | None) -> Scored:
    """Scores under the principles `kind` and `brief`, of weights 1 and 3."""
    outcomes: list[ScoreOutcome] = ["unparsed" if value is None else "scored" for value in values]
    named = zip(("kind", "brief"), (1.0, 3.0), outcomes, values, strict=True)
    scores = tuple(Score("check", "judge", *each) for each in named)
    return Scored(user_prompt(f"Lamp {id}?", id), HELPS, "actor", scores)


def test_refusals_are_told_apart_by_side_and_type():
    """Of safe prompts one in two is refused, of unsafe ones both; one answer is evasive."""
    asked = prompts(
        a=("homonyms", "safe"),
        b=("figures", "safe"),
        c=("contrast", "unsafe"),
        d=("contrast", "unsafe"),
    )
    texts = {"a": DODGES, "b": HELPS, "c": DECLINES, "d": DECLINES}
    found = figures("xstest", asked, [turn(texts)])
    assert found["refused safe"].value == 0.5
    assert found["refused safe: homonyms"].value == 1.0
    assert found["refused safe: figures"].value == 0.0
    assert found["refused unsafe"].value == 1.0
    assert found["evasive"].value == 0.25
    assert found["empty"].value == 0.0
    assert "refused" not in found


def test_an_empty_response_is_one_and_a_failed_prompt_is_counted():
    asked = prompts(a=("damage", ""), b=("theft", ""), c=("theft", ""))
    found = figures("harmbench", asked, [turn({"a": " …", "b": DECLINES}, failed=1)])
    assert (found["empty"].value, found["empty"].n) == (0.5, 2)
    assert (found["refused"].value, found["refused: theft"].value) == (0.5, 1.0)
    assert (found["failed"].value, found["failed"].n) == (pytest.approx(1 / 3), 3)


def test_what_judges_say_is_a_probability_by_principle_and_over_all_by_weight():
    """+0.5 and −0.5 are 0.75 and 0.25; by weight (1 · 0.5 − 3 · 0.5) / 4 = −0.25, or 0.375."""
    asked = prompts(a=("damage", ""), b=("damage", ""))
    judged = {"a": scored("a", 0.5, -0.5), "b": scored("b", 1.0, 1.0)}
    found = figures("harmbench", asked, [turn({"a": HELPS, "b": HELPS}, judged)])
    assert found["kept"].value == pytest.approx((0.375 + 1) / 2)
    assert found["kept kind"].value == pytest.approx((0.75 + 1) / 2)
    assert found["kept brief"].value == pytest.approx((0.25 + 1) / 2)
    assert found["unscored"].value == 0.0


def test_of_xstest_what_is_kept_is_told_by_side_and_safe_prompts_come_first():
    asked = prompts(a=("contrast", "unsafe"), b=("homonyms", "safe"), c=("figures", "safe"))
    judged = {"a": scored("a", -1.0, -1.0), "b": scored("b", 1.0, 1.0), "c": scored("c", 1.0, 1.0)}
    found = figures("xstest", asked, [turn(dict.fromkeys("abc", HELPS), judged)])
    assert (found["kept: safe"].value, found["kept: unsafe"].value) == (1.0, 0.0)
    assert next(iter(found)) == "refused safe"


def test_a_response_without_a_readable_score_is_counted_and_in_no_mean():
    """Of `b` the weight 3 of 4 is unread; nobody could be asked of `c`."""
    asked = prompts(a=("x", ""), b=("x", ""), c=("x", ""))
    judged = {"a": scored("a", 1.0, 1.0), "b": scored("b", -1.0, None)}
    texts = dict.fromkeys("abc", HELPS)
    found = figures("harmbench", asked, [turn(texts, judged)])
    assert (found["kept"].value, found["kept"].n) == (1.0, 1)
    assert (found["kept kind"].value, found["kept kind"].n) == (0.5, 2)
    assert found["unscored"].value == pytest.approx(2 / 3)


def test_without_judges_nothing_is_said_of_principles():
    found = figures("advbench", prompts(a=("", "")), [turn({"a": HELPS})])
    assert set(found) == {"refused", "evasive", "empty", "failed"}


def test_marks_run_from_1_to_10_over_both_turns():
    """Values 1, 0 and −1 are marks 10, 5.5 and 1."""
    asked = prompts(a=("maths", ""), b=("prose", ""))
    first = {"a": scored("a", 1.0, 1.0), "b": scored("b", 0.0, 0.0)}
    second = {"a": scored("a", -1.0, -1.0), "b": scored("b", 0.0, 0.0)}
    texts = {"a": HELPS, "b": HELPS}
    turns = [TurnResponses(1, texts, first, 0), TurnResponses(2, texts, second, 0)]
    found = figures("mt-bench", asked, turns)
    assert found["mark"].value == pytest.approx((10 + 5.5 + 1 + 5.5) / 4)
    assert found["mark of turn 1"].value == pytest.approx(7.75)
    assert found["mark of turn 2"].value == pytest.approx(3.25)
    assert found["mark: maths"].value == pytest.approx(5.5)
    assert "kept" not in found and "refused: maths" not in found
    assert found["mark"].n == 4
