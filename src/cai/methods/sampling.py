"""Responses of a policy to a prompt: one, or several of one or more policies."""

from collections.abc import Sequence
from dataclasses import dataclass

from cai.methods.roles import RoleModel, gather_all
from cai.models.base import Completion, Model, Sampling, Usage
from cai.templates import TemplateSet
from cai.types import Conversation, Message, Prompt, derive_seed, user_prompt


@dataclass(frozen=True, slots=True)
class Sample:
    """A response, and the name of the model that gave it."""

    model: str
    completion: Completion


@dataclass(frozen=True, slots=True)
class Samples:
    """A prompt and the responses to it, policy by policy."""

    prompt: Prompt
    samples: tuple[Sample, ...]

    @property
    def principle_ids(self) -> None:
        """None: responses are sampled under no principle."""

    @property
    def n_cut_off(self) -> int:
        """How many responses the limit of tokens ended."""
        return sum(each.completion.stop_reason == "length" for each in self.samples)

    @property
    def usage(self) -> Usage:
        return sum((each.completion.usage for each in self.samples), Usage())


async def sample(
    model: Model,
    prompt: str | Prompt,
    *,
    k: int = 4,
    sampling: Sampling = Sampling(),
    seed: int = 0,
) -> Samples:
    """`k` responses of one model: for a notebook, nothing stored. Raises ModelError."""
    prompt = user_prompt(prompt) if isinstance(prompt, str) else prompt
    return await sample_responses([RoleModel.of(model, sampling)], prompt, k, seed)


async def sample_responses(
    policies: Sequence[RoleModel], prompt: Prompt, k: int, seed: int
) -> Samples:
    """`k` responses of each policy, all asked for at once.

    The seed of a response depends on the run's seed, the prompt, the policy's place and the
    response's number.

    Raises:
        ModelError: A call failed. The others are waited for.
    """
    # The place of a policy and not its name seeds it: the same model may be there twice, at two
    # temperatures, and must not give the same responses twice.
    work = [
        (policy, derive_seed(seed, prompt.id, "sample", place, number))
        for place, policy in enumerate(policies)
        for number in range(k)
    ]
    completions = await gather_all(respond(policy, prompt, each) for policy, each in work)
    models = (policy.model.name for policy, _ in work)
    return Samples(prompt, tuple(map(Sample, models, completions)))


async def respond(policy: RoleModel, prompt: Prompt, seed: int) -> Completion:
    """The policy's own response."""
    return await policy.complete(respond_turns(policy.templates, prompt), seed)


def respond_turns(templates: TemplateSet, prompt: Prompt) -> Conversation:
    """The prompt's conversation, its last turn as the template renders it."""
    request = templates.render("respond", {"request": prompt.request})
    return (*prompt.messages[:-1], Message("user", request))
