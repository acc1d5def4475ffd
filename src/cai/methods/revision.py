"""Critique and revision, the supervised stage of Constitutional AI.

Bai et al. 2022, arXiv:2212.08073, §3.1.

A response is drawn from the policy. In each round a principle is drawn by weight, the model
critiques its response under it and rewrites the response; the next round starts from the rewritten
one. Beyond the paper: every step has a seed of its own, a critique may end the chain, what a model
writes around its revision is cut, and a revision that cannot be used (empty, or a critique in its
place) is kept but not built upon.

Pure functions over models: no disk, no clock, no global; randomness is derived from the seed given.

Example:
    chain = await revise(open_model("embedded"), load_constitution("testbed"), "How do I …?")
    print(chain.response.text, chain.rounds[0].critique.text, chain.final)
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import Literal

from cai.constitution.schema import Constitution, FewShot, Principle
from cai.methods.revision_flags import UNUSABLE, Flag, revision_flags
from cai.methods.revision_wrapping import unwrapped
from cai.methods.roles import RoleModel, draw_principle
from cai.methods.sampling import respond
from cai.methods.settings import ReviseSettings
from cai.models.base import Completion, Model, Usage
from cai.templates import TemplateSet
from cai.types import Conversation, Message, Prompt, derive_seed, user_prompt

RevisionRole = Literal["respond", "critique", "revise"]
"""The role of a model in a revision: a field of `RevisionRoles`, and a key in its `run.yaml`."""


@dataclass(frozen=True, slots=True)
class RevisionRoles:
    """The model of each role; the paper uses one model for all three."""

    respond: RoleModel
    critique: RoleModel
    revise: RoleModel

    @property
    def models(self) -> tuple[Model, ...]:
        """Each model once, whatever its roles."""
        roles = (self.respond, self.critique, self.revise)
        return tuple({id(role.model): role.model for role in roles}.values())


@dataclass(frozen=True, slots=True)
class Round:
    """One critique and revision.

    `critique` is None in direct revision; `revision` is None where the critique found nothing and
    the settings stop early.
    """

    principle_id: str
    critique: Completion | None
    revision: Completion | None
    flags: tuple[Flag, ...] = ()

    @property
    def is_usable(self) -> bool:
        return self.revision is not None and not UNUSABLE & set(self.flags)


@dataclass(frozen=True, slots=True)
class Chain:
    """A prompt, the first response, and every round; nothing is thrown away."""

    prompt: Prompt
    response: Completion
    rounds: tuple[Round, ...] = ()

    @classmethod
    def of(cls, prompt: Prompt, response: str) -> "Chain":
        """A chain that begins with a given response."""
        return cls(prompt, Completion(response))

    @property
    def principle_ids(self) -> tuple[str, ...]:
        """One a round, with repeats."""
        return tuple(each.principle_id for each in self.rounds)

    @property
    def revisions(self) -> tuple[str, ...]:
        """The text after each round; one without a usable revision leaves it as it was."""
        texts = [self.response.text]
        for each in self.rounds:
            # An empty revision, or a critique in its place, would spoil all rounds after it.
            usable = each.revision if each.is_usable else None
            texts.append(usable.text if usable else texts[-1])
        return tuple(texts[1:])

    @property
    def final(self) -> str:
        """The text after the last round; the first response when there was none."""
        return self.revisions[-1] if self.rounds else self.response.text

    @property
    def completions(self) -> tuple[Completion, ...]:
        """All that models wrote, in order."""
        said = [self.response]
        for each in self.rounds:
            said += [step for step in (each.critique, each.revision) if step is not None]
        return tuple(said)

    @property
    def n_cut_off(self) -> int:
        """How many of its texts the limit of tokens ended."""
        return sum(each.stop_reason == "length" for each in self.completions)

    @property
    def usage(self) -> Usage:
        return sum((each.usage for each in self.completions), Usage())


async def revise(
    model: Model,
    constitution: Constitution,
    prompt: str | Prompt,
    *,
    rounds: int = 1,
    seed: int = 0,
) -> Chain:
    """One prompt through the loop with one model in every role: for a notebook, nothing stored.

    Responses are drawn at temperature 1, critiques and revisions at 0.3. Raises as `revise_chain`,
    which takes other models, templates and settings.
    """
    prompt = user_prompt(prompt) if isinstance(prompt, str) else prompt
    return await revise_chain(
        revision_roles(model), constitution, prompt, ReviseSettings(rounds=rounds), seed
    )


def revision_roles(model: Model, settings: ReviseSettings = ReviseSettings()) -> RevisionRoles:
    """One model in every role, with the templates and the sampling of the settings."""
    reviser = settings.role_model(model, settings.revision_temperature)
    return RevisionRoles(settings.role_model(model, settings.temperature), reviser, reviser)


async def revise_chain(
    roles: RevisionRoles,
    constitution: Constitution,
    prompt: Prompt,
    settings: ReviseSettings,
    seed: int,
) -> Chain:
    """Responds to the prompt, then critiques and revises the response round by round.

    Raises:
        UsageError: No principle of the constitution carries any of the tags.
        ModelError: A call failed.
    """
    steps = [each async for each in chain_steps(roles, constitution, prompt, settings, seed)]
    return steps[-1]


async def chain_steps(
    roles: RevisionRoles,
    constitution: Constitution,
    prompt: Prompt,
    settings: ReviseSettings,
    seed: int,
) -> AsyncIterator[Chain]:
    """The chain as it grows: after the response, then after every round. Raises the same."""
    response = await respond(roles.respond, prompt, derive_seed(seed, prompt.id, "respond"))
    grown = Chain(prompt, response)
    yield grown
    for number in range(settings.rounds):
        # Every step has a seed of its own, so that neither the order in which examples finish nor
        # a resumed run changes what is drawn.
        round_seed = derive_seed(seed, prompt.id, "round", number)
        principle = draw_principle(constitution, settings.tags, round_seed)
        latest = await one_round(roles, principle, grown, settings, round_seed)
        grown = replace(grown, rounds=(*grown.rounds, latest))
        yield grown
        if latest.revision is None:  # the critique found nothing and the settings stop early
            return


async def one_round(
    roles: RevisionRoles, principle: Principle, before: Chain, settings: ReviseSettings, seed: int
) -> Round:
    """Critiques the chain's latest text under the principle and rewrites it."""
    current = before.final
    exchange = (*before.prompt.messages, Message("assistant", current))
    if settings.direct:
        turns = direct_turns(roles.revise.templates, principle, exchange, settings)
        revision = await _revision(roles.revise, turns, current, seed)
        return Round(principle.id, None, revision, revision_flags(current, revision))
    turns = critique_turns(roles.critique.templates, principle, exchange, settings)
    critique = await roles.critique.complete(turns, derive_seed(seed, "critique"))
    finds_nothing = roles.critique.templates.finds_nothing(critique.text)
    if settings.stop_early and finds_nothing:
        return Round(principle.id, critique, None)
    turns = revision_turns(roles.revise.templates, principle, exchange, critique.text, settings)
    revision = await _revision(roles.revise, turns, current, seed)
    flags: list[Flag] = [
        flag
        for flag in revision_flags(current, revision)
        # Where the critique found nothing, an unchanged text is the right revision.
        if flag != "unchanged" or not finds_nothing
    ]
    return Round(principle.id, critique, revision, tuple(flags))


