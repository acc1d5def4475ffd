"""Several responses to each prompt of a data set, of one or several policies."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from cai.data.source import ItemSource, SourceSummary
from cai.errors import UsageError
from cai.methods.roles import RoleModel
from cai.methods.sampling import Samples, sample_responses
from cai.runs.config import SampleRunConfig, described_role, described_source
from cai.runs.execution import RunPlan, RunResult, WrapModel, execute, is_finished, opened
from cai.runs.options import RunOptions
from cai.types import Prompt


@dataclass(frozen=True, slots=True)
class SampleJob:
    """All that decides the result of a sampling run: `k` responses of each policy to a prompt."""

    source: ItemSource[Prompt]
    policies: tuple[RoleModel, ...]
    k: int = 4
    seed: int = 0

    def check(self) -> None:
        """Finds out before a call whether the samples can differ.

        Raises:
            UsageError: They cannot; the message says why.
        """
        if self.k < 1 or not self.policies:
            raise UsageError(
                f"{self.k} responses of {len(self.policies)} policies are requested for; "
                "both must be at least 1."
            )
        for policy in self.policies:
            if self.k > 1 and policy.sampling.temperature == 0:
                raise UsageError(
                    f"{self.k} responses of {policy.model.name} at temperature 0 are all the same. "
                    "Set a temperature above 0, or ask for 1 response."
                )


async def run_sampling(
    folder: Path, job: SampleJob, run_options: RunOptions = RunOptions(), *, console: Console
) -> RunResult[SourceSummary]:
    """`k` responses of each policy to every prompt of the source, into the run folder.

    An example counts as flagged where a response is empty or was cut off. Otherwise as
    `cai.runs.revise.run_revision`.

    Raises:
        UsageError: The samples could not differ.
        SourceError: A source cannot be read, or a row is bad.
        JournalError: The folder is a run with other settings, or cannot be used.
        ModelError: A model cannot be used, or call after call failed.
    """
    job.check()
    checked = job.source.check()

    def sample_prompts(wrap: WrapModel) -> Callable[[Prompt], Awaitable[Samples]]:
        policies = [replace(policy, model=wrap(policy.model, "respond")) for policy in job.policies]

        async def sample_one(prompt: Prompt) -> Samples:
            return await sample_responses(policies, prompt, job.k, job.seed)

        return sample_one

    def has_unusable(samples: Samples) -> bool:
        completions = [each.completion for each in samples.samples]
        return any(not each.text or each.stop_reason != "stop" for each in completions)

    plan = RunPlan(
        config=SampleRunConfig(
            source=described_source(checked.summary),
            policies=tuple(described_role(policy) for policy in job.policies),
            k=job.k,
            seed=job.seed,
        ),
        constitution=None,
        source=checked.summary,
        n_items=checked.summary.n_items,
        items=checked.items,
        body=Samples,
        make_worker=sample_prompts,
        is_flagged=has_unusable,
    )
    is_done = is_finished(folder, plan.items, plan.n_items, run_options)
    async with opened([policy.model for policy in job.policies], is_finished=is_done):
        return await execute(folder, plan, run_options, console)
