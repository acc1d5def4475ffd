"""A policy's answers to the questions of a suite, as a durable run.

The questions of a suite with a choice of answers, read to the end before anything is asked.

In the published files a question shows its options itself, as "(A) …" lines before "The answer
is:", and the right answer is a letter. They are taken apart, so that the options can be shown in
other orders. Where the answers are texts and no letters, they are the options; where they are
single words, such as Yes and No, those words are what a policy is to say.

What a policy's answers to questions with a choice come to.

Options that a text shows under letters at its end: "(A) …", "(B) …", on a line each.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from string import ascii_uppercase

from rich.console import Console

from cai.data.columns import cell
from cai.data.conversations import read_list, read_text
from cai.data.source import Digest
from cai.data.tables import Row, RowError
from cai.errors import SourceError
from cai.evaluation.stats.bootstrap import unit_of
from cai.evaluation.suites.files import LAYOUTS, Kind, SuiteFile, bad_row
from cai.evaluation.suites.shares import FAILED, PromptShares
from cai.methods.judging.judge import Judge
from cai.methods.judging.multiple_choice import (
    MOST_OPTIONS,
    Answers,
    Question,
    Reply,
    answer,
    choice_turns,
)
from cai.methods.roles import RoleModel
from cai.methods.settings import VerdictSource
from cai.runs.config import ChoiceRunConfig, Source, described_judge
from cai.runs.job import Job, Through, error_of, opened, run_job
from cai.runs.judges import asked_through, probe_judge
from cai.runs.shared_budget import Accounts
from cai.types import content_hash, derive_seed, user_prompt

CHOICE_MEASURES: Mapping[str, str] = {
    "accuracy": "share of questions of which the policy chooses a right option",
    "matching": "share of questions of which the policy chooses what matches the behaviour",
    "probability": "mean probability of those options",
    "order flips": "share of questions whose answer changes with the order of the options",
    "unreadable": "share of replies that choose no option",
    "option mass": "mean probability of all options together, before they are made to add up to 1",
    FAILED: "share of questions that could not be asked",
}
_NOISE = 1e-9  # by which the same probabilities differ after they are added up


def choice_figures(
    kind: Kind, answers: Iterable[Answers], n_failed: int, *, reads_logprobs: bool
) -> PromptShares:
    """The figures by name, and the first of them by category.

    By log-probabilities the answer is the option with the highest probability averaged over the
    orders, and options that share it share the credit; it counts where all orders could be read.
    Of written replies each that could be read is right or wrong, and a question counts with the
    mean of its own: a policy that always says the same letter gets what chance would give it.
    """
    shares, main = PromptShares(), "accuracy" if kind == "choices" else "matching"
    n = 0
    for each in answers:
        n += 1
        _add(shares, main, each, reads_logprobs=reads_logprobs)
    shares.add_failed(n, n_failed)
    return shares


def _add(shares: PromptShares, main: str, answers: Answers, *, reads_logprobs: bool) -> None:
    unit, read = unit_of(answers.question.prompt), answers.answered
    right, group = set(answers.question.right), answers.question.group
    is_whole = len(read) == len(answers.replies)
    if reads_logprobs and is_whole:
        means = _means(read)
        shares.add(main, unit, _credit(means, right), group)
        shares.add("probability", unit, min(sum(means[place] for place in right), 1.0))
    elif read and not reads_logprobs:
        credits = [_credit(each.probabilities, right) for each in read]
        shares.add(main, unit, sum(credits) / len(credits), group)
    if is_whole:
        shares.add("order flips", unit, float(_flips(read)))
    for each in answers.replies:
        if each.outcome != "failed":
            shares.add("unreadable", unit, float(each.outcome != "answered"))
        if each.mass is not None:
            shares.add("option mass", unit, each.mass)


def _means(replies: tuple[Reply, ...]) -> tuple[float, ...]:
    columns = zip(*(each.probabilities for each in replies), strict=True)
    return tuple(sum(column) / len(replies) for column in columns)


def _credit(probabilities: tuple[float, ...], right: set[int]) -> float:
    """1 where a right option has the highest probability, a part of it where it is shared."""
    best = _best(probabilities)
    return len(best & right) / len(best)


def _best(probabilities: tuple[float, ...]) -> set[int]:
    top = max(probabilities) - _NOISE
    return {place for place, each in enumerate(probabilities) if each >= top}


def _flips(replies: tuple[Reply, ...]) -> bool:
    """Whether no option is the best in all orders."""
    bests = [_best(each.probabilities) for each in replies]
    return not any(all(place in best for best in bests) for place in bests[0])


IN_WORDS = "its answers are read from what it writes"


@dataclass(frozen=True, slots=True)
class ChoiceJob:
    """All that decides a policy's answers."""

    suite: SuiteFile
    questions: tuple[Question, ...]
    policy: RoleModel
    verdicts: VerdictSource = "auto"
    seed: int = 0

    def items(self) -> Iterator[tuple[str, Question]]:
        return ((each.prompt.id, each) for each in self.questions)


