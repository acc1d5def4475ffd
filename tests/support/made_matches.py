"""Matches of two policies as a word: w is won by the later named policy, l lost, t a tie."""

from cai.evaluation.policies.matchups import Match, Matches, MatchOutcome

OUTCOMES: dict[str, MatchOutcome] = {
    "w": "b", "l": "a", "t": "tie", "i": "inconsistent", "=": "equal",
    "u": "unparsed", "r": "refused", "f": "failed", "e": "empty",
}  # fmt: skip
P_FIRST = {"w": 0.2, "l": 0.9, "t": 0.5, "i": 0.6, "=": 0.5}


def add_matches(
    matches: Matches,
    results: str,
    pair: tuple[str, str] = ("old", "new"),
    each: int = 1,
    lengths: tuple[int, int] = (100, 100),
    start: int = 0,
) -> Matches:
    """`pair` has the earlier policy first; `each` matches in a row are of one prompt.

    Lengths are of the earlier and of the later policy's response.
    """
    for place, result in enumerate(results):
        outcome, p_first = OUTCOMES[result], P_FIRST.get(result)
        matches.add(Match(start + place // each, *pair, outcome, p_first, *lengths))
    return matches


def matches_of(results: str, each: int = 1) -> Matches:
    return add_matches(Matches(), results, each=each)
