"""`run_suites`: every suite to every policy into folders that go on, and what is found there."""

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
from small_runs import TWO, quiet, write_rows
from suite_rows import options_of, write_lamps, write_sides, write_turns, write_words

from cai.engine.run_folder import RunFolder
from cai.errors import (
    EvaluationError,
    JournalError,
    ModelError,
    NoLogprobs,
    SourceError,
    UsageError,
)
from cai.evaluation.policies.policies import Policy
from cai.evaluation.policies.results import Suite
from cai.evaluation.spending import Spending
from cai.evaluation.suites.files import open_suites
from cai.evaluation.suites.open_ended import SuiteJudging
from cai.evaluation.suites.run import SuitePlan, folder_name, run_suites
from cai.methods.roles import RoleModel
from cai.models.base import Sampling
from cai.models.registry import open_model
from cai.models.scripted import ScriptedModel
from cai.runs.options import RunOptions
from cai.runs.records import check_runs
from cai.types import Message

BY_TEXT = SuitePlan()


def careful(name: str = "careful") -> ScriptedModel:
    """Chooses to wipe, says yes, declines what is to be broken or hidden, marks everything 10."""

    def choose(messages: Sequence[Message], options: Sequence[str]) -> list[float]:
        shown = options_of(messages[-1].content)
        wanted = {"Wipe it", "Yes", "10"}
        return [0.0 if {shown.get(each, each)} & wanted else -3.0 for each in options]

    def reply(messages: Sequence[Message], sampling: Sampling) -> str:
        request = messages[-1].content
        if "break" in request or "hide" in request:
            return "I cannot help with that, because it is not yours."
        return f"About {request.rstrip('?!.').split()[-1]}: wipe it."

    return ScriptedModel(reply, choices=choose, name=name)


def policy(model: ScriptedModel, name: str = "after") -> Policy:
    return Policy(name, "scripted", RoleModel.of(model, Sampling(temperature=0.0)))


async def found(
    folder: Path,
    files: Sequence[Path],
    *policies: Policy,
    plan: SuitePlan = BY_TEXT,
    run_options: RunOptions = RunOptions(),
) -> tuple[Suite, ...]:
    suites = open_suites([str(each) for each in files])
    return await run_suites(suites, policies, plan, folder, Spending(run_options), quiet())


async def test_every_policy_has_its_figures_in_every_suite(tmp_path: Path):
    """One knows; the other always says the first letter, and never declines."""
    files = [write_lamps(tmp_path / "lamps.jsonl", 6), write_sides(tmp_path / "sides.csv")]
    first = ScriptedModel(
        lambda messages, sampling: "Sure.",
        choices=lambda messages, options: [0.0, *(-3.0 for _ in options[1:])],
        name="first",
    )
    policies = (policy(first, "before"), policy(careful()))
    lamps, sides = await found(tmp_path / "out", files, *policies)
    assert (lamps.name, lamps.kind, lamps.n) == ("lamps", "choices", 6)
    assert lamps.found["before"]["accuracy"].value == 0.5
    assert lamps.found["before"]["order flips"].value == 1.0
    assert lamps.found["after"]["accuracy"].value == 1.0
    assert sides.found["before"]["refused unsafe"].value == 0.0
    assert sides.found["after"]["refused unsafe"].value == 1.0
    assert sides.found["after"]["refused safe"].value == 0.0
    assert lamps.differences["accuracy"].value == 0.5
    assert sides.differences["refused unsafe"].value == 1.0
    assert set(lamps.measures) >= {"accuracy", "order flips", "unreadable"}
    assert "over-refusal" in sides.measures["refused safe"]


async def test_a_second_call_asks_nothing_and_finds_the_same(tmp_path: Path):
    files = [write_lamps(tmp_path / "lamps.jsonl", 4), write_turns(tmp_path / "turns.jsonl")]
    plan = SuitePlan(SuiteJudging(TWO, (RoleModel.of(careful("judge")),)))
    once = await found(tmp_path / "out", files, policy(careful()), plan=plan)
    again = careful()
    assert await found(tmp_path / "out", files, policy(again), plan=plan) == once
    probes = [each for each in again.requests if each.options]
    assert len(again.requests) == len(probes) == 1  # whether it still gives log-probabilities


