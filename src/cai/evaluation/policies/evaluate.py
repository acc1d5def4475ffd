"""An evaluation from its policies to its figures, in a folder that goes on where it stopped.

responses/NAME/        what each model answered
matchups/              the judge's verdicts on every two responses
adherence/NAME/        the judge's checks by each constitution
evaluation.json        all figures
estimate.json          what it will take, from an estimate until the evaluation is done

Whether a judge's earlier work was the same request, be it about fewer or other responses.

Responses come to be as failed examples are asked again, a policy is added, or an estimate is made
whole. The work is then taken over: its records are made anew, and the journal answers all that was
asked before. A request that differs in anything else is refused by the run itself.

An evaluation from Python, as a notebook asks for it: by name, and waiting for the result.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from rich.console import Console

from cai.constitution.schema import Constitution
from cai.data.prompts import PromptSource
from cai.engine.engine import wait_for
from cai.engine.run_folder import RunFolder
from cai.errors import UsageError
from cai.evaluation.policies.dry_run import FILE as ESTIMATE_FILE
from cai.evaluation.policies.judging import (
    ADHERENCE,
    CONTESTS,
    Adherence,
    MatchupResults,
    Steps,
    adherence_of,
    check_request,
    judge_all,
    judge_until_decided,
)
from cai.evaluation.policies.plan import EvaluationJudge, EvaluationPlan
from cai.evaluation.policies.policies import Policy, PolicySpec, check_policies, open_policies
from cai.evaluation.policies.responses import Gathering, Prompts
from cai.evaluation.policies.results import FILE, Evaluation, EvaluationFindings
from cai.evaluation.results_file import save_results
from cai.methods.judging.pairwise import check_judging
from cai.methods.roles import RoleModel
from cai.methods.settings import JudgeSettings
from cai.models.base import Model, Sampling
from cai.runs.config import (
    JudgeRunConfig,
    ScoreRunConfig,
    described_constitution,
    described_role,
    read_run_config,
)
from cai.runs.judge import JudgeJob
from cai.runs.options import RunOptions
from cai.runs.records import is_run
from cai.runs.score import ScoreJob
from cai.runs.shared_budget import Accounts


def is_same_request(folder: Path, job: JudgeJob | ScoreJob) -> bool:
    """Whether the run in that folder differs from the job in its responses at most.

    Raises:
        JournalError: The run cannot be read.
    """
    if not is_run(str(folder)):
        return False
    with RunFolder.existing(folder) as run:
        recipe = read_run_config(run)
    if not isinstance(recipe, JudgeRunConfig | ScoreRunConfig):
        return False
    asked = [described_role(each).model_dump() for each in job.judges]
    return (
        recipe.constitution == described_constitution(job.constitution)
        and [each.model_dump(exclude={"reads_logprobs"}) for each in recipe.judges] == asked
        and recipe.settings == job.settings.without_role_fields()
        and recipe.seed == job.seed
    )


async def evaluate_policies(
    policies: Sequence[Policy],
    prompts: Sequence[Prompts],
    judging: EvaluationJudge | None,
    plan: EvaluationPlan,
    out: Path,
    run_options: RunOptions = RunOptions(),
    *,
    console: Console,
) -> Evaluation:
    """The policies' figures, also written to `evaluation.json` in the folder.

    Models are sampled on the prompts; runs and files are read. Where there is a judge, every two
    policies that meet are compared prompt by prompt, in both orders; without one only the texts are
    looked at. The first policy is the anchor of the ratings. A limit is one on the prompts.

    Raises:
        UsageError: The plan cannot be followed, or there are too few policies to compare.
        EvaluationError: The policies have no prompt in common, or there is nothing to judge.
        CaiError: As the jobs.
    """
    check_request(policies, judging, plan, run_options)
    if (
        run_options.update and out.is_dir()
    ):  # figures of the request before would outlive what they are of
        (out / FILE).unlink(missing_ok=True)
    accounts = Accounts(run_options)
    gathering = Gathering(tuple(prompts), plan.k, plan.seed, out, console)
    answers = await gathering.gather(policies, accounts)
    judged: MatchupResults | None = None
    checked = Adherence(answers)
    if judging is not None:
        accounts.run_options = replace(accounts.run_options, limit=None)  # it was one of prompts
        steps = Steps(answers, judging, plan, out, console)
        judged = await _contests(steps, accounts) if steps.has_contests else None
        checked = await _checks(steps, accounts)
    findings = EvaluationFindings(
        tuple(policies),
        tuple(prompts),
        plan=plan,
        judging=judging,
        answers=answers,
        judged=judged,
        checked=checked,
    )
    found = findings.evaluation(accounts)
    save_results(out / FILE, found)
    (out / ESTIMATE_FILE).unlink(missing_ok=True)
    return found


async def _contests(steps: Steps, accounts: Accounts) -> MatchupResults:
    matchups = steps.matchups()
    job, folder = steps.judge_job(matchups), steps.folder(CONTESTS)
    is_update = accounts.run_options.update
    accounts.run_options = replace(
        accounts.run_options, update=is_update or is_same_request(folder, job)
    )
    rate = steps.plan.error_rate
    if rate is None:
        judged = await judge_all(matchups, job, folder, accounts, steps.console)
    else:
        judged = await judge_until_decided(
            matchups, job, error_rate=rate, folder=folder, accounts=accounts, console=steps.console
        )
    accounts.run_options = replace(accounts.run_options, update=is_update)
    return judged


async def _checks(steps: Steps, accounts: Accounts) -> Adherence:
    folders: dict[str, Path] = {}
    for name, job in steps.score_jobs():
        folder = steps.out / ADHERENCE / name
        is_update = accounts.run_options.update or is_same_request(folder, job)
        run_options = replace(accounts.run_options, update=is_update)
        folders[name] = await steps.check(name, job, accounts, run_options)
    return adherence_of(steps.answers, folders)


PolicyLike: TypeAlias = str | Path | Model | RoleModel
"""A model or its spec; the folder of a model or of a run; a file of responses."""

Asked: TypeAlias = str | Path | PromptSource
Judges: TypeAlias = Model | RoleModel | Sequence[Model | RoleModel]


def evaluate(
    policies: Mapping[str, PolicyLike],
    prompts: Asked | Mapping[str, Asked] | None = None,
    *,
    out: str | Path,
    judge: Judges | None = None,
    constitution: Constitution | None = None,
    plan: EvaluationPlan = EvaluationPlan(),
    judging: JudgeSettings = JudgeSettings(),
    sampling: Sampling = Sampling(),
    run_options: RunOptions = RunOptions(),
    is_quiet: bool = False,
) -> Evaluation:
    """The figures of policies by name on the same prompts; the first is the anchor of ratings.

    `prompts` are a file, or files by kind such as harmful and benign; none are needed where all
    policies are runs or files. Several judges are a jury; without any only the texts are looked at.
    Everything is kept in `out`, from which the same call goes on. Blocks, in a notebook too.

    Raises:
        UsageError: The request does not fit together.
        CaiError: As `cai.evaluation.policies.evaluate.evaluate_policies`.
    """
    console = Console(stderr=True, quiet=is_quiet)
    judges = _judging(judge, constitution, judging)
    work = evaluate_policies(
        _policies(policies, sampling),
        _prompts(prompts),
        judging=judges,
        plan=plan,
        out=Path(out),
        run_options=run_options,
        console=console,
    )
    return wait_for(work)


def _judging(
    judge: Judges | None, constitution: Constitution | None, settings: JudgeSettings
) -> EvaluationJudge | None:
    if judge is None and constitution is None:
        return None
    if judge is None or constitution is None:
        raise UsageError("A judge judges by a constitution: give both, or leave both out.")
    check_judging(settings, constitution)
    several = judge if isinstance(judge, Sequence) else [judge]
    judges = tuple(
        each if isinstance(each, RoleModel) else settings.role_model(each) for each in several
    )
    return EvaluationJudge(judges, constitution, settings)


def _policies(policies: Mapping[str, PolicyLike], sampling: Sampling) -> tuple[Policy, ...]:
    """In their order; what stands under a text is opened as on the command line."""
    named = {
        name: PolicySpec.of(name, str(each))
        for name, each in policies.items()
        if isinstance(each, str | Path)
    }
    check_policies(tuple(named.values()))
    opened = {each.name: each for each in open_policies(tuple(named.values()), sampling)}

    def opened_policy(name: str, policy: PolicyLike) -> Policy:
        if isinstance(policy, str | Path):
            return opened[name]
        role_model = _speaker(policy, sampling)
        return Policy(name, role_model.model.name, role_model)

    return tuple(opened_policy(name, each) for name, each in policies.items())


def _speaker(model: Model | RoleModel, sampling: Sampling) -> RoleModel:
    return model if isinstance(model, RoleModel) else RoleModel.of(model, sampling)


def _prompts(prompts: Asked | Mapping[str, Asked] | None) -> tuple[Prompts, ...]:
    if prompts is None:
        return ()
    if not isinstance(prompts, Mapping):
        return (Prompts(_source(prompts)),)
    return tuple(Prompts(_source(each), kind) for kind, each in prompts.items())


def _source(prompts: Asked) -> PromptSource:
    return prompts if isinstance(prompts, PromptSource) else PromptSource((str(prompts),))
