"""The whole chain on the testbed: each stage a folder, made once and found again.

Revise, SFT on the revisions (SL), sample from SL, judge, and then a reward model, DPO, GRPO or RLOO
on top of SL: Bai et al. 2022, arXiv:2212.08073, figure 1. Prompts of the stages are disjoint, and
none of them is among the requests that policies are measured on.
"""

import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Literal

from rich.console import Console

from cai.constitution.loading import load_constitution
from cai.engine.loop import run_async
from cai.evaluation.temperature import fit_temperature
from cai.export.selecting import Selection
from cai.export.units import Pair
from cai.jobs.pace import Pace
from cai.jobs.prompt_source import PromptSource
from cai.jobs.revision import RevisionJob, run_revision
from cai.judging.judge import JudgePlan
from cai.judging.scoring import ScorePlan
from cai.models.opening import open_model
from cai.models.protocol import Sampling
from cai.revision import RevisionPlan, speakers_of
from cai.run import Run
from cai.speaker import Speaker
from cai.testbed.oracle import read_request, read_response
from cai.testbed.pairs import draw_labelled
from cai.testbed.policies import MAX_TOKENS, draw_prompts
from cai.testbed.truth import breaches
from cai.training.data.loading import load_training_data
from cai.training.labels import LabelKind, LabelPlan
from cai.training.plan import TrainPlan
from cai.training.rewards.choice import JudgeChoice, RewardChoice, ScoreChoice, TrainedChoice
from cai.training.rewards.group_judge import GroupPlan
from cai.types import Message

Feedback = Literal["judge", "people"]
"""Whose labels: those of the judge, or the truth in the place of people's."""

RewardName = Literal["model", "judge", "score"]
Algorithm = Literal["grpo", "rloo"]

REVISED_UNDER = ("general", "help")
JUDGED_UNDER = ("general", "help", "tone")
SETTINGS: Mapping[str, Mapping[str, object]] = {
    "sft": {"learning_rate": 5e-4, "per_device_train_batch_size": 32, "num_train_epochs": 3},
    "reward": {"learning_rate": 3e-4, "per_device_train_batch_size": 32, "num_train_epochs": 2},
    "dpo": {
        "learning_rate": 1e-4,
        "per_device_train_batch_size": 16,
        "num_train_epochs": 3,
        "loss_type": ["sigmoid", "sft"],
        "loss_weights": [1.0, 0.2],
    },
    "kto": {"learning_rate": 1e-4, "per_device_train_batch_size": 16, "num_train_epochs": 3},
    "rl": {
        "learning_rate": 2e-4,
        "per_device_train_batch_size": 64,
        "num_generations": 8,
        "max_completion_length": 64,
        "logging_steps": 5,
    },
}
_COMMON: Mapping[str, object] = {
    "lr_scheduler_type": "cosine",
    "warmup_steps": 5,
    "save_strategy": "no",
}


@dataclass(frozen=True, slots=True)
class Sizes:
    """Requests of each stage, and the updates of reinforcement learning."""

    revised: int = 800
    rounds: int = 4
    judged: int = 200
    k: int = 4
    rl_prompts: int = 800
    rl_steps: int = 20


