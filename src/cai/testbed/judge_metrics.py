"""Accuracy and calibration of a judge where the truth is known: held-out requests of the testbed.

Two kinds of pairs. *Contrasted*: one response breaks a principle, the other does not, often with
all else equal, and the judge compares them under that principle. *Overall*: any two responses of
which one breaks fewer principles of the constitution, compared under one principle drawn at random,
or under all.

Example:
    judge, testbed = Judge.of(open_model("embedded")), load_constitution("testbed")
    for figure in await judge_figures(judge, testbed, n=1000, seed=0):
        print(figure.describe())
"""

import random
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from cai.constitution.schema import Compose, Constitution
from cai.evaluation.stats.calibration import ece, ece_floor
from cai.methods.judging.composition import Composer
from cai.methods.judging.pairwise import ask_judges, judge_question
from cai.methods.judging.pointwise import score_response
from cai.methods.judging.ranking import Judged
from cai.methods.judging.requests import Question
from cai.methods.judging.verdict import PrincipleVerdict, Verdict
from cai.methods.roles import Judge
from cai.methods.settings import JudgeSettings, ScoreSettings
from cai.testbed.curriculum import Pair, draw_case, draw_pair
from cai.testbed.feedback import TruthPair, draw_labelled, first_order
from cai.testbed.metrics import map_concurrently
from cai.testbed.oracle import breaches, read_request, read_response
from cai.types import Prompt, derive_seed, user_prompt


@dataclass(frozen=True, slots=True)
class JudgeFigure:
    """One method of judging on `n` pairs. Shares in [0, 1]; a tie counts one half as right.

    `one_order` is the accuracy of the first order alone. `ece` is the expected calibration error
    of the probability that A is better, `ece_floor` what luck alone gives to it. `unreadable` is a
    count, left out of all other figures.
    """

    name: str
    n: int
    accuracy: float
    one_order: float | None
    ece: float
    ece_floor: float
    flips: float | None
    unreadable: int

    def describe(self) -> str:
        parts = [f"{self.name:44} {self.accuracy:7.1%}", f"ECE {self.ece:.3f}"]
        if self.one_order is not None and self.flips is not None:
            parts += [f"one order {self.one_order:6.1%}", f"flips {self.flips:5.1%}"]
        unread = f", {self.unreadable} unreadable" if self.unreadable else ""
        return "  ".join(parts) + f"  of {self.n}{unread}"


@dataclass(frozen=True, slots=True)
class _ScoreCase:
    constitution: Constitution
    prompt: Prompt
    response: str
    is_followed: bool


async def judge_figures(
    judge: Judge, constitution: Constitution, n: int, seed: int
) -> list[JudgeFigure]:
    """Every method of judging on `n` pairs each, and marks and checks on `n` responses.

    Raises:
        ModelUnavailable: A call failed in a way that may pass.
    """
    # The methods judge the same pairs, so that their figures differ by the method alone.
    rng = random.Random(f"judgements {seed}")
    pairs = [draw_pair(rng, constitution, is_held_out=True, is_contrasted=True) for _ in range(n)]
    overall = list(islice(draw_labelled(random.Random(f"overall {seed}")), n))
    plain, drawn = JudgeSettings(), JudgeSettings(principles=1)
    # Without the clamp, which exists because rationales make a judge too sure: its probabilities
    # are to be measured as they are.
    thought = JudgeSettings(rationale=True, clamp=None)
    return [
        await _contrasted("one letter", judge, pairs, plain, seed),
        await _contrasted("two-step chain of thought", judge, pairs, thought, seed),
        await _contrasted("reversed question", judge, pairs, plain, seed, is_negated=True),
        await _overall("1 principle at random", judge, constitution, overall, drawn),
        await _overall("all principles", judge, constitution, overall, plain),
        await _scores(
            "marks from 1 to 10", judge, constitution, n, seed, ScoreSettings(kind="mark")
        ),
        await _scores("pass or fail", judge, constitution, n, seed, ScoreSettings(kind="check")),
    ]


async def _contrasted(
    name: str,
    judge: Judge,
    pairs: Sequence[Pair],
    plan: JudgeSettings,
    seed: int,
    *,
    is_negated: bool = False,
) -> JudgeFigure:
    async def one(item: tuple[int, Pair]) -> PrincipleVerdict:
        number, pair = item
        question = Question(pair.principle, is_negated=is_negated)
        return await judge_question(
            judge, question, pair.comparison, plan, derive_seed(seed, number)
        )

    found = await map_concurrently(enumerate(pairs), one)
    # Each pair has a principle of its own, so a mixture over pairs means nothing here.
    verdicts = [Composer("mean").verdict([each]) for each in found]
    is_a = [pair.better == "A" for pair in pairs]
    return _figure(f"contrasted, {name}", verdicts, is_a, "mean")


