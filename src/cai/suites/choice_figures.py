"""What a policy's answers to questions with a choice come to."""

from collections.abc import Iterable, Mapping

from cai.evaluation.bootstrap import unit_of
from cai.judging.multiple_choice import Answers, Reply
from cai.suites.kinds import Kind
from cai.suites.shares import FAILED, Shares

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
) -> Shares:
    """The figures by name, and the first of them by category.

    By log-probabilities the answer is the option with the highest probability averaged over the
    orders, and options that share it share the credit; it counts where all orders could be read.
    Of written replies each that could be read is right or wrong, and a question counts with the
    mean of its own: a policy that always says the same letter gets what chance would give it.
    """
    shares, main = Shares(), "accuracy" if kind == "choices" else "matching"
    n = 0
    for each in answers:
        n += 1
        _add(shares, main, each, reads_logprobs=reads_logprobs)
    shares.add_failed(n, n_failed)
    return shares


def _add(shares: Shares, main: str, answers: Answers, *, reads_logprobs: bool) -> None:
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
