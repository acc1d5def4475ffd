"""The pairs that a judged group gives.

Which side is chosen is read from the verdict and from nothing else. A verdict that could not be
read, a tie, and sides that are the same make no pair: each is left out for a reason of its own.

What chains of critique and revision give: revisions to learn from, and revisions over originals.

Bai et al. 2022, arXiv:2212.08073, §3.1: the SFT data are the revisions of all rounds.

Single responses of runs without revisions: samples, the best of a group, and scored ones.
"""

import math
from collections import Counter
from collections.abc import Sequence

from cai.export.rows import (
    Demonstration,
    Labelled,
    LeftOut,
    PairJudging,
    PreferencePair,
    PrincipleShare,
)
from cai.export.selection import ROUNDING, Selection
from cai.methods.judging.pointwise import Scored
from cai.methods.judging.ranking import Judged, JudgedMatchup
from cai.methods.judging.verdict import UNREADABLE, Candidate, Verdict, side
from cai.methods.revision import Chain
from cai.methods.revision_flags import UNUSABLE
from cai.methods.sampling import Sample, Samples
from cai.runs.config import ReviseRunConfig
from cai.types import derive_seed


def pairs_of_judged(
    judged: Judged, selection: Selection, tie_margin: float
) -> list[PreferencePair | LeftOut]:
    """The pairs that the selection asks for, or why there are none.

    Of `all`, one entry for each matchup; otherwise one for the group.
    """
    if selection.pairs == "best-worst":
        return [best_over_worst(judged, selection, tie_margin)]
    found = [_of_contest(judged, matchup, selection) for matchup in judged.matchups]
    return found if selection.pairs == "all" else [_one(found, judged.group.prompt.id)]


def best_over_worst(
    judged: Judged, selection: Selection, tie_margin: float
) -> PreferencePair | LeftOut:
    """The first of the ranking over the last.

    Its probability is that of their own matchup; where they did not meet, or could not be read,
    that of their strengths, 1 / (1 + exp(s_worst − s_best)).
    """
    ranking, strengths = judged.ranking, judged.strengths
    if ranking is None or strengths is None:
        return LeftOut(_unread(judged))
    best, worst = ranking[0], ranking[-1]
    for matchup in judged.matchups:
        if {matchup.first, matchup.second} == {best, worst} and matchup.verdict.p_a is not None:
            pair = _of_contest(judged, matchup, selection)
            if (
                isinstance(pair, PreferencePair)
                and pair.judging
                and pair.judging.chosen_place != best
            ):
                return LeftOut("against the ranking")
            return pair
    probability = 1 / (1 + math.exp(strengths[worst] - strengths[best]))
    if side(probability, tie_margin) == "tie":
        return LeftOut("tie")
    return _pair(
        judged,
        chosen=best,
        rejected=worst,
        probability=probability,
        verdict=None,
        selection=selection,
    )


def _of_contest(
    judged: Judged, matchup: JudgedMatchup, selection: Selection
) -> PreferencePair | LeftOut:
    verdict = matchup.verdict
    if verdict.p_a is None or verdict.outcome in UNREADABLE or verdict.outcome == "tie":
        return LeftOut(verdict.outcome)
    if verdict.outcome == "inconsistent" and not selection.keeps_inconsistent:
        return LeftOut("inconsistent")
    winner = side(verdict.p_a)
    if winner == "tie":
        return LeftOut("tie")
    if winner == "a":
        return _pair(
            judged,
            chosen=matchup.first,
            rejected=matchup.second,
            probability=verdict.p_a,
            verdict=verdict,
            selection=selection,
        )
    return _pair(
        judged,
        chosen=matchup.second,
        rejected=matchup.first,
        probability=1 - verdict.p_a,
        verdict=verdict,
        selection=selection,
    )


def _pair(
    judged: Judged,
    chosen: int,
    rejected: int,
    probability: float,
    verdict: Verdict | None,
    selection: Selection,
) -> PreferencePair | LeftOut:
    """The pair of these candidates; `verdict` is that of their matchup, if they met."""
    better, worse = judged.group.candidates[chosen], judged.group.candidates[rejected]
    margin = probability - 0.5
    if reason := _bad_texts(better, worse, selection):
        return LeftOut(reason)
    if margin < selection.min_margin - ROUNDING:
        return LeftOut("unsure")
    is_turned = verdict is not None and verdict.p_a is not None and verdict.p_a < 0.5
    flips = [each.is_flip for each in verdict.principle_verdicts] if verdict else []
    judging = PairJudging(
        basis="matchup" if verdict else "strengths",
        outcome=verdict.outcome if verdict else None,
        margin=margin,
        by_principle=_by_principle(verdict, is_turned) if verdict else (),
        n_flips=flips.count(True),
        n_questions=len(flips) - flips.count(None),
        chosen_place=chosen,
        rejected_place=rejected,
        chosen_rank=_rank(judged.strengths, chosen),
        rejected_rank=_rank(judged.strengths, rejected),
        n_responses=len(judged.group.candidates),
    )
    prompt = judged.group.prompt
    return PreferencePair(
        prompt,
        chosen=better.text,
        rejected=worse.text,
        chosen_model=better.model,
        rejected_model=worse.model,
        chosen_probability=probability,
        judging=judging,
    )


