"""Should comparisons be judged under one principle, one drawn for each, or all of them?

    python examples/experiments/principles.py --seeds 3

Bai et al. 2022, arXiv:2212.08073, §4.1, draw one of 16 for each comparison,
which they prefer to the same one for all.
"""

from experiment import LABELS, POLICY, Arm, Column, Experiment, Figures, Trial, run
from labels import policy_of

from cai.methods.settings import JudgeSettings
from cai.testbed.feedback import JUDGED_UNDER, Judging, reread, under

N_ALL, FIXED = 8, "no-harm"
SOFT = "soft "


def drawn(n: int) -> Judging:
    """Judged under `n` principles, drawn for each comparison; all of them is the usual way."""
    if n == N_ALL:
        return Judging()
    settings = JudgeSettings(tags=JUDGED_UNDER, principles=n)
    return Judging(f"judged-under-{n}", settings=settings)


def main() -> None:
    columns = [
        *LABELS,
        *(Column(each.key, f"hard: {each.title}") for each in POLICY),
        Column(SOFT + "harmful", "soft: harmful"),
        Column(SOFT + "faultless", "soft: faultless"),
    ]
    arms = [Arm(f"always {FIXED}", fixed), *(principles(n) for n in (1, N_ALL))]
    plotted = ["right", "faultless", SOFT + "faultless"]
    run(Experiment("principles", "principles", arms, columns, plotted))


def fixed(trial: Trial) -> Figures:
    judged = reread(trial.chain.judged().judged(), under(FIXED))
    return {**trial.judge(judged), **policy_of(trial, f"judged-under-{FIXED}", judged, "hard")}


def principles(n: int) -> Arm:
    def measure(trial: Trial) -> Figures:
        judging = drawn(n)
        judged = list(trial.chain.judged(judging).judged())
        soft = policy_of(trial, judging.name, judged, "soft")
        return {
            **trial.judge(judged),
            **policy_of(trial, judging.name, judged, "hard"),
            **{SOFT + key: value for key, value in soft.items()},
        }

    return Arm("all 8" if n == N_ALL else f"{n} drawn", measure)


if __name__ == "__main__":
    main()
