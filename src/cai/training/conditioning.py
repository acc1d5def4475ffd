"""Pairs for a reward model that reads principles: each with some, and the label under those.

Sun et al. 2023, arXiv:2310.05910 (SALMON), §3.
"""

from collections import Counter
from dataclasses import dataclass, replace

from cai.constitution.schema import Constitution
from cai.errors import TrainingError
from cai.export.units import Pair
from cai.prompts import load_templates
from cai.training.data.loading import TrainingData
from cai.training.data.rows import TrainingRow
from cai.training.principled import (
    RewardTemplate,
    conditioned,
    draw_statements,
    preference_under,
)
from cai.training.reward_facts import NamedConstitution, RewardFacts
from cai.types import derive_seed


@dataclass(frozen=True, slots=True)
class ConditionPlan:
    """How many principles each pair is shown, of which tags, and how many of them negated."""

    constitution: Constitution
    n_principles: int = 3
    tags: tuple[str, ...] = ()
    negated_share: float = 0.25

    @property
    def template(self) -> RewardTemplate:
        return RewardTemplate.of(load_templates("chat"))

    @property
    def facts(self) -> RewardFacts:
        """What the reward model's folder says of its input."""
        chosen = self.constitution.select(self.tags)
        return RewardFacts(
            is_conditioned=True,
            constitution=NamedConstitution(
                name=self.constitution.name,
                hash=self.constitution.hash,
                principles={each.id: each.text for each in chosen},
            ),
            template=self.template.text,
            template_hash=self.template.hash,
        )

    def describe(self) -> dict[str, object]:
        return {
            "constitution": self.constitution.name,
            "hash": self.constitution.hash,
            "tags": list(self.tags),
            "n": self.n_principles,
            "negated_share": self.negated_share,
        }


def condition(data: TrainingData, plan: ConditionPlan, seed: int) -> TrainingData:
    """The pairs with principles in front of their prompts; without a judge's word on them, none.

    Chosen is the better one under those principles, so that some pairs are turned around.

    Raises:
        TrainingError: No pair says what a judge found under each principle.
    """
    train, evaluation = (
        tuple(
            found
            for number, row in enumerate(rows)
            if (found := _conditioned(row, plan, derive_seed(seed, number))) is not None
        )
        for rows in (data.train, data.evaluation)
    )
    if not train:
        raise TrainingError(
            "No pair says what the judge found under each principle, which a reward model that "
            "reads principles is trained on. Judge under all principles (--principles all) and "
            "train on the run, or on a file that `cai export` wrote."
        )
    n_left_out = len(data.train) + len(data.evaluation) - len(train) - len(evaluation)
    dropped = data.dropped + Counter({"not judged under the principles": n_left_out})
    return replace(data, train=train, evaluation=evaluation, dropped=dropped)


def _conditioned(row: TrainingRow, plan: ConditionPlan, seed: int) -> TrainingRow | None:
    pair = row.unit
    if not isinstance(pair, Pair) or pair.judging is None:
        return None
    statements = draw_statements(
        plan.constitution, plan.n_principles, seed, plan.tags, negate_share=plan.negated_share
    )
    found = {each.principle: each.probability for each in pair.judging.by_principle}
    probability = preference_under(statements, found)
    if probability is None:
        return None
    messages = conditioned(pair.prompt.messages, statements, plan.template)
    shown = replace(pair, prompt=replace(pair.prompt, messages=messages), judging=None)
    if probability >= 0.5:
        return replace(row, unit=shown, confidence=probability)
    return replace(row, unit=_turned(shown), confidence=1 - probability)


def _turned(pair: Pair) -> Pair:
    return replace(
        pair,
        chosen=pair.rejected,
        rejected=pair.chosen,
        chosen_model=pair.rejected_model,
        rejected_model=pair.chosen_model,
    )