def _bad_texts(better: Candidate, worse: Candidate, selection: Selection) -> str | None:
    if not better.text.strip() or not worse.text.strip():
        return "empty text"
    if "cut-off" in selection.drops and (better.is_cut_off or worse.is_cut_off):
        return "cut-off"
    return "equal texts" if better.text.split() == worse.text.split() else None


def _by_principle(verdict: Verdict, is_turned: bool) -> tuple[PrincipleShare, ...]:
    return tuple(
        PrincipleShare(id, 1 - p_a if is_turned else p_a)
        for id, p_a in verdict.by_principle.items()
    )


def _rank(strengths: Sequence[float] | None, place: int) -> int | None:
    """One more than there are stronger ones."""
    if strengths is None:
        return None
    return 1 + sum(other > strengths[place] for other in strengths)


def _unread(judged: Judged) -> str:
    """Why there is no ranking: what befell the matchups, if all of them could not be read."""
    outcomes = [matchup.verdict.outcome for matchup in judged.matchups]
    if not outcomes or any(matchup.verdict.p_a is not None for matchup in judged.matchups):
        return "no ranking"
    return Counter(outcomes).most_common(1)[0][0]


def _one(found: Sequence[PreferencePair | LeftOut], prompt_id: str) -> PreferencePair | LeftOut:
    """A pair drawn by the prompt's id; without any, the commonest reason."""
    pairs = [each for each in found if isinstance(each, PreferencePair)]
    if pairs:
        return pairs[derive_seed("pair", prompt_id) % len(pairs)]
    reasons = [each.reason for each in found if isinstance(each, LeftOut)]
    return LeftOut(Counter(reasons).most_common(1)[0][0] if reasons else "no ranking")


def demonstrations_of_chain(
    chain: Chain, recipe: ReviseRunConfig, selection: Selection
) -> list[Demonstration | LeftOut]:
    """The last text; or the revision of every round that would not be left out, equal ones once."""
    reason = _chain_drop_reason(chain, selection)
    if reason is not None:
        return [LeftOut(reason)]
    return [
        Demonstration(chain.prompt, text, _author(chain, recipe, text))
        for text in _completions(chain, selection)
    ]


def pair_of_chain(
    chain: Chain, recipe: ReviseRunConfig, selection: Selection
) -> PreferencePair | LeftOut:
    """The last revision over the first response."""
    reason = _chain_drop_reason(chain, selection)
    if reason is not None:
        return LeftOut(reason)
    if not chain.response.text.strip():
        return LeftOut("empty response")
    if chain.final.split() == chain.response.text.split():
        return LeftOut("unchanged")
    reviser, policy = recipe.roles["revise"].model, recipe.roles["respond"].model
    return PreferencePair(chain.prompt, chain.final, chain.response.text, reviser, policy)


def _chain_drop_reason(chain: Chain, selection: Selection) -> str | None:
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


def _author(chain: Chain, recipe: ReviseRunConfig, text: str) -> str:
    is_revised = any(each.revision and each.revision.text == text for each in chain.rounds)
    return recipe.roles["revise" if is_revised else "respond"].model


def demonstrations_of_samples(
    samples: Samples, selection: Selection
) -> list[Demonstration | LeftOut]:
    """Every response that says something, equal ones of a prompt once."""
    found: list[Demonstration | LeftOut] = []
    seen: set[str] = set()
    for sample in samples.samples:
        text = sample.completion.text
        reason = _sample_drop_reason(sample, selection)
        if reason is None and text.strip() in seen:
            reason = "repeated"
        seen.add(text.strip())
        found.append(
            LeftOut(reason) if reason else Demonstration(samples.prompt, text, sample.model)
        )
    return found


def demonstration_of_judged(
    judged: Judged, selection: Selection, tie_margin: float
) -> Demonstration | LeftOut:
    """The best-ranked response, where it is better than the worst: of a tie nothing is learned."""
    pair = best_over_worst(judged, selection, tie_margin)
    if isinstance(pair, LeftOut):
        return pair
    return Demonstration(pair.prompt, pair.chosen, pair.chosen_model)


def demonstration_of_scored(scored: Scored, selection: Selection) -> Demonstration | LeftOut:
    """The response, if its value reaches the least score."""
    found = labelled_of_scored(scored, selection)
    if isinstance(found, LeftOut):
        return found
    if not found.label:
        return LeftOut("low score")
    return Demonstration(found.prompt, found.completion, found.model)


def labelled_of_scored(scored: Scored, selection: Selection) -> Labelled | LeftOut:
    """The response, good from the least score on. One without a score has no label."""
    if scored.value is None:
        outcomes = Counter(each.outcome for each in scored.scores)
        return LeftOut(outcomes.most_common(1)[0][0] if outcomes else "failed")
    if not scored.response.strip():
        return LeftOut("empty text")
    is_good = scored.value >= selection.min_score
    return Labelled(scored.prompt, scored.response, is_good, scored.model)


def _sample_drop_reason(sample: Sample, selection: Selection) -> str | None:
    completion = sample.completion
    if not completion.text.strip():
        return "empty text"
    if completion.stop_reason == "filtered":
        return "filtered"
    is_cut = completion.stop_reason == "length" and "cut-off" in selection.drops
    return "cut-off" if is_cut else None
