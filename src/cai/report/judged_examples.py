"""Which verdicts are shown to be read: the surest, the disputed, the unreadable."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from cai.judging.comparisons import Group
from cai.judging.ranking import Contest, Judged
from cai.judging.verdicts import UNREADABLE, Judgement, Reading
from cai.report.choosing import Best, lot
from cai.report.pieces import Example, Fact, Said, Shelf
from cai.report.wording import model_name, prompt_block, text_block

_MOST_PRINCIPLES = 12
_LONGEST_RATIONALE = 500
_One = tuple[Group, Contest]


@dataclass(slots=True)
class Chosen:
    """Takes one judged group after the other; of each group and kind one contest at most."""

    n: int
    surest: Best[_One] = field(init=False)
    against_people: Best[_One] = field(init=False)
    orders: Best[_One] = field(init=False)
    unread: Best[_One] = field(init=False)
    sample: Best[_One] = field(init=False)

    def __post_init__(self) -> None:
        self.surest, self.against_people = Best(self.n), Best(self.n)
        self.orders, self.unread, self.sample = Best(self.n), Best(self.n), Best(self.n)

    def add(self, judged: Judged) -> None:
        group, drawn = judged.group, lot(judged.group.prompt.id)
        for best, numbers in (
            (self.surest, [each.verdict.margin for each in judged.contests]),
            (self.against_people, [_against_people(group, each) for each in judged.contests]),
            (self.orders, [_gap(each) for each in judged.contests]),
            (self.unread, [_unread(each, drawn) for each in judged.contests]),
        ):
            known = [(number, place) for place, number in enumerate(numbers) if number is not None]
            if known:
                number, place = max(known, key=lambda each: (each[0], -each[1]))
                best.offer(number, (group, judged.contests[place]))
        if judged.contests:
            place = int(drawn * len(judged.contests))
            self.sample.offer(drawn, (group, judged.contests[place]))

    def shelves(self) -> Iterator[Shelf]:
        """Only those on which something stands."""
        kinds = (
            ("Best against worst: the surest verdicts", "highest margin", self.surest),
            ("Judge and people disagree", "surest of the judge first", self.against_people),
            ("The orders disagree", "widest apart first, under any principle", self.orders),
            ("Not read", "drawn by the hash of the prompt's id", self.unread),
            ("A sample", "drawn by the hash of the prompt's id", self.sample),
        )
        for heading, how, best in kinds:
            if best.items:
                chosen = f"{len(best.items)} of {best.n_offered:,} prompts: {how}."
                yield Shelf(heading, chosen, tuple(contest_example(*each) for each in best.items))


def _against_people(group: Group, contest: Contest) -> float | None:
    """The judge's margin where it favours the side that people do not."""
    is_labelled = (contest.first, contest.second) == (0, 1) and group.label in ("a", "b")
    outcome = contest.verdict.outcome
    if not is_labelled or outcome not in ("a", "b") or outcome == group.label:
        return None
    return contest.verdict.margin


def _gap(contest: Contest) -> float | None:
    """How far apart the orders are where they favour different responses, in (0, 1]."""
    gaps = [
        abs(each.there.p_a - each.back.p_a)
        for each in contest.verdict.judgements
        if each.is_flip and each.there.p_a is not None and each.back.p_a is not None
    ]
    return max(gaps, default=None)


def _unread(contest: Contest, drawn: float) -> float | None:
    return drawn if contest.verdict.outcome in UNREADABLE else None


def contest_example(group: Group, contest: Contest) -> Example:
    """Prompt and both responses, the favoured one named, and what each principle said."""
    verdict = contest.verdict
    p = "" if verdict.p_a is None else f", P(A better) {verdict.p_a:.2f}"
    people = ""
    if group.label is not None and (contest.first, contest.second) == (0, 1):
        people = f", people: {group.label.upper() if group.label != 'tie' else 'a tie'}"
    outcome = verdict.outcome.upper() if verdict.outcome in ("a", "b") else verdict.outcome
    texts = [prompt_block(group.prompt)]
    for side, place in (("A", contest.first), ("B", contest.second)):
        candidate = group.candidates[place]
        by = f", of {model_name(candidate.model)}" if candidate.model else ""
        better = ", the judge's choice" if outcome == side else ""
        texts.append(text_block(f"response {side}{by}{better}", candidate.text))
    title = f"{group.prompt.id}: the judge says {outcome}{p}{people}"
    judgements = verdict.judgements[:_MOST_PRINCIPLES]
    return Example(
        title, (*texts, *_rationales(judgements)), tuple(_fact(each) for each in judgements)
    )


def _rationales(judgements: tuple[Judgement, ...]) -> Iterator[Said]:
    """The first text that the judge wrote, where it wrote any."""
    for each in judgements:
        for reading in (each.there, each.back):
            written = reading.rationales or reading.answers
            if written:
                name = f"the judge under {each.principle_id}"
                yield text_block(name, written[0], _LONGEST_RATIONALE)
                return


def _fact(judgement: Judgement) -> Fact:
    orders = f"A first {_read(judgement.there)}, B first {_read(judgement.back)}"
    reversed_ = " (asked reversed)" if judgement.is_negated else ""
    return Fact(f"{judgement.principle_id}{reversed_}", orders)


def _read(reading: Reading) -> str:
    if reading.p_a is not None:
        return f"{reading.p_a:.2f}"
    reason = f" ({reading.reason[:80]})" if reading.reason else ""
    return f"{reading.outcome}{reason}"
