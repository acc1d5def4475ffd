"""Pairs for a reward model that reads principles: each with some, and the label under those.

Sun et al. 2023, arXiv:2310.05910 (SALMON), §3.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from cai.constitution.schema import Constitution
from cai.errors import TrainingError
from cai.export.rows import PreferencePair
from cai.templates import load_templates
from cai.training.data.load import TrainingData, TrainingRow
from cai.training.reward_model.checkpoint import NamedConstitution, RewardFacts
from cai.training.reward_model.principles import (
    PrincipleStatement,
    RewardTemplate,
    conditioned,
    draw_statements,
    preference_under,
)
from cai.types import derive_seed


@dataclass(frozen=True, slots=True)
class ConditionPlan:
    """How many principles each pair is shown, of which tags, and how many of them negated.

    Each pair becomes a row for each of the `draws`, with other principles and its label under
    those: two such rows differ by their principles alone, so that the model learns to read them.
    """

    constitution: Constitution
    n_principles: int = 3
    tags: tuple[str, ...] = ()
    negated_share: float = 0.25
    draws: int = 4

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
            "draws": self.draws,
        }


def condition(data: TrainingData, plan: ConditionPlan, seed: int) -> TrainingData:
    """The pairs with principles in front of their prompts; a pair without judgements is dropped.

    Chosen is the better one under those principles, so that some pairs are swapped. Of equal draws
    of a pair only the first becomes a row.

    Raises:
        TrainingError: No pair has the judge's probability under each principle.
    """
    train, n_left_out = _all_conditioned(data.train, plan, seed)
    evaluation, n_others = _all_conditioned(data.evaluation, plan, seed)
    if not train:
        raise TrainingError(
            "No pair has the judge's probability under each principle, which a reward model that "
            "reads principles is trained on. Judge under all principles (--principles all) and "
            "train on the run, or on a file that `cai export` wrote."
        )
    dropped = data.dropped + Counter({"not judged under the principles": n_left_out + n_others})
    return replace(data, train=train, evaluation=evaluation, dropped=dropped)


def _all_conditioned(
    rows: Sequence[TrainingRow], plan: ConditionPlan, seed: int
) -> tuple[tuple[TrainingRow, ...], int]:
    """The rows with principles, and how many of the given rows have none."""
    shown = [
        tuple(_conditioned(row, plan, derive_seed(seed, number))) for number, row in enumerate(rows)
    ]
    return tuple(chain.from_iterable(shown)), sum(not each for each in shown)


def _conditioned(row: TrainingRow, plan: ConditionPlan, seed: int) -> Iterator[TrainingRow]:
    pair = row.unit
    if not isinstance(pair, PreferencePair) or pair.judging is None:
        return
    judged = {each.principle: each.probability for each in pair.judging.by_principle}
    # with few principles, two draws are often the same ones, and would count a pair twice
    seen: set[frozenset[PrincipleStatement]] = set()
    for draw in range(plan.draws):
        statements = draw_statements(
            plan.constitution,
            plan.n_principles,
            derive_seed(seed, draw),
            plan.tags,
            negate_share=plan.negated_share,
        )
        probability = preference_under(statements, judged)
        if probability is None or frozenset(statements) in seen:
            continue
        seen.add(frozenset(statements))
        messages = conditioned(pair.prompt.messages, statements, plan.template)
        # without the judging, which is of the pair as it was and would contradict a swapped one
        shown = replace(pair, prompt=replace(pair.prompt, messages=messages), judging=None)
        if probability >= 0.5:
            yield replace(row, unit=shown, confidence=probability)
        else:
            swapped = replace(
                shown,
                chosen=pair.rejected,
                rejected=pair.chosen,
                chosen_model=pair.rejected_model,
                rejected_model=pair.chosen_model,
            )
            yield replace(row, unit=swapped, confidence=1 - probability)
