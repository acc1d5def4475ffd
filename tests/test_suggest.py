"""Names that were probably meant."""

from cai.suggest import did_you_mean

NAMES = ("judge", "judges", "sample")


def test_the_closest_name_is_suggested():
    assert did_you_mean("judgee", NAMES) == "Did you mean 'judge'?"
    assert did_you_mean("judgee", NAMES, n=3) == "Did you mean 'judge' or 'judges'?"


def test_without_a_close_name_the_alternative_is_given():
    assert did_you_mean("xyz", NAMES) == ""
    assert did_you_mean("xyz", NAMES, "There are three.") == "There are three."


def test_the_name_itself_is_no_suggestion():
    assert did_you_mean("sample", NAMES, "none") == "none"
