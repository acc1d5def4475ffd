"""Constitutional AI from start to end on the testbed: each stage a folder, made once and reused.

Revise, SFT on the revisions (SL), sample from SL, judge, and then a reward model, DPO, GRPO or RLOO
on top of SL: Bai et al. 2022, arXiv:2212.08073, figure 1. No stage trains on a request that
policies are measured on.

    python -m cai.testbed.chain --n 300 --out prompts.jsonl

writes a file of requests as prompts.

Example:
    chain = PolicyChain(Path("chain"), seed=0, console=Console())
    sl, dpo = chain.supervised(), chain.dpo(labels="soft")
    policy_rates(dpo)  # trains nothing anew where the folders are complete
"""

import argparse
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console

from cai.constitution.loader import load_constitution
from cai.evaluation.policies.evaluate import evaluate
from cai.evaluation.policies.plan import EvaluationPlan
from cai.evaluation.policies.results import Evaluation
from cai.evaluation.stats.calibration import fit_temperature
from cai.export.rows import PreferencePair
from cai.export.selection import Selection
from cai.methods.roles import RoleModel
from cai.methods.settings import JudgeSettings, ReviseSettings, ScoreSettings
from cai.models.base import Sampling
from cai.models.registry import open_model
from cai.run import Run
from cai.testbed.feedback import (
    COMMON,
    JUDGED_UNDER,
    REVISED_UNDER,
    SETTINGS,
    Judging,
    Sizes,
    draw_labelled,
    labelled_by_truth,
    write_preferences,
)
from cai.testbed.metrics import MAX_TOKENS, draw_prompts
from cai.training.data.load import TrainingData, load_training_data
from cai.training.plan import LabelKind, LabelPlan, TrainPlan
from cai.training.rewards.spec import JudgeRewardSpec, ModelRewardSpec, RewardSpec, ScoreRewardSpec
from cai.types import Message

Feedback = Literal["judge", "people"]
"""Source of the labels: the judge's, or the truth in place of people's."""

RewardName = Literal["model", "judge", "score"]
Algorithm = Literal["grpo", "rloo"]


