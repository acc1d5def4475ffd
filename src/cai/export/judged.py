"""The pairs that a judged group gives.

Which side is chosen is read from the verdict and from nothing else. A verdict that could not be
read, a tie, and sides that are the same make no pair: each is left out for a reason of its own.
"""

import math
from collections import Counter
from collections.abc import Sequence

from cai.export.selecting import ROUNDING, Selection
from cai.export.units import LeftOut, Pair, PairJudging, PrincipleShare
from cai.judging.comparisons import Candidate
from cai.judging.ranking import Contest, Judged
from cai.judging.verdicts import UNREADABLE, Verdict, side
from cai.types import derive_seed


def pairs_of_judged(
    judged: Judged, selection: Selection, tie_margin: float
) -> list[Pair | LeftOut]:
    """The pairs that the selection asks for, or why there are none.

    Of `all`, one entry for each contest; otherwise one for the group.
    """
    if selection.pairs == "best-worst":
        return [best_over_worst(judged, selection, tie_margin)]
    found = [_of_contest(judged, contest, selection) for contest in judged.contests]
    return found if selection.pairs == "all" else [_one(found, judged.group.prompt.id)]


def best_over_worst(judged: Judged, selection: Selection, tie_margin: float) -> Pair | LeftOut:
    """The first of the ranking over the last.

    Its probability is that of their own contest; where they did not meet, or could not be read,
    that of their strengths, 1 / (1 + exp(s_worst − s_best)).
    """
    ranking, strengths = judged.ranking, judged.strengths
    if ranking is None or strengths is None:
        return LeftOut(_unread(judged))
    best, worst = ranking[0], ranking[-1]
    for contest in judged.contests:
        if {contest.first, contest.second} == {best, worst} and contest.verdict.p_a is not None:
            pair = _of_contest(judged, contest, selection)
            if isinstance(pair, Pair) and pair.judging and pair.judging.chosen_place != best:
                return LeftOut("against the ranking")
            return pair
    probability = 1 / (1 + math.exp(strengths[worst] - strengths[best]))
    if side(probability, tie_margin) == "tie":
        return LeftOut("tie")
    return _pair(judged, best, worst, probability, None, selection)


def _of_contest(judged: Judged, contest: Contest, selection: Selection) -> Pair | LeftOut:
    verdict = contest.verdict
    if verdict.p_a is None or verdict.outcome in UNREADABLE or verdict.outcome == "tie":
        return LeftOut(verdict.outcome)
    if verdict.outcome == "inconsistent" and not selection.keeps_inconsistent:
        return LeftOut("inconsistent")
    winner = side(verdict.p_a)
    if winner == "tie":
        return LeftOut("tie")
    if winner == "a":
        return _pair(judged, contest.first, contest.second, verdict.p_a, verdict, selection)
    return _pair(judged, contest.second, contest.first, 1 - verdict.p_a, verdict, selection)


def _pair(
    judged: Judged,
    chosen: int,
    rejected: int,
    probability: float,
    verdict: Verdict | None,
    selection: Selection,
) -> Pair | LeftOut:
    """The pair of these candidates; `verdict` is that of their contest, if they met."""
    better, worse = judged.group.candidates[chosen], judged.group.candidates[rejected]
    margin = probability - 0.5
    if reason := _bad_texts(better, worse, selection):
        return LeftOut(reason)
    if margin < selection.min_margin - ROUNDING:
        return LeftOut("unsure")
    is_turned = verdict is not None and verdict.p_a is not None and verdict.p_a < 0.5
    flips = [each.is_flip for each in verdict.judgements] if verdict else []
    judging = PairJudging(
        basis="contest" if verdict else "strengths",
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
    return Pair(prompt, better.text, worse.text, better.model, worse.model, probability, judging)


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
    """Why there is no ranking: what befell the contests, if all of them could not be read."""
    outcomes = [contest.verdict.outcome for contest in judged.contests]
    if not outcomes or any(contest.verdict.p_a is not None for contest in judged.contests):
        return "no ranking"
    return Counter(outcomes).most_common(1)[0][0]


def _one(found: Sequence[Pair | LeftOut], prompt_id: str) -> Pair | LeftOut:
    """A pair drawn by the prompt's id; without any, the commonest reason."""
    pairs = [each for each in found if isinstance(each, Pair)]
    if pairs:
        return pairs[derive_seed("pair", prompt_id) % len(pairs)]
    reasons = [each.reason for each in found if isinstance(each, LeftOut)]
    return LeftOut(Counter(reasons).most_common(1)[0][0] if reasons else "no ranking")
