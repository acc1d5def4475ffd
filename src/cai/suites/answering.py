"""A policy's answers to the questions of a suite, as a durable run."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from cai.arena.accounts import Accounts
from cai.jobs.described import described_judge, described_source
from cai.jobs.failing import error_of
from cai.jobs.judging import asked_through
from cai.jobs.probing import Trial, Verdicts, read_judges
from cai.jobs.running import Job, Through, opened, run_job
from cai.judging.judge import Judge
from cai.judging.multiple_choice import Answers, Question, answer, choice_turns
from cai.records.recipes import ChoiceRecipe, Source
from cai.sources.scanning import Digest
from cai.speaker import Speaker
from cai.suites.choice_figures import choice_figures
from cai.suites.files import SuiteFile
from cai.suites.shares import Shares
from cai.types import derive_seed

IN_WORDS = "its answers are read from what it writes"


@dataclass(frozen=True, slots=True)
class ChoiceJob:
    """All that decides a policy's answers."""

    suite: SuiteFile
    questions: tuple[Question, ...]
    policy: Speaker
    verdicts: Verdicts = "auto"
    seed: int = 0

    def items(self) -> Iterator[tuple[str, Question]]:
        return ((each.prompt.id, each) for each in self.questions)


async def run_choices(folder: Path, job: ChoiceJob, accounts: Accounts, console: Console) -> Shares:
    """The policy's figures, after asking every question that the folder does not hold yet.

    A question of which every call failed becomes a failed record.

    Raises:
        NoLogprobs: Log-probabilities are asked for, and the policy gives none.
        JournalError: The folder is a run of another recipe, or cannot be used.
        ModelError: The policy cannot be used, or call after call failed.
    """
    kept: list[Answers] = []
    async with opened([job.policy.model]):
        [policy] = await read_judges([job.policy], job.verdicts, _trial(job), console)
        run = Job(
            recipe=ChoiceRecipe(
                source=_described(job.suite, job.questions),
                policy=described_judge(policy),
                seed=job.seed,
            ),
            constitution=None,
            source=job.suite,
            n_items=len(job.questions),
            items=job.items,
            body=Answers,
            prepare=lambda through: _answering(job, policy, through),
            is_flagged=lambda answers: len(answers.answered) < len(answers.replies),
            note=kept.append,
        )
        outcome = await run_job(folder, run, accounts.pace, console)
    accounts.add(outcome)
    places = {id: place for place, (id, _) in enumerate(job.items())}
    answers = sorted(kept, key=lambda each: places[each.question.prompt.id])
    return choice_figures(
        job.suite.kind, answers, outcome.counts.failed, reads_logprobs=policy.reads_logprobs
    )


def _trial(job: ChoiceJob) -> Trial:
    first = job.questions[0]
    order = first.orders[0]
    return Trial(
        lambda policy: (choice_turns(policy.templates, first, order), first.answers(order)),
        IN_WORDS,
    )


def _answering(
    job: ChoiceJob, policy: Judge, through: Through
) -> Callable[[Question], Awaitable[Answers]]:
    [asked] = asked_through([policy], through, "choice")

    async def work(question: Question) -> Answers:
        answers = await answer(asked, question, derive_seed(job.seed, question.prompt.id))
        failed = [(each.error, each.reason) for each in answers.replies if each.outcome == "failed"]
        if len(failed) == len(answers.replies):
            raise error_of(failed)
        return answers

    return work


def _described(suite: SuiteFile, questions: Sequence[Question]) -> Source:
    digest = Digest()
    for each in questions:
        places = ",".join(map(str, each.right))
        digest.add(each.prompt.id, each.prompt.request, *each.options, places, each.group)
    return described_source((suite.path,), suite.kind, digest.hex)
