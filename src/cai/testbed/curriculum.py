"""Conversations of the testbed for training and measuring a model, through the shipped templates.

An `Exercise` is a conversation and those of its turns that the model has to write itself. One in
twelve conversations has an earlier exchange before the one that counts.

Example:
    rng, constitution = random.Random("example"), load_constitution("testbed")
    exercise = draw_exercise(rng, load_templates(), constitution, curriculum_shares(0.5))
    [exercise.turns[index].content for index in exercise.spoken]
"""

# All draws are from one `random.Random` in a fixed order. One draw more, fewer or elsewhere changes
# everything drawn after it, and the embedded model, its tokenizer and the figures in the docs come
# from this order.

import random
from collections.abc import Sequence
from dataclasses import astuple, dataclass

from cai.constitution.schema import Constitution, Principle
from cai.methods.judging.requests import Question, check_turns, judge_turns, score_turns
from cai.methods.judging.verdict import Comparison
from cai.methods.revision import critique_turns, direct_turns, revision_turns
from cai.methods.settings import ReviseSettings
from cai.templates import TemplateSet
from cai.testbed.oracle import (
    Finding,
    critique_text,
    finding,
    fixed,
    rationale_text,
    read_response,
)
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

# Turns of the chain of a model's own, of which it writes all three: response, critique, revision.
_OWN_CHAIN, _CRITIQUE_AND_REVISION = (-5, -3, -1), (-3, -1)
_HARMFUL = tuple(name for name, deed in DEEDS.items() if deed.harm)
_HARMLESS = tuple(name for name, deed in DEEDS.items() if not deed.harm)


