"""A question with a choice of answers, put to a model in several orders of its options.

The options go round: of n options each stands once at each letter, so that a liking for a letter
cancels out. By log-probabilities of the letters where the model shows them, averaged over the
orders; else by what it writes, read strictly. An answer that cannot be read is an outcome of its
own and never a wrong one. The setting is that of Askell et al. 2021, arXiv:2112.00861, §2.1, and
Bai et al. 2022, arXiv:2212.08073, §4.1, who show the options in one order alone.

Which of several options a free text chooses: strictly, and by its last explicit statement.

Options are letters or single words. A letter counts where the text says that it is the answer, or
where it stands alone or opens the text as "(B) …" or "B. …"; the article "a" and a letter inside a
sentence are none.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from string import ascii_uppercase
from typing import Literal

from cai.errors import ModelError, ModelUnavailable, NoLogprobs
from cai.methods.concurrency import gather_all
from cai.methods.judging.judge import Judge
from cai.methods.judging.parsing import is_refusal
from cai.methods.judging.statement_parser import (
    ANSWER_LABEL,
    ASIDE,
    BOXED,
    CLOSED,
    LINK,
    Statement,
    first_line,
    last,
    last_line,
    plain,
    without_quotations,
)
from cai.models.base import Completion, Usage
from cai.templates import TemplateSet
from cai.types import Conversation, Message, Prompt, derive_seed

_LABEL = rf"(?<![a-z])(?:{ANSWER_LABEL}|(?:correct|best|right) (?:one|option))(?: option)?{ASIDE}"
_LABEL_BEFORE = re.compile(rf"{_LABEL}{LINK}$")
_NAMED = r"(?:(?:option|answer|choice) )?"
_CHOSEN = (
    r"\bi(?:'d| would|'ll| will)? (?:choose|chose|pick|picked|select|selected|say|answer|"
    r"go with|opt for)(?: with)?:? (?:the )?"
)
_AND_ANOTHER = r"\)?(?:[ \t]*(?:(?:and|or)\b|[,/;&|])){1,2}[ \t]*"
# "A" and "I" are also words, unless a reason or a verb of the answer follows
_GOES_ON = re.compile(r",?[ \t]+(?!(?:because|since|is|and|or)\b)[a-z]")
# in a prepared text these signs stand for the options, the first being chr(1)
_MOST = 8


def read_option(text: str, options: Sequence[str]) -> int | None:
    """The place of the option that the text chooses; None where it chooses none, or several."""
    said = without_quotations(_prepared(text, options), _LABEL_BEFORE).strip()
    found = last(said, _statements(said))
    return None if found is None or found.says is None else int(found.says)


def _prepared(text: str, options: Sequence[str]) -> str:
    """The text in small letters, each option a sign of its own wherever it could be meant."""
    shown = plain(text)
    are_letters = all(len(option) == 1 for option in options)
    places = {option if are_letters else option.lower(): n for n, option in enumerate(options)}
    either = "|".join(map(re.escape, sorted(places, key=len, reverse=True)))
    pattern = re.compile(
        rf"(?<![\w'’-])\(?(?P<x>{either})(?P<end>\))?(?![\w'’])",
        0 if are_letters else re.IGNORECASE,
    )

    def sign(match: re.Match[str]) -> str:
        place = places[match["x"] if are_letters else match["x"].lower()]
        if match[0] in ("A", "I") and _GOES_ON.match(match.string, match.end()):
            return match[0]
        return _sign(place) + (match["end"] or "")

    return pattern.sub(sign, shown).lower()


def _sign(place: int) -> str:
    """A run of control characters that stands for an option and is of one length for all."""
    high, low = divmod(place, _MOST)
    return f"{chr(1 + high)}{chr(1 + low)}"


_X = r"(?P<x>[\x01-\x08]{2})"
_STATED = re.compile(rf"(?:(?P<mark>{BOXED})|{_LABEL}{LINK}|{_CHOSEN}){_NAMED}{_X}")
_ALONE = re.compile(rf"[^\w\n\x01-\x08]*{_NAMED}{_X}[^\w\n\x01-\x08]*")
_OPENING = re.compile(rf"[^\w\n\x01-\x08]*{_NAMED}{_X}(?:[.:,;)\]]|[ \t]+[-–—])")
_OTHER = re.compile(rf"{_AND_ANOTHER}{_NAMED}[\x01-\x08]{{2}}")


def _statements(text: str) -> Iterator[Statement]:
    for match in _STATED.finditer(text):
        if _OTHER.match(text, match.end()):
            yield Statement(*match.span(), None)
        elif CLOSED.match(text, match.end()):
            yield Statement(*match.span(), _place(match), is_mark=match["mark"] is not None)
    lines = [_ALONE.fullmatch(text, *place) for place in (first_line(text), last_line(text))]
    opening = _OPENING.match(text)
    if opening is not None and not _OTHER.match(text, opening.end("x")):
        lines.append(opening)
    alone = [match for match in lines if match is not None]
    if len({match["x"] for match in alone}) > 1:
        yield Statement(alone[0].start(), alone[-1].end(), None, is_mark=True)
    else:
        yield from (Statement(*match.span(), _place(match), is_mark=True) for match in alone)


def _place(match: re.Match[str]) -> str:
    high, low = (ord(sign) - 1 for sign in match["x"])
    return str(high * _MOST + low)


ReplyOutcome = Literal["answered", "unparsed", "refused", "failed"]

MOST_OPTIONS = len(ascii_uppercase)


@dataclass(frozen=True, slots=True)
class Question:
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
    probability of all options together, and `error` the kind of error of a failed call.
    """

    order: tuple[int, ...]
    outcome: ReplyOutcome
    probabilities: tuple[float, ...] = ()
    mass: float | None = None
    text: str = ""
    reason: str = ""
    usage: Usage = Usage()
    error: str = ""


@dataclass(frozen=True, slots=True)
class Answers:
    """A question and the replies to it, one for each order."""

    question: Question
    replies: tuple[Reply, ...]

    @property
    def usage(self) -> Usage:
        return sum((each.usage for each in self.replies), Usage())

    @property
    def answered(self) -> tuple[Reply, ...]:
        """The replies that could be read."""
        return tuple(each for each in self.replies if each.outcome == "answered")


def choice_turns(templates: TemplateSet, question: Question, order: Sequence[int]) -> Conversation:
    """The conversation that ends with the request for one of the answers."""
    shown = tuple(question.options[place] for place in order) if question.is_lettered else ()
    values = {
        "request": question.prompt.request,
        "options": shown,
        "answers": question.answers(order),
    }
    request = Message("user", templates.render("choice", values))
    return (*question.prompt.messages[:-1], request)


async def answer(policy: Judge, question: Question, seed: int) -> Answers:
    """The replies of a model in every order of the options, all asked for at once.

    Raises:
        ModelUnavailable: A call failed in a way that may pass.
    """
    replies = await gather_all(
        _reply(policy, question, order, derive_seed(seed, "choice", number))
        for number, order in enumerate(question.orders)
    )
    return Answers(question, tuple(replies))


async def _reply(policy: Judge, question: Question, order: tuple[int, ...], seed: int) -> Reply:
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
        return Reply(order, "failed", reason=str(error), error=type(error).__name__)


def _read(said: Completion, answers: Sequence[str], order: tuple[int, ...]) -> Reply:
    blank = Reply(order, "unparsed", text=said.text, usage=said.usage)
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
