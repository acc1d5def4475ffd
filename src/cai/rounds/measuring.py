"""A round's policy held against the anchors: every figure of `cai.rounds.metrics`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cai.arena.answers import Answers
from cai.arena.contests import Contests
from cai.engine.storage.run_folder import RunFolder
from cai.errors import EvaluationError
from cai.evaluation.agreement import agreement
from cai.evaluation.bootstrap import Estimate, bootstrap, share_estimate, sums_by_unit
from cai.evaluation.conduct import ALL, conduct
from cai.evaluation.principles import ENOUGH, PrincipleTally
from cai.evaluation.win_rates import win_rates
from cai.judging.ranking import Judged
from cai.judging.verdicts import Verdict
from cai.records.bodies import read_done
from cai.rounds.anchorage import Anchorage
from cai.rounds.metrics import SHARES, TEXTS
from cai.rounds.places import name_of

_POINTS = {"a": 0.0, "b": 1.0}
"""For the later policy; what names no side is one half."""


@dataclass(slots=True)
class Measured:
    """What was found of a round's policy; the fields are those of `cai.rounds.found.RoundFound`."""

    figures: dict[str, Estimate] = field(default_factory=dict[str, Estimate])
    missing: dict[str, str] = field(default_factory=dict[str, str])
    adherence: Mapping[str, Estimate] = field(default_factory=dict[str, Estimate])
    undecided: tuple[str, ...] = ()


async def measure(
    anchorage: Anchorage, number: int, policies: Mapping[int, str], parent: int
) -> Measured:
    """The policy of round `number`, beside round 0 and the round it started from.

    The next round's judge is the one that would judge if that policy went on.

    Raises:
        CaiError: As the jobs. What was answered until then is kept.
    """
    found, policy = Measured(), policies[number]
    anchors, folder = anchorage.recipe.anchors, anchorage.places.anchors(number)
    judges = anchorage.recipe.judges_after(policy)
    answers = await anchorage.answers(number, policy, sorted({0, parent} - {number}))
    _texts(found, answers, number, anchorage.recipe.seed)
    if number:
        await _contests(found, anchorage, answers, number, parent, judges)
    if anchors.people:
        await anchorage.judge(anchorage.people, judges, folder / "people")
        _people(found, anchorage, folder / "people")
    if anchors.checks:
        checked = await anchorage.check(answers, number)
        _checks(found, checked.of(name_of(number), anchorage.recipe.seed).get(ALL, {}))
    if anchors.divergence_prompts:
        _divergences(found, anchorage, answers, policy, policies, parent)
    return found


def _texts(found: Measured, answers: Answers, number: int, seed: int) -> None:
    for kind in (ALL, *answers.kinds):
        rows = list(answers.of(name_of(number), kind))
        of = conduct(
            kind,
            [unit for unit, _, _ in rows],
            [response.text for _, _, response in rows],
            [response.is_cut_off for _, _, response in rows],
            seed,
        )
        for name in SHARES:
            if name in of.shares:
                found.figures[name if kind == ALL else f"{name}/{kind}"] = of.shares[name]
        if kind == ALL:
            for name in set(TEXTS).difference(SHARES) & set(of.figures):
                found.figures[name] = Estimate(of.figures[name], of.n)


async def _contests(
    found: Measured,
    anchorage: Anchorage,
    answers: Answers,
    number: int,
    parent: int,
    judges: tuple[str, ...],
) -> None:
    contests = anchorage.contests(answers, number, parent)
    folder, frozen = anchorage.places.anchors(number), anchorage.frozen_judges
    try:
        contests.check()
    except EvaluationError as error:
        names = ("win_start", "win_last", "level_start", "level_last", "judge_gap", "undecided")
        found.missing |= dict.fromkeys(names, str(error))
        return
    verdicts = await anchorage.judge(contests, frozen, folder / "frozen")
    _rates(found, contests, verdicts, number, parent)
    if anchorage.same_judges(judges, frozen):
        why = "the next round's judge is the frozen judge itself"
        found.missing |= {"judge_gap": why, "judges_agree": why}
        _deciding(found, anchorage, folder / "frozen")
        return
    currents = await anchorage.judge(contests, judges, folder / "current")
    _gap(found, contests, verdicts, currents)
    _deciding(found, anchorage, folder / "current")


