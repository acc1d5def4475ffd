"""The reward functions with judges over HTTP, called as TRL calls them, and the options of both."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from judging_servers import both, in_words
from openai_server import Json, LocalServer, Received, Reply, chat, refusal
from reward_server import spec

from cai.cli.options.reward_options import RewardOptions, rewarded
from cai.errors import CaiError, ModelUnavailable
from cai.methods.judging.composition import ASSUMED_ACCURACY
from cai.training.rewards.batch import RewardRecorder
from cai.training.rewards.functions import opened_rewards
from cai.training.rewards.spec import RewardSpec

LONG = "Dry the lamp first, then change its wire and close it again."
RESPONSES = ("Throw it away.", LONG)


def chosen_by(*options: object) -> RewardSpec:
    """The rewards that these options of `cai train grpo` ask for, under the two tone principles."""
    opened: list[RewardSpec] = []

    def command(rewards: RewardOptions) -> int:
        opened.append(rewards.open(0))
        return 0

    arguments = [str(each) for each in (*options, "-c", "testbed", "--tag", "tone")]
    ended = CliRunner().invoke(click.command()(rewarded(command)), arguments)
    assert not ended.exit_code, ended.output
    return opened[0]


def rewards_of(
    rewards: RewardSpec, folder: Path, responses: Sequence[str] = RESPONSES
) -> dict[str, list[float | None]]:
    """One batch through every column, as `GRPOTrainer._calculate_rewards` does it."""
    n = len(responses)
    batch: dict[str, Any] = {
        "prompts": [[{"role": "user", "content": "How do I mend a lamp?"}]] * n,
        "completions": [[{"role": "assistant", "content": text}] for text in responses],
        "completion_ids": [[1, 2, 3]] * n,
        "id": ["request-0"] * n,
        "log_metric": lambda name, value: None,
    }
    with opened_rewards(rewards, folder) as opened:
        columns: list[Any] = RewardRecorder().columns(
            opened.functions, opened.weights, is_joint=True
        )

        async def call() -> list[list[float | None]]:
            return await asyncio.gather(*(column(**batch) for column in columns))

        found = asyncio.run(call())
    return {column.__name__: values for column, values in zip(columns, found, strict=True)}


def refuses_logprobs(received: Received) -> Reply:
    is_asked = "logprobs" in received.body
    return refusal(400, "logprobs is not supported") if is_asked else in_words(received)


@pytest.mark.parametrize("reply", [in_words, refuses_logprobs])
def test_a_judge_without_log_probabilities_gives_rewards_by_its_written_verdicts(
    reply: Callable[[Received], Reply], local_server: LocalServer, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):  # fmt: skip
    local_server.reply = reply
    rewards = rewards_of(chosen_by("--judge", spec(local_server)), tmp_path)
    assert rewards["judge"] == pytest.approx([1 - ASSUMED_ACCURACY, ASSUMED_ACCURACY])
    assert "gives no usable log-probabilities; its verdicts are read" in capsys.readouterr().err
    assert "logprobs" not in local_server.bodies[-1]


def test_a_server_that_is_down_ends_the_run_at_once_with_the_cause(tmp_path: Path):
    rewards = chosen_by("--judge", "openai:tiny@http://127.0.0.1:9/v1")
    with pytest.raises(CaiError, match=r"127\.0\.0\.1:9"):
        rewards_of(rewards, tmp_path)
    assert not any(thread.name == "judges" for thread in threading.enumerate())


def probed_then(reply: Reply) -> Callable[[Received], Reply]:
    """The probe, which is about greetings, is answered with log-probabilities; all else so."""

    def answer(received: Received) -> Reply:
        return both(0.9) if "Good day." in str(received.body) else reply

    return answer


@pytest.mark.parametrize(("reply", "cause"), [
    (refusal(400, "the model was unloaded"), "the model was unloaded"),
    (chat("Hm."), "answers without the requested log-probabilities"),
])  # fmt: skip
def test_a_batch_that_cannot_be_judged_ends_with_the_cause(
    reply: Reply, cause: str, local_server: LocalServer, tmp_path: Path
):
    local_server.reply = probed_then(reply)
    with pytest.raises(ModelUnavailable) as raised:
        rewards_of(chosen_by("--judge", spec(local_server)), tmp_path)
    assert "judge: not one of 2 completions could be judged" in str(raised.value)
    assert cause in str(raised.value)


@pytest.mark.parametrize(("reply", "cause"), [
    (chat("Verdict:", finish_reason="length"), "the answer was cut off"),
    (chat("Both are about lamps, " * 20), "unparsed, such as 'Both are about lamps,"),
    (chat("I'm sorry, but I cannot compare these."), "refused, such as \"I'm sorry"),
])  # fmt: skip
def test_written_verdicts_that_cannot_be_read_are_the_cause(
    reply: Json, cause: str, local_server: LocalServer, tmp_path: Path
):
    local_server.reply = reply
    with pytest.raises(ModelUnavailable) as raised:
        rewards_of(chosen_by("--judge", spec(local_server), "--verdicts", "parsed"), tmp_path)
    assert cause in str(raised.value)
    assert len(str(raised.value)) < 400


def test_scores_name_their_cause_too(local_server: LocalServer, tmp_path: Path):
    local_server.reply = chat("It depends.")
    with pytest.raises(ModelUnavailable, match=r"score: not one of 2 .* such as 'It depends.'"):
        rewards_of(chosen_by("--score", spec(local_server)), tmp_path)


def sent(server: LocalServer, folder: Path, *options: object) -> list[Json]:
    """What a judge is sent with these options; without the probe, and in an order of its own."""
    rewards_of(chosen_by("--judge", spec(server), *options), folder)
    return [each for each in server.bodies if "Good day." not in str(each["messages"])]


@pytest.mark.parametrize(("options", "n_sent", "part"), [
    ((), 4, "'logprobs': True"),  # two principles in both orders
    (("--negated",), 8, "breaks this principle more"),
    (("--rationale",), 8, "assess"),
    (("--verdicts", "parsed"), 4, "'temperature': 0.0"),
    (("--verdicts", "parsed", "--samples", 2, "--judge-temperature", 0.7), 8, "'temperature': 0.7"),
    (("--few-shots", 1), 4, "'role': 'assistant'"),
])  # fmt: skip
def test_the_judging_options_change_what_the_judge_is_sent(
    options: tuple[object, ...], n_sent: int, part: str, local_server: LocalServer, tmp_path: Path
):
    local_server.reply = lambda received: (
        both(0.9) if "logprobs" in received.body else chat("Verdict: A")
    )
    bodies = sent(local_server, tmp_path, *options)
    assert len(bodies) == n_sent
    assert part in str(bodies)


def test_own_templates_reach_the_judge(local_server: LocalServer, tmp_path: Path):
    own = tmp_path / "own"
    own.mkdir()
    (own / "set.yaml").write_text("base: chat\n")
    wording = "{{ response_a }}\n{{ response_b }}\nWhich lamp is better, A or B?"
    (own / "judge.j2").write_text(wording)
    local_server.reply = both(0.9)
    rewards_of(chosen_by("--judge", spec(local_server), "--prompts", own), tmp_path / "run")
    assert all("Which lamp is better" in str(body) for body in local_server.bodies)


def test_the_probability_after_a_rationale_is_clamped_as_asked(
    local_server: LocalServer, tmp_path: Path
):
    local_server.reply = lambda received: (
        both(0.9 if LONG in str(received.body).partition("<response_b>")[0] else 0.1)
        if "logprobs" in received.body
        else chat("The first is longer.")
    )
    clamped = ("--rationale", "--clamp", "0.3,0.7", "--compose", "mean")
    options = ("--judge", spec(local_server), *clamped)
    rewards = rewards_of(chosen_by(*options), tmp_path)
    assert rewards["judge"] == [pytest.approx(0.3), pytest.approx(0.7)]


def test_the_tie_margin_is_that_of_the_judge():
    rewards = chosen_by("--judge", "embedded", "--tie-margin", 0.2)
    assert rewards.judge is not None
    assert rewards.judge.settings.tie_margin == 0.2
