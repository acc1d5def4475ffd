"""What does asking in both orders mend: a comparison judged once, or twice with the sides swapped?

    python examples/experiments/orders.py --seeds 3

Lee et al. 2023, arXiv:2309.00267, §2.1 and its appendix on position bias.
"""

from collections.abc import Callable, Iterable, Iterator
from statistics import mean

from experiment import LABELS, POLICY, Arm, Column, Experiment, Figures, Trial, run
from labels import policy_of, weak_judging

from cai.methods.judging.ranking import Judged
from cai.methods.judging.verdict import PrincipleVerdict
from cai.testbed.feedback import Judging, first_order, reread
from cai.testbed.oracle import finding, read_request, read_response


def main() -> None:
    columns = [
        *LABELS,
        Column("flips", "flips"),
        Column("to A", "of these to A"),
        Column("decided flips", "flips where the principle decides"),
        *POLICY,
    ]
    arms = [
        Arm(f"{who} judge, {orders}", measure(is_weak=who == "weak", has_both=orders[0] == "b"))
        for who in ("strong", "weak")
        for orders in ("one order", "both orders")
    ]
    run(Experiment("orders", "labels", arms, columns, ["right", "harmful", "faultless"]))


def measure(*, is_weak: bool, has_both: bool) -> Callable[[Trial], Figures]:
    def measured(trial: Trial) -> Figures:
        judging = weak_judging(trial) if is_weak else Judging()
        judged = list(trial.chain.judged(judging).judged())
        if has_both:
            figures = {**trial.judge(judged), **flips(judged)}
            return {**figures, **policy_of(trial, judging.name, judged)}
        one = reread(judged, first_order)
        figures = {key: trial.judge(one)[key] for key in ("right", "ece")}
        return {**figures, **policy_of(trial, f"{judging.name}-one-order", one)}

    return measured


def flips(judged: list[Judged]) -> Figures:
    """How many flips favour A both times, and how many questions with a right answer flip."""
    asked = [
        principle_verdict
        for each in judged
        for matchup in each.matchups
        for principle_verdict in matchup.verdict.principle_verdicts
    ]
    to_a = [(each.order_ab.p_a or 0) > 0.5 for each in asked if each.is_flip]
    return {
        "to A": mean(to_a) if to_a else 0.0,
        "decided flips": mean(bool(each.is_flip) for each in decided(judged)),
    }


def decided(judged: Iterable[Judged]) -> Iterator[PrincipleVerdict]:
    """Judgements under a principle that one of the two responses breaks and the other keeps."""
    for each in judged:
        request = read_request(each.group.prompt.request)
        assert request is not None, "the requests are of the testbed"
        readings = [read_response(request, one.text) for one in each.group.candidates]
        for matchup in each.matchups:
            for principle_verdict in matchup.verdict.principle_verdicts:
                breaks = [
                    finding(principle_verdict.principle_id, request, readings[place]) is not None
                    for place in (matchup.first, matchup.second)
                ]
                if breaks[0] != breaks[1]:
                    yield principle_verdict


if __name__ == "__main__":
    main()
