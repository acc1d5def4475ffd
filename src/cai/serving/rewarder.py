"""What stands behind the server: something that scores responses and compares them."""

from typing import Protocol

from cai.serving.forms import CompareResult, Health, ScoreResult
from cai.serving.queries import ChatForm
from cai.types import Prompt


class Rewarder(Protocol):
    """Gives rewards. What cannot be scored is a result with its outcome, and raises nothing."""

    @property
    def health(self) -> Health: ...

    @property
    def chat_form(self) -> ChatForm | None:
        """What a policy of the same family writes around turns, where that is known."""
        ...

    async def score(self, prompt: Prompt, response: str) -> ScoreResult: ...

    async def compare(self, prompt: Prompt, response_a: str, response_b: str) -> CompareResult: ...
