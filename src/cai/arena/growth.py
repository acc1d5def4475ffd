"""Whether a judge's earlier work was the same request, be it about fewer or other responses.

Responses come to be as failed examples are asked again, a policy is added, or an estimate is made
whole. The work is then taken over: its records are made anew, and the journal answers all that was
asked before. A request that differs in anything else is refused by the run itself.
"""

from pathlib import Path

from cai.engine.storage.run_folder import RunFolder
from cai.jobs.described import described_constitution, described_speaker
from cai.jobs.judging import JudgeJob
from cai.jobs.run_source import is_run
from cai.jobs.scoring import ScoreJob
from cai.records.recipes import JudgeRecipe, ScoreRecipe, read_recipe


def is_same_request(folder: Path, job: JudgeJob | ScoreJob) -> bool:
    """Whether the run in that folder differs from the job in its responses at most.

    Raises:
        JournalError: The run cannot be read.
    """
    if not is_run(str(folder)):
        return False
    with RunFolder.existing(folder) as run:
        recipe = read_recipe(run)
    if not isinstance(recipe, JudgeRecipe | ScoreRecipe):
        return False
    asked = [described_speaker(each).model_dump() for each in job.judges]
    return (
        recipe.constitution == described_constitution(job.constitution)
        and [each.model_dump(exclude={"reads_logprobs"}) for each in recipe.judges] == asked
        and recipe.plan == job.plan
        and recipe.seed == job.seed
    )