async def test_a_limit_is_gone_on_from_to_what_one_call_would_have_found(tmp_path: Path):
    files = [write_lamps(tmp_path / "lamps.jsonl", 6), write_turns(tmp_path / "turns.jsonl")]
    plan = SuitePlan(SuiteJudging(TWO, (RoleModel.of(careful("judge")),)))
    few = await found(
        tmp_path / "out", files, policy(careful()), plan=plan, run_options=RunOptions(limit=2)
    )
    assert few[0].found["after"]["accuracy"].n == 2
    assert [each.n for each in few] == [2, 2], "prompts that were asked, not those of the file"
    assert few[1].found["after"]["mark"].n == 4
    rest = await found(tmp_path / "out", files, policy(careful()), plan=plan)
    whole = await found(tmp_path / "whole", files, policy(careful()), plan=plan)
    assert rest == whole
    assert rest[1].found["after"]["mark"].n == 6


async def test_the_second_turn_goes_on_from_the_policy_s_own_first_answer(tmp_path: Path):
    path = write_turns(tmp_path / "turns.jsonl")
    model = careful()
    [turns] = await found(tmp_path / "out", [path], policy(model))
    asked = [tuple(each.content for each in request.messages) for request in model.requests]
    assert ("Tell of lamp 1.",) in asked
    assert ("Tell of lamp 1.", "About 1: wipe it.", "Shorter, 1!") in asked
    assert len(asked) == 6
    assert turns.found["after"]["empty"].n == 6
    folder = tmp_path / "out/suites/turns/after"
    assert check_runs([str(folder), str(folder / "second")]) == "sample"


async def test_a_first_turn_without_an_answer_has_no_second(tmp_path: Path):
    path = write_turns(tmp_path / "turns.jsonl")

    def silent(messages: Sequence[Message], sampling: Sampling) -> str:
        return "" if "lamp 2" in messages[0].content else "Fine."

    model = ScriptedModel(silent)
    [turns] = await found(tmp_path / "out", [path], policy(model))
    assert turns.found["after"]["empty"].n == 5
    assert turns.found["after"]["empty"].value == 0.2
    none = ScriptedModel(lambda messages, sampling: " ")
    [turns] = await found(tmp_path / "none", [path], policy(none))
    assert (turns.found["after"]["empty"].value, turns.found["after"]["empty"].n) == (1.0, 3)


async def test_second_prompts_that_cannot_be_written_are_said(tmp_path: Path):
    path = write_turns(tmp_path / "turns.jsonl")
    await found(tmp_path / "out", [path], policy(careful()), run_options=RunOptions(limit=1))
    written = tmp_path / "out/suites/turns/after/second.jsonl"
    written.unlink()
    written.mkdir()
    with pytest.raises(EvaluationError, match=r"second\.jsonl: cannot be written"):
        await found(tmp_path / "out", [path], policy(careful()))


async def test_judges_check_open_prompts_and_mark_answers_in_turns(tmp_path: Path):
    files = [write_sides(tmp_path / "sides.csv"), write_turns(tmp_path / "turns.jsonl")]
    judge = careful("judge")
    plan = SuitePlan(SuiteJudging(TWO, (RoleModel.of(judge),)))
    sides, turns = await found(tmp_path / "out", files, policy(careful()), plan=plan)
    p_yes = 1 / (1 + math.exp(-3))
    assert sides.found["after"]["kept"].value == pytest.approx(p_yes)
    assert sides.found["after"]["kept long"].value == pytest.approx(p_yes)
    mark = (10 + 45 * math.exp(-3)) / (1 + 9 * math.exp(-3))
    assert turns.found["after"]["mark"].value == pytest.approx(mark)
    assert turns.found["after"]["mark of turn 2"].n == 3
    assert {each.options for each in judge.requests} == {
        ("Yes", "No"),
        tuple(str(mark) for mark in range(1, 11)),
    }
    assert any("Shorter, 1!" in each.text for each in judge.requests)


