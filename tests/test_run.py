"""`cai.Run`: revise, chains, rows and files from Python, also inside a running event loop."""

import asyncio
import contextlib
import json
import signal
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from datasets import Dataset
from reward_server import write_prompts

import cai
from cai.data.prompts import PromptSource
from cai.errors import ExportError, JournalError, SourceError
from cai.models.base import Sampling
from cai.runs.options import RunOptions
from cai.types import Message

CONSTITUTION = cai.load_constitution("testbed")


def answer(messages: Sequence[Message], sampling: Sampling) -> str:
    return f"{len(messages)} turns and seed {sampling.seed}"


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    return write_prompts(tmp_path / "prompts.jsonl", 4)


@pytest.fixture
def run(tmp_path: Path, prompts: Path) -> cai.Run:
    """A finished run of four prompts and two rounds."""
    run = cai.Run(tmp_path / "run")
    settings = cai.ReviseSettings(rounds=2)
    run.revise(
        prompts,
        model=cai.ScriptedModel(answer),
        constitution=CONSTITUTION,
        settings=settings,
        is_quiet=True,
    )
    return run


def test_revise_makes_the_folder_and_goes_on(tmp_path, prompts, capsys):
    run = cai.Run(str(tmp_path / "run"))
    model = cai.ScriptedModel(answer)
    first = run.revise(
        prompts, model=model, constitution=CONSTITUTION, run_options=RunOptions(limit=1)
    )
    assert (first.counts.done, first.n_calls) == (1, 3)
    assert "1 done in" in capsys.readouterr().err
    second = run.revise(prompts, model=model, constitution=CONSTITUTION, is_quiet=True)
    assert (second.counts.done, second.n_calls) == (4, 9)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("form", ["text", "path", "list", "source"])
def test_prompts_are_named_in_any_of_four_ways(tmp_path, prompts, form):
    given = {
        "text": str(prompts),
        "path": prompts,
        "list": [prompts],
        "source": PromptSource((str(prompts),), column="prompt"),
    }[form]
    result = cai.Run(tmp_path / "run").revise(
        given, model=cai.ScriptedModel(answer), constitution=CONSTITUTION, is_quiet=True
    )
    assert result.counts.done == 4


async def test_it_works_inside_a_running_loop(tmp_path, prompts):
    """As in a notebook."""
    run = cai.Run(tmp_path / "run")
    model = cai.ScriptedModel(answer)
    result = run.revise(prompts, model=model, constitution=CONSTITUTION, is_quiet=True)
    assert result.counts.done == 4
    assert len(run.export("sft")) == 4
    alone = await cai.revise(model, CONSTITUTION, "How do I mend it?")
    assert len(alone.rounds) == 1


async def test_an_error_inside_a_running_loop_is_the_error(tmp_path):
    with pytest.raises(SourceError, match="no such file"):
        cai.Run(tmp_path / "run").revise(
            tmp_path / "nothing.jsonl",
            model=cai.ScriptedModel(answer),
            constitution=CONSTITUTION,
        )


class InterruptedModel(cai.ScriptedModel):
    """Sends SIGINT to the main thread in its eleventh call, which ends only by being cancelled."""

    async def complete(self, messages: Sequence[Message], sampling: Sampling) -> cai.Completion:
        completion = await super().complete(messages, sampling)
        if len(self.requests) == 11:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            await asyncio.Event().wait()
        return completion


def test_an_interrupt_in_a_notebook_ends_the_run_and_keeps_what_is_done(tmp_path):
    """A notebook's loop leaves SIGINT to Python. Ten of ninety calls are three whole examples."""
    prompts = write_prompts(tmp_path / "prompts.jsonl", 30)
    model = InterruptedModel(answer)
    run = cai.Run(tmp_path / "run")

    async def cell() -> None:
        run.revise(
            prompts,
            model=model,
            constitution=CONSTITUTION,
            run_options=RunOptions(concurrency=1),
            is_quiet=True,
        )

    loop = asyncio.new_event_loop()
    with contextlib.closing(loop), pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(cell())
    assert len(model.requests) == 11
    n_done = len(list(run.chains()))
    again = cai.ScriptedModel(answer)
    result = run.revise(prompts, model=again, constitution=CONSTITUTION, is_quiet=True)
    assert (result.counts.done, len(again.requests)) == (30, 80)  # ten calls are in the journal
    assert n_done < 30


def test_role_models_of_ones_own_are_taken(tmp_path, prompts):
    actor, critic = cai.ScriptedModel(answer), cai.ScriptedModel(answer, name="critic")
    one = cai.revision_roles(actor)
    roles = cai.RevisionRoles(one.respond, cai.revision_roles(critic).critique, one.revise)
    cai.Run(tmp_path / "run").revise(prompts, model=roles, constitution=CONSTITUTION, is_quiet=True)
    assert (len(actor.requests), len(critic.requests)) == (8, 4)


def test_chains_come_in_the_order_of_the_source(run):
    chains = list(run.chains())
    assert [chain.prompt.id for chain in chains] == [f"request-{i}" for i in range(4)]
    assert all(isinstance(chain, cai.Chain) and len(chain.rounds) == 2 for chain in chains)


