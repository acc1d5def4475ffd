"""Does it matter more that the judge is good, or the policy that learns from it?

    python examples/experiments/strong_and_weak.py --seeds 3

Strong is the embedded model; weak is the same with noise on its weights, see `weak.py`. A weak
policy answers, critiques and revises as itself, and its SL is trained from itself.
"""

from dataclasses import replace

from experiment import LABELS, POLICY, Arm, Experiment, Figures, Trial, run
from labels import policy_of, weak_judging
from weak import POLICY_NOISE, weakened

from cai.testbed.feedback import Judging


def main() -> None:
    arms = [
        Arm("strong start", lambda trial: trial.policy(trial.chain.start)),
        Arm("weak start", lambda trial: trial.policy(weak(trial).chain.start)),
        Arm("strong SL", lambda trial: trial.policy(trial.chain.supervised())),
        Arm("weak SL", lambda trial: trial.policy(weak(trial).chain.supervised())),
        Arm("strong policy, strong judge", lambda trial: trained(trial, trial, Judging())),
        Arm("strong policy, weak judge", lambda t: trained(t, t, weak_judging(t))),
        Arm("weak policy, strong judge", lambda trial: trained(trial, weak(trial), Judging())),
        Arm("weak policy, weak judge", lambda t: trained(t, weak(t), weak_judging(t))),
    ]
    plotted = ["right", "harmful", "faultless"]
    run(Experiment("strong_and_weak", "policy", arms, [*LABELS, *POLICY], plotted))


def weak(trial: Trial) -> Trial:
    """The same seed's chain from a weak start."""
    chain = trial.chain
    start = weakened(chain.folder / "weak-start", POLICY_NOISE, chain.seed)
    return replace(trial, chain=replace(chain, folder=chain.folder / "weak", start=start))


def trained(trial: Trial, learner: Trial, judging: Judging) -> Figures:
    judged = list(learner.chain.judged(judging).judged())
    return {**trial.judge(judged), **policy_of(learner, judging.name, judged)}


if __name__ == "__main__":
    main()
