"""Whether intervals hold the truth as often as they claim, and a test errs no more than it may.

    python benchmarks/coverage.py [--times 400] [--parts rates ratings] [--prompts 30 100 400]

Evaluations are made from policies whose true figures are known, and put through what `cai evaluate`
computes. A prompt has four responses, which rise and fall together: with chance 0.3 each, one draw
decides. Lengths differ, and the longer response wins more. All draws are seeded.
"""

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from scipy.special import expit

from cai.evaluation.policies.matchups import Match, Matches, MatchOutcome
from cai.evaluation.policies.ratings import POINTS, Rating, ratings
from cai.evaluation.policies.win_rates import win_rates
from cai.evaluation.stats.bootstrap import Estimate
from cai.evaluation.stats.length_control import fit_logistic_curve
from cai.evaluation.stats.sample_size import planned_variance
from cai.evaluation.stats.sequential import SequentialTest

N_PROMPTS = (30, 100, 400)
RATES = (0.5, 0.7, 0.9)
TIES = (0.0, 0.2)
N_POLICIES = (2, 5, 10)
ALPHAS = (0.05, 0.01)
N_LOOKS = 1000
N_RESPONSES = 4
TOGETHER = 0.3
LONGER, SPREAD, PULL = 0.2, 0.4, 1.0  # log length ratio: mean, deviation, and what it does
SURENESS = (0.2, 1.0)
PARTS = ("rates", "ratings", "certain", "sequential")

_QUANTILES = [(i + 0.5) / 4001 for i in range(4001)]
RATIOS = LONGER + SPREAD * np.array([NormalDist().inv_cdf(each) for each in _QUANTILES])


