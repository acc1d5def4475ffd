"""An evaluation from its policies to its figures, in a folder from which it resumes.

responses/NAME/        each model's responses
matchups/              the judge's verdicts on every two responses
adherence/NAME/        the judge's checks by each constitution
evaluation.json        all figures
estimate.json          the estimate of a dry run, until the evaluation is done

Example:
    found = evaluate(
        {"before": "embedded", "after": "models/rl"}, "prompts.jsonl", out="evaluations/rl",
        judge=open_model("openai:judge"), constitution=load_constitution("harmless"),
    )
    print(found.win_rates[0].rate, found.caveats)
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
    MATCHUPS,
    Adherence,
    JudgingSteps,
    MatchupResults,
    check_request,
    judge_all,
    judge_until_decided,
    read_adherence,
)
from cai.evaluation.policies.plan import EvaluationJudge, EvaluationPlan
from cai.evaluation.policies.policies import Policy, PolicySpec, check_policies, open_policies
from cai.evaluation.policies.responses import Prompts, ResponseCollector
from cai.evaluation.policies.results import FILE, Evaluation, evaluation_of
from cai.evaluation.policies.text_metrics import ALL
from cai.evaluation.results_file import save_results
from cai.evaluation.spending import Spending
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

# A model or its spec; the folder of a model or of a run; a file of responses.
PolicyLike: TypeAlias = str | Path | Model | RoleModel

PromptFile: TypeAlias = str | Path | PromptSource
Judges: TypeAlias = Model | RoleModel | Sequence[Model | RoleModel]


def evaluate(
    policies: Mapping[str, PolicyLike],
    prompts: PromptFile | Mapping[str, PromptFile] | None = None,
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
    policies are runs or files. Several judges are an ensemble; without a judge only the texts are
    measured. Everything is stored in `out`, and the same call resumes from it. Blocks until the
    result is complete, in a notebook too.

    Raises:
        UsageError: A judge without a constitution or the reverse; or as `evaluate_policies`.
        CaiError: As `evaluate_policies`.
    """
    by_kind: Mapping[str, PromptFile] = {}
    if prompts is not None:
        by_kind = prompts if isinstance(prompts, Mapping) else {ALL: prompts}
    sources = tuple(
        Prompts(each if isinstance(each, PromptSource) else PromptSource((str(each),)), kind)
        for kind, each in by_kind.items()
    )
    judges = None
    if judge is not None and constitution is not None:
        check_judging(judging, constitution)
        several = judge if isinstance(judge, Sequence) else [judge]
        judges = EvaluationJudge(
            tuple(
                each if isinstance(each, RoleModel) else judging.role_model(each)
                for each in several
            ),
            constitution,
            judging,
        )
    elif judge is not None or constitution is not None:
        raise UsageError("A judge judges by a constitution: give both, or leave both out.")
    work = evaluate_policies(
        _opened_policies(policies, sampling),
        sources,
        judging=judges,
        plan=plan,
        out=Path(out),
        run_options=run_options,
        console=Console(stderr=True, quiet=is_quiet),
    )
    return wait_for(work)


def _opened_policies(policies: Mapping[str, PolicyLike], sampling: Sampling) -> tuple[Policy, ...]:
    """In their order; a text is opened as on the command line."""
    specs = tuple(
        PolicySpec.of(name, str(each))
        for name, each in policies.items()
        if isinstance(each, str | Path)
    )
    check_policies(specs)
    opened = {each.name: each for each in open_policies(specs, sampling)}
    for name, each in policies.items():
        if not isinstance(each, str | Path):
            role_model = each if isinstance(each, RoleModel) else RoleModel.of(each, sampling)
            opened[name] = Policy(name, role_model.model.name, role_model)
    return tuple(opened[name] for name in policies)


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

    Models are sampled on the prompts; runs and files are read. With a judge, the policies of each
    pair are compared prompt by prompt, in both orders; without one only the texts are measured.
    The first policy is the anchor of the ratings. A limit counts the prompts of each set.

    Raises:
        UsageError: The plan cannot be followed, or there are too few policies to compare.
        EvaluationError: The policies have no prompt in common, or there is nothing to judge.
        CaiError: As the jobs.
    """
    check_request(policies, judging, plan, run_options)
    # An update may change what is evaluated. Should it be interrupted, the figures of the earlier
    # request must not stand beside the new responses.
    if run_options.update and out.is_dir():
        (out / FILE).unlink(missing_ok=True)
    spending = Spending(run_options)
    collector = ResponseCollector(tuple(prompts), plan.k, plan.seed, out, console)
    responses = await collector.collect(policies, spending)
    matchups: MatchupResults | None = None
    adherence = Adherence(responses)
    if judging is not None:
        # the limit was one of prompts, and has been applied
        spending.run_options = replace(spending.run_options, limit=None)
        steps = JudgingSteps(responses, judging, plan, out, console)
        matchups = await _judge_matchups(steps, spending) if steps.has_matchups else None
        folders: dict[str, Path] = {}
        for name, job in steps.score_jobs():
            options = _options_for(out / ADHERENCE / name, job, spending.run_options)
            folders[name] = await steps.check(name, job, spending, options)
        adherence = read_adherence(responses, folders)
    found = evaluation_of(
        policies,
        prompts,
        plan,
        judging,
        responses=responses,
        matchups=matchups,
        adherence=adherence,
        spending=spending,
    )
    save_results(out / FILE, found)
    (out / ESTIMATE_FILE).unlink(missing_ok=True)
    return found


async def _judge_matchups(steps: JudgingSteps, spending: Spending) -> MatchupResults:
    matchups = steps.matchups()
    job, folder = steps.judge_job(matchups), steps.announce(MATCHUPS)
    is_update, error_rate = spending.run_options.update, steps.plan.error_rate
    spending.run_options = _options_for(folder, job, spending.run_options)
    if error_rate is None:
        results = await judge_all(matchups, job, folder, spending, steps.console)
    else:
        results = await judge_until_decided(
            matchups,
            job,
            error_rate=error_rate,
            folder=folder,
            spending=spending,
            console=steps.console,
        )
    # What was spent has lowered the caps by now: only the option set here is reset.
    spending.run_options = replace(spending.run_options, update=is_update)
    return results


def _options_for(folder: Path, job: JudgeJob | ScoreJob, run_options: RunOptions) -> RunOptions:
    """The options, with `update` where the run in that folder differs in its responses at most.

    Raises:
        JournalError: The run cannot be read.
    """
    # Responses are added when failed examples are repeated, a policy is added, or an estimate is
    # completed. Such a run is updated: its records are made anew, and the journal answers all calls
    # that were made before. A job that differs in anything else is refused by the run itself.
    if run_options.update or not is_run(str(folder)):
        return run_options
    with RunFolder.existing(folder) as run:
        config = read_run_config(run)
    is_same_request = (
        isinstance(config, JudgeRunConfig | ScoreRunConfig)
        and config.constitution == described_constitution(job.constitution)
        and [each.model_dump(exclude={"reads_logprobs", "has_fallback"}) for each in config.judges]
        == [described_role(each).model_dump() for each in job.judges]
        and config.settings == job.decided_settings
        and config.seed == job.seed
    )
    return replace(run_options, update=is_same_request)
