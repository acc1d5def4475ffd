"""Reward models with their weights, as they are named."""

import pytest

from cai.errors import UsageError
from cai.training.rewards.spec import weighted


def test_a_weight_stands_after_a_star_and_is_1_without():
    assert weighted("models/reward") == ("models/reward", 1.0)
    assert weighted("models/reward*0.25") == ("models/reward", 0.25)


@pytest.mark.parametrize("named", ["r*", "r*much", "r*nan", "*2"])
def test_another_form_is_refused_with_the_right_one(named: str):
    with pytest.raises(UsageError, match=r"is not a weight\. Write .+\*0\.5\."):
        weighted(named)