def _rates(
    found: Measured,
    contests: Contests,
    verdicts: Mapping[str, Verdict],
    number: int,
    parent: int,
) -> None:
    by_opponent = {
        each.opponent: each for each in win_rates(contests.matches(verdicts), contests.seed)
    }
    for against, ending in ((0, "start"), (parent, "last")):
        each = by_opponent[name_of(against)]
        for name, value in (
            (f"win_{ending}", each.rate),
            (f"level_{ending}", each.length_controlled),
        ):
            if value is not None:
                found.figures[name] = value
            else:
                found.missing[name] = (
                    f"{name_of(number)} against {each.opponent}: nothing to tell by"
                )


def _gap(
    found: Measured,
    contests: Contests,
    frozen: Mapping[str, Verdict],
    current: Mapping[str, Verdict],
) -> None:
    """Both judges on the same contests with round 0: where both could be read."""
    first = contests.pairs[0]
    rows: list[tuple[int, float, float]] = []
    for each in contests.all():
        one, other = frozen.get(each.id), current.get(each.id)
        if (each.first, each.second) != first or each.foregone or not one or not other:
            continue
        if one.p_a is not None and other.p_a is not None:
            points = (_POINTS.get(one.outcome, 0.5), _POINTS.get(other.outcome, 0.5))
            rows.append((each.unit, *points))
    if not rows:
        why = "no contest was read by both judges"
        found.missing |= {"judge_gap": why, "judges_agree": why}
        return
    units, by_frozen, by_current = (np.array(column) for column in zip(*rows, strict=True))
    difference = np.column_stack((by_current - by_frozen, np.ones(len(rows))))
    interval = bootstrap(
        sums_by_unit(units, difference), lambda s: s[:, 0] / s[:, 1], contests.seed
    )
    low, high = interval or (None, None)
    gap = float((by_current - by_frozen).mean())
    found.figures["judge_gap"] = Estimate(gap, len(rows), low, high)
    sided = (by_frozen != 0.5) & (by_current != 0.5)
    same = (by_frozen == by_current)[sided].astype(np.float64)
    agree = share_estimate(same, np.ones(len(same)), units[sided], contests.seed)
    if agree is not None:
        found.figures["judges_agree"] = agree


def _deciding(found: Measured, anchorage: Anchorage, folder: Path) -> None:
    tally = PrincipleTally(anchorage.plan.tie_margin)
    with RunFolder.existing(folder) as run:
        for _, judged in read_done(run, Judged):
            for contest in judged.contests:
                tally.add(contest.verdict)
    principles = tally.report()
    asked = [each for each in principles.influences if each.n_shared >= ENOUGH]
    if not asked:
        found.missing["undecided"] = f"fewer than {ENOUGH} verdicts rest on several principles"
        return
    found.undecided = principles.never_decide
    share = len(principles.never_decide) / len(asked)
    found.figures["undecided"] = Estimate(share, len(asked))


def _people(found: Measured, anchorage: Anchorage, folder: Path) -> None:
    with RunFolder.existing(folder) as run:
        judged = (judged for _, judged in read_done(run, Judged))
        report = agreement(judged, anchorage.plan, seed=anchorage.recipe.seed)
    accuracy, ece = report.overall.accuracy, report.overall.ece
    if accuracy is None or ece is None:
        why = "no verdict could be read on a pair of which people prefer a side"
        found.missing |= {"agreement": why, "calibration": why}
        return
    found.figures["agreement"] = accuracy
    found.figures["calibration"] = Estimate(ece, report.overall.n_readable)


def _checks(found: Measured, adherence: Mapping[str, Estimate]) -> None:
    principles = {name: each for name, each in adherence.items() if "/" in name}
    found.adherence = {name.partition("/")[2]: each for name, each in principles.items()}
    whole = next((each for name, each in adherence.items() if "/" not in name), None)
    if whole is None:
        found.missing |= dict.fromkeys(("adherence", "adherence_least"), "no check could be read")
        return
    found.figures["adherence"] = whole
    found.figures["adherence_least"] = min(principles.values(), key=lambda each: each.value)


def _divergences(
    found: Measured,
    anchorage: Anchorage,
    answers: Answers,
    policy: str,
    policies: Mapping[int, str],
    parent: int,
) -> None:
    from cai.rounds.divergence import divergences  # heavy: torch

    anchors = anchorage.recipe.anchors
    prompts = [asked.prompt for asked in list(answers.asked.values())[: anchors.divergence_prompts]]
    earlier = {"kl_start": policies[0], "kl_last": policies[parent]}
    figures, missing = divergences(
        policy, earlier, prompts, anchors.max_tokens, anchorage.recipe.seed
    )
    found.figures |= figures
    found.missing |= missing
