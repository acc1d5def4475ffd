"""Evaluations of scripted policies, by a judge who likes the response with the greater number."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from math import log
from pathlib import Path

from small_runs import TWO, quiet, write_requests

from cai.constitution.schema import Constitution
from cai.evaluation.policies.evaluate import evaluate_policies
from cai.evaluation.policies.plan import EvaluationJudge, EvaluationPlan
from cai.evaluation.policies.policies import Policy
from cai.evaluation.policies.responses import Prompts
from cai.evaluation.policies.results import Evaluation
from cai.methods.roles import RoleModel
from cai.models.base import Sampling
from cai.models.scripted import ScriptedModel
from cai.runs.options import RunOptions
from cai.types import Message

ONE = Constitution(name="one", principles=TWO.principles[:1])

Texts = Mapping[str, str | Sequence[str]]


def policy(name: str, texts: Texts, source: str = "") -> Policy:
    """A model that answers "Request ID?" with the text of that id, or with one after the other."""
    asked = Counter[str]()

    def reply(messages: Sequence[Message], sampling: Sampling) -> str:
        id = messages[-1].content.removeprefix("Request ").rstrip("?")
        said = texts[id]
        asked[id] += 1
        return said if isinstance(said, str) else said[asked[id] - 1]

    model = ScriptedModel(reply, name=source or f"model-of-{name}")
    return Policy(name, model.name, RoleModel.of(model))


def worths(*worth: int) -> dict[str, str]:
    """Responses of that worth to the requests 0, 1, 2 …; all are equally long."""
    return {str(i): f"It is worth {value}." for i, value in enumerate(worth)}


def worth(text: str) -> int:
    found = re.search(r"worth (\d)", text)
    return int(found[1]) if found else 0


def shown(messages: Sequence[Message], tag: str) -> str:
    found = re.findall(f"<{tag}>\n(.*?)\n</{tag}>", messages[-1].content, re.DOTALL)
    return found[-1]


def judge_by_worth(name: str = "judge") -> ScriptedModel:
    """0.9 for the response that is worth more; a response is kept with a tenth of its worth."""

    def choose(messages: Sequence[Message], options: Sequence[str]) -> Sequence[float]:
        if tuple(options) == ("Yes", "No"):
            return of(worth(shown(messages, "response")) / 10)
        a, b = (worth(shown(messages, tag)) for tag in ("response_a", "response_b"))
        return of(0.5 if a == b else 0.9 if a > b else 0.1)

    return ScriptedModel(choices=choose, name=name)


def of(p: float) -> tuple[float, float]:
    return log(max(p, 1e-9)), log(max(1 - p, 1e-9))


def n_asked(policy: Policy) -> int:
    assert policy.role_model is not None
    assert isinstance(policy.role_model.model, ScriptedModel)
    return len(policy.role_model.model.requests)


async def evaluated(
    out: Path,
    policies: Sequence[Policy],
    prompts: Sequence[Prompts] | int = (),
    plan: EvaluationPlan = EvaluationPlan(),
    judge: ScriptedModel | None = None,
    constitution: Constitution = ONE,
    run_options: RunOptions = RunOptions(),
) -> Evaluation:
    """The evaluation on the requests 0, 1, 2 … where a number of them is given."""
    if isinstance(prompts, int):
        prompts = (requests(out, range(prompts)),)
    judging = None if judge is None else EvaluationJudge((RoleModel.of(judge),), constitution)
    return await evaluate_policies(
        policies, prompts, judging, plan, out, run_options, console=quiet()
    )


def requests(out: Path, numbers: Sequence[int], kind: str = "all", ids: str = "") -> Prompts:
    """A file of such requests beside the folder."""
    file = out.with_name(f"{out.name}-{kind}-{ids}.jsonl")
    return Prompts(write_requests(file, [str(number) for number in numbers]), kind)