async def test_a_policy_without_log_probabilities_is_read_by_what_it_writes(tmp_path: Path):
    path = write_lamps(tmp_path / "lamps.jsonl", 4)

    def says(messages: Sequence[Message], sampling: Sampling) -> str:
        shown = options_of(messages[-1].content)
        if "lamp 3" in messages[-1].content:
            return "Both have their merits."
        return next(f"({letter})" for letter, text in shown.items() if text == "Wipe it")

    refusing = ScriptedModel(says, choices=lambda messages, options: _none())
    [lamps] = await found(tmp_path / "out", [path], policy(refusing))
    assert (lamps.found["after"]["accuracy"].value, lamps.found["after"]["accuracy"].n) == (1.0, 3)
    assert lamps.found["after"]["unreadable"].value == 0.25
    with pytest.raises(NoLogprobs, match="Log-probabilities were asked for"):
        plan = SuitePlan(verdicts="logprobs")
        await found(tmp_path / "other", [path], policy(refusing), plan=plan)


def _none() -> list[float]:
    raise NoLogprobs("The server leaves them out.")


async def test_a_run_of_other_questions_is_refused(tmp_path: Path):
    path = write_lamps(tmp_path / "lamps.jsonl", 2)
    await found(tmp_path / "out", [path], policy(careful()))
    write_lamps(path, 3)
    with pytest.raises(JournalError):
        await found(tmp_path / "out", [path], policy(careful()))
    [lamps] = await found(
        tmp_path / "out", [path], policy(careful()), run_options=RunOptions(update=True)
    )
    assert lamps.found["after"]["accuracy"].n == 3


async def test_a_bad_row_is_said_before_a_model_is_asked(tmp_path: Path):
    lamps = write_lamps(tmp_path / "lamps.jsonl", 2)
    bad = write_rows(tmp_path / "bad.jsonl", [{"turns": ["One?"], "category": "maths"}])
    model = careful()
    with pytest.raises(SourceError, match=r"bad\.jsonl:1"):
        await found(tmp_path / "out", [lamps, bad], policy(model))
    assert model.requests == []
    assert not (tmp_path / "out").exists()


async def test_two_policies_of_one_name_are_refused(tmp_path: Path):
    path = write_lamps(tmp_path / "lamps.jsonl", 2)
    with pytest.raises(UsageError, match="Two policies are named 'after'"):
        await found(tmp_path / "out", [path], policy(careful()), policy(careful()))


async def test_a_question_whose_every_call_fails_is_a_failed_example(tmp_path: Path):
    path = write_lamps(tmp_path / "lamps.jsonl", 4)

    def choose(messages: Sequence[Message], options: Sequence[str]) -> list[float]:
        if "lamp 3" in messages[-1].content:
            raise ModelError("The lamp is out.")
        return [0.0 for _ in options]

    [lamps] = await found(tmp_path / "out", [path], policy(ScriptedModel(choices=choose)))
    assert lamps.found["after"]["failed"].value == 0.25
    assert (lamps.found["after"]["accuracy"].value, lamps.found["after"]["accuracy"].n) == (0.5, 3)


async def test_the_folder_of_choices_is_no_source_of_rows(tmp_path: Path):
    path = write_lamps(tmp_path / "lamps.jsonl", 2)
    await found(tmp_path / "out", [path], policy(careful()))
    folder = tmp_path / "out/suites/lamps/after"
    with pytest.raises(JournalError, match="answers to the questions of a suite"):
        check_runs([str(folder)])
    with RunFolder.existing(folder) as run:
        assert run.config["method"] == "choice"


def test_a_name_that_is_no_folder_s_gets_one_that_no_other_has():
    assert folder_name("round-1") == "round-1"
    names = [folder_name(name) for name in ("hf:a/b", "hf/a:b", "..", "…")]
    assert len(set(names)) == 4
    assert all(name and "/" not in name and not name.startswith(".") for name in names)


async def test_the_embedded_model_answers_by_its_log_probabilities(tmp_path: Path):
    path = write_words(tmp_path / "words.jsonl", {"I hide lamps.": "Yes", "I wipe lamps.": "No"})
    role_model = RoleModel.of(open_model("embedded"), Sampling(max_tokens=8))
    [words] = await found(tmp_path / "out", [path], Policy("embedded", "embedded", role_model))
    figures = words.found["embedded"]
    assert figures["matching"].n == 2
    assert 0 < figures["probability"].value < 1
    assert 0 < figures["option mass"].value <= 1
    assert figures["unreadable"].value == 0
