"""A training of a recipe, carried out."""

import signal
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from rich.console import Console

from cai.constitution.schema import Constitution
from cai.engine.spending.gate import Caps
from cai.engine.spending.ledger import Ledger
from cai.engine.spending.prices import load_prices
from cai.engine.storage.run_folder import RunFolder
from cai.jobs.pace import Pace
from cai.jobs.prompt_source import PromptSource
from cai.judging.judge import JudgePlan
from cai.judging.scoring import ScorePlan
from cai.models.protocol import Sampling
from cai.recipe.casting import Cast
from cai.recipe.ordering import data_of, start_of
from cai.recipe.parts import STEP_NAMES
from cai.recipe.schema import Recipe
from cai.recipe.train_checks import reward_models
from cai.recipe.trainings import KINDS, RlTraining, TrainStep
from cai.training.data.loading import TrainingData, load_training_data
from cai.training.folder import TrainFolder
from cai.training.plan import TrainPlan
from cai.training.settings import Settings

if TYPE_CHECKING:
    from cai.training.carrying_out import Trained
    from cai.training.rewards.choice import JudgeChoice, RewardChoice, ScoreChoice

PLACE = "settings of the training"


@dataclass(frozen=True, slots=True)
class School:
    """What the trainings of a recipe have in common."""

    recipe: Recipe
    source: PromptSource
    constitution: Constitution
    out: Path

    def check(self) -> None:
        """Finds out whether all settings can be followed.

        Raises:
            TrainingError: Some cannot.
        """
        from cai.training.checking import check_settings  # heavy: torch, trl

        for training in self.recipe.train:
            plan = self._plan(training, None)
            check_settings(training.trainer, plan, training.part.label_plan)

    def train(self, training: TrainStep, cast: Cast, pace: Pace, console: Console) -> str:
        """Trains, or finds that it was done before; a line about it.

        Raises:
            CaiError: As the functions of `cai.training`.
        """
        data = self._data(training, pace)
        for line in data.describe():
            console.print(line, markup=False, highlight=False)
        with _interruptible():
            trained = self._trained(training, data, cast, pace, console)
        return _summary(trained)

    def caps_after(self, training: TrainStep, pace: Pace) -> Caps:
        """What the judges of its rewards left of the caps."""
        judging = TrainFolder(self.out / training.name).judging
        if not judging.is_dir():
            return pace.caps
        with RunFolder.existing(judging) as run:
            return pace.caps.after(Ledger.of(run.database, load_prices(pace.prices)))

    def _trained(
        self, training: TrainStep, data: TrainingData, cast: Cast, pace: Pace, console: Console
    ) -> "Trained":
        plan, labels = self._plan(training, cast.start), training.part.label_plan
        match training.trainer:
            case "sft":
                from cai.training.sft import train_sft  # heavy: torch, trl

                return train_sft(data, plan, console)
            case "reward":
                from cai.training.reward import train_reward  # heavy: torch, trl

                return train_reward(data, plan, console, labels)
            case "dpo":
                from cai.training.dpo import train_dpo  # heavy: torch, trl

                return train_dpo(data, plan, console, labels)
            case "kto":
                from cai.training.kto import train_kto  # heavy: torch, trl

                return train_kto(data, plan, console)
            case "grpo" | "rloo":
                from cai.training.rl import train_rl  # heavy: torch, trl

                rewards = self._rewards(training, cast, pace)
                return train_rl(training.trainer, data, plan, console, rewards)

    def _plan(self, training: TrainStep, default: str | None) -> TrainPlan:
        start = start_of(self.recipe, training)
        model = f"hf:{self.out / start.name}" if isinstance(start, TrainStep) else start or default
        out, given = self.out / training.name, training.part.settings
        places = dict.fromkeys(given, f"{PLACE} {training.name}")
        return TrainPlan(
            model or "", out, Settings(given, places), self.recipe.seed, resumes=out.exists()
        )

    def _data(self, training: TrainStep, pace: Pace) -> TrainingData:
        part = training.part
        names = data_of(self.recipe, training)
        places = [str(self.out / name) if name in STEP_NAMES else name for name in names]
        return load_training_data(
            places or self.source.files,
            KINDS[training.trainer],
            part.mixing(self.recipe.seed).mixes,
            selection=part.selection,
            eval_share=part.eval_share,
            seed=self.recipe.seed,
            limit=None if places else pace.limit,
            skip_bad_rows=part.skip_bad_rows,
        )

    def _rewards(self, training: TrainStep, cast: Cast, pace: Pace) -> "RewardChoice":
        from cai.training.rewards.choice import Penalties, RewardChoice, TrainedChoice

        part = training.part
        assert isinstance(part, RlTraining)
        trained = tuple(
            TrainedChoice(str(self.out / model.name) if isinstance(model, TrainStep) else model, w)
            for model, w in reward_models(self.recipe, training)
        )
        weights = part.penalties
        return RewardChoice(
            trained,
            self._judge(part, cast),
            self._score(part, cast),
            Penalties(weights.length, weights.free_tokens, evasiveness=weights.evasiveness),
            pace.caps,
            load_prices(pace.prices),
            pace.concurrency,
            self.recipe.seed,
        )

    def _judge(self, part: RlTraining, cast: Cast) -> "JudgeChoice | None":
        from cai.training.rewards.choice import JudgeChoice
        from cai.training.rewards.group_judge import GroupPlan

        asked = part.judge
        if asked is None:
            return None
        n_principles = None if asked.principles == "all" else asked.principles
        return JudgeChoice(
            cast.judges(Sampling(0.0)),
            self.constitution,
            JudgePlan(asked.tags, n_principles, asked.rationale),
            GroupPlan(asked.opponents),
            asked.weight,
            asked.apart,
        )

    def _score(self, part: RlTraining, cast: Cast) -> "ScoreChoice | None":
        from cai.training.rewards.choice import ScoreChoice

        asked = part.score
        if asked is None:
            return None
        judges = cast.judges(Sampling(0.0))
        plan = ScorePlan(tags=asked.tags)
        return ScoreChoice(judges, self.constitution, plan, asked.weight, asked.apart)


def _summary(trained: "Trained") -> str:
    figures = trained.figures
    how = f"{figures['steps']} steps in {figures['seconds']} s" if trained.is_new else "done before"
    last = cast("Mapping[str, float]", figures.get("train") or {})
    shown = [f"{name} {last[name]:.4g}" for name in ("loss", "reward", "kl") if name in last]
    return ", ".join([how, *shown])


@contextmanager
def _interruptible() -> Generator[None]:
    """Lets Ctrl-C end a training at once: a loop that waits for it would not hear of it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
