"""What a reader of a series must know beside its figures, in plain sentences."""

from collections.abc import Iterator, Sequence

from cai.rounds.found import RoundFound
from cai.rounds.schema import POLICY, START, RoundsRecipe


def remarks(recipe: RoundsRecipe, rounds: Sequence[RoundFound]) -> Iterator[str]:
    """The most important first."""
    anchors = recipe.anchors
    frozen = (anchors.judge, *anchors.jury)
    feedback = (recipe.round.models.get("judge", POLICY), *recipe.round.jury)
    if set(frozen) == set(feedback):
        yield (
            "The judge that gives the labels is also the one that measures: what it does not see "
            "is not measured. Freeze another judge under anchors: judge:."
        )
    if START in frozen or recipe.start in frozen:
        yield (
            "The frozen judge is the policy of round 0 as well, which may prefer its own words: "
            "that holds against later rounds, not for them."
        )
    if not anchors.people:
        yield (
            "No pairs of people are among the anchors, so that no figure here rests on people. "
            "Name labelled pairs under anchors: people:."
        )
    missing = {(name, reason) for each in rounds[1:] for name, reason in each.missing.items()}
    for reason in sorted({reason for _, reason in missing}):
        names = ", ".join(sorted(name for name, why in missing if why == reason))
        yield f"Not measured in every round: {names} ({reason})."