async def _revision(role: RoleModel, turns: Conversation, before: str, seed: int) -> Completion:
    """The revision alone, without what the model writes around it."""
    revision = await role.complete(turns, derive_seed(seed, "revise"))
    # Where the text before is wrapped too, the person asked for a text of that form.
    if unwrapped(before) != before:
        return revision
    return replace(revision, text=unwrapped(revision.text))


def critique_turns(
    templates: TemplateSet, principle: Principle, exchange: Conversation, settings: ReviseSettings
) -> Conversation:
    """The conversation that ends with the request for a critique of its last response."""
    request = _request(templates, "critique", principle, settings)
    shots = [
        (*_exchange_of(shot), request, Message("assistant", shot.critique))
        for shot in principle.examples[: settings.few_shots]
    ]
    return (*chain.from_iterable(shots), *exchange, request)


def revision_turns(
    templates: TemplateSet,
    principle: Principle,
    exchange: Conversation,
    critique: str,
    settings: ReviseSettings,
) -> Conversation:
    """The conversation of the critique, the critique, and the request for the revision."""
    # One conversation, so that a served model can read its common beginning with the critique's
    # request from its prefix cache.
    ask_critique = _request(templates, "critique", principle, settings)
    ask_revision = _request(templates, "revise", principle, settings)

    def turns(before: Conversation, critique: str) -> Conversation:
        return (*before, ask_critique, Message("assistant", critique), ask_revision)

    shots = [
        (*turns(_exchange_of(shot), shot.critique), Message("assistant", shot.revision))
        for shot in principle.examples[: settings.few_shots]
    ]
    return (*chain.from_iterable(shots), *turns(exchange, critique))


def direct_turns(
    templates: TemplateSet, principle: Principle, exchange: Conversation, settings: ReviseSettings
) -> Conversation:
    """The conversation that ends with the request for a revision, without a critique before."""
    request = _request(templates, "direct", principle, settings)
    shots = [
        (*_exchange_of(shot), request, Message("assistant", shot.revision))
        for shot in principle.examples[: settings.few_shots]
    ]
    return (*chain.from_iterable(shots), *exchange, request)


def _exchange_of(shot: FewShot) -> Conversation:
    return (Message("user", shot.prompt), Message("assistant", shot.response))


def _request(
    templates: TemplateSet,
    step: Literal["critique", "revise", "direct"],
    principle: Principle,
    settings: ReviseSettings,
) -> Message:
    values = {"principle": principle, "is_minimal": settings.minimal}
    return Message("user", templates.render(step, values))
