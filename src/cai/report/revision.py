"""The section of a run of `cai revise`: what each round and principle changed, and examples."""

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
from cai.report.estimates import FactShares
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
    TextBlock,
)
from cai.report.text import change_headline, model_names, prompt_block, share_headline, text_block
from cai.report.truth import Truth
from cai.runs.config import ReviseRunConfig
from cai.runs.records import read_done

MAX_FLAGGED = 0.05
"""A share of flagged revisions above this is worth a warning."""

_N_OF_FLAG = 3
_MAX_CRITIQUE = 600
_MAX_ROUNDS = 6
_LINES = (("decline", "refusal"), ("only evade", "evasive"), ("changed", "changed"))


def revision_section(
    run: RunFolder, config: ReviseRunConfig, *, n_examples: int, truth: Truth | None = None
) -> Section:
    """The section of the run; its records are read once."""
    known = truth if truth is not None and truth.covers(config.constitution) else None
    tally = _Tally(n_examples, known)
    for _, chain in read_done(run, Chain):
        tally.add(chain)
    settings = config.settings
    tags = f", principles tagged {format.listed(settings.tags)}" if settings.tags else ""
    plan = f"{plural(settings.rounds, 'round')}{tags}, seed {config.seed}"
    return Section(
        title="Critique and revision",
        done=(
            f"{model_names(role.model for role in config.roles.values())} answered "
            f"{plural(run.counts().done, 'prompt')} and "
            f"{'revised' if settings.direct else 'critiqued and revised'} the answers, "
            f"{plural(settings.rounds, 'round')} each, under the constitution "
            f"{runs.constitution_name(config.constitution)}."
        ),
        weight=2 if known else 1,
        facts=(
            runs.source_fact(config.source),
            runs.constitution_fact(config.constitution),
            Fact("plan", plan),
            *(
                fact
                for name, role in config.roles.items()
                for fact in runs.role_facts(name, [role])
            ),
        ),
        headlines=tuple(tally.headlines()),
        caveats=tuple(tally.caveats()),
        tables=tuple(tally.tables()),
        plots=tuple(tally.plots()),
        examples=tuple(tally.groups()),
    )


@dataclass(slots=True)
class _Round:
    """Counts after a round; round 0 is the first response."""

    shares: FactShares = field(default_factory=FactShares)
    n_words: int = 0
    flags: Counter[Flag] = field(default_factory=Counter[Flag])


@dataclass(slots=True)
class _Principle:
    """Counts of the rounds under a principle."""

    n: int = 0
    n_changed: int = 0
    n_flagged: int = 0


