"""What policies answered to the same prompts: sampled, out of runs and out of files."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from made_evaluations import evaluated, judge_by_worth, n_asked, policy, requests, worths
from made_runs import FAILED, made_run, samples
from small_runs import quiet, sampled, write_requests, write_rows

from cai.data.prompts import PromptSource
from cai.engine.run_files import Failure
from cai.errors import ContextLengthError, EvaluationError, SourceError, UsageError
from cai.evaluation.policies.policies import Policy
from cai.evaluation.policies.responses import PolicyResponses, Prompts, ResponseCollector
from cai.evaluation.spending import Spending
from cai.methods.roles import RoleModel
from cai.methods.sampling import Samples
from cai.models.base import Sampling
from cai.models.scripted import ScriptedModel
from cai.runs.options import RunOptions
from cai.runs.sample import SampleJob, run_sampling
from cai.types import Message


async def gathered(
    out: Path,
    *policies: Policy,
    prompts: tuple[Prompts, ...] = (),
    k: int = 1,
    run_options: RunOptions = RunOptions(),
) -> PolicyResponses:
    return await ResponseCollector(prompts, k, 0, out, quiet()).collect(
        policies, Spending(run_options)
    )


def texts(answers: PolicyResponses, policy: str) -> list[tuple[str, str, str]]:
    """Prompt's id, kind and response."""
    return [(asked.prompt.id, asked.kind, said.text) for _, asked, said in answers.of(policy)]


def responses(path: Path, rows: dict[str, str], model: str | None = None) -> Policy:
    """A file of responses to "Request ID?"."""
    of = {} if model is None else {"model": model}
    write_rows(
        path, [{"prompt": f"Request {id}?", "response": said, **of} for id, said in rows.items()]
    )
    return Policy(path.stem, str(path))


async def test_models_are_asked_every_prompt_k_times(tmp_path: Path):
    several = policy("a", {"0": ["One.", "Two."], "1": ["Three.", "Four."]})
    found = await gathered(
        tmp_path / "out", several, prompts=(requests(tmp_path / "out", (0, 1)),), k=2
    )
    assert sorted(texts(found, "a")) == [
        ("0", "all", "One."),
        ("0", "all", "Two."),
        ("1", "all", "Four."),
        ("1", "all", "Three."),
    ]
    assert (found.models, found.kinds, found.n_left_out) == (
        {"a": frozenset({"model-of-a"})},
        (),
        0,
    )


async def test_prompts_are_common_where_their_words_are_and_keep_the_order_given(tmp_path: Path):
    run = Policy("run", await sampled(tmp_path / "run", {id: [f"R{id}."] for id in "120"}))
    file = responses(tmp_path / "file.jsonl", {"0": "F0.", "2": "F2.", "9": "F9."})
    asked = requests(tmp_path / "out", (0, 1, 2))
    found = await gathered(tmp_path / "out", run, file, prompts=(asked,))
    assert texts(found, "run") == [("0", "all", "R0."), ("2", "all", "R2.")]
    assert texts(found, "file") == [("0", "all", "F0."), ("2", "all", "F2.")]
    assert found.n_left_out == 1


async def test_without_prompts_those_count_that_all_answered(tmp_path: Path):
    one = responses(tmp_path / "one.jsonl", {"0": "A.", "1": "B."})
    other = responses(tmp_path / "other.jsonl", {"1": "C.", "2": "D."})
    found = await gathered(tmp_path / "out", one, other)
    assert [said for _, _, said in texts(found, "one")] == ["B."]
    assert found.n_left_out == 2
    assert not (tmp_path / "out").exists()


async def test_prompts_of_two_files_are_told_apart_though_their_ids_are_the_same(tmp_path: Path):
    """Both files have a prompt of the id x; the one that is in both is of the first one's kind."""
    harmful = write_rows(
        tmp_path / "harmful.jsonl",
        [{"id": "x", "prompt": "Request 0?"}, {"id": "y", "prompt": "Request 1?"}],
    )
    benign = write_rows(
        tmp_path / "benign.jsonl",
        [{"id": "x", "prompt": "Request 2?"}, {"id": "z", "prompt": "Request 1?"}],
    )
    prompts = tuple(Prompts(PromptSource((str(file),)), file.stem) for file in (harmful, benign))
    found = await gathered(tmp_path / "out", policy("a", worths(1, 2, 3)), prompts=prompts)
    ids = [id for id, _, _ in texts(found, "a")]
    assert [(kind, said) for _, kind, said in texts(found, "a")] == [
        ("harmful", "It is worth 1."),
        # asked once for each file
        ("harmful", "It is worth 2."),
        ("harmful", "It is worth 2."),
        ("benign", "It is worth 3."),
    ]
    assert ids[:3] == ["x", "y", "y"]
    assert ids[3].startswith("x-")
    assert found.kinds == ("harmful", "benign")


async def test_a_limit_is_one_on_prompts_and_not_on_contests(tmp_path: Path):
    """Two prompts of five, three pairs: six matchups, though the limit is two."""
    policies = [policy(name, worths(i, i, i, i, i)) for i, name in enumerate("abc", 1)]
    found = await evaluated(
        tmp_path / "out", policies, 5, judge=judge_by_worth(), run_options=RunOptions(limit=2)
    )
    assert [n_asked(each) for each in policies] == [2, 2, 2]
    assert (found.n_prompts, found.n_failed) == (2, 0)
    assert [rate.outcomes["a"] for rate in found.win_rates] == [2, 2, 2]


