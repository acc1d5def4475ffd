"""Is the judge's probability a better label than its choice, for DPO and for a reward model?

    python examples/experiments/soft_labels.py --seeds 3

Bai et al. 2022, arXiv:2212.08073, §4.1; Lee et al. 2023, arXiv:2309.00267, §2.2.
"""

import numpy as np
from experiment import POLICY, Arm, Column, Experiment, Figures, Trial, run
from labels import policy_of
from scipy.special import expit

from cai.evaluation.stats.calibration import ece
from cai.testbed.feedback import Preference, by_truth
from cai.testbed.metrics import draw_prompts, policy_samples
from cai.training.plan import LabelKind, LabelPlan
from cai.training.reward_model.model import RewardModel
from cai.types import Message

N_HELD_OUT, N_SAMPLES = 300, 2


def main() -> None:
    columns = [
        *(Column(each.key, f"DPO: {each.title}") for each in POLICY),
        Column("right", "reward model: right"),
        Column("ece", "reward model: ECE", is_share=False, digits=3),
        Column("temperature", "temperature", is_share=False, digits=2),
    ]
    arms = [
        Arm("hard", lambda trial: labels(trial, "hard")),
        Arm("soft", lambda trial: labels(trial, "soft")),
        Arm(
            "soft, fitted temperature",
            lambda trial: labels(trial, "soft", trial.chain.temperature()),
        ),
    ]
    run(Experiment("soft_labels", "labels", arms, columns, ["harmful", "faultless", "right"]))


def labels(trial: Trial, kind: LabelKind, temperature: float = 1.0) -> Figures:
    chain, plan = trial.chain, LabelPlan(kind, temperature=temperature)
    scaled = "" if temperature == 1 else "-scaled"
    judged = chain.judged()
    policy = policy_of(trial, "judged", judged.judged(), kind, temperature)
    model = RewardModel.load(
        chain.reward_on(str(judged.path), f"reward-judged-{kind}{scaled}", plan)
    )
    return {**policy, **reward_figures(model, held_out_pairs(trial)), "temperature": temperature}


def held_out_pairs(trial: Trial) -> list[Preference]:
    """Two answers of SL to each of new requests, where one of them is truly better."""
    seed, sl = trial.chain.seed, trial.chain.supervised()
    prompts = draw_prompts(N_HELD_OUT, f"reward {seed}", is_held_out=True)
    first, second = (policy_samples(sl, prompts, N_SAMPLES * seed + i) for i in range(N_SAMPLES))
    return [
        pair
        for prompt, one, other in zip(prompts, first, second, strict=True)
        for pair in by_truth(prompt, one.latest, other.latest)
    ]


def reward_figures(model: RewardModel, pairs: list[Preference]) -> Figures:
    """How many pairs the rewards put right, and how well σ of their difference is calibrated."""
    rewards = model.rewards(
        [
            (Message("user", pair.request), Message("assistant", text))
            for pair in pairs
            for text in (pair.chosen, pair.rejected)
        ]
    )
    differences = [
        better - worse
        for better, worse in zip(rewards[::2], rewards[1::2], strict=True)
        if better is not None and worse is not None
    ]
    probabilities = expit(np.array(differences))
    gap = ece(probabilities, np.ones(len(differences), dtype=bool))
    assert gap is not None, "some pairs have a right answer"
    return {"right": float(np.mean(probabilities > 0.5)), "ece": gap}


if __name__ == "__main__":
    main()
