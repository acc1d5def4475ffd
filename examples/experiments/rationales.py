"""Does a judge do better that writes a rationale first, and do its labels want clamping?

    python examples/experiments/rationales.py --seeds 3

Bai et al. 2022, arXiv:2212.08073, §4.1; Lee et al. 2023, arXiv:2309.00267, §2.1.2. One principle is
drawn for each comparison, the same one with and without a rationale; DPO is on soft labels.
"""

from collections.abc import Iterable
from statistics import mean

from experiment import LABELS, POLICY, Arm, Column, Experiment, Figures, Trial, run
from labels import policy_of
from principles import drawn

from cai.methods.judging.ranking import Judged
from cai.methods.settings import JudgeSettings
from cai.testbed.feedback import JUDGED_UNDER, Judging, clamped, reread
from cai.testbed.oracle import finding, rationale_text, read_request, read_response

THOUGHT = Judging(
    "judged-with-rationale",
    settings=JudgeSettings(tags=JUDGED_UNDER, principles=1, rationale=True, clamp=None),
)


def main() -> None:
    columns = [
        *LABELS,
        Column("sure", "mean confidence"),
        Column("flips", "flips"),
        Column("rationales", "rationales right"),
        *POLICY,
    ]
    arms = [
        Arm("no rationale", plain),
        Arm("rationale", lambda trial: thought(trial, 0.0, 1.0)),
        Arm("rationale, clamped to 40–60 %", lambda trial: thought(trial, 0.4, 0.6)),
    ]
    run(Experiment("rationales", "judge", arms, columns, ["right", "harmful", "faultless"]))


def plain(trial: Trial) -> Figures:
    judging = drawn(1)
    judged = list(trial.chain.judged(judging).judged())
    return {**label_figures(trial, judged), **policy_of(trial, judging.name, judged, "soft")}


def thought(trial: Trial, low: float, high: float) -> Figures:
    asked = list(trial.chain.judged(THOUGHT).judged())
    judged = reread(asked, clamped(low, high), "mean")
    name = f"{THOUGHT.name}-{low:g}-{high:g}"
    return {
        **label_figures(trial, judged),
        "rationales": rationales_right(asked),
        **policy_of(trial, name, judged, "soft"),
    }


def label_figures(trial: Trial, judged: list[Judged]) -> Figures:
    margins = [matchup.verdict.margin for each in judged for matchup in each.matchups]
    return {**trial.judge(judged), "sure": 0.5 + mean(m for m in margins if m is not None)}


def rationales_right(judged: Iterable[Judged]) -> float:
    """The share of rationales that say of both responses what is true, word for word."""
    right: list[bool] = []
    for each in judged:
        request = read_request(each.group.prompt.request)
        assert request is not None, "the requests are of the testbed"
        readings = [read_response(request, one.text) for one in each.group.candidates]
        for matchup in each.matchups:
            for principle_verdict in matchup.verdict.principle_verdicts:
                a, b = (
                    finding(principle_verdict.principle_id, request, readings[place])
                    for place in (matchup.first, matchup.second)
                )
                right += [
                    text == rationale_text(request, a, b)
                    for text in principle_verdict.order_ab.rationales
                ]
                right += [
                    text == rationale_text(request, b, a)
                    for text in principle_verdict.order_ba.rationales
                ]
    return mean(right)


if __name__ == "__main__":
    main()
