"""A model as judge, and how it is read: by log-probabilities, or by what it writes.

Example:
    judge = Judge.of(open_model("embedded"))
    probabilities, choice = await judge.choose(turns, ("A", "B"))
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cai.errors import ModelError, NoLogprobs
from cai.methods.roles import RoleModel
from cai.models.base import Choice, ChoiceModel, Model, Sampling
from cai.types import Conversation

# Log-probabilities come as rounded decimals, whose exponentials may exceed 1 by that much.
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Judge:
    """A model as judge.

    `reads_logprobs` says whether its options are read from log-probabilities, which the model must
    then give, or from what it writes. The sampling of its role is for rationales and for written
    verdicts.
    """

    role: RoleModel
    reads_logprobs: bool

    @classmethod
    def of(cls, model: Model, sampling: Sampling = Sampling(temperature=0.0)) -> "Judge":
        """The model through the shipped templates of its kind, by log-probabilities if it can."""
        return cls(RoleModel.of(model, sampling), isinstance(model, ChoiceModel))

    @property
    def name(self) -> str:
        return self.role.model.name

    async def choose(
        self, turns: Conversation, options: Sequence[str]
    ) -> tuple[tuple[float, ...], Choice]:
        """The probability of each option in [0, 1], and the choice that they are read from.

        Raises:
            NoLogprobs: The model gives no log-probabilities.
            ModelError: The call failed, or what came are no log-probabilities.
        """
        model = self.role.model
        if not isinstance(model, ChoiceModel):
            raise NoLogprobs(
                f"{self.name} gives no log-probabilities. Read what it writes instead."
            )
        choice = await model.choose(self.role.templates.request(turns), options)
        probabilities = [math.exp(value) for value in choice.logprobs]
        # A server can send anything here. NaN fails this comparison too, as it must.
        if not all(0 <= p <= 1 + _ROUNDING for p in probabilities):
            raise ModelError(f"{self.name} gives {choice.logprobs} as log-probabilities.")
        return tuple(min(p, 1.0) for p in probabilities), choice