@dataclass(frozen=True, slots=True)
class World:
    """Matches of two policies: `rate` is that of those with a winner, `ties` the share without."""

    rate: float
    ties: float

    @property
    def start(self) -> float:
        """The log-odds of a win at equal length that give the rate over all lengths."""
        low, high = -10.0, 10.0
        for _ in range(60):
            middle = (low + high) / 2
            is_low = float(expit(middle + PULL * RATIOS).mean()) < self.rate
            low, high = (middle, high) if is_low else (low, middle)
        return (low + high) / 2

    @property
    def truths(self) -> tuple[float, float, float]:
        """Win rate, mean probability, and win rate at equal length."""
        expected = (1 - self.ties) * expit(self.start + PULL * RATIOS) + self.ties / 2
        curve = fit_logistic_curve(RATIOS, expected)
        assert curve is not None, "the expected outcomes are smooth"
        rate = float(expected.mean())
        surer = sum(SURENESS) / 2
        return rate, 0.5 + surer * (rate - 0.5), 1 / (1 + math.exp(-curve.intercept))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=400, help="evaluations of each row")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--prompts", nargs="+", type=int, default=N_PROMPTS)
    options = parser.parse_args()
    tables: dict[str, Callable[[], Iterator[str]]] = {
        "rates": lambda: rates_table(options.prompts, options.times),
        "ratings": lambda: ratings_table(options.prompts, max(1, options.times // 2)),
        "certain": lambda: certain_table(max(1, options.times // 4)),
        "sequential": lambda: sequential_table(options.times),
    }
    for part in options.parts:
        for line in tables[part]():
            print(line, flush=True)
        print()


def rates_table(prompts: Sequence[int], times: int) -> Iterator[str]:
    yield "| prompts | rate | ties | win rate | mean probability | at equal length | none |"
    yield "|---|---|---|---|---|---|---|"
    for n in prompts:
        for ties in TIES:
            for rate in RATES:
                held, n_none = rates_coverage(World(rate, ties), n, times)
                shares = " | ".join("–" if each is None else f"{100 * each:.1f} %" for each in held)
                yield f"| {n} | {rate} | {ties} | {shares} | {n_none} |"


def rates_coverage(world: World, n_prompts: int, times: int) -> tuple[list[float | None], int]:
    """How often each of the three intervals holds its truth, and how many were not given.

    None where none was given.
    """
    start, truths, n_none = world.start, world.truths, 0
    hits: list[list[bool]] = [[], [], []]
    for time in range(times):
        rng = np.random.default_rng((n_prompts, round(100 * world.rate + 10 * world.ties), time))
        (found,) = win_rates(drawn_matches(rng, start, world.ties, n_prompts), time)
        figures = (found.rate, found.probability, found.length_controlled)
        for place, estimate in enumerate(figures):
            is_held = holds(estimate, truths[place])
            if is_held is None:
                n_none += 1
            else:
                hits[place].append(is_held)
    return [sum(each) / len(each) if each else None for each in hits], n_none


def holds(estimate: Estimate | None, truth: float) -> bool | None:
    """None where there is no interval."""
    if estimate is None or estimate.low is None or estimate.high is None:
        return None
    return estimate.low - 1e-9 <= truth <= estimate.high + 1e-9


def drawn_matches(rng: np.random.Generator, start: float, ties: float, n_prompts: int) -> Matches:
    shape = (n_prompts, N_RESPONSES)
    ratios = rng.normal(LONGER, SPREAD, shape)
    is_won = draws_together(rng, shape) < expit(start + PULL * ratios)
    is_tie = rng.random(shape) < ties
    sure = rng.uniform(*SURENESS, shape)
    matches = Matches()
    for unit, response in np.ndindex(shape):
        won, tie = bool(is_won[unit, response]), bool(is_tie[unit, response])
        outcome: MatchOutcome = "tie" if tie else ("b" if won else "a")
        points = 0.5 if tie else float(won)
        p_first = 0.5 - float(sure[unit, response]) * (points - 0.5)
        length = round(1000 * math.exp(float(ratios[unit, response])))
        matches.add(Match(unit, "old", "new", outcome, p_first, 1000, length))
    return matches


def draws_together(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Uniform draws; those of a row are the same draw with chance `TOGETHER` each."""
    return np.where(rng.random(shape) < TOGETHER, rng.random((shape[0], 1)), rng.random(shape))


def ratings_table(prompts: Sequence[int], times: int) -> Iterator[str]:
    yield "| prompts | policies | matches | rating | none |"
    yield "|---|---|---|---|---|"
    for n in prompts:
        for n_policies in N_POLICIES:
            held, n_none = ratings_coverage(n_policies, n, times)
            n_matches = n * n_policies * (n_policies - 1) // 2
            yield f"| {n} | {n_policies} | {n_matches:,} | {100 * held:.1f} % | {n_none} |"


def ratings_coverage(n_policies: int, n_prompts: int, times: int) -> tuple[float, int]:
    """Over all policies but the anchor; the last wins 90 % of its matches with it."""
    strengths = np.linspace(0, math.log(9), n_policies)
    names = [f"round {i}" for i in range(n_policies)]
    hits: list[bool] = []
    for time in range(times):
        rng = np.random.default_rng((n_prompts, n_policies, time))
        found = ratings(drawn_rounds(rng, strengths, names, n_prompts), names, names[0], time)
        for rating, strength in zip(found[1:], strengths[1:], strict=True):
            if rating.low is not None and rating.high is not None:
                hits.append(rating.low <= POINTS * strength <= rating.high)
    return sum(hits) / len(hits), times * (n_policies - 1) - len(hits)


def drawn_rounds(
    rng: np.random.Generator, strengths: np.ndarray, names: Sequence[str], n_prompts: int
) -> Matches:
    """One match of each two policies a prompt."""
    pairs = [(i, j) for i in range(len(names)) for j in range(i + 1, len(names))]
    drawn = draws_together(rng, (n_prompts, len(pairs)))
    matches = Matches()
    for place, (i, j) in enumerate(pairs):
        p = 1 / (1 + math.exp(strengths[i] - strengths[j]))
        for unit, draw in enumerate(drawn[:, place].tolist()):
            outcome: MatchOutcome = "b" if draw < p else "a"
            matches.add(Match(unit, names[i], names[j], outcome, None, 1000, 1000))
    return matches


@dataclass(frozen=True, slots=True)
class Certain:
    """The last of `n_policies` equal policies wins `rate` of its matches that are no ties."""

    n_policies: int
    n_prompts: int
    rate: float
    ties: float

    @property
    def truth(self) -> float:
        """Its rating: a tie is half a win, and the others are all as strong as the anchor."""
        share = (1 - self.ties) * self.rate + self.ties / 2
        return POINTS * math.log(share / (1 - share))


CERTAIN = (
    *(Certain(2, n, rate, 0.0) for n in (3, 4, 12, 25, 100) for rate in (0.95, 0.98, 0.99)),
    *(Certain(2, n, rate, 0.9) for n in (12, 25, 100) for rate in (0.95, 0.98, 0.99)),
    *(Certain(k, n, 0.99, 0.0) for k in (4, 30) for n in (12, 25)),
    *(Certain(k, n, 0.99, 0.9) for k in (4, 30) for n in (12, 25)),
)


def certain_table(times: int) -> Iterator[str]:
    yield "| policies | prompts | rate | ties | held | too high | too low | no upper end | none |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for world in CERTAIN:
        n = max(20, times * 4 // world.n_policies**2) if world.n_policies > 4 else times
        found = [certain_rating(world, time) for time in range(n)]
        given = [each for each in found if (each.low, each.high) != (None, None)]
        too_high = sum(each.low is not None and each.low > world.truth + 1e-9 for each in given)
        too_low = sum(each.high is not None and each.high < world.truth - 1e-9 for each in given)
        n_open = sum(each.high is None for each in given)
        shares = [len(given) - too_high - too_low, too_high, too_low, n_open]
        cells = " | ".join(f"{100 * each / max(1, len(given)):.1f} %" for each in shares)
        yield (
            f"| {world.n_policies} | {world.n_prompts} | {world.rate} | {world.ties} | {cells} "
            f"| {n - len(given)} of {n} |"
        )


def certain_rating(world: Certain, time: int) -> Rating:
    """The rating of the policy that hardly ever loses; one match of each two policies a prompt."""
    rng = np.random.default_rng(
        (world.n_policies, world.n_prompts, round(1000 * world.rate + 10 * world.ties), time)
    )
    names = [f"policy {i}" for i in range(world.n_policies)]
    pairs = [(i, j) for i in range(len(names)) for j in range(i + 1, len(names))]
    drawn, is_tie = rng.random((2, world.n_prompts, len(pairs)))
    matches = Matches()
    for place, (i, j) in enumerate(pairs):
        p = world.rate if j == len(names) - 1 else 0.5
        for unit in range(world.n_prompts):
            outcome: MatchOutcome = "b" if drawn[unit, place] < p else "a"
            if is_tie[unit, place] < world.ties:
                outcome = "tie"
            matches.add(Match(unit, names[i], names[j], outcome, None, 1000, 1000))
    return ratings(matches, names, names[0], time)[-1]


def sequential_table(times: int) -> Iterator[str]:
    yield f"{N_LOOKS} prompts at most, one score each, looked at after each of them."
    yield ""
    yield "| α | rate | ties | decided | wrongly | mean prompts until then | prompts, fixed, 80 % |"
    yield "|---|---|---|---|---|---|---|"
    for alpha in ALPHAS:
        for rate in (0.5, 0.55, 0.6, 0.7, 0.9):
            for ties in TIES:
                n_at = [decided_at(alpha, rate, ties, time) for time in range(times)]
                yield _sequential_row(alpha, rate, ties, n_at)
    yield ""
    yield f"A test of fixed size looked at as often, from 20 prompts on: {peeking(times)}"


def _sequential_row(
    alpha: float, rate: float, ties: float, ends: Sequence[tuple[int, str] | None]
) -> str:
    decided = [each for each in ends if each is not None]
    wrong = sum(rate == 0.5 or side == "below" for _, side in decided) / len(ends)
    mean = sum(N_LOOKS if each is None else each[0] for each in ends) / len(ends)
    share = len(decided) / len(ends)
    return (
        f"| {alpha} | {rate} | {ties} | {100 * share:.1f} % | {100 * wrong:.1f} % | {mean:.0f} "
        f"| {fixed_size(alpha, rate, ties)} |"
    )


def scores(rng: np.random.Generator, rate: float, ties: float) -> np.ndarray:
    won = (rng.random(N_LOOKS) < rate).astype(np.float64)
    return np.where(rng.random(N_LOOKS) < ties, 0.5, won)


def decided_at(alpha: float, rate: float, ties: float, time: int) -> tuple[int, str] | None:
    """After how many prompts, and for which side."""
    test = SequentialTest(alpha)
    for score in scores(np.random.default_rng((time, round(100 * rate))), rate, ties).tolist():
        test.add(score)
        if test.side is not None:
            return test.n, test.side
    return None


def fixed_size(alpha: float, rate: float, ties: float) -> str:
    """Prompts with which a test of fixed size sees this rate in 80 % of evaluations."""
    if rate == 0.5:
        return ""
    z = NormalDist().inv_cdf(1 - alpha / 2) + NormalDist().inv_cdf(0.8)
    difference = (1 - ties) * (rate - 0.5)
    variance = planned_variance(ties) - difference**2
    return str(math.ceil(z**2 * variance / difference**2))


def peeking(times: int) -> str:
    """How often |z| > 1.96 at some moment although both policies are equal."""
    wrong = 0
    for time in range(times):
        drawn = scores(np.random.default_rng((time, 50)), 0.5, 0.0)
        n = np.arange(1, N_LOOKS + 1)
        z = np.abs(np.cumsum(drawn) - n / 2) / np.sqrt(n / 4)
        wrong += bool((z[19:] > 1.96).any())
    return f"{100 * wrong / times:.1f} % of them find a difference that is not there."


if __name__ == "__main__":
    main()
