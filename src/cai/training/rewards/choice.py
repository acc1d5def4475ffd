"""Which rewards a GRPO or RLOO run has, as it was asked for; opened together, with their weights.

(a) trained reward models; (b) judges inside the group; (c) judges that score; each of the last two
as one reward, or as one for each principle. Penalties come beside them.
"""

from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from cai.constitution.schema import Constitution, Principle
from cai.drawing import candidates
from cai.engine.spending.gate import Caps
from cai.engine.spending.prices import PriceList
from cai.engine.storage.recipe import JsonValue
from cai.errors import TrainingError
from cai.judging.judge import JudgePlan
from cai.judging.scoring import ScorePlan
from cai.models.hf.fingerprint import fingerprint
from cai.records.recipes import REWARD
from cai.speaker import Speaker
from cai.training.card import Feedback
from cai.training.principled import Statement
from cai.training.reward_model import RewardModel
from cai.training.rewards.asking_room import AskingRoom
from cai.training.rewards.direct import DirectJudge
from cai.training.rewards.functions import TrainedReward, score_rewards, win_rewards
from cai.training.rewards.group_judge import GroupJudge, GroupPlan
from cai.training.rewards.together import columns_of
from cai.training.watching.penalties import evasiveness_penalty, make_length_penalty


@dataclass(frozen=True, slots=True)
class TrainedChoice:
    """A trained reward model by its folder or spec; `statements` for one that reads principles."""

    spec: str
    weight: float = 1.0
    statements: tuple[Statement, ...] = ()

    @property
    def hash(self) -> str:
        """Says which weights the folder holds now; "" for a name on the hub."""
        folder = Path(self.spec.removeprefix("hf:").partition("?")[0])
        return fingerprint(folder) if folder.is_dir() else ""


@dataclass(frozen=True, slots=True)
class JudgeChoice:
    """Judges in the group under a constitution.

    `apart` makes each principle a reward of its own, weighted as the constitution says.
    `reference` answers each prompt once, and completions are compared with its answer.
    """

    judges: tuple[Speaker, ...]
    constitution: Constitution
    plan: JudgePlan = JudgePlan()
    group: GroupPlan = GroupPlan()
    weight: float = 1.0
    apart: bool = False
    reference: Speaker | None = None


@dataclass(frozen=True, slots=True)
class ScoreChoice:
    """Judges that score a completion alone; `apart` as in `JudgeChoice`."""

    judges: tuple[Speaker, ...]
    constitution: Constitution
    plan: ScorePlan = ScorePlan()
    weight: float = 1.0
    apart: bool = False


@dataclass(frozen=True, slots=True)
class Penalties:
    """Weights of the penalties, 0 for none; they are logged always.

    A length penalty takes `per_token` for each token above `free_tokens`, at most 1.
    """

    length: float = 0.0
    free_tokens: int = 256
    per_token: float = 0.01
    evasiveness: float = 0.0


@dataclass(frozen=True, slots=True)
class RewardChoice:
    """All rewards of a run, and how judges are asked."""

    trained: tuple[TrainedChoice, ...] = ()
    judge: JudgeChoice | None = None
    score: ScoreChoice | None = None
    penalties: Penalties = Penalties()
    caps: Caps = Caps()
    prices: PriceList = field(default_factory=PriceList)
    concurrency: int | None = None
    seed: int = 0

    def check(self) -> None:
        """Finds out before anything is loaded whether there is something to be rewarded for.

        Raises:
            TrainingError: There is no reward.
            UsageError: A plan does not fit its constitution.
        """
        if not self.trained and self.judge is None and self.score is None:
            raise TrainingError(
                "No reward is named. Give --reward-model FOLDER, --judge MODEL or --score MODEL, "
                "or several of them."
            )
        if self.judge is not None:
            self.judge.plan.check((), self.judge.constitution)
            if self.judge.apart and self.judge.plan.n_principles is not None:
                raise TrainingError(
                    "Each principle is to be a reward of its own, and a drawn principle has none "
                    "where another is drawn. Judge under all of them, or not apart."
                )
        if self.score is not None:
            candidates(self.score.constitution, self.score.plan.tags)

    def in_words(self) -> str:
        """The rewards for people, with their weights where they are not 1."""
        named = [(f"reward model {each.spec}", each.weight) for each in self.trained]
        named += [("judge in the group", self.judge.weight)] if self.judge else []
        named += [("score", self.score.weight)] if self.score else []
        named += [("length penalty", self.penalties.length)] if self.penalties.length else []
        if self.penalties.evasiveness:
            named.append(("evasiveness penalty", self.penalties.evasiveness))
        return ", ".join(name if weight == 1 else f"{weight:g} × {name}" for name, weight in named)

    def feedback(self) -> Feedback:
        """The judges of the rewards and what they judge by; of reward models their cards tell."""
        choices = [each for each in (self.judge, self.score) if each is not None]
        if not choices:
            return Feedback()
        constitution = choices[0].constitution
        principles = candidates(constitution, choices[0].plan.tags)
        judges = {one.model.name for each in choices for one in each.judges}
        return Feedback(
            constitution=f"{constitution.name} {constitution.version}".strip(),
            constitution_hash=constitution.hash,
            principles=[each.id for each in principles],
            judges=sorted(judges),
        )

    def describe(self) -> dict[str, JsonValue]:
        """What decides the rewards, as JSON."""
        found: dict[str, JsonValue] = {}
        if self.trained:
            found["reward_models"] = [
                {
                    "spec": each.spec,
                    "weights": each.hash,
                    "weight": each.weight,
                    "principles": [
                        f"{'not:' if one.is_negated else ''}{one.principle_id}"
                        for one in each.statements
                    ],
                }
                for each in self.trained
            ]
        for name, choice in (("judge", self.judge), ("score", self.score)):
            if choice is not None:
                found[name] = {
                    "models": [each.model.name for each in choice.judges],
                    "constitution": choice.constitution.name,
                    "hash": choice.constitution.hash,
                    "tags": list(choice.plan.tags),
                    "weight": choice.weight,
                    "apart": choice.apart,
                    "plan": repr(choice.plan),
                }
        if self.judge is not None:
            reference = self.judge.reference
            found["opponents"] = self.judge.group.opponents
            found["reference"] = None if reference is None else reference.model.name
        penalties = self.penalties
        found["penalties"] = {"length": penalties.length, "evasiveness": penalties.evasiveness}
        if penalties.length:
            found["free_tokens"] = penalties.free_tokens
        return found


