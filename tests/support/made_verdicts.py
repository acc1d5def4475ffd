"""Verdicts, judged groups and judged runs made by hand, as tests of reports on judges need them."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from cai.engine.run_files import Failure, Record
from cai.engine.run_folder import RunFolder
from cai.export.rows import PrincipleShare
from cai.methods.judging.composition import Composer
from cai.methods.judging.ranking import (
    GroupReadings,
    Judged,
    JudgedMatchup,
    MatchupReadings,
    strengths,
)
from cai.methods.judging.verdict import (
    Candidate,
    Group,
    JudgeCall,
    Label,
    Outcome,
    PrincipleVerdict,
    Verdict,
    by_order,
    side,
)
from cai.methods.settings import JudgeSettings
from cai.models.base import Usage
from cai.runs.config import JudgeConfig, JudgeRunConfig, Named, Source
from cai.runs.records import dump
from cai.types import user_prompt

Said = float | Outcome
"""What one order gave: a probability that A is better, or why there is none."""


def reading(said: Said, *, mass: float | None = None, usage: Usage = Usage()) -> JudgeCall:
    if isinstance(said, float):
        return JudgeCall(side(said), said, mass, usage=usage)
    return JudgeCall(said, mass=mass, usage=usage)


def principle_verdict(
    order_ab: Said,
    order_ba: Said | None = None,
    *,
    principle: str = "be-kind",
    judge: str = "scripted",
    is_negated: bool = False,
    is_voted: bool = False,
    weight: float = 1.0,
    mass: float | None = None,
    usage: Usage = Usage(),
) -> PrincipleVerdict:
    """Both orders of one question; `order_ba` is as `order_ab` where it is not given."""
    first = reading(order_ab, mass=mass, usage=usage)
    second = reading(order_ab if order_ba is None else order_ba, mass=mass, usage=usage)
    outcome, p_a = by_order(first, second, is_voted=is_voted)
    return PrincipleVerdict(judge, principle, "", is_negated, weight, first, second, outcome, p_a)


def mean_of(verdicts: Sequence[PrincipleVerdict]) -> Verdict:
    return Composer("mean").verdict(verdicts)


def share_of(principle: str, p: float) -> PrincipleShare:
    """What a principle says of the chosen side of a pair, silent as far as p is near one half."""
    return PrincipleShare(principle, p, max(2 * p - 1, 0.0), max(1 - 2 * p, 0.0))


def judged(
    id: str,
    verdict: Verdict | PrincipleVerdict | Iterable[PrincipleVerdict],
    label: Label | None = None,
    *,
    texts: tuple[str, str] = ("one", "two"),
    models: tuple[str, str] = ("", ""),
    tags: Mapping[str, str] | None = None,
    asked: str | None = None,
) -> Judged:
    """A judged pair."""
    if isinstance(verdict, PrincipleVerdict):
        verdict = [verdict]
    if not isinstance(verdict, Verdict):
        verdict = mean_of(list(verdict))
    candidates = tuple(Candidate(*each) for each in zip(texts, models, strict=True))
    group = Group(user_prompt(asked or f"Question {id}?", id), candidates, label, tags=tags or {})
    matchups = (JudgedMatchup(0, 1, verdict),)
    return Judged(group, matchups, strengths(2, matchups))


MEAN = JudgeSettings(compose="mean")
"""Figures of tests are worked out by hand, for which a mean is simplest."""


def readings_of(judged: Judged) -> GroupReadings:
    """What a run keeps of a judged group."""
    return GroupReadings(
        judged.group,
        tuple(
            MatchupReadings(each.first, each.second, each.verdict.principle_verdicts)
            for each in judged.matchups
        ),
    )


def judge_recipe(*judges: str, settings: JudgeSettings = MEAN) -> JudgeRunConfig:
    draws = tuple(
        JudgeConfig(
            model=judge,
            templates=Named(name="chat", hash="0123456789ab"),
            temperature=0.0,
            top_p=1.0,
            top_k=0,
            max_tokens=64,
            reads_logprobs=True,
        )
        for judge in judges or ("scripted",)
    )
    return JudgeRunConfig(
        source=Source(files=("pairs.jsonl",), column="", hash="ba9876543210"),
        constitution=Named(name="one", hash="aaaaaaaaaaaa", version="1.2.0"),
        judges=draws,
        settings=settings,
        pairing="all",
        seed=0,
    )


def judged_run(
    folder: Path, items: Iterable[Judged | Failure], recipe: JudgeRunConfig | None = None
) -> Path:
    """A run folder of `cai judge` with these records."""
    content = (recipe or judge_recipe()).model_dump(mode="json")
    with RunFolder.open(folder, content, {}) as run:
        for position, item in enumerate(items):
            if isinstance(item, Failure):
                run.add(Record(position, f"failed-{position}", "", item))
            else:
                run.add(Record(position, item.group.prompt.id, dump(readings_of(item))))
    return folder
