"""A run of `cai score` as a part: how responses score, under which principles, and examples."""

from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from cai.engine.run_folder import RunFolder
from cai.evaluation import format
from cai.evaluation.stats.bootstrap import Estimate, bootstrap_interval, sums_by_unit, unit_of
from cai.methods.judging.pointwise import Score, Scored, ScoreOutcome
from cai.report import charts, runs
from cai.report.examples import Best, lot
from cai.report.model import Doubt, Example, Fact, Headline, Plot, Section, SectionTable, Shelf
from cai.report.runs import RunHead
from cai.report.text import model_name, model_names, prompt_block, text_block
from cai.runs.config import ScoreRunConfig
from cai.runs.records import read_done

_EDGES = [-1 + place / 5 for place in range(11)]
_MOST_PRINCIPLES = 12


@dataclass(slots=True)
class Means:
    """Numbers by prompt; sixteen bytes each."""

    units: "array[int]" = field(default_factory=lambda: array("q"))
    values: "array[float]" = field(default_factory=lambda: array("d"))

    def add(self, unit: int, value: float) -> None:
        self.units.append(unit)
        self.values.append(value)

    def estimate(self) -> Estimate | None:
        """The mean with its interval over prompts; None without a number."""
        if not self.values:
            return None
        units, values = np.array(self.units, np.int64), np.array(self.values, np.float64)
        sums = sums_by_unit(units, np.column_stack((values, np.ones(len(values)))))
        found = bootstrap_interval(sums, lambda rows: rows[:, 0] / rows[:, 1], seed=0)
        mean = float(values.mean())
        return Estimate(mean, len(values), *(found or (None, None)))


@dataclass(slots=True)
class _Tally:
    n_examples: int
    whole: Means = field(default_factory=Means)
    by_principle: dict[str, Means] = field(default_factory=dict[str, Means])
    by_model: dict[str, Means] = field(default_factory=dict[str, Means])
    outcomes: Counter[ScoreOutcome] = field(default_factory=Counter[ScoreOutcome])
    bins: Counter[int] = field(default_factory=Counter[int])
    n_responses: int = 0
    best: Best[Scored] = field(init=False)
    worst: Best[Scored] = field(init=False)
    unread: Best[Scored] = field(init=False)

    def __post_init__(self) -> None:
        self.best, self.worst = Best(self.n_examples), Best(self.n_examples)
        self.unread = Best(self.n_examples)

    def add(self, scored: Scored) -> None:
        self.n_responses += 1
        unit, value = unit_of(scored.prompt), scored.value
        for each in scored.scores:
            self.outcomes[each.outcome] += 1
            if each.value is not None:
                self.by_principle.setdefault(each.principle_id, Means()).add(unit, each.value)
        if value is None:
            self.unread.offer(lot(scored.prompt.id), scored)
            return
        self.whole.add(unit, value)
        self.by_model.setdefault(scored.model, Means()).add(unit, value)
        self.bins[min(int((value + 1) * 5), 9)] += 1
        self.best.offer(value, scored)
        self.worst.offer(-value, scored)


def scored_part(
    run: RunFolder, recipe: ScoreRunConfig, head: RunHead, path: str, n_examples: int
) -> Section:
    """The part of the run, its records read once."""
    tally = _Tally(n_examples)
    for _, scored in read_done(run, Scored):
        tally.add(scored)
    tables = (
        _principle_table(tally),
        _model_table(tally),
        _outcome_table(tally),
        runs.failure_table(head),
        runs.cost_table(head),
    )
    return Section(
        title="Scores",
        path=path,
        done=_done(recipe, head),
        began=head.created,
        weight=1,
        facts=tuple(_facts(recipe)),
        headlines=tuple(_headlines(tally)),
        doubts=tuple(_doubts(head, tally)),
        took=head.took,
        tables=tuple(table for table in tables if table is not None),
        plots=tuple(_plots(tally)),
        shelves=tuple(_shelves(tally)),
        versions=head.versions,
        judges=tuple(judge.model for judge in recipe.judges),
    )


def _done(recipe: ScoreRunConfig, head: RunHead) -> str:
    who = model_names(judge.model for judge in recipe.judges)
    how = "marked from 1 to 10" if recipe.settings.kind == "mark" else "checked as passed or failed"
    n = format.plural(head.counts.done, "response")
    name = runs.constitution_name(recipe.constitution)
    was = "was" if head.counts.done == 1 else "were"
    return f"{n} {was} {how} by {who} under the constitution {name}."