@dataclass(frozen=True, slots=True)
class OpenRewards:
    """Reward functions with their weights, in TRL's order, and the room where judges are asked."""

    functions: list[object]
    weights: list[float]
    room: AskingRoom | None


@contextmanager
def opened_rewards(choice: RewardChoice, folder: Path) -> Generator[OpenRewards]:
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
        room = _room(choice, folder)
        if room is not None:
            stack.enter_context(room)
            _add_judged(choice, room, functions, weights)
            _add_scored(choice, room, functions, weights)
        penalties = choice.penalties
        functions += [
            make_length_penalty(penalties.free_tokens, penalties.per_token),
            evasiveness_penalty,
        ]
        weights += [penalties.length, penalties.evasiveness]
        yield OpenRewards(list(columns_of(functions, weights)), weights, room)


def _trained(choice: TrainedChoice) -> TrainedReward:
    model = RewardModel.load(choice.spec)
    if not choice.statements:
        model.check_statements(None)
        return TrainedReward("reward_model", model.rewards)
    model.check_statements(choice.statements)
    return TrainedReward("reward_model", partial(model.rewards, statements=choice.statements))


def _room(choice: RewardChoice, folder: Path) -> AskingRoom | None:
    speakers = [*(choice.judge.judges if choice.judge else ())]
    speakers += choice.score.judges if choice.score else ()
    if choice.judge is not None and choice.judge.reference is not None:
        speakers.append(choice.judge.reference)
    if not speakers:
        return None
    recipe: dict[str, JsonValue] = {"method": REWARD, **choice.describe(), "seed": choice.seed}
    models = [each.model for each in speakers]
    return AskingRoom(folder, recipe, models, choice.caps, choice.prices, choice.concurrency)


def _add_judged(
    choice: RewardChoice, room: AskingRoom, functions: list[object], weights: list[float]
) -> None:
    asked = choice.judge
    if asked is None:
        return
    reference = asked.reference
    judge = GroupJudge(
        [room.judge(each) for each in asked.judges],
        asked.constitution,
        asked.plan,
        asked.group,
        None if reference is None else _through(room, reference, "reference"),
        choice.seed,
    )
    principles = candidates(asked.constitution, asked.plan.tags) if asked.apart else ()
    functions += win_rewards(room, judge, [each.id for each in principles])
    weights += _weights(asked.weight, principles)


def _add_scored(
    choice: RewardChoice, room: AskingRoom, functions: list[object], weights: list[float]
) -> None:
    asked = choice.score
    if asked is None:
        return
    judges = [room.judge(each) for each in asked.judges]
    judge = DirectJudge(judges, asked.constitution, asked.plan, choice.seed)
    principles = candidates(asked.constitution, asked.plan.tags) if asked.apart else ()
    functions += score_rewards(room, judge, [each.id for each in principles])
    weights += _weights(asked.weight, principles)


def _weights(whole: float, principles: Sequence[Principle]) -> list[float]:
    """The whole weight shared out by the principles' own."""
    if not principles:
        return [whole]
    total = sum(each.weight for each in principles)
    return [whole * each.weight / total for each in principles]


def _through(room: AskingRoom, speaker: Speaker, role: str) -> Speaker:
    return Speaker(room.through(speaker.model, role), speaker.templates, speaker.sampling)
