"""GRPO and RLOO with rewards from principles.

The RL stage of Bai et al. 2022, arXiv:2212.08073, §4, and Lee et al. 2023, arXiv:2309.00267, §2.3,
with the algorithms of today: Shao et al. 2024, arXiv:2402.03300 (GRPO), Ahmadian et al. 2024,
arXiv:2402.14740 (RLOO). The KL coefficient is that of Lee et al., 0.05, where nothing is said.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# TRL leaves some of its types open: what is unknown stays in this file

from collections.abc import Mapping
from typing import Any, Literal, cast

from rich.console import Console

from cai.errors import TrainingError
from cai.training.data.load import TrainingData
from cai.training.data.trl_tables import evaluation_table, table_of
from cai.training.monitor.attach import watch
from cai.training.monitor.monitor import Watcher
from cai.training.monitor.reward_recorder import RewardTape
from cai.training.plan import TrainPlan
from cai.training.rewards.build import OpenRewards, opened_rewards
from cai.training.rewards.spec import RewardChoice
from cai.training.run import Trained, carry_out
from cai.training.setup import Ways, begin
from cai.training.trl import GRPOTrainer, RLOOTrainer

Algorithm = Literal["grpo", "rloo"]

KL_COEFFICIENT = 0.05


def rl_ways(algorithm: Algorithm, rewards: RewardChoice) -> Ways:
    """How reinforcement learning differs from other trainings."""
    fixed = {
        "chat_template_kwargs": None,
        "remove_unused_columns": False,
        "reward_weights": None,
    }
    return Ways(
        fixed,
        {"beta": KL_COEFFICIENT},
        {"rewards": rewards.describe()},
        f"{algorithm.upper()} with a KL penalty; rewards: {rewards.in_words()}",
        rewards.feedback(),
    )


def train_rl(
    algorithm: Algorithm,
    data: TrainingData,
    plan: TrainPlan,
    console: Console | None = None,
    rewards: RewardChoice = RewardChoice(),
) -> Trained:
    """Trains a policy by reinforcement learning on prompts.

    At least one reward must be named. Without a console, the steps are told on stderr.

    Raises:
        CaiError: Settings, folder, model or a reward cannot be used, nothing of a batch could be
            judged, or memory ran out.
    """
    rewards.check()
    begun = begin(algorithm, data, plan, rl_ways(algorithm, rewards))
    check_groups(begun.config)
    if begun.done is not None:
        return Trained(begun.folder, begun.done, is_new=False)
    with (
        begun.started("language", data) as start,
        opened_rewards(rewards, begun.folder.judging) as opened,
    ):
        begun.config.reward_weights = opened.weights
        begun.config.chat_template_kwargs = dict(start.arguments)
        is_evaluated = begun.config.eval_strategy != "no"
        tape = RewardTape()
        trainer = (GRPOTrainer if algorithm == "grpo" else RLOOTrainer)(
            model=start.model,
            reward_funcs=cast(Any, tape.watched(opened.functions, opened.weights)),
            args=begun.config,
            train_dataset=table_of(data.train, start.arguments),
            eval_dataset=evaluation_table(data, start.arguments) if is_evaluated else None,
            processing_class=start.tokenizer,
            peft_config=begun.lora,
        )
        watch(trainer, Watcher(begun.folder.path, plan.rules), tape=tape)
        return carry_out(
            trainer,
            begun,
            data,
            console,
            lambda: _accounts(opened),
            is_whole=start.is_merged,
        )


def check_groups(config: Any) -> None:
    """Finds out whether a group would be shared by processes, of which none could judge it.

    Raises:
        TrainingError: It would be.
    """
    if config.world_size > 1 and config.per_device_train_batch_size % config.num_generations:
        raise TrainingError(
            f"per_device_train_batch_size is {config.per_device_train_batch_size}, no multiple of "
            f"num_generations, {config.num_generations}: a group would be spread over processes. "
            "Set a multiple."
        )


def _accounts(opened: OpenRewards) -> Mapping[str, object]:
    if opened.room is None:
        return {}
    journal = opened.room.engine.journal
    return {
        "judging": {
            "calls": journal.calls,
            "from_journal": journal.hits,
            "prompt_tokens": journal.usage.prompt_tokens,
            "completion_tokens": journal.usage.completion_tokens,
        }
    }
