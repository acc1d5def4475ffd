"""Conversations of the testbed for training and measuring a model, through the real templates.

An `Exercise` is a conversation and the turns of it that the model has to say itself. One in twelve
conversations has an earlier exchange before the one that counts.
"""

import random
from collections.abc import Sequence
from dataclasses import astuple, dataclass

from cai.constitution.schema import Constitution, Principle
from cai.methods.judging.requests import Question, check_turns, judge_turns, score_turns
from cai.methods.judging.verdict import Comparison
from cai.methods.revision import critique_turns, direct_turns, revision_turns
from cai.methods.settings import ReviseSettings
from cai.templates import TemplateSet
from cai.testbed.oracle import critique_text, finding, mended, rationale_text, read_response
from cai.testbed.world import (
    DEEDS,
    EVASIONS,
    FRAMES,
    KIND,
    OWNERS,
    PREACHING,
    RUDE,
    SETTINGS,
    THINGS,
    Request,
    Response,
)
from cai.types import Conversation, Message, user_prompt

_PLAIN = ReviseSettings()
_HARMFUL = tuple(name for name, deed in DEEDS.items() if deed.harm)
_HARMLESS = tuple(name for name, deed in DEEDS.items() if not deed.harm)


@dataclass(frozen=True, slots=True)
class Exercise:
    """A conversation, and the turns of it, counted from the end (-1 is the last), to be learnt."""

    kind: str
    turns: Conversation
    spoken: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two responses to a request; `better` is "A" or "B", or "" where neither is."""

    request: Request
    principle: Principle
    first: Response
    second: Response
    better: str

    @property
    def comparison(self) -> Comparison:
        return Comparison(
            user_prompt(self.request.text),
            self.first.text(self.request),
            self.second.text(self.request),
        )


def draw_request(
    rng: random.Random, *, is_held_out: bool, is_harmful: bool | None = None
) -> Request:
    """A request at random, on the asked side of the hold-out."""
    harmful = rng.random() < 0.6 if is_harmful is None else is_harmful
    while True:
        request = Request(
            rng.choice(_HARMFUL if harmful else _HARMLESS),
            rng.choice(OWNERS),
            rng.choice(THINGS),
            rng.choice(SETTINGS),
            rng.randrange(len(FRAMES)),
        )
        if request.is_held_out == is_held_out:
            return request


def draw_helpful_only(rng: random.Random, request: Request) -> Response:
    """A response as the helpful-only assistant gives it: it complies, and is rude now and then."""
    cores = [0.90, 0.05, 0.05] if request.harm else [0.93, 0.03, 0.04]
    return _draw(rng, request, cores, rude=0.15, kind=0.3, preaching=0.1)


def draw_any(rng: random.Random, request: Request) -> Response:
    """A response with every attribute common."""
    return _draw(rng, request, [0.5, 0.25, 0.25], rude=0.3, kind=0.25, preaching=0.3)


def draw_for(
    rng: random.Random, request: Request, principle: Principle, *, is_broken: bool
) -> Response:
    """A response that breaks the principle, or keeps it; any one where none can break it."""
    for _ in range(60):
        response = draw_any(rng, request)
        found = finding(principle.id, request, read_response(request, response.text(request)))
        if (found is not None) == is_broken:
            return response
    return response  # pyright: ignore[reportPossiblyUnboundVariable]


def draw_case(
    rng: random.Random, principle: Principle, *, is_held_out: bool, is_broken: bool
) -> tuple[Request, Response]:
    """A request and a response that breaks the principle, or one that keeps it.

    The request is drawn anew with the response: few requests can break a principle about one kind
    of deed, and a model that rarely sees it broken learns to find nothing.
    """
    while True:
        request = draw_request(rng, is_held_out=is_held_out)
        response = draw_any(rng, request)
        found = finding(principle.id, request, read_response(request, response.text(request)))
        if (found is not None) == is_broken:
            return request, response


def draw_pair(
    rng: random.Random, constitution: Constitution, *, is_held_out: bool, is_contrasted: bool
) -> Pair:
    """Two responses under a principle. Contrasted: one breaks it, and often only that differs."""
    principle = rng.choice(constitution.principles)
    while True:
        request = draw_request(rng, is_held_out=is_held_out)
        broken = draw_for(rng, request, principle, is_broken=True)
        found = finding(principle.id, request, read_response(request, broken.text(request)))
        if not is_contrasted:
            first, second = draw_any(rng, request), draw_any(rng, request)
        elif found is None:
            continue
        elif rng.random() < 0.5:
            first, second = broken, mended(request, broken, found)
        else:
            first, second = broken, draw_for(rng, request, principle, is_broken=False)
        if rng.random() < 0.5:
            first, second = second, first
        return Pair(request, principle, first, second, _better(request, principle, first, second))


def respond_exercise(
    rng: random.Random, templates: TemplateSet, constitution: Constitution, *, is_held_out: bool
) -> Exercise:
    request = draw_request(rng, is_held_out=is_held_out)
    response = _says(draw_helpful_only(rng, request).text(request))
    return Exercise("respond", (*_asked(rng, templates, request), response), (-1,))


def revise_exercise(
    rng: random.Random, templates: TemplateSet, constitution: Constitution, *, is_held_out: bool
) -> Exercise:
    """A response, its critique and its revision; half of the time the principle is broken."""
    principle = rng.choice(constitution.principles)
    is_own = rng.random() < 0.25
    if is_own:
        request = draw_request(rng, is_held_out=is_held_out)
        response = draw_helpful_only(rng, request)
    else:
        request, response = draw_case(
            rng, principle, is_held_out=is_held_out, is_broken=rng.random() < 0.65
        )
    found = finding(principle.id, request, read_response(request, response.text(request)))
    settings = _PLAIN.model_copy(
        update={"few_shots": int(rng.random() < 0.06), "minimal": rng.random() < 0.15}
    )
    exchange = (*_asked(rng, templates, request), _says(response.text(request)))
    revision = _says(mended(request, response, found).text(request))
    if rng.random() < 0.12:
        turns = (*direct_turns(templates, principle, exchange, settings), revision)
        return Exercise("direct", turns, (-1,))
    critique = critique_text(request, found, templates.settings.no_revision_needed)
    if settings.few_shots and rng.random() < 0.5:
        asked = critique_turns(templates, principle, exchange, settings)
        return Exercise("critique", (*asked, _says(critique)), (-1,))
    turns = (*revision_turns(templates, principle, exchange, critique, settings), revision)
    if settings.few_shots:
        return Exercise("revise", turns, (-1,))
    return Exercise("revise", turns, (-5, -3, -1) if is_own else (-3, -1))


def judge_exercise(
    rng: random.Random, templates: TemplateSet, constitution: Constitution, *, is_held_out: bool
) -> Exercise:
    """A comparison, often after a rationale; without a right answer the letter is a coin's.

    Now and then the question is the reversed one, and the letter that of the worse response.
    """
    pair = draw_pair(rng, constitution, is_held_out=is_held_out, is_contrasted=rng.random() < 0.85)
    question = Question(pair.principle, is_negated=rng.random() < 0.12)
    better = pair.better or rng.choice("AB")
    letter = _says("AB".replace(better, "") if question.is_negated else better)
    if rng.random() < 0.4:
        readings = [
            finding(pair.principle.id, pair.request, read_response(pair.request, text))
            for text in (pair.comparison.response_a, pair.comparison.response_b)
        ]
        rationale = rationale_text(pair.request, *readings)
        asked = judge_turns(templates, question, pair.comparison, rationale)
        return Exercise("rationale", (*asked, letter), (-3, -1))
    asked = judge_turns(templates, question, pair.comparison)
    return Exercise("judge", (*asked, letter), (-1,))


def score_exercise(
    rng: random.Random, templates: TemplateSet, constitution: Constitution, *, is_held_out: bool
) -> Exercise:
    """A rating, 8 to 10 where the principle is kept and 1 to 3 where it is broken; or Yes or No."""
    principle = rng.choice(constitution.principles)
    is_broken = rng.random() < 0.5
    request, response = draw_case(rng, principle, is_held_out=is_held_out, is_broken=is_broken)
    mark = rng.choice((1, 2, 3) if is_broken else (8, 9, 10))
    prompt = user_prompt(request.text)
    if rng.random() < 0.5:
        asked = check_turns(templates, principle, prompt, response.text(request))
        return Exercise("check", (*asked, _says("No" if is_broken else "Yes")), (-1,))
    asked = score_turns(templates, principle, prompt, response.text(request))
    return Exercise("score", (*asked, _says(str(mark))), (-1,))


@dataclass(frozen=True, slots=True)
class Shares:
    """How much of the exercises is of each kind; they add up to 1."""

    respond: float
    revise: float
    judge: float
    score: float


FIRST = Shares(respond=0.10, revise=0.55, judge=0.30, score=0.05)
LAST = Shares(respond=0.06, revise=0.36, judge=0.52, score=0.06)


def moving(progress: float) -> Shares:
    """The shares on the way from first to last; `progress` in [0, 1], beyond it as at 1."""
    done = min(1.0, progress)
    return Shares(
        *(
            first + (last - first) * done
            for first, last in zip(astuple(FIRST), astuple(LAST), strict=True)
        )
    )


def draw_exercise(
    rng: random.Random,
    templates: TemplateSet,
    constitution: Constitution,
    shares: Shares,
    *,
    is_held_out: bool = False,
) -> Exercise:
    """One exercise, of each kind in proportion to its share."""
    kinds = (respond_exercise, revise_exercise, judge_exercise, score_exercise)
    draw = rng.choices(kinds, astuple(shares))[0]
    return draw(rng, templates, constitution, is_held_out=is_held_out)


def _draw(
    rng: random.Random,
    request: Request,
    cores: Sequence[float],
    *,
    rude: float,
    kind: float,
    preaching: float,
) -> Response:
    mood = rng.random()
    return Response(
        core=rng.choices(("complies", "declines", "evades"), cores)[0],
        steps=(rng.randrange(2), rng.randrange(2)),
        evasion=rng.choice(EVASIONS),
        opening=rng.choice(RUDE) if mood < rude else rng.choice(KIND) if mood < rude + kind else "",
        closing=rng.choice(PREACHING) if rng.random() < preaching else "",
    )


def _better(request: Request, principle: Principle, first: Response, second: Response) -> str:
    breaks = [
        finding(principle.id, request, read_response(request, each.text(request))) is not None
        for each in (first, second)
    ]
    return "" if breaks[0] == breaks[1] else "B" if breaks[0] else "A"


def _asked(rng: random.Random, templates: TemplateSet, request: Request) -> Conversation:
    asked = Message("user", templates.render("respond", {"request": request.text}))
    if rng.random() > 1 / 12:
        return (asked,)
    earlier = draw_request(rng, is_held_out=request.is_held_out)
    before = Message("user", templates.render("respond", {"request": earlier.text}))
    return (before, _says(draw_any(rng, earlier).text(earlier)), asked)


def _says(text: str) -> Message:
    return Message("assistant", text)
