"""Direct RLAIF: each completion is scored by a judge, without a reward model.

Lee et al. 2023, arXiv:2309.00267, §2.4: the mark from 1 to 10 by expectation, brought to [−1, 1].
What could not be scored has no reward, None: never zero.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from cai.constitution.schema import Constitution
from cai.errors import ModelError
from cai.judging.judge import Judge
from cai.judging.scoring import Score, Scored, ScorePlan, score_response
from cai.training.rewards.batch import Group
from cai.types import content_hash, derive_seed


@dataclass(frozen=True, slots=True)
class DirectJudge:
    """Judges that score a completion alone."""

    judges: Sequence[Judge]
    constitution: Constitution
    plan: ScorePlan = ScorePlan()
    seed: int = 0

    async def scores(self, group: Group) -> list[tuple[Score, ...]]:
        """The scores of each completion; none where the calls failed."""
        return list(await asyncio.gather(*(self._score(group, each) for each in group.completions)))

    async def _score(self, group: Group, response: str) -> tuple[Score, ...]:
        seed = derive_seed(self.seed, group.prompt.id, content_hash(response))
        try:
            return await score_response(
                self.judges, self.constitution, group.prompt, response, self.plan, seed
            )
        except ModelError:
            return ()


def mean_score(group: Group, scores: tuple[Score, ...], principle: str | None) -> float | None:
    """The weighted mean in [−1, 1], under all principles or one; None where too few were read."""
    chosen = [each for each in scores if principle is None or each.principle_id == principle]
    return Scored(group.prompt, "", "", tuple(chosen)).value if chosen else None
