"""Does it matter more that the judge is good, or the policy that learns from it?

    python examples/experiments/strong_and_weak.py --seeds 3

The strong judge is the embedded model, the strong policy SL; the weak ones are the same with noise
on their weights, see `weak.py`. Each policy learns from its own responses.
"""

from dataclasses import replace
from pathlib import Path

from experiment import LABELS, POLICY, Arm, Experiment, Figures, Trial, run
from labels import policy_of, weak_judging
from weak import POLICY_NOISE, weakened

from cai.testbed.feedback import Judging


def main() -> None:
    arms = [
        Arm("strong policy before", lambda trial: trial.policy(trial.chain.supervised())),
        Arm("weak policy before", lambda trial: trial.policy(weak(trial).chain.supervised())),
        Arm("strong policy, strong judge", lambda trial: trained(trial, trial, Judging())),
        Arm("strong policy, weak judge", lambda t: trained(t, t, weak_judging(t))),
        Arm("weak policy, strong judge", lambda trial: trained(trial, weak(trial), Judging())),
        Arm("weak policy, weak judge", lambda t: trained(t, weak(t), weak_judging(t))),
    ]
    plotted = ["right", "harmful", "faultless"]
    run(Experiment("strong_and_weak", "policy", arms, [*LABELS, *POLICY], plotted))


def weak(trial: Trial) -> Trial:
    """The same seed with a weak policy in the place of SL."""
    chain = trial.chain
    strong = Path(chain.supervised().removeprefix("hf:"))
    sl = weakened(chain.folder / "weak-sl", POLICY_NOISE, chain.seed, strong)
    return replace(trial, chain=replace(chain, folder=chain.folder / "weak", given=sl))


def trained(trial: Trial, learner: Trial, judging: Judging) -> Figures:
    judged = list(learner.chain.judged(judging).judged())
    return {**trial.judge(judged), **policy_of(learner, judging.name, judged)}


if __name__ == "__main__":
    main()
