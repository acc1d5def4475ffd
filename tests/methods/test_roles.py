"""Drawing principles: in proportion to the weights, among those with given tags, each once."""

from collections import Counter

import pytest

from cai.constitution.schema import Constitution, Principle
from cai.errors import UsageError
from cai.methods.roles import candidates, draw_principle, draw_principles

CONSTITUTION = Constitution(
    name="made",
    principles=(
        Principle(id="light", text="It is.", weight=1.0, tags=("small",)),
        Principle(id="heavy", text="It is.", weight=3.0),
        Principle(id="never", text="It is.", weight=0.0, tags=("small",)),
        Principle(id="other", text="It is.", weight=1.0, tags=("rare",)),
    ),
)


def test_the_candidates_have_a_weight_and_any_of_the_tags():
    assert [each.id for each in candidates(CONSTITUTION, ())] == ["light", "heavy", "other"]
    assert [each.id for each in candidates(CONSTITUTION, ("small",))] == ["light"]
    found = candidates(CONSTITUTION, ("rare", "small"))
    assert [each.id for each in found] == ["light", "other"]


def test_tags_that_nothing_has_are_said_with_those_there_are():
    with pytest.raises(UsageError, match=r"a tag of nothing\. Its tags: rare, small\."):
        candidates(CONSTITUTION, ("nothing",))


def test_one_is_drawn_in_proportion_to_its_weight():
    """Weights 1, 3 and 1 of 5: of 5,000 draws about 1,000, 3,000 and 1,000; three standard
    deviations of the middle one are 3 · √(5,000 · 0.6 · 0.4) = 104."""
    drawn = Counter(draw_principle(CONSTITUTION, (), seed).id for seed in range(5000))
    assert set(drawn) == {"light", "heavy", "other"}
    assert abs(drawn["heavy"] - 3000) < 104
    assert abs(drawn["light"] - 1000) < 104


def test_the_seed_alone_decides():
    assert draw_principle(CONSTITUTION, (), 7) == draw_principle(CONSTITUTION, (), 7)
    assert draw_principles(CONSTITUTION, (), 2, 7) == draw_principles(CONSTITUTION, (), 2, 7)


@pytest.mark.parametrize(("n", "drawn"), [(1, 1), (2, 2), (3, 3), (9, 3)])
def test_several_are_different_and_at_most_all(n: int, drawn: int):
    for seed in range(50):
        found = draw_principles(CONSTITUTION, (), n, seed)
        assert len({each.id for each in found}) == len(found) == drawn


def test_the_first_of_several_is_drawn_by_weight():
    """As one alone: the heavy one in 3 of 5."""
    first = Counter(draw_principles(CONSTITUTION, (), 2, seed)[0].id for seed in range(2000))
    assert abs(first["heavy"] - 1200) < 66
