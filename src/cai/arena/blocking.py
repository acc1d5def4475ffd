"""An evaluation from Python, as a notebook asks for it: by name, and waiting for the result."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from rich.console import Console

from cai.arena.answers import Prompts
from cai.arena.entrants import Entrant, Named, check_named, open_entrants
from cai.arena.evaluating import evaluate_policies
from cai.arena.plan import EvaluationPlan, Judging
from cai.constitution.schema import Constitution
from cai.engine.loop import wait_for
from cai.errors import UsageError
from cai.evaluation.policy_report import Evaluation
from cai.jobs.pace import Pace
from cai.jobs.prompt_source import PromptSource
from cai.judging.judge import JudgePlan
from cai.models.protocol import Model, Sampling
from cai.speaker import Speaker

Policy: TypeAlias = str | Path | Model | Speaker
"""A model or its spec; the folder of a model or of a run; a file of responses."""

Asked: TypeAlias = str | Path | PromptSource
Judges: TypeAlias = Model | Speaker | Sequence[Model | Speaker]


def evaluate(
    policies: Mapping[str, Policy],
    prompts: Asked | Mapping[str, Asked] | None = None,
    *,
    out: str | Path,
    judge: Judges | None = None,
    constitution: Constitution | None = None,
    plan: EvaluationPlan = EvaluationPlan(),
    judging: JudgePlan = JudgePlan(),
    sampling: Sampling = Sampling(),
    pace: Pace = Pace(),
    is_quiet: bool = False,
) -> Evaluation:
    """The figures of policies by name on the same prompts; the first is the anchor of ratings.

    `prompts` are a file, or files by kind such as harmful and benign; none are needed where all
    policies are runs or files. Several judges are a jury; without any only the texts are looked at.
    Everything is kept in `out`, from which the same call goes on. Blocks, in a notebook too.

    Raises:
        UsageError: The request does not fit together.
        CaiError: As `cai.arena.evaluating.evaluate_policies`.
    """
    console = Console(stderr=True, quiet=is_quiet)
    judges = _judging(judge, constitution, judging)
    work = evaluate_policies(
        _entrants(policies, sampling),
        _prompts(prompts),
        judges,
        plan,
        Path(out),
        pace,
        console=console,
    )
    return wait_for(work)


def _judging(
    judge: Judges | None, constitution: Constitution | None, plan: JudgePlan
) -> Judging | None:
    if judge is None and constitution is None:
        return None
    if judge is None or constitution is None:
        raise UsageError("A judge judges by a constitution: give both, or leave both out.")
    plan.check((), constitution)
    several = judge if isinstance(judge, Sequence) else [judge]
    judges = tuple(_speaker(each, Sampling(temperature=0.0)) for each in several)
    return Judging(judges, constitution, plan)


def _entrants(policies: Mapping[str, Policy], sampling: Sampling) -> tuple[Entrant, ...]:
    """In their order; what stands under a text is opened as on the command line."""
    named = {
        name: Named.of(name, str(each))
        for name, each in policies.items()
        if isinstance(each, str | Path)
    }
    check_named(tuple(named.values()))
    opened = {each.name: each for each in open_entrants(tuple(named.values()), sampling)}

    def entrant(name: str, policy: Policy) -> Entrant:
        if isinstance(policy, str | Path):
            return opened[name]
        speaker = _speaker(policy, sampling)
        return Entrant(name, speaker.model.name, speaker)

    return tuple(entrant(name, each) for name, each in policies.items())


def _speaker(model: Model | Speaker, sampling: Sampling) -> Speaker:
    return model if isinstance(model, Speaker) else Speaker.of(model, sampling)


def _prompts(prompts: Asked | Mapping[str, Asked] | None) -> tuple[Prompts, ...]:
    if prompts is None:
        return ()
    if not isinstance(prompts, Mapping):
        return (Prompts(_source(prompts)),)
    return tuple(Prompts(_source(each), kind) for kind, each in prompts.items())


def _source(prompts: Asked) -> PromptSource:
    return prompts if isinstance(prompts, PromptSource) else PromptSource((str(prompts),))
