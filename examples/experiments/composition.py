"""How do eight principles become one probability that means what it says?

    python examples/experiments/composition.py --seeds 5

The same verdicts of three judges under three rules: the embedded model, and two with noise on their
weights, see `weak.py`. No label is used, and no call is made beyond those of the judging.
"""

from collections.abc import Iterable
from dataclasses import replace
from functools import partial

import numpy as np
from experiment import Arm, Column, Experiment, Figures, Trial, run
from weak import weakened

from cai.constitution.loader import load_constitution
from cai.constitution.schema import Compose
from cai.evaluation.stats.calibration import ece, ece_floor
from cai.methods.judging.ranking import Judged
from cai.methods.settings import JudgeSettings
from cai.testbed.feedback import JUDGED_UNDER, Judging
from cai.testbed.oracle import breaches, read_request, read_response

NOISE = {"strong": 0.0, "middling": 0.4, "weak": 0.55}
RULES: tuple[Compose, ...] = ("mean", "product", "vote")

_FAR = 0.3  # from one half: a probability at which a pair without a better side looks decided
_CERTAINTY = 1e-9


def main() -> None:
    columns = [
        Column("right", "labels right"),
        Column("ece", "ECE", is_share=False, digits=3),
        Column("floor", "its floor", is_share=False, digits=3),
        Column("log_loss", "log loss", is_share=False, digits=3),
        Column("far", "ties that look decided"),
    ]
    arms = [
        Arm(f"{judge} judge, {rule}", partial(composed, judge=judge, rule=rule))
        for judge in NOISE
        for rule in RULES
    ]
    run(Experiment("composition", "judge and rule", arms, columns, ["right", "ece"]))


def composed(trial: Trial, judge: str, rule: Compose) -> Figures:
    """The verdicts of the judge by the rule, against the truth."""
    chain, noise = trial.chain, NOISE[judge]
    # A noisy judge has letters of little probability, which are to be read all the same.
    judging = replace(Judging(), settings=JudgeSettings(tags=JUDGED_UNDER, min_mass=0.0))
    if noise:
        model = weakened(chain.folder / f"judge-{noise:g}", noise, chain.seed)
        judging = replace(judging, model=model)
    judging = replace(judging, name=f"judged-for-composition-{judge}")
    return figures(chain.judged(judging).judged(rule))


def figures(judged: Iterable[Judged]) -> Figures:
    """Of pairs with a better side, how right and how well calibrated; of the others, how sure."""
    differences, p_a = map(np.array, zip(*pairs(judged), strict=True))
    decided, is_a = differences != 0, differences > 0
    p, right = p_a[decided], is_a[decided]
    said = np.clip(np.where(right, p, 1 - p), _CERTAINTY, 1)
    error, floor = ece(p, right), ece_floor(p)
    assert error is not None and floor is not None, "some pairs have a better side"
    return {
        "right": float(np.mean(np.where(p == 0.5, 0.5, (p > 0.5) == right))),
        "ece": error,
        "floor": floor,
        "log_loss": float(-np.log(said).mean()),
        "far": float(np.mean(np.abs(p_a[~decided] - 0.5) > _FAR)),
    }


def pairs(judged: Iterable[Judged]) -> Iterable[tuple[int, float]]:
    """Of every two different texts how many principles more B breaks, and p for A."""
    ids = {each.id for each in load_constitution("testbed").select(JUDGED_UNDER)}
    for each in judged:
        request = read_request(each.prompt.request)
        assert request is not None, "the requests are of the testbed"
        texts = [one.text for one in each.group.candidates]
        n_broken = [
            len(ids.intersection(breaches(request, read_response(request, text)))) for text in texts
        ]
        for one in each.matchups:
            p_a = one.verdict.p_a
            if p_a is not None and texts[one.first] != texts[one.second]:
                yield n_broken[one.second] - n_broken[one.first], p_a


if __name__ == "__main__":
    main()
