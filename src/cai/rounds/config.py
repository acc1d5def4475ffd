"""A series of rounds in one YAML file: the steps of a round, the frozen anchors, and the rules.

Example:
    recipe = load_rounds(Path("examples/recipes/testbed-rounds.yaml"))
    recipe.check()
    recipe.recipe_of(1, recipe.start).train  # the trainings of round 1
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import Field, model_validator

from cai.errors import UsageError
from cai.evaluation.policies.text_metrics import ALL
from cai.methods.settings import Count, Switch, Temperature, Text
from cai.pipeline.checks import check_steps
from cai.pipeline.loader import located, located_file, located_model, located_path, read_part
from cai.pipeline.order import is_trained
from cai.pipeline.schema import RECIPE_VERSION, Recipe, RecipePart
from cai.training.trainers import TRAINERS
from cai.types import derive_seed

POLICY, START = "policy", "start"
"""Model names of a round: the policy that it starts from, and the policy of round 0."""

_NO_ROUND = "round: Field required"  # the message of pydantic for a recipe of `cai run`

_OF_SERIES = ("name", "prompts", "seed", "cai")


class Anchors(RecipePart):
    """What no round changes: the measuring judge, prompts, and pairs that people labelled.

    `prompts` are files, or KIND=FILE such as benign=helpful.jsonl; at most `limit` of each kind and
    of people's pairs are taken. `constitution` and `tags` are what the frozen judge judges by and,
    with `checks`, checks. On the first `divergence_prompts` prompts the policy is compared with
    earlier ones token by token.
    """

    prompts: Annotated[tuple[Text, ...], Field(min_length=1)]
    judge: Text = START
    jury: tuple[Text, ...] = ()
    constitution: Text | None = None
    tags: tuple[Text, ...] = ()
    people: tuple[Text, ...] = ()
    checks: Switch = True
    limit: Count = 200
    temperature: Temperature = 1.0
    max_tokens: Count = 512
    divergence_prompts: Annotated[int, Field(strict=True, ge=0, le=64)] = 32


class RoundsRecipe(RecipePart):
    """`rounds` times the steps of `round`, from the policy `start`.

    `round` is a recipe as for `cai run`. In it, `policy` names the policy that the round starts
    from and `start` that of round 0; a role without a model is played by `policy`. Each round takes
    `per_round` new prompts, all of them where it is None. Without `rules`, the
    `DEFAULT_RULES` of `cai.rounds.measure` apply; an empty list means no rules.
    """

    cai: Annotated[int, Field(strict=True, ge=1, le=RECIPE_VERSION)] = RECIPE_VERSION
    name: Text
    description: str = ""
    rounds: Count = 3
    start: Text
    prompts: Annotated[tuple[Text, ...], Field(min_length=1)]
    per_round: Count | None = None
    seed: Annotated[int, Field(strict=True)] = 0
    round: Recipe
    anchors: Anchors
    rules: tuple[Text, ...] | None = None

    @model_validator(mode="before")
    @classmethod
    def _name_round(cls, data: Any) -> Any:
        """The round under the series' name."""
        content = cast("dict[str, Any]", data) if isinstance(data, dict) else {}
        inner: object = content.get("round")
        if not isinstance(inner, dict):
            return cast(object, data)
        steps = cast("dict[str, Any]", inner)
        for name in _OF_SERIES:
            if name in steps:
                raise ValueError(f"round.{name} stands in the series, not in its round. Move it up")
        # Before validation, which would miss a name: only the series is named.
        return {**content, "round": {**steps, "name": content.get("name", "round")}}

    def recipe_of(self, number: int, policy: str) -> Recipe:
        """What round `number` does, from that policy."""
        words = {POLICY: policy, START: self.start}
        inner = self.round
        # Words stand for whole specs only: a model may well be called hf:models/policy.
        models = {role: words.get(spec, spec) for role, spec in inner.models.items()}
        starts = [(step, step.part.start) for step in inner.train]
        return inner.model_copy(
            update={
                "models": models,
                "jury": self.judges_after(policy)[1:],
                "train": tuple(
                    step.with_part(start=spec and words.get(spec, spec)) for step, spec in starts
                ),
                # With one seed for all, every round would draw the same principles and samples.
                "seed": derive_seed(self.seed, "round", number),
            }
        )

    @property
    def policy_name(self) -> str:
        """The name of the training whose policy is a round's.

        Raises:
            UsageError: A round trains no policy.
        """
        policies = [each.name for each in self.round.train if each.spec.is_policy]
        if not policies:
            known = ", ".join(name for name, spec in TRAINERS.items() if spec.is_policy)
            raise UsageError(
                f"A round of {self.name!r} trains no policy, so that all rounds would be the same. "
                f"Give it one of {known} under round: train:."
            )
        return policies[-1]

    def judges_after(self, policy: str) -> tuple[str, ...]:
        """The judges of a round that starts from that policy, the main one first, each once."""
        words = {POLICY: policy, START: self.start}
        judge = self.round.models.get("judge", POLICY)
        # In round 1 the policy is the start, so that two of the names may be one model.
        specs = (words.get(spec, spec) for spec in (judge, *self.round.jury))
        return tuple(dict.fromkeys(specs))

    def check(self) -> None:
        """Checks before any call that a round can run.

        Raises:
            CaiError: It cannot; the message gives the reason.
        """
        _ = self.policy_name
        for spec in self.judges_after(self.start):
            if is_trained(spec):
                raise UsageError(
                    f"The judge of {self.name!r} is {spec!r}, which the round itself trains, so "
                    "that the judge of the next one could not be measured. Name policy, start or "
                    "a model."
                )
        check_steps(self.recipe_of(1, self.start))


def load_rounds(path: Path) -> RoundsRecipe:
    """The series of a YAML file; files that it names may lie beside it.

    Raises:
        UsageError: It cannot be read, or breaks the schema; the message names every place.
    """
    try:
        recipe = read_part(path, RoundsRecipe)
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be read as a series of rounds ({error.strerror}). Name a YAML file."
        ) from error
    except UsageError as error:
        if f"{_NO_ROUND}." not in str(error):
            raise
        raise UsageError(
            f"{path}: is not a series of rounds, as it has no round. Steps that run once are for "
            "`cai run`; for rounds put them under round:, and name start:, prompts: and anchors:."
        ) from None
    folder, anchors = path.parent, recipe.anchors
    return recipe.model_copy(
        update={
            "start": located_model(recipe.start, folder),
            "prompts": tuple(located_file(each, folder) for each in recipe.prompts),
            "round": located(recipe.round, folder),
            "anchors": anchors.model_copy(
                update={
                    "judge": located_model(anchors.judge, folder),
                    "jury": tuple(located_model(each, folder) for each in anchors.jury),
                    "constitution": anchors.constitution
                    and located_path(anchors.constitution, folder),
                    "prompts": tuple(
                        f"{name.removesuffix(file)}{located_file(file, folder)}"
                        for name, (_, file) in zip(
                            anchors.prompts, kinds(anchors.prompts), strict=True
                        )
                    ),
                    "people": tuple(located_file(each, folder) for each in anchors.people),
                }
            ),
        }
    )


def kinds(prompts: Sequence[str]) -> Iterator[tuple[str, str]]:
    """KIND=FILE, or a file alone, whose kind is `all`."""
    # A path may have an = in one of its folders, and a kind has no slash.
    for name in prompts:
        kind, equals, file = name.partition("=")
        yield (kind, file) if equals and "/" not in kind else (ALL, name)