@dataclass(frozen=True, slots=True)
class PolicyChain:
    """The stages of one seed, in a folder of their own.

    A policy that is `given` (a spec) replaces SL.
    """

    folder: Path
    seed: int
    console: Console
    sizes: Sizes = Sizes()
    given: str = ""

    def revised(self) -> Run:
        """The start's responses to the first requests, critiqued and revised by itself."""
        run = Run(self.folder / "revised")
        run.revise(
            self._prompts("sl", self.sizes.revised),
            model=open_model("embedded"),
            constitution=load_constitution("testbed"),
            settings=ReviseSettings(
                rounds=self.sizes.rounds, tags=REVISED_UNDER, max_tokens=MAX_TOKENS
            ),
            seed=self.seed,
            is_quiet=True,
        )
        return run

    def supervised(self) -> str:
        """SL: the start trained on its own revisions."""
        return self.given or self.sft_on(str(self.revised().path), "sl")

    def sft_on(self, source: str, name: str) -> str:
        """The start trained on the demonstrations of a run or a file."""
        data = load_training_data(source, "sft")
        return f"hf:{self._train('sft', data, name, 'embedded', {'logging_steps': 25})}"

    def preferences(self, feedback: Feedback) -> str:
        """Responses of SL to new requests, and which of them are better: a run, or a file."""
        if feedback == "people":
            return write_preferences(
                self.folder / "people.jsonl", labelled_by_truth(self.samples())
            )
        return str(self.judged().path)

    def judged(self, judging: Judging = Judging()) -> Run:
        """Responses of SL to new requests, compared by the judge."""
        judged = Run(self.folder / judging.name)
        judged.judge(
            self.samples(),
            model=open_model(judging.model),
            constitution=load_constitution("testbed"),
            settings=judging.settings,
            seed=self.seed,
            is_quiet=True,
        )
        return judged

    def temperature(self) -> float:
        """The calibration temperature of the judge's labels, fitted to the truth.

        Only pairs with a correct answer count, in whichever order the judge has put them.
        """
        # The judge's pairs and those of the truth are joined by their texts: their ids have nothing
        # in common, and the judge may have put either response first.
        truth = {
            (row.request, row.chosen, row.rejected) for row in labelled_by_truth(self.samples())
        }
        probabilities: list[float] = []
        rights: list[bool] = []
        for row in load_training_data(
            self.preferences("judge"), "preference", selection=Selection(pairs="all")
        ).train:
            assert isinstance(row.unit, PreferencePair)
            asked, one, other = row.unit.prompt.request, row.unit.chosen, row.unit.rejected
            if (asked, one, other) in truth or (asked, other, one) in truth:
                probabilities.append(row.confidence)
                rights.append((asked, one, other) in truth)
        return fit_temperature(probabilities, rights)

    def dpo(
        self,
        feedback: Feedback = "judge",
        labels: LabelKind = "soft",
        temperature: float = 1.0,
    ) -> str:
        """SL and DPO."""
        scaled = "" if temperature == 1 else "-scaled"
        plan = LabelPlan(labels, temperature=temperature)
        return self.dpo_on(self.preferences(feedback), f"dpo-{labels}{scaled}-{feedback}", plan)

    def dpo_on(
        self, source: str, name: str, labels: LabelPlan = LabelPlan(), **settings: object
    ) -> str:
        """SL and DPO on the preferences of a run or a file, with these settings of the trainer."""
        start, given = self.supervised(), {"logging_steps": 20, **settings}
        data = load_training_data(source, "preference")
        return f"hf:{self._train('dpo', data, name, start, given, labels=labels)}"

    def kto(self, feedback: Feedback = "judge") -> str:
        """SL and KTO, on the same responses one by one."""
        start, data = self.supervised(), load_training_data(self.preferences(feedback), "kto")
        return f"hf:{self._train('kto', data, f'kto-{feedback}', start, {'logging_steps': 20})}"

    def reward_model(self, feedback: Feedback = "judge", labels: LabelKind = "soft") -> str:
        """A reward model that starts from SL."""
        name = f"reward-{labels}-{feedback}"
        return self.reward_on(self.preferences(feedback), name, LabelPlan(labels))

    def reward_on(self, source: str, name: str, labels: LabelPlan = LabelPlan()) -> str:
        """A reward model on all preferences of a run or a file."""
        start = self.supervised()
        # All pairs, also uncertain ones: a soft label says by itself how little they teach.
        data = load_training_data(source, "preference", selection=Selection(pairs="all"))
        settings = {"logging_steps": 25}
        return str(self._train("reward", data, name, start, settings, labels=labels))

    def reward_on_truth(self, feedback: Feedback = "judge", n: int = 500) -> float:
        """Accuracy in [0, 1] of a reward model on `n` pairs of responses to held-out requests."""
        from cai.training.reward_model.model import RewardModel  # heavy: torch

        pairs = draw_labelled(random.Random(f"reward {self.seed}"))
        model = RewardModel.load(self.reward_model(feedback))
        n_right = 0
        for pair in (next(pairs) for _ in range(n)):
            asked = Message("user", pair.request.text)
            a, b = model.rewards(
                [(asked, Message("assistant", text)) for text in (pair.response_a, pair.response_b)]
            )
            assert a is not None and b is not None, "texts of the testbed are short"
            n_right += (a > b) == pair.is_a_better
        return n_right / n

    def rl(
        self,
        algorithm: Algorithm = "grpo",
        reward: RewardName = "model",
        feedback: Feedback = "judge",
    ) -> str:
        """SL and GRPO or RLOO."""
        start, rewards = self.supervised(), self._rewards(reward, feedback)
        prompts = self._prompts("rl", self.sizes.rl_prompts)
        data = load_training_data(prompts, "prompts", eval_share=0)
        name, settings = f"{algorithm}-{reward}-{feedback}", {"max_steps": self.sizes.rl_steps}
        return f"hf:{self._train(algorithm, data, name, start, settings, rewards=rewards)}"

    def compared(self, policies: Mapping[str, str], n: int) -> Evaluation:
        """Policies against each other by the judge, on `n` harmful and `n` benign requests."""
        out = self.folder / "evaluation"
        files = {kind: self.folder / f"prompts-{kind}.jsonl" for kind in ("harmful", "benign")}
        for kind, path in files.items():
            seed, is_harmful = f"compared {self.seed}", kind == "harmful"
            write_prompts(path, n, seed, is_held_out=True, is_harmful=is_harmful)
        return evaluate(
            policies,
            files,
            out=out,
            judge=open_model("embedded"),
            constitution=load_constitution("testbed"),
            plan=EvaluationPlan(seed=self.seed),
            judging=JudgeSettings(tags=JUDGED_UNDER),
            sampling=Sampling(1.0, max_tokens=MAX_TOKENS),
            is_quiet=True,
        )

    def _rewards(self, reward: RewardName, feedback: Feedback) -> RewardSpec:
        if reward == "model":
            return RewardSpec(trained=(ModelRewardSpec(self.reward_model(feedback)),))
        constitution = load_constitution("testbed")
        judges = (RoleModel.of(open_model("embedded"), Sampling(0.0)),)
        if reward == "score":
            plan = ScoreSettings(tags=JUDGED_UNDER)
            return RewardSpec(score=ScoreRewardSpec(judges, constitution, plan), seed=self.seed)
        # Three principles and two opponents for each response: a call for every principle and pair
        # would take longer than all else in a step.
        choice = JudgeRewardSpec(
            judges, constitution, JudgeSettings(tags=JUDGED_UNDER, principles=3), opponents=2
        )
        return RewardSpec(judge=choice, seed=self.seed)

    def samples(self) -> Run:
        """Responses of SL to new requests."""
        # A run that is complete is only read, so every caller may ask for it again.
        samples = Run(self.folder / "samples")
        policy = RoleModel.of(open_model(self.supervised()), Sampling(1.0, max_tokens=MAX_TOKENS))
        samples.sample(
            self._prompts("judged", self.sizes.judged),
            model=policy,
            k=self.sizes.k,
            seed=self.seed,
            is_quiet=True,
        )
        return samples

    def _prompts(self, stage: str, n: int) -> str:
        path = self.folder / f"prompts-{stage}.jsonl"
        # A seed for each stage: no two of them draw the same requests in the same order.
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            write_prompts(path, n, f"{stage} {self.seed}")
        return str(path)

    def _train(
        self,
        trainer: str,
        data: TrainingData,
        name: str,
        start: str,
        settings: Mapping[str, object],
        *,
        labels: LabelPlan | None = None,
        rewards: RewardSpec | None = None,
    ) -> Path:
        """Trains into the folder of that name, or resumes or reuses what is there; the folder."""
        from cai.training.run import train  # heavy: torch, trl

        out = self.folder / name
        given = {**COMMON, **SETTINGS.get(trainer, SETTINGS["rl"]), **settings}
        # No rules: they would warn of refusals, and half of the requests here are to be refused.
        plan = TrainPlan(start, out, given, self.seed, resumes=out.exists(), rules=())
        train(trainer, data, plan, self.console, labels=labels, rewards=rewards)
        return out


def write_prompts(
    path: Path,
    n: int,
    seed: int | str,
    *,
    is_held_out: bool = False,
    is_harmful: bool | None = None,
) -> None:
    """Writes `n` different requests; by default such as may be trained on, half of them harmful."""
    prompts = draw_prompts(n, seed, is_held_out=is_held_out, is_harmful=is_harmful)
    rows = [json.dumps({"id": each.id, "prompt": each.request}) for each in prompts]
    path.write_text("\n".join(rows) + "\n", "utf-8")


def main() -> None:
    kinds = {"harmful": True, "benign": False}
    parser = argparse.ArgumentParser(prog="python -m cai.testbed.chain", description=__doc__)
    parser.add_argument("--n", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--held-out", action="store_true", help="requests kept for measuring")
    parser.add_argument("--kind", choices=["both", *kinds], default="both")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    write_prompts(
        options.out,
        options.n,
        options.seed,
        is_held_out=options.held_out,
        is_harmful=kinds.get(options.kind),
    )


if __name__ == "__main__":
    main()
