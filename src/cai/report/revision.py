"""A run of `cai revise` as a part: what each round and principle changed, and examples.

Which revisions are shown to be read, and how.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from cai.engine.run_folder import RunFolder
from cai.evaluation import format
from cai.evaluation.format import plural
from cai.evaluation.stats.bootstrap import unit_of
from cai.methods.revision import Chain
from cai.methods.revision_flags import FLAGS, Flag, is_evasive, is_refusal
from cai.report import charts, runs
from cai.report.diffs import changed_share, diff
from cai.report.examples import Best, FactShares, lot
from cai.report.model import (
    Doubt,
    Example,
    Fact,
    Headline,
    Plot,
    Said,
    Section,
    SectionTable,
    Shelf,
)
from cai.report.runs import RunHead
from cai.report.text import change_headline, model_names, prompt_block, share_headline, text_block
from cai.report.truth import TrueResponses, Truth
from cai.runs.config import ReviseRunConfig
from cai.runs.records import read_done

_N_OF_FLAG = 3
_LONGEST_CRITIQUE = 600
_MOST_ROUNDS = 6


@dataclass(slots=True)
class RevisionExamples:
    """Takes one chain after the other and keeps a few of each kind.

    Where the truth is known, the best are those that mend most, the worst those that are left
    with most broken principles.
    """

    n: int
    truth: Truth | None
    mended: Best[Chain] = field(init=False)
    worst: Best[Chain] = field(init=False)
    changed: Best[Chain] = field(init=False)
    sample: Best[Chain] = field(init=False)
    flagged: dict[Flag, Best[Chain]] = field(init=False)

    def __post_init__(self) -> None:
        self.mended, self.worst = Best(self.n), Best(self.n)
        self.changed, self.sample = Best(self.n), Best(self.n)
        self.flagged = {flag: Best(min(_N_OF_FLAG, self.n)) for flag in FLAGS}

    def add(self, chain: Chain) -> None:
        drawn = lot(chain.prompt.id)
        self.sample.offer(drawn, chain)
        first, final = chain.response.text, chain.final
        self.changed.offer(changed_share(first, final), chain)
        flags: set[Flag] = {flag for each in chain.rounds for flag in each.flags}
        for flag in flags:
            self.flagged[flag].offer(drawn, chain)
        before = self.truth.n_broken(chain.prompt, first) if self.truth else None
        after = self.truth.n_broken(chain.prompt, final) if self.truth else None
        if before is not None and after is not None:
            if before > after:
                self.mended.offer(before - after + drawn, chain)
            if after:
                self.worst.offer(after + drawn, chain)

    def shelves(self) -> Iterator[Shelf]:
        """Only those on which something stands."""
        kinds = (
            (
                "Best: what revision mends",
                "most principles kept after and broken before",
                self.mended,
            ),
            ("Worst: what revision leaves", "most principles still broken", self.worst),
            ("Most changed", "most words that are only in one of the texts", self.changed),
            ("A sample", "drawn by the hash of the prompt's id", self.sample),
        )
        for heading, how, best in kinds:
            if best.items:
                chosen = f"{len(best.items)} of {best.n_offered:,}: {how}."
                examples = tuple(chain_example(each) for each in best.items)
                yield Shelf(heading, chosen, examples)
        flagged = tuple(
            chain_example(chain, f"{flag}: ")
            for flag in FLAGS
            for chain in self.flagged[flag].items
        )
        if flagged:
            how = f"up to {_N_OF_FLAG} of each flag, drawn by the hash of the prompt's id."
            yield Shelf("Flagged", how, flagged)


def chain_example(chain: Chain, before: str = "") -> Example:
    """The prompt, the whole change as a diff, and every round under it."""
    share = changed_share(chain.response.text, chain.final)
    change = f"{format.percent(share)} of words changed" if share else "the text stays"
    flags = format.listed(dict.fromkeys(flag for each in chain.rounds for flag in each.flags))
    title = f"{before}{chain.prompt.id}: {plural(len(chain.rounds), 'round')}, {change}"
    return Example(
        title + (f", flags: {flags}" if flags else ""),
        (
            prompt_block(chain.prompt),
            diff("first response → final text", chain.response.text, chain.final),
            *_rounds(chain),
        ),
    )


def _rounds(chain: Chain) -> Iterator[Said]:
    before = chain.response.text
    for number, each in enumerate(chain.rounds[:_MOST_ROUNDS], 1):
        flags = f", {format.listed(each.flags)}" if each.flags else ""
        name = f"round {number}, {each.principle_id}"
        if each.critique is not None:
            yield text_block(f"{name}: critique", each.critique.text, _LONGEST_CRITIQUE)
        if each.revision is not None and each.revision.text == before:
            yield Said(f"{name}: the text stays{flags}", ())
        elif each.revision is not None:
            yield diff(f"{name}: revision{flags}", before, each.revision.text)
        before = chain.revisions[number - 1]


MANY = 0.05
"""A share of flagged revisions above this is worth a warning."""


@dataclass(slots=True)
class _Round:
    """What was found after a round; round 0 is the first response."""

    shares: FactShares = field(default_factory=FactShares)
    n_words: int = 0
    flags: Counter[Flag] = field(default_factory=Counter[Flag])


@dataclass(slots=True)
class _Principle:
    n: int = 0
    n_changed: int = 0
    n_flagged: int = 0


@dataclass(slots=True)
class _Tally:
    chosen: RevisionExamples
    truth: TrueResponses | None
    rounds: list[_Round] = field(default_factory=list[_Round])
    principles: dict[str, _Principle] = field(default_factory=dict[str, _Principle])
    whole: FactShares = field(default_factory=FactShares)

    def add(self, chain: Chain) -> None:
        unit, first = unit_of(chain.prompt), chain.response.text
        before, found = first, _signs(first)
        at_first = found
        for number, text in enumerate((first, *chain.revisions)):
            is_changed = text != before
            found = _signs(text) if is_changed else found
            self._add_text(number, unit, text, {"changed": is_changed, **found})
            if number:
                self._add_principle(chain, number - 1, is_changed)
            if self.truth is not None:
                self.truth.add(f"round {number}", chain.prompt, text)
            before = text
        ends = {"evasive before": at_first["evasive"], "evasive after": found["evasive"]}
        self.whole.add(unit, {"changed": chain.final != first, **ends})
        self.chosen.add(chain)

    def _add_text(self, number: int, unit: int, text: str, facts: dict[str, bool]) -> None:
        if number == len(self.rounds):
            self.rounds.append(_Round())
        found = self.rounds[number]
        found.n_words += len(text.split())
        found.shares.add(unit, facts)

    def _add_principle(self, chain: Chain, place: int, is_changed: bool) -> None:
        done = chain.rounds[place]
        found = self.principles.setdefault(done.principle_id, _Principle())
        found.n += 1
        found.n_changed += is_changed
        found.n_flagged += bool(done.flags)
        self.rounds[place + 1].flags.update(done.flags)


def _signs(text: str) -> dict[str, bool]:
    return {"evasive": is_evasive(text), "refusal": is_refusal(text)}


def revised_part(
    run: RunFolder,
    recipe: ReviseRunConfig,
    head: RunHead,
    path: str,
    *,
    n_examples: int,
    truth: Truth | None = None,
) -> Section:
    """The part of the run, its records read once."""
    known = truth if truth is not None and truth.covers(recipe.constitution) else None
    responses = None if known is None else known.responses()
    tally = _Tally(RevisionExamples(n_examples, known), responses)
    for _, chain in read_done(run, Chain):
        tally.add(chain)
    tables = (
        _round_table(tally),
        None if responses is None else responses.table("after"),
        _principle_table(tally),
        _flag_table(tally),
        runs.failure_table(head),
        runs.cost_table(head),
    )
    return Section(
        title="Critique and revision",
        path=path,
        done=_done(recipe, head),
        began=head.created,
        weight=2 if known else 1,
        facts=tuple(_facts(recipe)),
        headlines=tuple(_headlines(tally)),
        doubts=tuple(_doubts(recipe, head, tally)),
        took=head.took,
        tables=tuple(table for table in tables if table is not None),
        plots=tuple(_plots(tally)),
        shelves=tuple(tally.chosen.shelves()),
        versions=head.versions,
    )


def _done(recipe: ReviseRunConfig, head: RunHead) -> str:
    who = model_names(draw.model for draw in recipe.roles.values())
    how = "revised" if recipe.settings.direct else "critiqued and revised"
    return (
        f"{who} answered {format.plural(head.counts.done, 'prompt')} and {how} the answers, "
        f"{format.plural(recipe.settings.rounds, 'round')} each, under the constitution "
        f"{runs.constitution_name(recipe.constitution)}."
    )


def _facts(recipe: ReviseRunConfig) -> Iterator[Fact]:
    plan = recipe.settings
    yield runs.source_fact(recipe.source)
    yield runs.constitution_fact(recipe.constitution)
    tags = f", principles tagged {format.listed(plan.tags)}" if plan.tags else ""
    yield Fact("plan", f"{format.plural(plan.rounds, 'round')}{tags}, seed {recipe.seed}")
    for role, draw in recipe.roles.items():
        yield from runs.draw_facts(role, [draw])


def _headlines(tally: _Tally) -> Iterator[Headline]:
    if tally.truth is not None:
        yield from tally.truth.changes("before → after revision")
    changed = share_headline(tally.whole.estimate("changed"), "responses changed by revision")
    if changed is not None:
        yield changed
        ends = tally.whole.estimate("evasive before"), tally.whole.estimate("evasive after")
        yield from change_headline(*ends, "responses that only evade, before → after revision")


def _doubts(recipe: ReviseRunConfig, head: RunHead, tally: _Tally) -> Iterator[Doubt]:
    yield from runs.run_doubts(head)
    n_revised = sum(len(each.shares) for each in tally.rounds[1:])
    flags = sum((each.flags for each in tally.rounds), Counter[Flag]())
    for flag, n in flags.most_common():
        if n > MANY * n_revised and flag != "unchanged":
            share = format.percent(n / n_revised)
            yield Doubt(
                f"{share} of revisions are flagged {flag}: see the examples.", n > n_revised / 4
            )
    if tally.truth is None and tally.rounds:
        yield Doubt(
            "Whether revisions are better is not measured here: words are counted, and nobody "
            "judged them. Judge a revision against its original, or read the examples."
        )


def _round_table(tally: _Tally) -> SectionTable | None:
    if not tally.rounds:
        return None
    rows = tuple(
        (
            str(number) if number else "0, the first response",
            f"{len(each.shares):,}",
            format.share(each.shares.estimate("changed")) if number else format.NONE,
            format.percent(each.shares.share("refusal")),
            format.percent(each.shares.share("evasive")),
            format.number(each.n_words / len(each.shares)),
        )
        for number, each in enumerate(tally.rounds)
    )
    headings = ("after round", "texts", "changed (95 %)", "decline", "only evade", "words, mean")
    note = "Declining and evading are told by stock phrases, and so only roughly."
    return SectionTable("What the rounds change", headings, rows, note)


def _principle_table(tally: _Tally) -> SectionTable | None:
    rows = tuple(
        (
            id,
            f"{each.n:,}",
            format.percent(each.n_changed / each.n),
            format.percent(each.n_flagged / each.n),
        )
        for id, each in sorted(tally.principles.items(), key=lambda item: (-item[1].n, item[0]))
    )
    headings = ("principle", "rounds under it", "changed", "flagged")
    return SectionTable("What each principle changes", headings, rows) if rows else None


def _flag_table(tally: _Tally) -> SectionTable | None:
    rounds = tally.rounds[1:]
    if not any(each.flags for each in rounds):
        return None
    rows = tuple(
        (flag, *(f"{each.flags[flag]:,}" for each in rounds))
        for flag in FLAGS
        if any(each.flags[flag] for each in rounds)
    )
    headings = ("flag", *(f"round {number}" for number in range(1, len(rounds) + 1)))
    return SectionTable("Flagged revisions", headings, rows, "A revision may have several flags.")


def _plots(tally: _Tally) -> Iterator[Plot]:
    if len(tally.rounds) > 2:
        lines = [charts.Line(name, list(_points(tally, fact))) for name, fact in _LINES]
        words = "Shares of responses after each round: " + "; ".join(
            f"{line.name} {', '.join(format.percent(point.value) for point in line.points)}"
            for line in lines
        )
        axis = charts.Axis("share of responses", (-0.02, 1.02))
        yield charts.lines("Round by round", words, axis, "after round", lines)
    if len(tally.principles) > 1:
        rows = sorted(
            ((id, each.n_changed / each.n) for id, each in tally.principles.items()),
            key=lambda row: -row[1],
        )
        words = "Share of texts changed: " + ", ".join(
            f"{id} {format.percent(share)}" for id, share in rows
        )
        axis = charts.Axis("share of rounds that change it", (0, 1))
        yield charts.bars("What each principle changes", words, axis, rows)


_LINES = (("decline", "refusal"), ("only evade", "evasive"), ("changed", "changed"))


def _points(tally: _Tally, fact: str) -> Iterator[charts.Point]:
    for number, each in enumerate(tally.rounds):
        found = each.shares.estimate(fact)
        if found is not None and (number or fact != "changed"):
            yield charts.Point.of(found, number)