class _Tally:
    """Counts and examples of one chain after another, and what the section shows of them."""

    def __init__(self, n_examples: int, truth: Truth | None) -> None:
        self._truth = truth
        self._responses = None if truth is None else truth.responses()
        self._rounds: list[_Round] = []
        self._principles: dict[str, _Principle] = {}
        self._whole = FactShares()
        self._improved, self._worst, self._changed, self._sample = (
            TopN[Chain](n_examples) for _ in range(4)
        )
        self._flagged = {flag: TopN[Chain](min(_N_OF_FLAG, n_examples)) for flag in FLAGS}

    def add(self, chain: Chain) -> None:
        unit, before = unit_of(chain.prompt), chain.response.text
        was_evasive = is_evasive(before)
        signs = {"evasive": was_evasive, "refusal": is_refusal(before)}
        for number, text in enumerate((before, *chain.revisions)):
            is_changed = text != before
            # Most rounds change nothing, and matching the lists of phrases takes time.
            if is_changed:
                signs = {"evasive": is_evasive(text), "refusal": is_refusal(text)}
            if number == len(self._rounds):
                self._rounds.append(_Round())
            after = self._rounds[number]
            after.n_words += len(text.split())
            after.shares.add(unit, {"changed": is_changed, **signs})
            if number:
                done = chain.rounds[number - 1]
                principle = self._principles.setdefault(done.principle_id, _Principle())
                principle.n += 1
                principle.n_changed += is_changed
                principle.n_flagged += bool(done.flags)
                after.flags.update(done.flags)
            if self._responses is not None:
                self._responses.add(f"round {number}", chain.prompt, text)
            before = text
        # From the first text to the final one: a change that a later round undoes is none.
        ends = {"evasive before": was_evasive, "evasive after": signs["evasive"]}
        self._whole.add(unit, {"changed": chain.final != chain.response.text, **ends})
        self._add_example(chain)

    def _add_example(self, chain: Chain) -> None:
        fraction = hash_fraction(chain.prompt.id)
        first, final = chain.response.text, chain.final
        self._sample.offer(fraction, chain)
        # By counts of words, as a diff of every chain of a run would take too long.
        self._changed.offer(changed_share(first, final), chain)
        for flag in {flag for each in chain.rounds for flag in each.flags}:
            self._flagged[flag].offer(fraction, chain)
        if self._truth is None:
            return
        before = self._truth.n_broken(chain.prompt, first)
        after = self._truth.n_broken(chain.prompt, final)
        if before is not None and after is not None:
            # The numbers are whole, so that the fraction orders equal ones at random.
            if before > after:
                self._improved.offer(before - after + fraction, chain)
            if after:
                self._worst.offer(after + fraction, chain)

    def headlines(self) -> Iterator[Headline]:
        # What revision does by the truth is worth more than what phrases show, and comes first.
        if self._responses is not None:
            yield from self._responses.changes("before → after revision")
        changed = self._whole.estimate("changed")
        if changed is not None:
            yield from share_headline(changed, "responses changed by revision")
            ends = [self._whole.estimate(f"evasive {end}") for end in ("before", "after")]
            what = "responses that only evade, before → after revision"
            yield from change_headline(ends, what)

    def caveats(self) -> Iterator[Caveat]:
        n_revised = sum(len(each.shares) for each in self._rounds[1:])
        flags = sum((each.flags for each in self._rounds), Counter[Flag]())
        for flag, n in flags.most_common():
            # An unchanged revision is no fault: the critique may have found nothing to change.
            if n > MAX_FLAGGED * n_revised and flag != "unchanged":
                share = format.percent(n / n_revised)
                text = f"{share} of revisions are flagged {flag}: see the examples."
                yield Caveat(text, n > n_revised / 4)
        if self._responses is None and self._rounds:
            yield Caveat(
                "Whether revisions are better is not measured here: words are counted, and nobody "
                "judged them. Judge a revision against its original, or read the examples."
            )

    def tables(self) -> Iterator[SectionTable | None]:
        """By round, against the truth where it is known, by principle, and by flag."""
        yield SectionTable(
            "What the rounds change",
            ("after round", "texts", "changed (95 %)", "decline", "only evade", "words, mean"),
            tuple(
                (
                    str(number) if number else "0, the first response",
                    f"{len(each.shares):,}",
                    format.share(each.shares.estimate("changed")) if number else format.NONE,
                    format.percent(each.shares.share("refusal")),
                    format.percent(each.shares.share("evasive")),
                    format.number(each.n_words / len(each.shares)),
                )
                for number, each in enumerate(self._rounds)
            ),
            "Declining and evading are recognized by stock phrases, and so only roughly.",
        )
        yield None if self._responses is None else self._responses.table("after")
        by_size = sorted(self._principles.items(), key=lambda item: (-item[1].n, item[0]))
        yield SectionTable(
            "What each principle changes",
            ("principle", "rounds under it", "changed", "flagged"),
            tuple(
                (
                    id,
                    f"{each.n:,}",
                    format.percent(each.n_changed / each.n),
                    format.percent(each.n_flagged / each.n),
                )
                for id, each in by_size
            ),
        )
        revised = self._rounds[1:]
        yield SectionTable(
            "Flagged revisions",
            ("flag", *(f"round {number}" for number in range(1, len(revised) + 1))),
            tuple(
                (flag, *(f"{each.flags[flag]:,}" for each in revised))
                for flag in FLAGS
                if any(each.flags[flag] for each in revised)
            ),
            "A revision may have several flags.",
        )

    def plots(self) -> Iterator[Plot]:
        if len(self._rounds) > 2:
            lines = [
                charts.Line(
                    name,
                    [
                        charts.Point.of(share, number)
                        for number, each in enumerate(self._rounds)
                        # Round 0 is the first response, before which there is nothing to change.
                        if (number or fact != "changed") and (share := each.shares.estimate(fact))
                    ],
                )
                for name, fact in _LINES
            ]
            words = "Shares of responses after each round: " + "; ".join(
                f"{line.name} {', '.join(format.percent(point.value) for point in line.points)}"
                for line in lines
            )
            axis = charts.Axis("share of responses", (-0.02, 1.02))
            yield charts.lines("Round by round", words, axis, "after round", lines)
        if len(self._principles) > 1:
            rows = [(id, each.n_changed / each.n) for id, each in self._principles.items()]
            rows.sort(key=lambda row: -row[1])
            axis = charts.Axis("share of rounds that change it", (0, 1))
            yield charts.bars("What each principle changes", "Share of texts changed", axis, rows)

    def groups(self) -> Iterator[ExampleGroup]:
        kinds = (
            ("Best: what revision fixes", "most broken principles fixed", self._improved),
            ("Worst: what revision leaves", "most principles still broken", self._worst),
            ("Most changed", "most words that are only in one of the texts", self._changed),
            ("A sample", BY_HASH, self._sample),
        )
        yield from example_groups(kinds, _example)
        # One group for all flags, a few of each: a group for every flag would hide the others.
        flagged = tuple(
            _example(chain, f"{flag}: ") for flag in FLAGS for chain in self._flagged[flag].items
        )
        if flagged:
            yield ExampleGroup("Flagged", f"up to {_N_OF_FLAG} of each flag, {BY_HASH}.", flagged)


def _example(chain: Chain, prefix: str = "") -> Example:
    """The prompt, the whole change as a diff, and every round under it."""
    before = chain.response.text
    texts = [prompt_block(chain.prompt), diff("first response → final text", before, chain.final)]
    for number, each in enumerate(chain.rounds[:_MAX_ROUNDS], 1):
        flags = f", {format.listed(each.flags)}" if each.flags else ""
        name = f"round {number}, {each.principle_id}"
        if each.critique is not None:
            texts.append(text_block(f"{name}: critique", each.critique.text, _MAX_CRITIQUE))
        if each.revision is not None and each.revision.text == before:
            texts.append(TextBlock(f"{name}: the text stays{flags}", ()))
        elif each.revision is not None:
            texts.append(diff(f"{name}: revision{flags}", before, each.revision.text))
        before = chain.revisions[number - 1]
    share = changed_share(chain.response.text, chain.final)
    change = f"{format.percent(share)} of words changed" if share else "the text stays"
    title = f"{prefix}{chain.prompt.id}: {plural(len(chain.rounds), 'round')}, {change}"
    listed = format.listed(dict.fromkeys(flag for each in chain.rounds for flag in each.flags))
    return Example(title + (f", flags: {listed}" if listed else ""), tuple(texts))