@dataclass(frozen=True, slots=True)
class Exercise:
    """A conversation, and the indices from its end (-1 is the last) of the turns to be learnt."""

    kind: str
    turns: Conversation
    spoken: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two responses to a request; `better` is "A" or "B", or "" where both break it or neither."""

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
    """A random request of the training or the held-out part; by default 60 % are harmful."""
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
    """A response of the helpful-only assistant: it complies, and is rude 15 % of the time."""
    cores = [0.90, 0.05, 0.05] if request.harm else [0.93, 0.03, 0.04]
    return _draw(rng, request, cores, rude=0.15, kind=0.3, preaching=0.1)


def draw_any(rng: random.Random, request: Request) -> Response:
    """A response with every attribute common."""
    return _draw(rng, request, [0.5, 0.25, 0.25], rude=0.3, kind=0.25, preaching=0.3)


def _draw(
    rng: random.Random,
    request: Request,
    cores: Sequence[float],
    *,
    rude: float,
    kind: float,
    preaching: float,
) -> Response:
    # One number for both openings, as a response is not rude and kind at once. Arguments are drawn
    # from top to bottom, an evasion or steps even for a core that has none: see above.
    mood = rng.random()
    return Response(
        core=rng.choices(("complies", "declines", "evades"), cores)[0],
        steps=(rng.randrange(2), rng.randrange(2)),
        evasion=rng.choice(EVASIONS),
        opening=rng.choice(RUDE) if mood < rude else rng.choice(KIND) if mood < rude + kind else "",
        closing=rng.choice(PREACHING) if rng.random() < preaching else "",
    )


def draw_for(
    rng: random.Random, request: Request, principle: Principle, *, is_broken: bool
) -> Response:
    """A response that breaks the principle, or complies with it.

    After 60 draws the last response is given whatever it is: most requests cannot break a principle
    about one kind of deed.
    """
    for _ in range(60):
        response = draw_any(rng, request)
        if (_finding(principle, request, response) is not None) == is_broken:
            return response
    return response  # pyright: ignore[reportPossiblyUnboundVariable]


def draw_case(
    rng: random.Random, principle: Principle, *, is_held_out: bool, is_broken: bool
) -> tuple[Request, Response]:
    """A request and a response that breaks the principle, or one that complies with it."""
    # The request is drawn anew with the response: few requests can break a principle about one kind
    # of deed, and a model that rarely sees it broken learns to report no breach.
    while True:
        request = draw_request(rng, is_held_out=is_held_out)
        response = draw_any(rng, request)
        if (_finding(principle, request, response) is not None) == is_broken:
            return request, response


def draw_pair(
    rng: random.Random, constitution: Constitution, *, is_held_out: bool, is_contrasted: bool
) -> Pair:
    """Two responses under a principle. Contrasted: one breaks it, and often only that differs."""
    principle = rng.choice(constitution.principles)
    while True:
        request = draw_request(rng, is_held_out=is_held_out)
        # Drawn in both cases, though only contrasted pairs use it: the draws must stay in step.
        broken = draw_for(rng, request, principle, is_broken=True)
        found = _finding(principle, request, broken)
        if not is_contrasted:
            first, second = draw_any(rng, request), draw_any(rng, request)
        elif found is None:
            continue
        elif rng.random() < 0.5:
            first, second = broken, fixed(request, broken, found)
        else:
            first, second = broken, draw_for(rng, request, principle, is_broken=False)
        # A contrasted pair is drawn with the broken one first: unswapped, B would always be right.
        if rng.random() < 0.5:
            first, second = second, first
        breaks = [_finding(principle, request, each) is not None for each in (first, second)]
        better = "" if breaks[0] == breaks[1] else "B" if breaks[0] else "A"
        return Pair(request, principle, first, second, better)


def _finding(principle: Principle, request: Request, response: Response) -> Finding | None:
    # Through the text, though the attributes are at hand: the oracle then says of a drawn response
    # exactly what it says of a model's, which is text alone.
    return finding(principle.id, request, read_response(request, response.text(request)))


def respond_exercise(
    rng: random.Random, templates: TemplateSet, constitution: Constitution, *, is_held_out: bool
) -> Exercise:
    request = draw_request(rng, is_held_out=is_held_out)
    response = _assistant(draw_helpful_only(rng, request).text(request))
    return Exercise("respond", (*_request_turns(rng, templates, request), response), (-1,))


def revise_exercise(
    rng: random.Random, templates: TemplateSet, constitution: Constitution, *, is_held_out: bool
) -> Exercise:
    """A response, its critique and its revision; the principle is broken about half of the time."""
    principle = rng.choice(constitution.principles)
    # A quarter are chains as the model itself makes them, from a helpful-only response that it
    # learns too. The rest start from any response, 65 % of them from one that needs a revision.
    is_own = rng.random() < 0.25
    if is_own:
        request = draw_request(rng, is_held_out=is_held_out)
        response = draw_helpful_only(rng, request)
    else:
        request, response = draw_case(
            rng, principle, is_held_out=is_held_out, is_broken=rng.random() < 0.65
        )
    found = _finding(principle, request, response)
    # Few-shot requests are long, hence rare: 6 % of the chains are enough to learn their form.
    settings = ReviseSettings().model_copy(
        update={"few_shots": int(rng.random() < 0.06), "minimal": rng.random() < 0.15}
    )
    exchange = (*_request_turns(rng, templates, request), _assistant(response.text(request)))
    revision = _assistant(fixed(request, response, found).text(request))
    if rng.random() < 0.12:
        turns = (*direct_turns(templates, principle, exchange, settings), revision)
        return Exercise("direct", turns, (-1,))
    critique = critique_text(request, found, templates.settings.no_revision_needed)
    if settings.few_shots and rng.random() < 0.5:
        asked = critique_turns(templates, principle, exchange, settings)
        return Exercise("critique", (*asked, _assistant(critique)), (-1,))
    turns = (*revision_turns(templates, principle, exchange, critique, settings), revision)
    if settings.few_shots:
        return Exercise("revise", turns, (-1,))
    return Exercise("revise", turns, _OWN_CHAIN if is_own else _CRITIQUE_AND_REVISION)


def judge_exercise(
    rng: random.Random, templates: TemplateSet, constitution: Constitution, *, is_held_out: bool
) -> Exercise:
    """A comparison, in 40 % of the cases after a rationale.

    In 12 % the question is the reversed one, and the letter that of the worse response.
    """
    pair = draw_pair(rng, constitution, is_held_out=is_held_out, is_contrasted=rng.random() < 0.85)
    question = Question(pair.principle, is_negated=rng.random() < 0.12)
    # Without a correct answer the letter is random, so that the model learns to be undecided there
    # (probabilities near one half) rather than a preference for a letter.
    better = pair.better or rng.choice("AB")
    letter = _assistant("AB".replace(better, "") if question.is_negated else better)
    if rng.random() < 0.4:
        sides = (pair.first, pair.second)
        findings = [_finding(pair.principle, pair.request, each) for each in sides]
        rationale = rationale_text(pair.request, *findings)
        asked = judge_turns(templates, question, pair.comparison, rationale)
        return Exercise("rationale", (*asked, letter), (-3, -1))
    asked = judge_turns(templates, question, pair.comparison)
    return Exercise("judge", (*asked, letter), (-1,))


def score_exercise(
    rng: random.Random, templates: TemplateSet, constitution: Constitution, *, is_held_out: bool
) -> Exercise:
    """A mark, 1 to 3 where the principle is broken and 8 to 10 where it is not; or No or Yes."""
    principle = rng.choice(constitution.principles)
    is_broken = rng.random() < 0.5
    request, response = draw_case(rng, principle, is_held_out=is_held_out, is_broken=is_broken)
    # Drawn before it is clear whether a mark or a Yes is the answer, for the order of the draws.
    mark = rng.choice((1, 2, 3) if is_broken else (8, 9, 10))
    prompt = user_prompt(request.text)
    if rng.random() < 0.5:
        asked = check_turns(templates, principle, prompt, response.text(request))
        return Exercise("check", (*asked, _assistant("No" if is_broken else "Yes")), (-1,))
    asked = score_turns(templates, principle, prompt, response.text(request))
    return Exercise("score", (*asked, _assistant(str(mark))), (-1,))


@dataclass(frozen=True, slots=True)
class Shares:
    """The share of each kind of exercise, in [0, 1]; they add up to 1."""

    respond: float
    revise: float
    judge: float
    score: float


# Revision is learnt first, because its texts teach the world; comparisons need it, and more steps.
FIRST = Shares(respond=0.10, revise=0.55, judge=0.30, score=0.05)
LAST = Shares(respond=0.06, revise=0.36, judge=0.52, score=0.06)


def curriculum_shares(progress: float) -> Shares:
    """The shares after that part of the training, in [0, 1]: from `FIRST` to `LAST`, linearly."""
    done = min(1.0, progress)
    ends = zip(astuple(FIRST), astuple(LAST), strict=True)
    return Shares(*(first + (last - first) * done for first, last in ends))


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
    # In the order of the fields of `Shares`, which are the weights.
    draw = rng.choices(kinds, astuple(shares))[0]
    return draw(rng, templates, constitution, is_held_out=is_held_out)


def _request_turns(rng: random.Random, templates: TemplateSet, request: Request) -> Conversation:
    asked = Message("user", templates.render("respond", {"request": request.text}))
    if rng.random() > 1 / 12:
        return (asked,)
    # Of the same part of the world: a held-out request must not be read in training.
    earlier = draw_request(rng, is_held_out=request.is_held_out)
    before = Message("user", templates.render("respond", {"request": earlier.text}))
    return (before, _assistant(draw_any(rng, earlier).text(earlier)), asked)


def _assistant(text: str) -> Message:
    return Message("assistant", text)
