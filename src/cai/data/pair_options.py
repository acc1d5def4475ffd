"""What the user says of a source of pairs, and in which layouts its columns may be.

Example:
    PairOptions(a_column="left").check()    # UsageError: --a-column and --b-column belong together
"""

from dataclasses import dataclass
from typing import Literal

from cai.data.roles import RoleNames
from cai.errors import UsageError

Layout = Literal["ranked", "sides", "lists"]


@dataclass(frozen=True, slots=True)
class PairOptions:
    """What the user specifies of a source of pairs; all else is detected."""

    prompt_column: str | None = None
    prompt_text: str | None = None  # the prompt of every row, where the source has none
    a_column: str | None = None
    b_column: str | None = None
    label_column: str | None = None
    label_values: tuple[str, ...] | None = None  # those that mean A, B and, if given, a tie
    better_column: str | None = None
    worse_column: str | None = None
    id_column: str | None = None  # "": ids from the content
    tag_columns: tuple[str, ...] = ()
    roles: RoleNames = ()  # names of roles that are not known

    @property
    def names_sides(self) -> bool:
        """Whether the user has named the columns of the two responses."""
        return self.a_column is not None or self.better_column is not None

    def check(self) -> None:
        """Checks that the options can be combined.

        Raises:
            UsageError: They cannot.
        """
        if (self.a_column is None) != (self.b_column is None):
            raise UsageError("--a-column and --b-column belong together. Name both, or neither.")
        if (self.better_column is None) != (self.worse_column is None):
            raise UsageError(
                "--better-column and --worse-column belong together. Name both, or neither."
            )
        if self.a_column is not None and self.better_column is not None:
            raise UsageError(
                "--a-column and --better-column name two pairs. Name A and B, and the column with "
                "the label, or the better and the worse one."
            )
        if self.prompt_column is not None and self.prompt_text is not None:
            raise UsageError("--prompt-column and --prompt-text both give the prompt. Pass one.")
        if self.prompt_text is not None and not self.prompt_text.strip():
            raise UsageError("--prompt-text is blank. Give the prompt that the model was given.")