async def _overall(
    name: str,
    judge: Judge,
    constitution: Constitution,
    pairs: Sequence[TruthPair],
    plan: JudgeSettings,
) -> JudgeFigure:
    async def one(item: tuple[int, TruthPair]) -> tuple[PrincipleVerdict, ...]:
        number, pair = item
        seed = derive_seed(number, "overall")
        return await ask_judges([judge], constitution, pair.comparison, plan, seed)

    readings = await map_concurrently(enumerate(pairs), one)
    composer = Composer.fitted(readings, constitution.compose)
    verdicts = [composer.verdict(each) for each in readings]
    return _figure(f"overall, {name}", verdicts, [pair.is_a_better for pair in pairs])


async def _scores(
    name: str, judge: Judge, constitution: Constitution, n: int, seed: int, plan: ScoreSettings
) -> JudgeFigure:
    """One response and one principle, broken half of the time; the sign of the score decides."""
    rng = random.Random(f"scores {seed}")
    cases: list[_ScoreCase] = []
    for number in range(n):
        principle = rng.choice(constitution.principles)
        is_broken = number % 2 == 0
        request, response = draw_case(rng, principle, is_held_out=True, is_broken=is_broken)
        # Scored under this principle alone, as the truth of the case is about no other.
        alone = constitution.model_copy(update={"principles": (principle,)})
        prompt = user_prompt(request.text)
        cases.append(_ScoreCase(alone, prompt, response.text(request), not is_broken))

    async def one(case: _ScoreCase) -> float | None:
        scores = await score_response(
            [judge], case.constitution, case.prompt, case.response, plan, seed
        )
        return scores[0].value

    found = zip(await map_concurrently(cases, one), cases, strict=True)
    # A score in [−1, 1] becomes a probability that the principle is followed.
    read = [((value + 1) / 2, case.is_followed) for value, case in found if value is not None]
    return JudgeFigure(
        f"single responses, {name}",
        n=n,
        accuracy=_accuracy(read),
        one_order=None,
        ece=_ece(read),
        ece_floor=_ece_floor(read),
        flips=None,
        unreadable=n - len(read),
    )


def judged_figure(name: str, judged: Iterable[Judged], ids: Collection[str]) -> JudgeFigure:
    """Accuracy and calibration of a run's verdicts, by the truth under the principles of these ids.

    Only matchups count in which one response breaks fewer of them; the others have no correct
    answer.
    """
    verdicts: list[Verdict] = []
    is_a: list[bool] = []
    for each in judged:
        request = read_request(each.group.prompt.request)
        if request is None:
            continue
        n_broken = [
            len(set(ids).intersection(breaches(request, read_response(request, candidate.text))))
            for candidate in each.group.candidates
        ]
        for matchup in each.matchups:
            if n_broken[matchup.first] != n_broken[matchup.second]:
                verdicts.append(matchup.verdict)
                is_a.append(n_broken[matchup.first] < n_broken[matchup.second])
    return _figure(name, verdicts, is_a)


def _figure(
    name: str, verdicts: Sequence[Verdict], is_a: Sequence[bool], compose: Compose = "vote"
) -> JudgeFigure:
    pairs = list(zip(verdicts, is_a, strict=True))
    read = [(found.p_a, better) for found, better in pairs if found.p_a is not None]
    once = [tuple(map(first_order, each.principle_verdicts)) for each in verdicts]
    composer = Composer.fitted(once, compose)
    firsts = [
        (p, better)
        for found, better in zip(once, is_a, strict=True)
        if found and (p := composer.verdict(found).p_a) is not None
    ]
    flips = [
        one.is_flip
        for verdict in verdicts
        for one in verdict.principle_verdicts
        if one.is_flip is not None
    ]
    return JudgeFigure(
        name,
        n=len(verdicts),
        accuracy=_accuracy(read),
        one_order=_accuracy(firsts) if firsts else None,
        ece=_ece(read),
        ece_floor=_ece_floor(read),
        flips=sum(flips) / len(flips) if flips else None,
        unreadable=len(verdicts) - len(read),
    )


def _accuracy(read: Sequence[tuple[float, bool]]) -> float:
    points = [0.5 if p == 0.5 else float((p > 0.5) == is_a) for p, is_a in read]
    return sum(points) / len(points) if points else float("nan")


def _ece(read: Sequence[tuple[float, bool]]) -> float:
    found = ece(np.array([p for p, _ in read]), np.array([is_a for _, is_a in read], dtype=bool))
    return float("nan") if found is None else found


def _ece_floor(read: Sequence[tuple[float, bool]]) -> float:
    found = ece_floor(np.array([p for p, _ in read]))
    return float("nan") if found is None else found
