"""Labels of a judge or of people who know the truth: at the same number, and at the same cost?

    python examples/experiments/ai_or_people.py --seeds 3

RLAIF against RLHF, Lee et al. 2023, arXiv:2309.00267, §4. Two comparisons of each request are
labelled. A person's label is assumed to cost as much as ten of the judge's. People leave a
comparison out where neither response is better, and are paid for it nevertheless.
"""

from itertools import islice

from experiment import POLICY, Arm, Column, Experiment, Figures, Trial, run
from labels import weak_judging

from cai.methods.judging.ranking import Judged
from cai.testbed.feedback import (
    Judging,
    Preference,
    contests_by_truth,
    preferences,
    write_preferences,
)
from cai.training.plan import LabelPlan

PRICE = 10  # of a person's label, in labels of the judge
STEPS = 30
MET = ((0, 1), (2, 3))  # the responses that are compared: none of them twice


def main() -> None:
    columns = [Column("pairs", "pairs", is_share=False, digits=0), *POLICY]
    arms = [
        Arm("judge", lambda trial: labelled(trial, "judge", Judging())),
        Arm("weak judge", lambda trial: labelled(trial, "weak", weak_judging(trial))),
        Arm("people, same number", lambda trial: by_people(trial, 1)),
        Arm("people, same cost", lambda trial: by_people(trial, PRICE)),
    ]
    run(Experiment("ai_or_people", "labels of", arms, columns, ["harmful", "helped", "faultless"]))


def labelled(trial: Trial, name: str, judging: Judging) -> Figures:
    judged = trial.chain.judged(judging).judged()
    return trained(trial, name, [row for each in judged for row in preferences(met(each))])


def by_people(trial: Trial, part: int) -> Figures:
    """The labels of one in so many of the requests."""
    judged = trial.chain.judged().judged()
    rows = [row for each in islice(judged, 0, None, part) for row in contests_by_truth(met(each))]
    return trained(trial, f"people-1-of-{part}", rows)


def met(judged: Judged) -> Judged:
    """The group with those of its matchups that are labelled here."""
    kept = tuple(each for each in judged.matchups if (each.first, each.second) in MET)
    return Judged(judged.group, kept, None)


def trained(trial: Trial, name: str, rows: list[Preference]) -> Figures:
    """SL and DPO on hard labels, for the same number of steps whoever labelled."""
    source = write_preferences(trial.chain.folder / f"labels-{name}.jsonl", rows)
    policy = trial.chain.dpo_on(source, f"dpo-labels-{name}", LabelPlan("hard"), max_steps=STEPS)
    return {"pairs": float(len(rows)), **trial.policy(policy)}


if __name__ == "__main__":
    main()
