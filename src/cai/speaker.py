"""A model in a part: how it is asked and how its answers are drawn."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cai.models.protocol import Completion, Model, Sampling
from cai.prompts import TemplateSet, load_templates
from cai.types import Message


@dataclass(frozen=True, slots=True)
class Speaker:
    """A model, the templates it is asked through, and how its answers are drawn."""

    model: Model
    templates: TemplateSet
    sampling: Sampling = Sampling()

    @classmethod
    def of(cls, model: Model, sampling: Sampling = Sampling()) -> "Speaker":
        """The model asked through the shipped templates of its kind."""
        return cls(model, load_templates("chat" if model.is_chat else "transcript"), sampling)

    async def say(self, turns: Sequence[Message], seed: int, json_schema: str = "") -> Completion:
        """The answer, stripped; `json_schema` is a wish that not every model grants.

        Raises:
            ModelError: The call failed.
        """
        stop = self.sampling.stop + self.templates.settings.stop
        sampling = replace(self.sampling, seed=seed, stop=stop, json_schema=json_schema)
        answer = await self.model.complete(self.templates.request(turns), sampling)
        return replace(answer, text=answer.text.strip())
