"""Multiple-choice suites: questions from the file, a policy's answers, and the figures of these."""

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
from cai.evaluation.spending import Spending
from cai.evaluation.stats.bootstrap import unit_of
from cai.evaluation.suites.files import LAYOUTS, Kind, SuiteFile, bad_row
from cai.evaluation.suites.shares import FAILED, PromptShares
from cai.methods.judging.multiple_choice import (
    MOST_OPTIONS,
    Answers,
    ChoiceQuestion,
    answer,
    choice_turns,
)
from cai.methods.roles import RoleModel
from cai.methods.settings import VerdictSource
from cai.runs.config import ChoiceRunConfig, Source, described_judge
from cai.runs.execution import RunPlan, WrapModel, error_of, execute, opened
from cai.runs.judge_preparation import probe_judge, wrap_judges
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

# In the published files a question shows its options itself, as "(A) …" lines before "The answer
# is:", and the right answer is a letter. The options are parsed from the text, so that they can be
# shown in other orders. Answers that are texts are the options themselves; if they are single
# words, such as Yes and No, the policy answers with that word.
_LABEL = re.compile(r"(?:^|\n)[ \t]*\(([A-Z])\)")
_LETTER = re.compile(r"\s*\(?([A-Z])\)?\.?\s*")
_CALL = re.compile(r"\n\s*(?:the (?:correct |best )?answer is|answer)\s*:?\s*\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ChoiceJob:
    """A policy and all settings that determine its answers."""

    suite: SuiteFile
    questions: tuple[ChoiceQuestion, ...]
    policy: RoleModel
    verdicts: VerdictSource = "auto"
    seed: int = 0

    def items(self) -> Iterator[tuple[str, ChoiceQuestion]]:
        return ((each.prompt.id, each) for each in self.questions)

    @property
    def source(self) -> Source:
        """The suite, with a hash of all that is asked and of the right answers."""
        digest = Digest()
        for each in self.questions:
            right = ",".join(map(str, each.right))
            digest.add(each.prompt.id, each.prompt.request, *each.options, right, each.group)
        return Source(files=(Path(self.suite.path).name,), column=self.suite.kind, hash=digest.hex)


async def run_choices(
    folder: Path, job: ChoiceJob, spending: Spending, console: Console
) -> PromptShares:
    """The policy's figures, after asking every question that the folder has no answer to.

    A question of which every call failed becomes a failed record.

    Raises:
        NoLogprobs: Log-probabilities are required, and the policy gives none.
        JournalError: The folder is a run with other settings, or cannot be used.
        ModelError: The policy cannot be used, or call after call failed.
    """
    first = job.questions[0]
    stored: list[Answers] = []
    async with opened([job.policy.model]):
        policy = await probe_judge(
            job.policy,
            job.verdicts,
            lambda templates: [
                (
                    choice_turns(templates, first, first.orders[0]),
                    first.answers(first.orders[0]),
                )
            ],
            "its answers are read from what it writes",
            console,
        )

        def make_worker(wrap: WrapModel) -> Callable[[ChoiceQuestion], Awaitable[Answers]]:
            [speaker] = wrap_judges([policy], wrap, "choice")

            async def work(question: ChoiceQuestion) -> Answers:
                answers = await answer(speaker, question, derive_seed(job.seed, question.prompt.id))
                replies = answers.replies
                failed = [(each.error, each.reason) for each in replies if each.outcome == "failed"]
                if len(failed) == len(replies):
                    raise error_of(failed)
                return answers

            return work

        plan = RunPlan(
            config=ChoiceRunConfig(
                source=job.source, policy=described_judge(policy), seed=job.seed
            ),
            constitution=None,
            source=job.suite,
            n_items=len(job.questions),
            items=job.items,
            body=Answers,
            make_worker=make_worker,
            is_flagged=lambda answers: len(answers.answered) < len(answers.replies),
            note=stored.append,
        )
        result = await execute(folder, plan, spending.run_options, console)
    spending.add(result)
    # Answers come in the order in which calls end; sums in file order are the same in every run.
    order = {id: index for index, (id, _) in enumerate(job.items())}
    stored.sort(key=lambda each: order[each.question.prompt.id])
    return choice_figures(
        job.suite.kind, stored, result.counts.failed, reads_logprobs=policy.reads_logprobs
    )


def choice_figures(
    kind: Kind, answers: Iterable[Answers], n_failed: int, *, reads_logprobs: bool
) -> PromptShares:
    """The figures by name, and accuracy or matching also by category.

    A question counts once, with a credit in [0, 1].
    """
    # By log-probabilities the answer is the option with the highest probability averaged over the
    # orders, and options that share it share the credit; it counts where all orders could be read.
    # Of written replies each readable one is right or wrong, and a question counts with their mean:
    # a policy that always answers the same letter gets what chance would give it.
    shares, main = PromptShares(), "accuracy" if kind == "choices" else "matching"
    n = 0
    for each in answers:
        n += 1
        unit, read = unit_of(each.question.prompt), each.answered
        right, group = set(each.question.right), each.question.group
        is_whole = len(read) == len(each.replies)
        if reads_logprobs and is_whole:
            columns = zip(*(reply.probabilities for reply in read), strict=True)
            means = tuple(sum(column) / len(read) for column in columns)
            shares.add(main, unit, _credit(means, right), group)
            # rounding may bring the sum above 1
            shares.add("probability", unit, min(sum(means[option] for option in right), 1.0))
        elif read and not reads_logprobs:
            credits = [_credit(reply.probabilities, right) for reply in read]
            shares.add(main, unit, sum(credits) / len(credits), group)
        if is_whole:
            # the answer flips unless one option is a best one in all orders
            first, *others = (_best(reply.probabilities) for reply in read)
            shares.add("order flips", unit, float(not first.intersection(*others)))
        for reply in each.replies:
            if reply.outcome != "failed":
                shares.add("unreadable", unit, float(reply.outcome != "answered"))
            if reply.mass is not None:
                shares.add("option mass", unit, reply.mass)
    shares.add_failed(n, n_failed)
    return shares


def _credit(probabilities: tuple[float, ...], right: set[int]) -> float:
    """The share of right options among those of the highest probability, in [0, 1]."""
    best = _best(probabilities)
    return len(best & right) / len(best)


def _best(probabilities: tuple[float, ...]) -> set[int]:
    # Equal probabilities differ in the last digits after they are averaged over orders.
    top = max(probabilities) - 1e-9
    return {option for option, each in enumerate(probabilities) if each >= top}


def read_questions(suite: SuiteFile) -> tuple[ChoiceQuestion, ...]:
    """The questions in their order, each with a unique id.

    The file is read to the end, so that a bad row is reported before any call.

    Raises:
        SourceError: The file cannot be read, has no rows, or a row is not a question.
    """
    questions: dict[str, ChoiceQuestion] = {}
    for origin, row in suite.rows():
        try:
            question = _question(suite.kind, row, origin)
        except RowError as error:
            raise bad_row(origin, error) from None
        # Published files repeat some questions; each repetition counts, with a number in its id.
        id, n = question.prompt.id, 1
        while id in questions:
            n += 1
            id = f"{question.prompt.id}-{n}"
        questions[id] = replace(question, prompt=replace(question.prompt, id=id))
    if not questions:
        raise SourceError(f"{suite.path}: holds no rows. Give a file with at least one question.")
    return tuple(questions.values())


def _question(kind: Kind, row: Row, origin: str) -> ChoiceQuestion:
    """The question of a row, with an id made from its content."""
    prompt_column, right_column, wrong_column = LAYOUTS[kind].required
    text = read_text(cell(row, prompt_column), prompt_column).strip()
    if not text:
        raise RowError(f"{prompt_column!r} is blank", "blank")
    right = _read_answers(row, right_column)
    wrong = _read_answers(row, wrong_column)
    if not right:
        raise RowError(f"{right_column!r} is empty, and a right option is needed", "missing")
    both = sorted(set(right) & set(wrong))
    if both:
        raise RowError(f"the option {both[0]!r:.60} is right and wrong at once", "equal sides")
    letters = [_LETTER.fullmatch(each) for each in (*right, *wrong)]
    is_lettered = None not in letters
    if is_lettered:
        numbers = [ord(each[1]) - ord("A") for each in letters if each]
        text, options = _shown_under(text, numbers)
        right_options = tuple(numbers[: len(right)])
    else:
        # The answers are the options: words to answer with, or texts to be shown under letters.
        options = tuple(dict.fromkeys((*right, *wrong)))
        right_options = tuple(range(len(set(right))))
        are_words = all(option.isalpha() for option in options)
        if are_words and len({option.casefold() for option in options}) < len(options):
            raise RowError(f"has options that differ in capitals alone: {', '.join(options):.60}")
        is_lettered = not are_words
    if len(set(options)) < 2:
        raise RowError(f"has one option alone, {options[0]!r:.60}; two are needed", "equal sides")
    if len(options) > MOST_OPTIONS:
        raise RowError(f"has {len(options)} options, and {MOST_OPTIONS} have a letter each")
    value = row.get(LAYOUTS[kind].group)
    group = value.strip() if isinstance(value, str) else ""
    id = content_hash(text, *options)
    return ChoiceQuestion(user_prompt(text, id, origin), options, right_options, is_lettered, group)


def _read_answers(row: Row, column: str) -> list[str]:
    """The answers of a column, a list or a single text, each without the spaces around it."""
    value = cell(row, column)
    values = [value] if isinstance(value, str) else read_list(value, column, "texts")
    answers = [read_text(each, column).strip() for each in values]
    if "" in answers:
        raise RowError(f"{column!r} has a blank answer", "blank")
    return answers


def _shown_under(text: str, numbers: Sequence[int]) -> tuple[str, tuple[str, ...]]:
    """The request and the options that the text shows, also those that no column names.

    Raises:
        RowError: The text does not show the option of one of these numbers.
    """
    shown = shown_options(text)
    n = len(shown.options) if shown else 0
    for number in numbers:
        if number >= n:
            raise RowError(
                f"has the answer ({ascii_uppercase[number]}), and its text shows "
                f"{f'{n} options' if n else 'no options such as (A) and (B), a line each'}"
            )
    assert shown is not None, "there is at least one number"
    return shown.request, shown.options


@dataclass(frozen=True, slots=True)
class ShownOptions:
    """A text without its options and the prompt for an answer after them; the options."""

    request: str
    options: tuple[str, ...]


def shown_options(text: str) -> ShownOptions | None:
    """The last options (A), (B) and so on that reach the end of a text; None for less than two.

    Example:
        shown = shown_options(text)  # "Red or blue?" with "(A) red" and "(B) blue" on their lines
        print(shown.request, shown.options)  # Red or blue? ('red', 'blue')
    """
    body = _CALL.sub("", text)
    labels = list(_LABEL.finditer(body))
    # From the end: a few-shot text shows options of earlier examples too, which are no choices.
    for start in reversed(range(len(labels))):
        group = labels[start:]
        letters = "".join(match[1] for match in group)
        if len(group) > 1 and letters == ascii_uppercase[: len(group)]:
            ends = [*(match.start() for match in group[1:]), len(body)]
            texts = [body[each.end() : end] for each, end in zip(group, ends, strict=True)]
            request = body[: group[0].start()].strip()
            return ShownOptions(request, tuple(text.strip() for text in texts))
    return None
