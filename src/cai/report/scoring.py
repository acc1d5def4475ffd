"""The section of a run of `cai score`: scores by principle and model, and examples."""

from collections import Counter
from collections.abc import Iterator

from cai.engine.run_folder import RunFolder
from cai.evaluation import format
from cai.evaluation.stats.bootstrap import Estimate, unit_of
from cai.methods.judging.pointwise import Scored, ScoreOutcome
from cai.report import charts, runs
from cai.report.estimates import Means
from cai.report.examples import BY_HASH, TopN, example_groups, hash_fraction
from cai.report.model import (
    Caveat,
    Example,
    ExampleGroup,
    Fact,
    Headline,
    Plot,
    Section,
    SectionTable,
)
from cai.report.text import model_name, model_names, prompt_block, text_block
from cai.runs.config import ScoreRunConfig
from cai.runs.records import read_done

_EDGES = [-1 + i / 5 for i in range(11)]
_MAX_PRINCIPLES = 12


def scoring_section(run: RunFolder, config: ScoreRunConfig, *, n_examples: int) -> Section:
    """The section of the run; its records are read once."""
    tally = _Tally(n_examples)
    for _, scored in read_done(run, Scored):
        tally.add(scored)
    n = run.counts().done
    how = "marked from 1 to 10" if config.settings.kind == "mark" else "checked as passed or failed"
    return Section(
        title="Scores",
        done=(
            f"{format.plural(n, 'response')} {'was' if n == 1 else 'were'} {how} by "
            f"{model_names(judge.model for judge in config.judges)} under the constitution "
            f"{runs.constitution_name(config.constitution)}."
        ),
        weight=1,
        facts=(
            runs.source_fact(config.source),
            runs.constitution_fact(config.constitution),
            *runs.role_facts("judge", config.judges),
        ),
        headlines=tuple(tally.headlines()),
        caveats=tuple(tally.caveats()),
        tables=tuple(tally.tables()),
        plots=tuple(tally.plots()),
        examples=tuple(tally.groups()),
        judges=tuple(judge.model for judge in config.judges),
    )


class _Tally:
    """Counts and examples of one response after another, and what the section shows of them."""

    def __init__(self, n_examples: int) -> None:
        self._whole = Means()
        self._by_principle: dict[str, Means] = {}
        self._by_model: dict[str, Means] = {}
        self._outcomes: Counter[ScoreOutcome] = Counter()
        self._bins: Counter[int] = Counter()
        self._best, self._worst, self._unread = (TopN[Scored](n_examples) for _ in range(3))

    def add(self, scored: Scored) -> None:
        unit, value = unit_of(scored.prompt), scored.value
        for each in scored.scores:
            self._outcomes[each.outcome] += 1
            if each.value is not None:
                self._by_principle.setdefault(each.principle_id, Means()).add(unit, each.value)
        # Single scores count for their principle even where too few could be read for a whole one.
        if value is None:
            self._unread.offer(hash_fraction(scored.prompt.id), scored)
            return
        self._whole.add(unit, value)
        self._by_model.setdefault(scored.model, Means()).add(unit, value)
        self._bins[min(int((value + 1) * 5), 9)] += 1  # a score of exactly 1 is in the last bin
        self._best.offer(value, scored)
        self._worst.offer(-value, scored)

    def headlines(self) -> Iterator[Headline]:
        mean = self._whole.estimate()
        if mean is not None:
            what = f"mean score from −1 to 1, n = {mean.n:,}"
            yield Headline(f"{mean.value:.3f}", what, format.plain_bounds(mean))

    def caveats(self) -> Iterator[Caveat]:
        n = self._outcomes.total()
        n_unread = n - self._outcomes["scored"]
        if n_unread:
            share = format.percent(n_unread / n)
            text = f"{n_unread:,} of {n:,} scores ({share}) could not be read and are in no mean."
            yield Caveat(text, n_unread > n / 20)
        if n:
            yield Caveat(
                "Scores are the judge's alone: they are not compared with labels of people."
            )

    def tables(self) -> Iterator[SectionTable]:
        yield SectionTable(
            "Scores by principle, the lowest first",
            ("principle", "scores", "mean (95 %)"),
            tuple(
                (id, f"{mean.n:,}", format.value(mean)) for id, mean in _sort(self._by_principle)
            ),
        )
        if len(self._by_model) > 1:
            yield SectionTable(
                "Scores by the model that responded",
                ("model", "responses", "mean (95 %)"),
                tuple(
                    (model_name(name) or "unknown", f"{mean.n:,}", format.value(mean))
                    for name, mean in _sort(self._by_model)
                ),
            )
        total = self._outcomes.total()
        yield SectionTable(
            "What the scores are",
            ("outcome", "scores", "share"),
            tuple(
                (outcome, f"{n:,}", format.percent(n / total))
                for outcome, n in self._outcomes.most_common()
            ),
        )

    def plots(self) -> Iterator[Plot]:
        rows = _sort(self._by_principle)
        if len(rows) > 1:
            words = "Mean score: " + ", ".join(f"{name} {each.value:.2f}" for name, each in rows)
            axis = charts.Axis("mean score", None, [("", 0.0)])  # 0 is in the middle of the scale
            points = [(name, [charts.Point.of(each)]) for name, each in rows]
            yield charts.forest("Scores by principle", words, axis, points)
        if self._bins:
            counts = [self._bins[i] for i in range(10)]
            words = "Responses by score: " + ", ".join(
                f"from {low:.1f} {n:,}" for low, n in zip(_EDGES, counts, strict=False) if n
            )
            yield charts.histogram("How high responses score", words, "score", _EDGES, counts)

    def groups(self) -> Iterator[ExampleGroup]:
        kinds = (
            ("Best", "highest score", self._best),
            ("Worst", "lowest score", self._worst),
            ("Not scored", BY_HASH, self._unread),
        )
        return example_groups(kinds, _example)


def _sort(means: dict[str, Means]) -> list[tuple[str, Estimate]]:
    """The lowest first; of equal ones by name."""
    estimates = [(name, each.estimate()) for name, each in means.items()]
    known = [(name, each) for name, each in estimates if each is not None]
    return sorted(known, key=lambda item: (item[1].value, item[0]))


def _example(scored: Scored) -> Example:
    facts: list[Fact] = []
    for each in scored.scores[:_MAX_PRINCIPLES]:
        reason = f": {each.reason[:80]}" if each.reason else ""
        unread = f"{each.outcome}{reason}"
        facts.append(Fact(each.principle_id, unread if each.value is None else f"{each.value:.2f}"))
    value = "no score" if scored.value is None else f"score {scored.value:.2f}"
    by = f" of {model_name(scored.model)}" if scored.model else ""
    texts = (prompt_block(scored.prompt), text_block(f"response{by}", scored.response))
    return Example(f"{scored.prompt.id}: {value}", texts, tuple(facts))
