"""When a token is an option: one letter reaches us as "A", " A", "(A" or "**A", in every room."""

from collections.abc import Sequence

from cai.errors import UsageError

_AROUND = " \t\r\n()[]{}\"'`“”‘’*_.:,▁Ġ"


def bare(text: str) -> str:
    """The text without the signs around it that leave an option what it is."""
    return text.strip(_AROUND)


def ends_bare(text: str) -> bool:
    """Whether no sign follows: what the model writes next may then still lengthen the option."""
    return text == text.rstrip(_AROUND)


def check_options(options: Sequence[str]) -> None:
    """Finds out before a choice whether its options can be told apart in an answer.

    Raises:
        UsageError: There is none, or two are equal, or one is empty or has signs around it.
    """
    is_plain = all(option and option == bare(option) for option in options)
    if not options or not is_plain or len(set(options)) < len(options):
        raise UsageError(
            f"The options {list(options)!r} cannot be told apart in an answer. "
            "Give distinct letters or words without spaces or punctuation around them."
        )