@pytest.mark.parametrize(
    ("format", "columns"),
    [
        ("sft", {"prompt", "completion", "metadata"}),
        (
            "preference",
            {"prompt", "chosen", "rejected", "chosen_probability", "judging", "metadata"},
        ),
        ("prompts", {"prompt", "metadata"}),
        ("everything", {"chain", "error"}),
    ],
)
def test_export_gives_a_data_set(run, format, columns):
    rows = run.export(format)
    assert isinstance(rows, Dataset)
    assert set(rows.column_names) == columns | {"id", "provenance"}
    assert rows["id"] == [f"request-{i}" for i in range(4)]


def test_the_data_set_and_the_file_hold_the_same_rows(run, tmp_path):
    summary = run.export_file("preference", tmp_path / "rows.jsonl")
    assert summary.n_rows == 4
    written = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert run.export("preference").to_list() == written


def test_nothing_to_export_is_an_error_with_the_reasons(tmp_path, prompts):
    run = cai.Run(tmp_path / "run")
    model = cai.ScriptedModel(lambda messages, sampling: "Always this.")
    run.revise(prompts, model=model, constitution=CONSTITUTION, is_quiet=True)
    with pytest.raises(ExportError, match="4 unchanged"):
        run.export("preference")


def long_lover(name: str = "judge") -> cai.ScriptedModel:
    """A judge whose log-odds are the difference of the lengths."""

    def choose(messages: Sequence[Message], options: Sequence[str]) -> Sequence[float]:
        parts = [
            messages[-1].content.partition(f"<{tag}>\n")[2].partition(f"\n</{tag}>")[0]
            for tag in ("response_a", "response_b")
        ]
        return [float(len(part)) for part in parts]

    return cai.ScriptedModel(choices=choose, name=name)


def of_growing_length(messages: Sequence[Message], sampling: Sampling) -> str:
    return "long " * (1 + (sampling.seed or 0) % 97)


def test_samples_are_drawn_judged_and_scored(tmp_path, prompts):
    samples = cai.Run(tmp_path / "samples")
    policy = cai.ScriptedModel(of_growing_length, name="actor")
    drawn = samples.sample(prompts, model=policy, k=3, is_quiet=True)
    assert (drawn.counts.done, drawn.n_calls) == (4, 12)
    assert [len(each.samples) for each in samples.samples()] == [3] * 4

    judged = cai.Run(tmp_path / "judged")
    settings = cai.JudgeSettings(principles=1)
    result = judged.judge(
        samples, model=long_lover(), constitution=CONSTITUTION, settings=settings, is_quiet=True
    )
    assert result.run_result.counts.done == 4
    for each in judged.judged():
        texts = [candidate.text for candidate in each.group.candidates]
        assert each.ranking is not None
        assert texts[each.ranking[0]] == max(texts, key=len)

    scored = cai.Run(tmp_path / "scored")
    marks = cai.ScriptedModel(choices=lambda m, o: [float(option == "9") for option in o])
    result = scored.score(samples, model=marks, constitution=CONSTITUTION, is_quiet=True)
    assert result.run_result.counts.done == len(list(scored.scores())) == 12


def test_policies_and_judges_come_one_by_one_or_in_lists(tmp_path, prompts):
    policies = [
        cai.ScriptedModel(of_growing_length, name="first"),
        cai.RoleModel.of(cai.ScriptedModel(of_growing_length, name="next"), Sampling(0.5)),
    ]
    samples = cai.Run(tmp_path / "samples")
    samples.sample(prompts, model=policies, k=1, is_quiet=True)
    first = next(samples.samples())
    assert [each.model for each in first.samples] == ["first", "next"]
    judged = cai.Run(tmp_path / "judged")
    judged.judge(
        tmp_path / "samples",
        model=[long_lover("one"), long_lover("two")],
        constitution=CONSTITUTION,
        settings=cai.JudgeSettings(principles=1),
        is_quiet=True,
    )
    judges = {each.judge for each in next(judged.judged()).matchups[0].verdict.principle_verdicts}
    assert judges == {"one", "two"}


def test_pair_files_are_judged(tmp_path):
    pairs = tmp_path / "pairs.jsonl"
    row = {"prompt": "Hm?", "response_a": "short", "response_b": "longer", "label": "b"}
    pairs.write_text(json.dumps(row) + "\n")
    run = cai.Run(tmp_path / "judged")
    result = run.judge(pairs, model=long_lover(), constitution=CONSTITUTION, is_quiet=True)
    assert result.verdicts.n_labelled == 1
    assert next(run.judged()).matchups[0].verdict.outcome == "b"


def test_a_run_of_another_method_is_said(run):
    assert len(list(run.chains())) == 4
    for read in (run.samples, run.judged, run.scores):
        with pytest.raises(JournalError, match="is a run of `cai revise`"):
            next(read())


def test_a_folder_that_is_no_run_is_said(tmp_path):
    run = cai.Run(tmp_path)
    for read in (lambda: list(run.chains()), lambda: run.export("sft")):
        with pytest.raises(JournalError, match="is not a run"):
            read()