def _facts(recipe: ScoreRunConfig) -> Iterator[Fact]:
    yield runs.source_fact(recipe.source)
    yield runs.constitution_fact(recipe.constitution)
    yield from runs.draw_facts("judge", recipe.judges)


def _headlines(tally: _Tally) -> Iterator[Headline]:
    found = tally.whole.estimate()
    if found is not None:
        what = f"mean score from −1 to 1, n = {found.n:,}"
        yield Headline(f"{found.value:.3f}", what, format.plain_bounds(found))


def _doubts(head: RunHead, tally: _Tally) -> Iterator[Doubt]:
    yield from runs.run_doubts(head)
    n = tally.outcomes.total()
    n_unread = n - tally.outcomes["scored"]
    if n_unread:
        share = format.percent(n_unread / n)
        text = f"{n_unread:,} of {n:,} scores ({share}) could not be read and are in no mean."
        yield Doubt(text, n_unread > n / 20)
    if tally.n_responses:
        yield Doubt("Scores are the judge's alone: no label of people stands beside them here.")


def _principle_table(tally: _Tally) -> SectionTable | None:
    rows = [
        (name, f"{found.n:,}", format.value(found)) for name, found in _ordered(tally.by_principle)
    ]
    headings = ("principle", "scores", "mean (95 %)")
    return (
        SectionTable("Scores by principle, the lowest first", headings, tuple(rows))
        if rows
        else None
    )


def _model_table(tally: _Tally) -> SectionTable | None:
    if len(tally.by_model) < 2:
        return None
    rows = tuple(
        (model_name(name) or "unknown", f"{found.n:,}", format.value(found))
        for name, found in _ordered(tally.by_model)
    )
    return SectionTable(
        "Scores by the model that responded", ("model", "responses", "mean (95 %)"), rows
    )


def _outcome_table(tally: _Tally) -> SectionTable | None:
    n = tally.outcomes.total()
    rows = tuple(
        (outcome, f"{found:,}", format.percent(found / n))
        for outcome, found in tally.outcomes.most_common()
    )
    return (
        SectionTable("What the scores are", ("outcome", "scores", "share"), rows) if rows else None
    )


def _ordered(means: dict[str, Means]) -> list[tuple[str, Estimate]]:
    found = [(name, each.estimate()) for name, each in means.items()]
    known = [(name, each) for name, each in found if each is not None]
    return sorted(known, key=lambda item: (item[1].value, item[0]))


def _plots(tally: _Tally) -> Iterator[Plot]:
    rows = _ordered(tally.by_principle)
    if len(rows) > 1:
        words = "Mean score: " + ", ".join(f"{name} {each.value:.2f}" for name, each in rows)
        axis = charts.Axis("mean score", None, [("", 0.0)])
        points = [(name, [charts.Point.of(each)]) for name, each in rows]
        yield charts.forest("Scores by principle", words, axis, points)
    if tally.bins:
        counts = [tally.bins[place] for place in range(10)]
        words = "Responses by score: " + ", ".join(
            f"from {low:.1f} {n:,}" for low, n in zip(_EDGES, counts, strict=False) if n
        )
        yield charts.histogram("How high responses score", words, "score", _EDGES, counts)


def _shelves(tally: _Tally) -> Iterator[Shelf]:
    kinds = (
        ("Best", "highest score", tally.best),
        ("Worst", "lowest score", tally.worst),
        ("Not scored", "drawn by the hash of the prompt's id", tally.unread),
    )
    for heading, how, best in kinds:
        if best.items:
            chosen = f"{len(best.items)} of {best.n_offered:,}: {how}."
            yield Shelf(heading, chosen, tuple(_example(each) for each in best.items))


def _example(scored: Scored) -> Example:
    value = "no score" if scored.value is None else f"score {scored.value:.2f}"
    by = f" of {model_name(scored.model)}" if scored.model else ""
    texts = (
        prompt_block(scored.prompt),
        text_block(f"response{by}", scored.response),
    )
    facts = tuple(map(_fact, scored.scores[:_MOST_PRINCIPLES]))
    return Example(f"{scored.prompt.id}: {value}", texts, facts)


def _fact(score: Score) -> Fact:
    if score.value is not None:
        return Fact(score.principle_id, f"{score.value:.2f}")
    reason = f": {score.reason[:80]}" if score.reason else ""
    return Fact(score.principle_id, f"{score.outcome}{reason}")
