"""Single responses of runs without revisions: samples, the best of a group, and scored ones."""

from collections import Counter

from cai.export.judged import best_over_worst
from cai.export.selecting import Selection
from cai.export.units import Demonstration, Labelled, LeftOut
from cai.judging.ranking import Judged
from cai.judging.scoring import Scored
from cai.sampling import Sample, Samples


def demonstrations_of_samples(
    samples: Samples, selection: Selection
) -> list[Demonstration | LeftOut]:
    """Every response that says something, equal ones of a prompt once."""
    found: list[Demonstration | LeftOut] = []
    seen: set[str] = set()
    for sample in samples.samples:
        text = sample.completion.text
        reason = _reason_to_drop(sample, selection)
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


def _reason_to_drop(sample: Sample, selection: Selection) -> str | None:
    completion = sample.completion
    if not completion.text.strip():
        return "empty text"
    if completion.stop_reason == "filtered":
        return "filtered"
    is_cut = completion.stop_reason == "length" and "cut-off" in selection.drops
    return "cut-off" if is_cut else None