async def test_a_limit_is_one_on_each_set_and_may_be_lifted_later(tmp_path: Path):
    """Of four harmful and three benign prompts, first two each, and then the other three."""
    prompts: list[Prompts] = []
    for kind, numbers in (("harmful", range(4)), ("benign", range(4, 7))):
        rows = [{"prompt": f"Request {i}?"} for i in numbers]
        file = write_rows(tmp_path / f"{kind}.jsonl", rows)
        prompts.append(Prompts(PromptSource((str(file),)), kind))
    first, again = (policy("a", worths(*range(1, 8))) for _ in range(2))
    options = RunOptions(limit=2)
    limited = await gathered(tmp_path / "out", first, prompts=tuple(prompts), run_options=options)
    asked = [(each.kind, each.prompt.request) for each in limited.prompts.values()]
    assert asked == [
        *(("harmful", "Request 0?"), ("harmful", "Request 1?")),
        *(("benign", "Request 4?"), ("benign", "Request 5?")),
    ]
    whole = await gathered(tmp_path / "out", again, prompts=tuple(prompts))
    assert (len(whole.prompts), n_asked(again)) == (7, 3)


async def test_a_limit_holds_for_files_too(tmp_path: Path):
    file = responses(tmp_path / "b.jsonl", {str(i): f"B{i}." for i in range(5)})
    found = await gathered(tmp_path / "out", file, run_options=RunOptions(limit=3))
    assert [said for _, _, said in texts(found, "b")] == ["B0.", "B1.", "B2."]


async def test_what_failed_in_a_run_was_not_answered(tmp_path: Path):
    rows: list[Samples | Failure] = [
        samples("0", "A.", asked="Request 0?"),
        FAILED,
        samples("2", "", asked="Request 2?"),
    ]
    made_run(tmp_path / "run", rows).close()
    asked = requests(tmp_path / "out", (0, 1, 2))
    run = Policy("run", str(tmp_path / "run"))
    found = await gathered(tmp_path / "out", run, prompts=(asked,))
    assert texts(found, "run") == [("0", "all", "A."), ("2", "all", "")]
    assert (found.models["run"], found.n_left_out) == (frozenset({"policy"}), 1)


async def test_an_example_that_fails_here_is_told_and_left_out(tmp_path: Path):
    def reply(messages: Sequence[Message], sampling: Sampling) -> str:
        if "1" in messages[-1].content:
            raise ContextLengthError("The request has 3,000 tokens.")
        return "A."

    broken = Policy("a", "a", RoleModel.of(ScriptedModel(reply, name="a")))
    file = responses(tmp_path / "b.jsonl", {"0": "C.", "1": "D."})
    found = await evaluated(tmp_path / "out", [broken, file], 2)
    assert (found.n_prompts, found.n_failed) == (1, 1)
    assert found.caveats[:2] == (
        "Prompts that not every policy answered are left out: 1 of 2.",
        "Examples that failed and are in no figure: 1. The same command with --retry-failed asks "
        "for them again.",
    )


async def test_a_file_of_two_policies_is_refused(tmp_path: Path):
    rows = [
        {"prompt": f"Request {i}?", "response": "A.", "model": model}
        for i, model in enumerate(["first", "second"])
    ]
    file = write_rows(tmp_path / "both.jsonl", rows)
    with pytest.raises(
        EvaluationError, match=r"both\.jsonl: holds responses of several policies, "
    ):
        await gathered(tmp_path / "out", Policy("both", str(file)))


async def test_a_run_of_two_policies_is_refused_by_their_names(tmp_path: Path):
    source = write_requests(tmp_path / "asked.jsonl", ["0"])
    role_models = tuple(
        each.role_model
        for each in (policy("a", worths(1)), policy("b", worths(2)))
        if each.role_model
    )
    await run_sampling(tmp_path / "run", SampleJob(source, role_models, k=1), console=quiet())
    with pytest.raises(EvaluationError, match="several policies, model-of-a, model-of-b"):
        await gathered(tmp_path / "out", Policy("run", str(tmp_path / "run")))


async def test_without_a_prompt_in_common_everything_is_counted(tmp_path: Path):
    one = responses(tmp_path / "one.jsonl", {"0": "A.", "1": "B."})
    other = responses(tmp_path / "other.jsonl", {"2": "D."})
    with pytest.raises(EvaluationError) as found:
        await gathered(tmp_path / "out", one, other)
    assert str(found.value).startswith(
        "The policies have no prompt in common: prompts answered: one 2, other 1."
    )


async def test_a_model_needs_prompts(tmp_path: Path):
    model = policy("a", worths(1))
    with pytest.raises(UsageError, match="needs prompts"):
        await gathered(tmp_path / "out", model)
    assert n_asked(model) == 0


async def test_a_broken_file_is_said_before_a_model_is_asked(tmp_path: Path):
    model = policy("a", worths(1))
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"prompt": "Request 0?"}\n')
    with pytest.raises(SourceError, match=r"broken\.jsonl"):
        await gathered(
            tmp_path / "out",
            model,
            Policy("b", str(broken)),
            prompts=(requests(tmp_path / "out", (0,)),),
        )
    assert n_asked(model) == 0
