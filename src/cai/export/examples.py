"""What each example of a run gives to an export: pairs, demonstrations, or the reason for neither.

Which side of a judged pair is chosen is read from the verdict and from nothing else. A verdict that
could not be read, a tie, and sides that are the same make no pair, each with a reason of its own.
Of chains of critique and revision, the SFT data are the revisions of all rounds (Bai et al. 2022,
arXiv:2212.08073, §3.1), here with `Selection.all_rounds`; by default the last one alone.

Example:
    for each in pairs_of_judged(judged, Selection(min_margin=0.1), tie_margin=0.05):
        if isinstance(each, Dropped):
            print(each.reason)                          # "tie", "unsure", "cut-off"
        else:
            print(each.chosen, each.chosen_probability)
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from cai.export.rows import (
    Demonstration,
    Dropped,
    Labelled,
    PairJudging,
    PreferencePair,
    PrincipleShare,
)
from cai.export.selection import ROUNDING, Selection
from cai.methods.judging.composition import Composer
from cai.methods.judging.pointwise import Scored
from cai.methods.judging.ranking import Judged, JudgedMatchup
from cai.methods.judging.verdict import UNREADABLE, Verdict, side
from cai.methods.revision import Chain
from cai.methods.revision_flags import UNUSABLE
from cai.methods.sampling import Samples
from cai.runs.config import ReviseRunConfig
from cai.types import derive_seed


def pairs_of_judged(
    judged: Judged, selection: Selection, composer: Composer
) -> list[PreferencePair | Dropped]:
    """The pairs that `selection.pairs` chooses: for `all` one a matchup, otherwise one a group."""
    if selection.pairs == "best-worst":
        return [best_over_worst(judged, selection, composer)]
    results = [
        _pair_of_matchup(judged, matchup, selection, composer) for matchup in judged.matchups
    ]
    if selection.pairs == "all":
        return results
    # Drawn by the prompt's id, so that a second export, or one of more runs, draws the same pair.
    if pairs := [each for each in results if isinstance(each, PreferencePair)]:
        return [pairs[derive_seed("pair", judged.group.prompt.id) % len(pairs)]]
    reasons = Counter(each.reason for each in results if isinstance(each, Dropped))
    return [Dropped(reasons.most_common(1)[0][0] if reasons else "no ranking")]


def best_over_worst(
    judged: Judged, selection: Selection, composer: Composer
) -> PreferencePair | Dropped:
    """The first of the ranking over the last.

    Its probability is that of their own matchup; where they had none, or it could not be read, that
    of their strengths, 1 / (1 + exp(s_worst − s_best)).
    """
    ranking, strengths = judged.ranking, judged.strengths
    if ranking is None or strengths is None:
        outcomes = [matchup.verdict.outcome for matchup in judged.matchups]
        if not outcomes or any(matchup.verdict.p_a is not None for matchup in judged.matchups):
            return Dropped("no ranking")
        return Dropped(Counter(outcomes).most_common(1)[0][0])
    best, worst = ranking[0], ranking[-1]
    for matchup in judged.matchups:
        if {matchup.first, matchup.second} == {best, worst} and matchup.verdict.p_a is not None:
            pair = _pair_of_matchup(judged, matchup, selection, composer)
            # The direct matchup may contradict the strengths, which come from all matchups.
            if isinstance(pair, PreferencePair) and pair.judging:
                is_best_chosen = pair.judging.chosen_place == best
                return pair if is_best_chosen else Dropped("against the ranking")
            return pair
    probability = 1 / (1 + math.exp(strengths[worst] - strengths[best]))
    if side(probability, composer.tie_margin) == "tie":
        return Dropped("tie")
    return _pair(judged, (best, worst), probability, None, selection, composer)


def _pair_of_matchup(
    judged: Judged, matchup: JudgedMatchup, selection: Selection, composer: Composer
) -> PreferencePair | Dropped:
    verdict = matchup.verdict
    if verdict.p_a is None or verdict.outcome in UNREADABLE or verdict.outcome == "tie":
        return Dropped(verdict.outcome)
    if verdict.outcome == "inconsistent" and not selection.includes_inconsistent:
        return Dropped("inconsistent")
    winner = side(verdict.p_a)
    if winner == "tie":
        return Dropped("tie")
    first, second, p_a = matchup.first, matchup.second, verdict.p_a
    places, probability = ((first, second), p_a) if winner == "a" else ((second, first), 1 - p_a)
    return _pair(judged, places, probability, verdict, selection, composer)


def _pair(
    judged: Judged,
    places: tuple[int, int],
    probability: float,
    verdict: Verdict | None,
    selection: Selection,
    composer: Composer,
) -> PreferencePair | Dropped:
    """The chosen and the rejected candidate; `verdict` is that of their matchup, if any."""
    chosen, rejected = places
    better, worse = judged.group.candidates[chosen], judged.group.candidates[rejected]
    if not better.text.strip() or not worse.text.strip():
        return Dropped("empty text")
    if "cut-off" in selection.drops and (better.is_cut_off or worse.is_cut_off):
        return Dropped("cut-off")
    if better.text.split() == worse.text.split():  # texts that differ in white space alone
        return Dropped("equal texts")
    margin = probability - 0.5
    if margin < selection.min_margin - ROUNDING:
        return Dropped("unsure")
    flips = [each.is_flip for each in verdict.principle_verdicts] if verdict else []
    judging = PairJudging(
        basis="matchup" if verdict else "strengths",
        outcome=verdict.outcome if verdict else None,
        margin=margin,
        compose=composer.rule,
        calibration=composer.calibration,
        p_tie=verdict.p_tie if verdict else None,
        speaking=verdict.speaking if verdict else None,
        by_principle=tuple(_shares(verdict)) if verdict else (),
        n_flips=flips.count(True),
        n_questions=len(flips) - flips.count(None),
        chosen_place=chosen,
        rejected_place=rejected,
        chosen_rank=_rank(judged.strengths, chosen),
        rejected_rank=_rank(judged.strengths, rejected),
        n_responses=len(judged.group.candidates),
    )
    return PreferencePair(
        judged.group.prompt,
        chosen=better.text,
        rejected=worse.text,
        chosen_model=better.model,
        rejected_model=worse.model,
        chosen_probability=probability,
        judging=judging,
    )


def _shares(verdict: Verdict) -> Iterator[PrincipleShare]:
    """What each principle says of the chosen side, which is B where the verdict favours it."""
    is_a = verdict.p_a is None or verdict.p_a >= 0.5
    for id, votes in verdict.votes_by_principle.items():
        total = sum(each.weight for each in votes)
        for_a = sum(each.weight * each.for_a for each in votes) / total
        for_b = sum(each.weight * each.for_b for each in votes) / total
        chosen, rejected = (for_a, for_b) if is_a else (for_b, for_a)
        yield PrincipleShare(id, (1 + chosen - rejected) / 2, chosen, rejected)


def _rank(strengths: Sequence[float] | None, place: int) -> int | None:
    if strengths is None:
        return None
    return 1 + sum(other > strengths[place] for other in strengths)


def demonstrations_of_chain(
    chain: Chain, config: ReviseRunConfig, selection: Selection
) -> list[Demonstration | Dropped]:
    """The last text; or with `all_rounds` every usable revision, equal ones once."""
    reason = _chain_drop_reason(chain, selection)
    if reason is not None:
        return [Dropped(reason)]
    reviser, policy = config.roles["revise"].model, config.roles["respond"].model
    if selection.all_rounds:
        bad = UNUSABLE | selection.drops
        revisions = [
            each.revision.text
            for each in chain.rounds
            if each.revision and not bad.intersection(each.flags)
        ]
        if revisions:
            return [Demonstration(chain.prompt, text, reviser) for text in dict.fromkeys(revisions)]
    # Without a usable revision the last text is the first response.
    is_revised = any(each.is_usable for each in chain.rounds)
    return [Demonstration(chain.prompt, chain.final, reviser if is_revised else policy)]


def pair_of_chain(
    chain: Chain, config: ReviseRunConfig, selection: Selection
) -> PreferencePair | Dropped:
    """The last revision over the first response."""
    reason = _chain_drop_reason(chain, selection)
    if reason is not None:
        return Dropped(reason)
    if not chain.response.text.strip():
        return Dropped("empty response")
    if chain.final.split() == chain.response.text.split():
        return Dropped("unchanged")
    reviser, policy = config.roles["revise"].model, config.roles["respond"].model
    return PreferencePair(chain.prompt, chain.final, chain.response.text, reviser, policy)


def _chain_drop_reason(chain: Chain, selection: Selection) -> str | None:
    if not chain.final.strip():
        return "empty"
    revised = [each for each in chain.rounds if each.revision is not None]
    if revised:
        # Only the last round counts: a later round may have revised an earlier fault away.
        flags = (UNUSABLE | selection.drops).intersection(revised[-1].flags)
        return min(flags) if flags else None
    is_cut = chain.response.stop_reason == "length"
    return "cut-off" if is_cut and "cut-off" in selection.drops else None


def demonstrations_of_samples(
    samples: Samples, selection: Selection
) -> list[Demonstration | Dropped]:
    """Every response that is not empty or cut off, equal ones of a prompt once."""
    results: list[Demonstration | Dropped] = []
    seen: set[str] = set()
    for sample in samples.samples:
        text, stop_reason, reason = sample.completion.text, sample.completion.stop_reason, None
        if not text.strip():
            reason = "empty text"
        elif stop_reason == "filtered":
            reason = "filtered"
        elif stop_reason == "length" and "cut-off" in selection.drops:
            reason = "cut-off"
        elif text.strip() in seen:
            reason = "repeated"
        seen.add(text.strip())
        row = Dropped(reason) if reason else Demonstration(samples.prompt, text, sample.model)
        results.append(row)
    return results


def demonstration_of_judged(
    judged: Judged, selection: Selection, composer: Composer
) -> Demonstration | Dropped:
    """The best-ranked response, where it is better than the worst: a tie gives nothing to learn."""
    pair = best_over_worst(judged, selection, composer)
    if isinstance(pair, Dropped):
        return pair
    return Demonstration(pair.prompt, pair.chosen, pair.chosen_model)


def demonstration_of_scored(scored: Scored, selection: Selection) -> Demonstration | Dropped:
    """The response, if its value reaches `selection.min_score`."""
    row = labelled_of_scored(scored, selection)
    if isinstance(row, Dropped):
        return row
    if not row.label:
        return Dropped("low score")
    return Demonstration(row.prompt, row.completion, row.model)


def labelled_of_scored(scored: Scored, selection: Selection) -> Labelled | Dropped:
    """The response, labelled good from `selection.min_score` on; dropped without a score."""
    if scored.value is None:
        outcomes = Counter(each.outcome for each in scored.scores)
        return Dropped(outcomes.most_common(1)[0][0] if outcomes else "failed")
    if not scored.response.strip():
        return Dropped("empty text")
    is_good = scored.value >= selection.min_score
    return Labelled(scored.prompt, scored.response, is_good, scored.model)
