"""Principles as part of a reward model's input, so that they can be changed without training.

Sun et al. 2023, arXiv:2310.05910 (SALMON), §3: some principles are drawn for each pair, some of
them negated, and the label is the judge's under exactly those. We depart from it in the label,
which is a probability combined from the judge's own for each principle.

Example:
    statements = statements_of(constitution, ["stay-polite", "not:no-preaching"])
    model.rewards(conversations, statements)
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from cai.constitution.schema import Constitution
from cai.errors import TrainingError, UsageError
from cai.methods.roles import draw_principles
from cai.templates import TemplateSet, load_templates
from cai.types import Conversation, Message, content_hash, derive_seed


@dataclass(frozen=True, slots=True)
class PrincipleStatement:
    """A principle that a response should follow, or break where negated."""

    principle_id: str
    text: str
    is_negated: bool = False
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class RewardTemplate:
    """The `reward` template by its own text: a trained model needs the one of its training.

    `text` is Jinja over `request`, `kept` and `broken`, the last two lists of texts.
    """

    text: str

    @classmethod
    def of(cls, templates: TemplateSet) -> "RewardTemplate":
        return cls(templates.sources["reward"])

    @property
    def hash(self) -> str:
        return content_hash(self.text)

    def render(self, request: str, statements: Sequence[PrincipleStatement]) -> str:
        """The turn that states the principles, those to follow first, and then the request.

        Raises:
            PromptError: The template does not parse, or uses a variable that there is not.
        """
        kept = tuple(each.text for each in statements if not each.is_negated)
        broken = tuple(each.text for each in statements if each.is_negated)
        values = {"request": request, "kept": kept, "broken": broken}
        return _templates(self.text).render("reward", values)


def conditioned(
    conversation: Conversation, statements: Sequence[PrincipleStatement], template: RewardTemplate
) -> Conversation:
    """The conversation with the statements in its first user turn, in front of the request.

    They are not put in a system turn, which many chat templates refuse.

    Raises:
        TrainingError: There are no statements, or no user turn to put them in.
        PromptError: The template cannot be rendered.
    """
    if not statements:
        raise TrainingError(
            "No principles are given, and this reward model reads them with every conversation. "
            "Give at least one."
        )
    place = next((n for n, turn in enumerate(conversation) if turn.role == "user"), None)
    if place is None:
        roles = ", ".join(turn.role for turn in conversation) or "nothing"
        raise TrainingError(
            f"The conversation holds {roles}, and principles go into its first user turn. "
            "Give conversations with a request of the user."
        )
    turn = Message("user", template.render(conversation[place].content, statements))
    return (*conversation[:place], turn, *conversation[place + 1 :])


def draw_statements(
    constitution: Constitution,
    n: int,
    seed: int,
    tags: Sequence[str] = (),
    *,
    negate_share: float = 0.0,
) -> tuple[PrincipleStatement, ...]:
    """`n` different principles drawn by weight, or all there are; each negated by that chance.

    Drawn by weight, they weigh the same afterwards.

    Raises:
        UsageError: No principle has any of the tags, `n` is below 1, or the share is not in [0, 1].
    """
    if n < 1:
        raise UsageError(f"{n} principles are to be drawn. Draw at least one.")
    if not 0 <= negate_share <= 1:
        raise UsageError(
            f"The share of negated principles is {negate_share:g}. Give one from 0 to 1."
        )
    drawn = draw_principles(constitution, tags, n, derive_seed(seed, "statements"))
    # a generator of its own: another share negates others of the same drawn principles
    rng = random.Random(derive_seed(seed, "negated"))
    return tuple(
        PrincipleStatement(each.id, each.text, rng.random() < negate_share) for each in drawn
    )


def statements_of(
    constitution: Constitution, ids: Sequence[str], tags: Sequence[str] = ()
) -> tuple[PrincipleStatement, ...]:
    """The named principles, those with `not:` before their id negated; all by weight without names.

    Raises:
        UsageError: A principle is not known, or none has any of the tags.
    """
    if not ids:
        selected = constitution.select(tags)
        if not selected:
            raise UsageError(
                f"No principle of {constitution.name!r} has a tag of {', '.join(tags)}."
            )
        return tuple(
            PrincipleStatement(each.id, each.text, weight=each.weight) for each in selected
        )
    known = {each.id: each for each in constitution.principles}
    statements: list[PrincipleStatement] = []
    for name in ids:
        id = name.removeprefix("not:")
        if id not in known:
            raise UsageError(
                f"{constitution.name!r} has no principle {id!r}. It has: {', '.join(known)}."
            )
        is_negated = name.startswith("not:")
        statements.append(PrincipleStatement(id, known[id].text, is_negated, known[id].weight))
    return tuple(statements)


def preference_under(
    statements: Sequence[PrincipleStatement], by_principle: Mapping[str, float]
) -> float | None:
    """The probability that a response is preferred under exactly these statements, in [0, 1].

    `by_principle` are the judge's probabilities of the same response; that of a negated principle
    counts as 1 − p. Means are by weight. None where less than half of the weight was judged.
    """
    # "breaks it" is the opposite question, so what the judge prefers under it is the other response
    judged = [
        (1 - p if each.is_negated else p, each.weight)
        for each in statements
        if (p := by_principle.get(each.principle_id)) is not None
    ]
    weight = sum(each for _, each in judged)
    if weight <= 0 or weight < sum(each.weight for each in statements) / 2:
        return None
    return sum(p * each for p, each in judged) / weight


@lru_cache(maxsize=8)
def _templates(text: str) -> TemplateSet:
    """A set with that `reward` template, which marks nothing off.

    Only the assistant's turn is rewarded; all responses to a request have the same text before it.
    """
    chat = load_templates("chat")
    return replace(chat, sources={**chat.sources, "reward": text})
