"""What chains of critique and revision give: revisions to learn from, and revisions over originals.

Bai et al. 2022, arXiv:2212.08073, §3.1: the SFT data are the revisions of all rounds.
"""

from cai.export.selecting import Selection
from cai.export.units import Demonstration, LeftOut, Pair
from cai.records.recipes import RevisionRecipe
from cai.revision import Chain
from cai.revision_flags import UNUSABLE


def demonstrations_of_chain(
    chain: Chain, recipe: RevisionRecipe, selection: Selection
) -> list[Demonstration | LeftOut]:
    """The last text; or the revision of every round that would not be left out, equal ones once."""
    reason = _reason_to_drop(chain, selection)
    if reason is not None:
        return [LeftOut(reason)]
    return [
        Demonstration(chain.prompt, text, _author(chain, recipe, text))
        for text in _completions(chain, selection)
    ]


def pair_of_chain(chain: Chain, recipe: RevisionRecipe, selection: Selection) -> Pair | LeftOut:
    """The last revision over the first response."""
    reason = _reason_to_drop(chain, selection)
    if reason is not None:
        return LeftOut(reason)
    if not chain.response.text.strip():
        return LeftOut("empty response")
    if chain.final.split() == chain.response.text.split():
        return LeftOut("unchanged")
    reviser, policy = recipe.roles["revise"].model, recipe.roles["respond"].model
    return Pair(chain.prompt, chain.final, chain.response.text, reviser, policy)


def _reason_to_drop(chain: Chain, selection: Selection) -> str | None:
    if not chain.final.strip():
        return "empty"
    revised = [each for each in chain.rounds if each.revision is not None]
    if revised:
        found = (UNUSABLE | selection.drops).intersection(revised[-1].flags)
        return sorted(found)[0] if found else None
    is_cut = chain.response.stop_reason == "length"
    return "cut-off" if is_cut and "cut-off" in selection.drops else None


def _completions(chain: Chain, selection: Selection) -> list[str]:
    if not selection.all_rounds:
        return [chain.final]
    bad = UNUSABLE | selection.drops
    revised = [
        each.revision.text
        for each in chain.rounds
        if each.revision is not None and not bad.intersection(each.flags)
    ]
    return list(dict.fromkeys(revised)) or [chain.final]


def _author(chain: Chain, recipe: RevisionRecipe, text: str) -> str:
    is_revised = any(each.revision and each.revision.text == text for each in chain.rounds)
    return recipe.roles["revise" if is_revised else "respond"].model
