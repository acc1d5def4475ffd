"""Which rewards a GRPO or RLOO run has, as requested; `functions.py` opens them.

Trained reward models; judges that compare inside the group; judges that score: each of the last two
as one reward, or as one for each principle. Penalties are added to them.

Example:
    judge = JudgeRewardSpec((RoleModel.of(model),), constitution, weight=0.5)
    spec = RewardSpec(trained=(ModelRewardSpec("models/reward"),), judge=judge)
    spec.in_words()  # "reward model models/reward, 0.5 × judge in the group"
"""

from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path

from cai.constitution.schema import Constitution
from cai.engine.budget import Caps, PriceList
from cai.engine.run_files import JsonValue
from cai.errors import TrainingError, UsageError
from cai.methods.judging.pairwise import check_judging
from cai.methods.judging.pointwise import check_scoring
from cai.methods.roles import RoleModel, candidates
from cai.methods.settings import JudgeSettings, ScoreSettings
from cai.models.hf.loading import fingerprint
from cai.runs.config import described_role
from cai.training.card import Feedback
from cai.training.reward_model.principles import PrincipleStatement

NO_REWARD = (
    "No reward is named. Give --reward-model FOLDER, --judge MODEL or --score MODEL, or several of "
    "them."
)


@dataclass(frozen=True, slots=True)
class ModelRewardSpec:
    """A trained reward model by its folder or spec; `statements` for one that reads principles."""

    spec: str
    weight: float = 1.0
    statements: tuple[PrincipleStatement, ...] = ()

    @property
    def hash(self) -> str:
        """A hash of the weights that the folder holds now; "" for a name on the hub."""
        folder = Path(self.spec.removeprefix("hf:").partition("?")[0])
        return fingerprint(folder) if folder.is_dir() else ""


@dataclass(frozen=True, slots=True)
class JudgeRewardSpec:
    """Judges in the group under a constitution.

    `apart` makes each principle a reward of its own, weighted as the constitution says. Each
    completion is compared with `opponents` others of its group (None: all), or with the response of
    `reference`, which responds to each prompt once.
    """

    judges: tuple[RoleModel, ...]
    constitution: Constitution
    settings: JudgeSettings = JudgeSettings()
    opponents: int | None = None
    weight: float = 1.0
    apart: bool = False
    reference: RoleModel | None = None


@dataclass(frozen=True, slots=True)
class ScoreRewardSpec:
    """Judges that score a completion alone; `apart` as in `JudgeRewardSpec`."""

    judges: tuple[RoleModel, ...]
    constitution: Constitution
    settings: ScoreSettings = ScoreSettings()
    weight: float = 1.0
    apart: bool = False


@dataclass(frozen=True, slots=True)
class PenaltySpec:
    """Weights of the penalties, 0 for none; they are always logged.

    The length penalty is `per_token` for each token above `free_tokens`, at most 1.
    """

    length: float = 0.0
    free_tokens: int = 256
    per_token: float = 0.01
    evasiveness: float = 0.0


@dataclass(frozen=True, slots=True)
class RewardSpec:
    """All rewards of a run, and the limits of its judge calls."""

    trained: tuple[ModelRewardSpec, ...] = ()
    judge: JudgeRewardSpec | None = None
    score: ScoreRewardSpec | None = None
    penalties: PenaltySpec = PenaltySpec()
    caps: Caps = Caps()
    prices: PriceList = field(default_factory=PriceList)
    concurrency: int | None = None
    seed: int = 0

    def check(self) -> None:
        """Checks before anything is loaded that there is a reward, and that it can be computed.

        Raises:
            TrainingError: There is no reward.
            UsageError: Settings do not fit their constitution.
        """
        if not self.trained and self.judge is None and self.score is None:
            raise TrainingError(NO_REWARD)
        if self.judge is not None:
            check_judging(self.judge.settings, self.judge.constitution)
            if self.judge.apart and self.judge.settings.principles is not None:
                raise TrainingError(
                    "Each principle is to be a reward of its own, and a drawn principle has none "
                    "where another is drawn. Judge under all principles, or leave out apart."
                )
        if self.score is not None:
            check_scoring(self.score.settings, self.score.constitution)

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
        """Judges and principles of the rewards; those of reward models are in their cards."""
        choices = [each for each in (self.judge, self.score) if each is not None]
        if not choices:
            return Feedback()
        constitution = choices[0].constitution
        principles = candidates(constitution, choices[0].settings.tags)
        judges = {one.model.name for each in choices for one in each.judges}
        return Feedback(
            constitution=f"{constitution.name} {constitution.version}".strip(),
            constitution_hash=constitution.hash,
            principles=[each.id for each in principles],
            judges=sorted(judges),
        )

    def describe(self) -> dict[str, JsonValue]:
        """Everything that decides the rewards, as JSON: another value is another training.

        Caps, prices and concurrency decide none, so that a run may resume with others.
        """
        described: dict[str, JsonValue] = {}
        if self.trained:
            described["reward_models"] = [
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
                described[name] = {
                    "judges": [
                        described_role(each).model_dump(mode="json") for each in choice.judges
                    ],
                    "constitution": choice.constitution.name,
                    "hash": choice.constitution.hash,
                    "weight": choice.weight,
                    "apart": choice.apart,
                    "settings": choice.settings.decisive(),
                }
        if self.judge is not None:
            reference = self.judge.reference
            described["opponents"] = self.judge.opponents
            described["reference"] = None if reference is None else reference.model.name
        penalties = self.penalties
        described["penalties"] = {"length": penalties.length, "evasiveness": penalties.evasiveness}
        if penalties.length:
            described["free_tokens"] = penalties.free_tokens
        return described


def weighted(named: str) -> tuple[str, float]:
    """Folder or name and weight of `FOLDER` or `FOLDER*0.5`; the weight is 1 where none is given.

    Raises:
        UsageError: What follows the star is not a number.
    """
    spec, star, weight = named.partition("*")
    try:
        number = float(weight) if star else 1.0
    except ValueError:
        number = float("nan")  # one message for it, and for "inf" and "nan", which are floats
    if not isfinite(number) or not spec:
        raise UsageError(
            f"The reward model {named!r}: {weight!r} is not a weight. Write {spec or 'FOLDER'}*0.5."
        )
    return spec, number