async def run_choices(
    folder: Path, job: ChoiceJob, accounts: Accounts, console: Console
) -> PromptShares:
    """The policy's figures, after asking every question that the folder does not hold yet.

    A question of which every call failed becomes a failed record.

    Raises:
        NoLogprobs: Log-probabilities are asked for, and the policy gives none.
        JournalError: The folder is a run with other settings, or cannot be used.
        ModelError: The policy cannot be used, or call after call failed.
    """
    kept: list[Answers] = []
    async with opened([job.policy.model]):
        first = job.questions[0]
        order = first.orders[0]
        policy = await probe_judge(
            job.policy,
            job.verdicts,
            lambda templates: (choice_turns(templates, first, order), first.answers(order)),
            IN_WORDS,
            console,
        )
        run = Job(
            config=ChoiceRunConfig(
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
        outcome = await run_job(folder, run, accounts.run_options, console)
    accounts.add(outcome)
    places = {id: place for place, (id, _) in enumerate(job.items())}
    answers = sorted(kept, key=lambda each: places[each.question.prompt.id])
    return choice_figures(
        job.suite.kind, answers, outcome.counts.failed, reads_logprobs=policy.reads_logprobs
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
    return Source(files=(Path(suite.path).name,), column=suite.kind, hash=digest.hex)


_LABEL = re.compile(r"(?:^|\n)[ \t]*\(([A-Z])\)")
_LETTER = re.compile(r"\s*\(?([A-Z])\)?\.?\s*")
_CALL = re.compile(r"\n\s*(?:the (?:correct |best )?answer is|answer)\s*:?\s*\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Shown:
    """A text without its options and without the call for an answer behind them; the options."""

    request: str
    options: tuple[str, ...]


def letter_of(answer: str) -> str | None:
    """The letter, where the answer is one, with brackets or without."""
    match = _LETTER.fullmatch(answer)
    return match[1] if match else None


def shown_options(text: str) -> Shown | None:
    """The last options under (A), (B) and so on, without a gap to the end; None without two."""
    body = _CALL.sub("", text)
    labels = list(_LABEL.finditer(body))
    for start in reversed(range(len(labels))):
        group = labels[start:]
        letters = "".join(match[1] for match in group)
        if len(group) > 1 and letters == ascii_uppercase[: len(group)]:
            return Shown(body[: group[0].start()].strip(), _between(body, group))
    return None


def _between(text: str, labels: Sequence[re.Match[str]]) -> tuple[str, ...]:
    ends = [*(match.start() for match in labels[1:]), len(text)]
    return tuple(text[match.end() : end].strip() for match, end in zip(labels, ends, strict=True))


def read_questions(suite: SuiteFile) -> tuple[Question, ...]:
    """The questions in their order, each with an id that no other has.

    Raises:
        SourceError: The file cannot be read, holds none, or a row is no question.
    """
    group = LAYOUTS[suite.kind].group
    questions: dict[str, Question] = {}
    for origin, row in suite.rows():
        try:
            question = _question(suite, row, origin, _group(row, group))
        except RowError as error:
            raise bad_row(origin, error) from None
        id, n = question.prompt.id, 1
        while id in questions:
            n += 1
            id = f"{question.prompt.id}-{n}"
        questions[id] = replace(question, prompt=replace(question.prompt, id=id))
    if not questions:
        raise SourceError(f"{suite.path}: holds no rows. Give a file with at least one question.")
    return tuple(questions.values())


def _question(suite: SuiteFile, row: Row, origin: str, group: str) -> Question:
    """The question of a row, its id made from its content."""
    prompt_column, right_column, wrong_column = LAYOUTS[suite.kind].needed
    text = read_text(cell(row, prompt_column), prompt_column).strip()
    if not text:
        raise RowError(f"{prompt_column!r} is blank", "blank")
    right = _answers(cell(row, right_column), right_column)
    wrong = _answers(cell(row, wrong_column), wrong_column)
    if not right:
        raise RowError(f"{right_column!r} is empty, and a right option is needed", "missing")
    both = sorted(set(right) & set(wrong))
    if both:
        raise RowError(f"the option {both[0]!r:.60} is right and wrong at once", "equal sides")
    made = _lettered(text, right, wrong) or _plain(text, right, wrong)
    request, options, places, is_lettered = made
    if len(set(options)) < 2:
        raise RowError(f"has one option alone, {options[0]!r:.60}; two are needed", "equal sides")
    if len(options) > MOST_OPTIONS:
        raise RowError(f"has {len(options)} options, and {MOST_OPTIONS} have a letter each")
    id = content_hash(request, *options)
    return Question(user_prompt(request, id, origin), options, places, is_lettered, group)


Made = tuple[str, tuple[str, ...], tuple[int, ...], bool]
"""Request, options, places of the right ones, and whether the options are shown under letters."""


def _lettered(text: str, right: Sequence[str], wrong: Sequence[str]) -> Made | None:
    """The options that the text shows; None where an answer is no letter.

    All that is shown can be chosen, also what no column names.

    Raises:
        RowError: An answer is a letter that the text does not show.
    """
    letters = [letter_of(answer) for answer in (*right, *wrong)]
    if None in letters:
        return None
    shown = shown_options(text)
    n = len(shown.options) if shown else 0
    places = [ord(letter) - ord("A") for letter in letters if letter is not None]
    for place, letter in zip(places, letters, strict=True):
        if place >= n:
            raise RowError(
                f"has the answer ({letter}), and its text shows "
                f"{f'{n} options' if n else 'no options such as (A) and (B), a line each'}"
            )
    assert shown is not None
    return shown.request, shown.options, tuple(places[: len(right)]), True


def _plain(text: str, right: Sequence[str], wrong: Sequence[str]) -> Made:
    """The answers themselves as options: words to be said, or texts under letters."""
    options = tuple(dict.fromkeys((*right, *wrong)))
    are_words = all(option.isalpha() for option in options)
    if are_words and len({option.casefold() for option in options}) < len(options):
        raise RowError(f"has options that differ in capitals alone: {', '.join(options):.60}")
    return text, options, tuple(range(len(set(right)))), not are_words


def _answers(value: object, column: str) -> list[str]:
    """The answers of a column, a list or a text alone, each without the spaces around it."""
    values = [value] if isinstance(value, str) else read_list(value, column, "texts")
    answers = [read_text(each, column).strip() for each in values]
    if "" in answers:
        raise RowError(f"{column!r} has a blank answer", "blank")
    return answers


def _group(row: Row, column: str) -> str:
    value = row.get(column)
    return value.strip() if isinstance(value, str) else ""
