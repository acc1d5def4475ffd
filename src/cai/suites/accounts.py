"""What the runs of suites are told to keep to, and whom they tell what they took."""

from typing import Any, Protocol

from cai.jobs.pace import Pace
from cai.jobs.running import Outcome


class Accounts(Protocol):
    """The pace of the runs to come, its caps less what the runs before them took."""

    @property
    def pace(self) -> Pace: ...

    def add(self, outcome: Outcome[Any]) -> None:
        """Takes in a run that ended."""
        ...
