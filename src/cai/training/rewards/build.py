"""The rewards of a GRPO or RLOO run opened together, as functions with their weights."""

from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cai.constitution.schema import Principle
from cai.engine.run_files import JsonValue
from cai.methods.roles import RoleModel, candidates
from cai.runs.config import REWARD
from cai.training.reward_model.model import RewardModel
from cai.training.rewards.functions import TrainedReward, score_rewards, win_rewards
from cai.training.rewards.judge_thread import JudgeThread
from cai.training.rewards.judges import DirectJudge, GroupJudge
from cai.training.rewards.penalties import make_length_penalty, with_penalties
from cai.training.rewards.spec import RewardSpec, ModelRewardSpec


@dataclass(frozen=True, slots=True)
class OpenRewards:
    """Joint reward functions with their weights, and the room where judges are asked."""

    functions: list[object]
    weights: list[float]
    judge_thread: JudgeThread | None


@contextmanager
def opened_rewards(choice: RewardSpec, folder: Path) -> Generator[OpenRewards]:
    """The rewards, ready to be called; judges are asked through a journal in `folder`.

    Raises:
        CaiError: A reward model or a judge cannot be opened, or there is a cap and no price.
    """
    with ExitStack() as stack:
        functions: list[object] = []
        weights: list[float] = []
        for each in choice.trained:
            functions.append(_trained(each))
            weights.append(each.weight)
        judge_thread = _room(choice, folder)
        if judge_thread is not None:
            stack.enter_context(judge_thread)
            _add_judged(choice, judge_thread, functions, weights)
            _add_scored(choice, judge_thread, functions, weights)
        penalties = choice.penalties
        length = make_length_penalty(penalties.free_tokens, penalties.per_token)
        functions, weights = with_penalties(
            functions,
            weights,
            length=(penalties.length, length),
            evasiveness=penalties.evasiveness,
        )
        yield OpenRewards(functions, weights, judge_thread)


def _trained(choice: ModelRewardSpec) -> TrainedReward:
    model = RewardModel.load(choice.spec)
    if not choice.statements:
        model.check_statements(None)
        return TrainedReward("reward_model", model.rewards)
    model.check_statements(choice.statements)
    return TrainedReward("reward_model", partial(model.rewards, statements=choice.statements))


def _room(choice: RewardSpec, folder: Path) -> JudgeThread | None:
    role_models = [*(choice.judge.judges if choice.judge else ())]
    role_models += choice.score.judges if choice.score else ()
    if choice.judge is not None and choice.judge.reference is not None:
        role_models.append(choice.judge.reference)
    if not role_models:
        return None
    recipe: dict[str, JsonValue] = {"method": REWARD, **choice.describe(), "seed": choice.seed}
    models = [each.model for each in role_models]
    return JudgeThread(folder, recipe, models, choice.caps, choice.prices, choice.concurrency)


def _add_judged(
    choice: RewardSpec, judge_thread: JudgeThread, functions: list[object], weights: list[float]
) -> None:
    asked = choice.judge
    if asked is None:
        return
    reference = asked.reference
    judge = GroupJudge(
        judge_thread.prepare(asked.judges, asked.constitution, asked.settings),
        asked.constitution,
        asked.settings,
        asked.group,
        None if reference is None else _through(judge_thread, reference, "reference"),
        choice.seed,
    )
    principles = candidates(asked.constitution, asked.settings.tags) if asked.apart else ()
    functions += win_rewards(judge_thread, judge, [each.id for each in principles])
    weights += _weights(asked.weight, principles)


def _add_scored(
    choice: RewardSpec, judge_thread: JudgeThread, functions: list[object], weights: list[float]
) -> None:
    asked = choice.score
    if asked is None:
        return
    judges = judge_thread.prepare(asked.judges, asked.constitution, asked.settings)
    judge = DirectJudge(judges, asked.constitution, asked.settings, choice.seed)
    principles = candidates(asked.constitution, asked.settings.tags) if asked.apart else ()
    functions += score_rewards(judge_thread, judge, [each.id for each in principles])
    weights += _weights(asked.weight, principles)


def _weights(whole: float, principles: Sequence[Principle]) -> list[float]:
    """The whole weight shared out by the principles' own."""
    if not principles:
        return [whole]
    total = sum(each.weight for each in principles)
    return [whole * each.weight / total for each in principles]


def _through(judge_thread: JudgeThread, role_model: RoleModel, role: str) -> RoleModel:
    return RoleModel(
        judge_thread.through(role_model.model, role), role_model.templates, role_model.sampling
    )
