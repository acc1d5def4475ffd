"""A question with a choice of answers, put to a model in several orders of its options.

The options go round: of n options each stands once at each letter, so that a liking for a letter
cancels out. By log-probabilities of the letters where the model shows them, averaged over the
orders; else by what it writes, read strictly. An answer that cannot be read is an outcome of its
own and never a wrong one. The setting is that of Askell et al. 2021, arXiv:2112.00861, §2.1, and
Bai et al. 2022, arXiv:2212.08073, §4.1, who show the options in one order alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from string import ascii_uppercase
from typing import Literal

from cai.errors import ModelError, ModelUnavailable, NoLogprobs
from cai.methods.judging.option_parser import read_option
from cai.methods.judging.parsing import is_refusal
from cai.methods.roles import Judge, gather_all
from cai.models.base import Completion, Usage
from cai.templates import TemplateSet
from cai.types import Conversation, Message, Prompt, derive_seed

ReplyOutcome = Literal["answered", "unparsed", "refused", "failed"]

MOST_OPTIONS = len(ascii_uppercase)


@dataclass(frozen=True, slots=True)
class ChoiceQuestion:
    """What is asked, the answers there are, and the places of the right ones among them.

    Where `is_lettered` the options are shown, each under a letter; else each is itself the one word
    to be said, such as Yes. `group` is the kind of the question, "" where nobody says.
    """

    prompt: Prompt
    options: tuple[str, ...]
    right: tuple[int, ...]
    is_lettered: bool = True
    group: str = ""

    @property
    def orders(self) -> tuple[tuple[int, ...], ...]:
        """The places of the options in each order in which they are shown: every rotation."""
        n = len(self.options)
        # Rotations and not all permutations: each option is once at each letter, at n calls.
        return tuple(tuple((start + step) % n for step in range(n)) for start in range(n))

    def answers(self, order: Sequence[int]) -> tuple[str, ...]:
        """What can be said, for the options in that order: letters, or the words themselves."""
        if self.is_lettered:
            return tuple(ascii_uppercase[: len(self.options)])
        return tuple(self.options[place] for place in order)


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a question in one order of its options.

    `probabilities` are those of the options as the question has them, whatever the order: as read,
    or 1 for the one that the text chooses. They are empty unless `answered`. `mass` is the
    probability of all options together, and `error` the cause of a failed call. `is_cut_off` says
    that the limit of tokens ended the text.
    """

    order: tuple[int, ...]
    outcome: ReplyOutcome
    probabilities: tuple[float, ...] = ()
    mass: float | None = None
    text: str = ""
    reason: str = ""
    usage: Usage = Usage()
    error: str = ""
    is_cut_off: bool = False


@dataclass(frozen=True, slots=True)
class Answers:
    """A question and the replies to it, one for each order."""

    question: ChoiceQuestion
    replies: tuple[Reply, ...]

    @property
    def usage(self) -> Usage:
        return sum((each.usage for each in self.replies), Usage())

    @property
    def n_cut_off(self) -> int:
        """How many texts the limit of tokens ended."""
        return sum(each.is_cut_off for each in self.replies)

    @property
    def answered(self) -> tuple[Reply, ...]:
        """The replies that could be read."""
        return tuple(each for each in self.replies if each.outcome == "answered")


def choice_turns(
    templates: TemplateSet, question: ChoiceQuestion, order: Sequence[int]
) -> Conversation:
    """The conversation that ends with the request for one of the answers."""
    shown = tuple(question.options[place] for place in order) if question.is_lettered else ()
    values = {
        "request": question.prompt.request,
        "options": shown,
        "answers": question.answers(order),
    }
    request = Message("user", templates.render("choice", values))
    return (*question.prompt.messages[:-1], request)


async def answer(policy: Judge, question: ChoiceQuestion, seed: int) -> Answers:
    """The replies of a model in every order of the options, all asked for at once.

    Raises:
        ModelUnavailable: A call failed in a way that may pass.
    """
    replies = await gather_all(
        _reply(policy, question, order, derive_seed(seed, "choice", number))
        for number, order in enumerate(question.orders)
    )
    return Answers(question, tuple(replies))


async def _reply(
    policy: Judge, question: ChoiceQuestion, order: tuple[int, ...], seed: int
) -> Reply:
    turns = choice_turns(policy.role.templates, question, order)
    answers = question.answers(order)
    try:
        if policy.reads_logprobs:
            shares, choice = await policy.choose(turns, answers)
            probabilities = _placed(order, shares)
            return Reply(order, "answered", probabilities, choice.mass, usage=choice.usage)
        return _read(await policy.role.complete(turns, seed), answers, order)
    except ModelUnavailable:
        raise
    except NoLogprobs as error:
        return Reply(order, "unparsed", reason=str(error))
    except ModelError as error:
        return Reply(order, "failed", reason=str(error), error=error.cause)


def _read(said: Completion, answers: Sequence[str], order: tuple[int, ...]) -> Reply:
    is_cut_off = said.stop_reason == "length"
    blank = Reply(order, "unparsed", text=said.text, usage=said.usage, is_cut_off=is_cut_off)
    found = None if said.stop_reason == "filtered" else read_option(said.text, answers)
    if found is not None:
        shares = [float(place == found) for place in range(len(answers))]
        return replace(blank, outcome="answered", probabilities=_placed(order, shares))
    is_refused = said.stop_reason == "filtered" or is_refusal(said.text)
    return replace(blank, outcome="refused" if is_refused else "unparsed")


def _placed(order: Sequence[int], shares: Sequence[float]) -> tuple[float, ...]:
    """The shares of the options as the question has them, from those in that order."""
    by_place = dict(zip(order, shares, strict=True))
    return tuple(by_place[place] for place in range(len(order)))
