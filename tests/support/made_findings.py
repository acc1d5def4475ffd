"""Evaluations, rounds and trainings made by hand, as tests of reports need them."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from cai.evaluation.policies.matchups import OUTCOMES, MatchOutcome
from cai.evaluation.policies.ratings import Rating
from cai.evaluation.policies.results import FILE as EVALUATION_FILE
from cai.evaluation.policies.results import Conduct, Evaluation, PolicyFigures, Suite
from cai.evaluation.policies.win_rates import WinRate
from cai.evaluation.results_file import save_results
from cai.evaluation.stats.bootstrap import Estimate
from cai.evaluation.suites.run import FILE as SUITES_FILE
from cai.evaluation.suites.run import SuiteResults
from cai.rounds.state import FILE as ROUNDS_FILE
from cai.rounds.state import Decision, RoundResult, Series
from cai.testbed.metrics import FILE as TRUTH_FILE
from cai.testbed.metrics import PolicyTruth, Rates, TruthResults
from cai.training.folder import TrainFolder


def around(value: float, n: int = 200, reach: float = 0.05) -> Estimate:
    return Estimate(value, n, value - reach, value + reach)


def win_rate(
    policy: str, opponent: str, won: int, lost: int, *, level: float | None = None, unread: int = 0
) -> WinRate:
    """Matches of which so many were won, lost and not read."""
    outcomes: dict[MatchOutcome, int] = dict.fromkeys(OUTCOMES, 0)
    outcomes |= {"a": won, "b": lost, "unparsed": unread}
    rate = around(won / (won + lost), won + lost)
    controlled = None if level is None else around(level, won + lost)
    n = won + lost + unread
    return WinRate(policy, opponent, n, n, outcomes, rate, rate, controlled, 0.6)


def policy(name: str, refusals: float = 0.2, kept: float = 0.8) -> PolicyFigures:
    shares = {"refusals": around(refusals), "evasive": around(0.1)}
    conduct = tuple(
        Conduct(kind, 200, {"length": 31.5, "distinct_2": 0.61}, shares)
        for kind in ("all", "harmful", "benign")
    )
    adherence = {"all": {"no-harm": around(kept), "stay-polite": around(0.91)}}
    return PolicyFigures(name, f"hf:/home/somebody/{name}", 200, conduct, adherence, 2)


def evaluation(folder: Path, *rates: WinRate, caveats: Iterable[str] = ()) -> Path:
    """The folder of an evaluation of start, SL and RL."""
    folder.mkdir(parents=True, exist_ok=True)
    found = Evaluation(
        prompts=("held-out.jsonl",),
        n_prompts=100,
        judges=("openai:judge@http://localhost:8001/v1",),
        constitution="testbed 1.0.0",
        policies=(policy("start", 0.1, 0.3), policy("SL"), policy("RL", 0.3, 0.9)),
        win_rates=rates,
        ratings=(
            Rating("start", 200, 0.0),
            Rating("SL", 200, 251.0, 210.0, 295.0),
            Rating("RL", 200, None),
        ),
        n_calls=1234,
        cost_usd=0.5,
        caveats=tuple(caveats),
    )
    save_results(folder / EVALUATION_FILE, found)
    return folder


def round_found(number: int, *, length: float, broken: Iterable[str] = ()) -> RoundResult:
    sentences = tuple(broken)
    decision: Decision = "roll back" if sentences else "go on"
    return RoundResult(
        number=number,
        policy=f"hf:rounds/round-{number}/policy" if number else "embedded",
        judges=("embedded",) if number else (),
        figures={"length": around(length, reach=1.0)},
        missing={} if number else {"judge_gap": "there is no judge before round 1"},
        adherence={"no-harm": around(0.4 + 0.1 * number)},
        undecided=("give-reasons",) if number > 1 else (),
        broken=sentences,
        decision=decision,
        from_round=number - 1 if sentences else number,
        seconds=60.0,
    )


def series(folder: Path) -> Path:
    """The folder of three rounds and their start, the last of which breaks a rule."""
    folder.mkdir(parents=True, exist_ok=True)
    found = Series(
        name="tries",
        n_rounds=5,
        frozen_judges=("openai:frozen@http://localhost:8002/v1",),
        metrics={"length": "words a response, mean"},
        rounds=(
            round_found(0, length=20.0),
            round_found(1, length=24.0),
            round_found(2, length=31.0),
            round_found(3, length=64.0, broken=["length is 64, above 3 × its start."]),
        ),
        win_rates=(
            win_rate("round 1", "round 0", 60, 40),
            win_rate("round 2", "round 0", 80, 20),
            win_rate("round 3", "round 0", 55, 45),
        ),
        ratings=(
            Rating("round 0", 300, 0.0),
            Rating("round 1", 100, 70.0, 40.0, 100.0),
            Rating("round 2", 100, 241.0, 200.0, 280.0),
            Rating("round 3", 100, 35.0, 5.0, 65.0),
        ),
        best=2,
        ended="Ended after round 3, which broke a rule.",
        cost_usd=None,
        caveats=("The frozen set has 40 pairs alone.",),
    )
    save_results(folder / ROUNDS_FILE, found)
    return folder


def training(
    folder: Path,
    trainer: str = "sft",
    model: str = "embedded",
    *,
    sources: Mapping[str, int] | None = None,
    figures: Mapping[str, object] | None = None,
    watched: Iterable[Mapping[str, object]] = (),
) -> Path:
    """The folder of a training; without figures it is not finished."""
    data = {"sources": dict(sources or {"runs/revised": 480}), "hash": "17c08", "held_out": 23}
    asked = {
        "trainer": trainer,
        "model": model,
        "weights": "6e8f8a94bb71",
        "data": data,
        "settings": {"learning_rate": 0.0005},
        "seed": 0,
    }
    begun = TrainFolder.begin(folder, asked, resumes=False)
    lines = [json.dumps(entry) + "\n" for entry in watched]
    if lines:
        (folder / "watch.jsonl").write_text("".join(lines), "utf-8")
    if figures is not None:
        begun.finish(figures)
    return folder


def truth(folder: Path, *rates: tuple[str, float, float]) -> Path:
    """Policies with the shares of harmful and of harmless requests that they help with."""
    folder.mkdir(parents=True, exist_ok=True)
    found = [
        PolicyTruth(
            name,
            f"hf:/home/somebody/{name}",
            Rates(300, 200, harmful, 0.5, 0.1, 0.0, helped, 0.0, float("nan"), 0.1, 0.2, 0.0),
        )
        for name, harmful, helped in rates
    ]
    save_results(folder / TRUTH_FILE, TruthResults(tuple(found)))
    return folder


def suites(folder: Path) -> Path:
    """Two policies in one suite, judged."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = {
        name: {"accuracy": around(value, 221)} for name, value in (("start", 0.5), ("RL", 0.66))
    }
    suite = Suite(
        "hhh",
        "choice",
        {"accuracy": "answered right"},
        221,
        figures,
        {"accuracy": around(0.16, 221)},
    )
    policies = {"start": "embedded", "RL": "hf:/home/somebody/rl"}
    found = SuiteResults(policies, ("openai:judge@http://h/v1",), "one 1.0", (suite,), 900, 3, 0.0)
    save_results(folder / SUITES_FILE, found)
    return folder
