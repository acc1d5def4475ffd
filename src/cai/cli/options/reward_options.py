"""The options that say what completions are rewarded for in GRPO and RLOO.

Example:
    @click.command()
    @rewarded
    def grpo(rewards: RewardOptions) -> int: ...
"""

from dataclasses import dataclass, fields
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cai.cli.options.model_options import open_judges
from cai.cli.options.run_options import (
    concurrency_option,
    max_cost_option,
    max_tokens_option,
    prices_option,
)
from cai.cli.options.settings_options import (
    Command,
    setting_option,
    with_object,
    with_options,
    with_settings,
)
from cai.constitution.loader import load_constitution
from cai.engine.budget import Caps, load_prices
from cai.errors import UsageError
from cai.methods.roles import RoleModel
from cai.methods.settings import JudgeSettings, ScoreKind, ScoreSettings
from cai.models.registry import open_model
from cai.training.rewards.spec import NO_REWARD, weighted

if TYPE_CHECKING:
    from cai.training.rewards.spec import RewardSpec

_OPTIONS = [
    click.option(
        "--reward-model",
        "reward_models",
        multiple=True,
        metavar="FOLDER[*WEIGHT]",
        help="A trained reward model; several with weights, such as models/r*0.5.",
    ),
    click.option(
        "--read-principle",
        "read_principles",
        multiple=True,
        metavar="ID",
        help="For reward models that read principles; not:ID asks for the opposite.",
    ),
    click.option(
        "--judge", "judges", multiple=True, help="Compares completions of a group, in both orders."
    ),
    click.option("--score", "scorers", multiple=True, help="Scores each completion alone."),
    click.option("-c", "--constitution", help="Of judges: a shipped name or a YAML file."),
    click.option(
        "--apart", is_flag=True, help="Each principle is a reward of its own, logged by its name."
    ),
    click.option(
        "--opponents",
        type=click.IntRange(1),
        help="How many others each completion is compared with.  [default: all of its group]",
    ),
    click.option(
        "--reference", help="Completions are compared with this model's, not one another."
    ),
    click.option("--judge-weight", type=float, default=1.0),
    click.option("--score-weight", type=float, default=1.0),
    click.option(
        "--length-penalty",
        type=click.FloatRange(0),
        default=0.0,
        help="Weight of −0.01 for each token above --free-tokens, at most −1.",
    ),
    click.option("--free-tokens", type=click.IntRange(0), default=256),
    click.option(
        "--evasiveness-penalty",
        type=click.FloatRange(0),
        default=0.0,
        help="Weight of −1 for a stock refusal without reason or alternative.",
    ),
    concurrency_option,
    max_cost_option,
    max_tokens_option,
    prices_option,
]


@dataclass(frozen=True, slots=True)
class RewardOptions:
    """The options as they were given."""

    reward_models: tuple[str, ...]
    read_principles: tuple[str, ...]
    judges: tuple[str, ...]
    scorers: tuple[str, ...]
    constitution: str | None
    settings: JudgeSettings
    kind: ScoreKind
    apart: bool
    opponents: int | None
    reference: str | None
    judge_weight: float
    score_weight: float
    length_penalty: float
    free_tokens: int
    evasiveness_penalty: float
    concurrency: int | None
    max_cost_usd: float | None
    max_total_tokens: int | None
    prices: Path | None

    def check(self) -> None:
        """Checks which options go together. Raises UsageError where one is missing."""
        if not (self.reward_models or self.judges or self.scorers):
            raise UsageError(NO_REWARD)
        # A constitution without a user is a mistake too: its author expects an effect.
        needs = self.judges or self.scorers or self.read_principles
        if bool(needs) != (self.constitution is not None):
            raise UsageError(
                "--constitution goes with --judge, --score or --read-principle: their principles "
                "are of it."
            )
        # click reads "inf" and "nan" as numbers.
        for name, weight in (("judge", self.judge_weight), ("score", self.score_weight)):
            if not isfinite(weight):
                raise UsageError(
                    f"--{name}-weight is {weight}, which is not a weight. Give a number."
                )
        if self.reference is not None and not self.judges:
            raise UsageError("--reference is compared with completions by --judge. Name a judge.")

    def open(self, seed: int) -> "RewardSpec":
        """The rewards, their models opened.

        Raises:
            CaiError: A constitution or a model cannot be opened.
        """
        # heavy: transformers
        from cai.training.reward_model.principles import statements_of
        from cai.training.rewards.spec import (
            JudgeRewardSpec,
            ModelRewardSpec,
            PenaltySpec,
            RewardSpec,
            ScoreRewardSpec,
        )

        constitution = load_constitution(self.constitution) if self.constitution else None
        judge = score = None
        if constitution is not None and self.judges:
            reference = None if self.reference is None else RoleModel.of(open_model(self.reference))
            judge = JudgeRewardSpec(
                open_judges(self.judges, self.settings),
                constitution,
                self.settings,
                opponents=self.opponents,
                weight=self.judge_weight,
                apart=self.apart,
                reference=reference,
            )
        if constitution is not None and self.scorers:
            # one set of options serves both kinds of judges; a score has a kind besides
            scoring = ScoreSettings.from_settings(self.settings, kind=self.kind)
            roles = open_judges(self.scorers, scoring)
            score = ScoreRewardSpec(roles, constitution, scoring, self.score_weight, self.apart)
        statements = (
            statements_of(constitution, self.read_principles, self.settings.tags)
            if constitution and self.read_principles
            else ()
        )
        return RewardSpec(
            trained=tuple(
                ModelRewardSpec(*weighted(each), statements) for each in self.reward_models
            ),
            judge=judge,
            score=score,
            penalties=PenaltySpec(
                self.length_penalty, self.free_tokens, evasiveness=self.evasiveness_penalty
            ),
            caps=Caps(self.max_cost_usd, self.max_total_tokens),
            prices=load_prices(self.prices),
            concurrency=self.concurrency,
            seed=seed,
        )


def rewarded(command: Command) -> Command:
    """Gives a command `rewards`, as `RewardOptions`."""
    names = [each.name for each in fields(RewardOptions)]
    # The object is made of `settings` and `kind` too. Decorators further out are called first, so
    # those of the settings are applied after the object's.
    made = with_object("rewards", RewardOptions, names, [])(command)
    settings = [with_settings(JudgeSettings), setting_option(ScoreSettings, "kind")]
    return with_options(made, [*_OPTIONS, *settings])