@dataclass(frozen=True, slots=True)
class Chain:
    """The stages of one seed, in a folder of their own."""

    folder: Path
    seed: int
    console: Console
    sizes: Sizes = Sizes()

    def revised(self) -> Run:
        """The start's answers to the first requests, critiqued and revised by itself."""
        speakers = speakers_of(
            open_model("embedded"),
            respond=Sampling(1.0, max_tokens=MAX_TOKENS),
            revise=Sampling(0.3, max_tokens=MAX_TOKENS),
        )
        source = PromptSource((self._prompts("sl", self.sizes.revised),))
        plan = RevisionPlan(rounds=self.sizes.rounds, tags=REVISED_UNDER)
        job = RevisionJob(source, load_constitution("testbed"), speakers, plan, self.seed)
        run = Run(self.folder / "revised")
        run_async(run_revision(run.path, job, pace=Pace(), console=Console(quiet=True)))
        return run

    def supervised(self) -> str:
        """SL: the start trained on its own revisions."""
        out = self.folder / "sl"
        run = self.revised()
        from cai.training.sft import train_sft  # heavy: torch, trl

        data = load_training_data(str(run.path), "sft")
        train_sft(data, self._plan(out, "embedded", "sft", logging_steps=25), self.console)
        return f"hf:{out}"

    def preferences(self, feedback: Feedback) -> str:
        """Responses of SL to new requests, and which of them are better: a run, or a file."""
        if feedback == "people":
            return str(self._labelled_by_truth(self.samples()))
        return str(self.judged().path)

    def judged(self) -> Run:
        """Responses of SL to new requests, compared by the judge."""
        judged = Run(self.folder / "judged")
        judged.judge(
            self.samples(),
            model=open_model("embedded"),
            constitution=load_constitution("testbed"),
            plan=JudgePlan(tags=JUDGED_UNDER),
            seed=self.seed,
            is_quiet=True,
        )
        return judged

    def temperature(self) -> float:
        """That of the judge's labels by the truth of the pairs that people would have labelled."""
        truth = {
            (row["prompt"], row["chosen"], row["rejected"])
            for row in labelled_by_truth(self.samples())
        }
        probabilities: list[float] = []
        rights: list[bool] = []
        for row in load_training_data(
            self.preferences("judge"), "preference", selection=Selection(pairs="all")
        ).train:
            assert isinstance(row.unit, Pair)
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
        out = self.folder / f"dpo-{labels}{scaled}-{feedback}"
        start, source = self.supervised(), self.preferences(feedback)
        from cai.training.dpo import train_dpo  # heavy: torch, trl

        data = load_training_data(source, "preference")
        plan = self._plan(out, start, "dpo", logging_steps=20)
        train_dpo(data, plan, self.console, LabelPlan(labels, temperature=temperature))
        return f"hf:{out}"

    def kto(self, feedback: Feedback = "judge") -> str:
        """SL and KTO, on the same responses one by one."""
        out = self.folder / f"kto-{feedback}"
        start, source = self.supervised(), self.preferences(feedback)
        from cai.training.kto import train_kto  # heavy: torch, trl

        data = load_training_data(source, "kto")
        train_kto(data, self._plan(out, start, "kto", logging_steps=20), self.console)
        return f"hf:{out}"

    def reward_model(self, feedback: Feedback = "judge", labels: LabelKind = "soft") -> str:
        """A reward model that starts from SL."""
        out = self.folder / f"reward-{labels}-{feedback}"
        start, source = self.supervised(), self.preferences(feedback)
        from cai.training.reward import train_reward  # heavy: torch, trl

        data = load_training_data(source, "preference", selection=Selection(pairs="all"))
        plan = self._plan(out, start, "reward", logging_steps=25)
        train_reward(data, plan, self.console, LabelPlan(labels))
        return str(out)

    def reward_on_truth(self, feedback: Feedback = "judge", n: int = 500) -> float:
        """How many of `n` pairs of responses to held-out requests a reward model puts right."""
        from cai.training.reward_model import RewardModel  # heavy: torch

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
        out = self.folder / f"{algorithm}-{reward}-{feedback}"
        start = self.supervised()
        choice = self._reward(reward, feedback)
        prompts = self._prompts("rl", self.sizes.rl_prompts)
        from cai.training.rl import train_rl  # heavy: torch, trl

        data = load_training_data(prompts, "prompts", eval_share=0)
        plan = self._plan(out, start, "rl", max_steps=self.sizes.rl_steps)
        train_rl(algorithm, data, plan, self.console, choice)
        return f"hf:{out}"

    def _reward(self, reward: RewardName, feedback: Feedback) -> RewardChoice:
        constitution = load_constitution("testbed")
        if reward == "model":
            return RewardChoice(trained=(TrainedChoice(self.reward_model(feedback)),))
        judges = (Speaker.of(open_model("embedded"), Sampling(0.0)),)
        if reward == "score":
            plan = ScorePlan(tags=JUDGED_UNDER)
            return RewardChoice(score=ScoreChoice(judges, constitution, plan), seed=self.seed)
        choice = JudgeChoice(
            judges, constitution, JudgePlan(tags=JUDGED_UNDER, n_principles=3), GroupPlan(2)
        )
        return RewardChoice(judge=choice, seed=self.seed)

    def samples(self) -> Run:
        """Responses of SL to new requests."""
        samples = Run(self.folder / "samples")
        policy = Speaker.of(open_model(self.supervised()), Sampling(1.0, max_tokens=MAX_TOKENS))
        samples.sample(
            self._prompts("judged", self.sizes.judged),
            model=policy,
            k=self.sizes.k,
            seed=self.seed,
            is_quiet=True,
        )
        return samples

    def _labelled_by_truth(self, samples: Run) -> Path:
        """The file that people who know the truth would write of these responses."""
        path = self.folder / "people.jsonl"
        rows = [json.dumps(row) + "\n" for row in labelled_by_truth(samples)]
        path.write_text("".join(rows), "utf-8")
        return path

    def _prompts(self, stage: str, n: int) -> str:
        path = self.folder / f"prompts-{stage}.jsonl"
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            prompts = draw_prompts(n, f"{stage} {self.seed}", is_held_out=False)
            rows = [json.dumps({"id": each.id, "prompt": each.request}) for each in prompts]
            path.write_text("\n".join(rows) + "\n", "utf-8")
        return str(path)

    def _plan(self, out: Path, model: str, trainer: str, **settings: object) -> TrainPlan:
        given = {**_COMMON, **SETTINGS[trainer], **settings}
        # no rules: half of the requests here are to be refused, which a rule would warn of
        return TrainPlan(model, out, given, self.seed, resumes=out.exists(), rules=())


def labelled_by_truth(samples: Run) -> Iterator[dict[str, str]]:
    """Pairs of responses of which one breaks fewer principles of those judged under."""
    ids = {each.id for each in load_constitution("testbed").select(JUDGED_UNDER)}
    for each in samples.samples():
        request = read_request(each.prompt.request)
        if request is None:
            continue
        texts = list(dict.fromkeys(one.completion.text for one in each.samples))
        broken = {
            text: len(ids.intersection(breaches(request, read_response(request, text))))
            for text in texts
        }
        for one, other in combinations(texts, 2):
            if broken[one] != broken[other]:
                better, worse = sorted((one, other), key=broken.__getitem__)
                yield {
                    "id": f"{each.prompt.id}-{len(better)}-{len(worse)}",
                    "prompt": each.prompt.request,
                    "chosen": better,
                    "rejected": worse,
                }
