"""The questions of a suite with a choice of answers, read to the end before anything is asked.

In the published files a question shows its options itself, as "(A) …" lines before "The answer
is:", and the right answer is a letter. They are taken apart, so that the options can be shown in
other orders. Where the answers are texts and no letters, they are the options; where they are
single words, such as Yes and No, those words are what a policy is to say.
"""

from collections.abc import Sequence
from dataclasses import replace

from cai.errors import SourceError
from cai.judging.multiple_choice import MOST_OPTIONS, Question
from cai.sources.conversations import read_list, read_text
from cai.sources.prompt_column import cell
from cai.sources.tables import Row, RowError
from cai.suites.files import SuiteFile, bad_row
from cai.suites.kinds import LAYOUTS
from cai.suites.labelled_options import letter_of, shown_options
from cai.types import content_hash, user_prompt


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
