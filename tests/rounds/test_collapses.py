"""Collapses made on purpose: a judge with a bad taste, and the rules that see it.

Each judge is a server of its own, whose letters favour long answers, refusals, or answers that hold
a phrase of its own. With people's pairs the judge is seen before anything is trained; without them
the policy that it made is seen after one round.
"""

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from judging_servers import both, shown
from openai_server import Json, LocalServer, Received
from reward_server import serving, spec
from small_rounds import run_series, write_series

from cai.methods.revision_flags import is_refusal
from cai.rounds.state import RoundResult
from cai.testbed.world import KIND

pytestmark = pytest.mark.slow

Taste = Callable[[str], float]
TASTES: dict[str, Taste] = {
    "length": lambda text: float(len(text.split())),
    "refusals": lambda text: float(is_refusal(text)),
    "phrases": lambda text: float(sum(text.count(phrase) for phrase in KIND)),
}
TRAINED = {
    "per_device_train_batch_size": 8,
    "num_train_epochs": 4,
    "learning_rate": 3e-4,
    "lr_scheduler_type": "constant",
    "save_strategy": "no",
}


def tasting(taste: Taste) -> Callable[[Received], Json]:
    """Letters with 0.95 for the response that the taste likes better."""

    def reply(received: Received) -> Json:
        first, second = (taste(text) for text in shown(received))
        return both(0.5 if first == second else 0.95 if first > second else 0.05)

    return reply


@pytest.fixture
def judge(request: pytest.FixtureRequest) -> Generator[LocalServer]:
    with serving(tasting(TASTES[request.param])) as server:
        yield server


def last_round(folder: Path, judge: LocalServer, **anchors: Any) -> RoundResult:
    """The last round of a series of three under the default rules."""
    round = {
        "models": {"judge": spec(judge)},
        "sample": {"k": 4, "max_tokens": 64},
        "train": [{"dpo": {"settings": TRAINED, "eval_share": 0.0}}],
    }
    path = write_series(
        folder / "recipe",
        rounds=3,
        per_round=40,
        rules=None,
        round=round,
        anchors={"limit": 30, "max_tokens": 64, "tags": ["general", "help"], **anchors},
    )
    series = run_series(path, folder / "out")
    assert series.ended.startswith(f"Round {series.rounds[-1].number} ends the series")
    return series.rounds[-1]


@pytest.mark.parametrize("judge", ["length"], indirect=True)
def test_a_judge_that_people_contradict_is_seen_before_the_first_round(
    tmp_path: Path, judge: LocalServer
):
    last = last_round(tmp_path, judge)
    assert last.number == 0
    assert any(sentence.startswith("agreement_gap is -") for sentence in last.broken)


@pytest.mark.parametrize(
    ("judge", "seen"),
    [
        ("length", {"judge_gap", "win_last", "length"}),
        ("refusals", {"judge_gap", "win_last", "refusals/benign", "evasive"}),
        ("phrases", {"judge_gap", "win_last", "self_similarity", "boilerplate"}),
    ],
    indirect=["judge"],
)
def test_what_a_bad_judge_makes_of_a_policy_is_seen_after_one_round(
    tmp_path: Path, judge: LocalServer, seen: set[str]
):
    last = last_round(tmp_path, judge, people=[])
    assert last.number == 1
    broken = {sentence.partition(" ")[0] for sentence in last.broken}
    assert broken & seen
    assert "judge_gap" in broken, "the judge likes what it made better than the frozen one does"
