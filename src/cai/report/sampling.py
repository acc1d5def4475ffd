"""A run of `cai sample` as a part: what each policy's responses are like, and examples."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from cai.engine.run_folder import RunFolder
from cai.evaluation import format
from cai.evaluation.policies.text_metrics import ResponseBatch, text_figures
from cai.evaluation.stats.bootstrap import unit_of
from cai.methods.revision_flags import is_evasive, is_refusal
from cai.methods.sampling import Sample, Samples
from cai.report import runs
from cai.report.examples import Best, FactShares, lot
from cai.report.model import Doubt, Example, Fact, Headline, Section, SectionTable, Shelf
from cai.report.runs import RunHead
from cai.report.text import model_name, model_names, prompt_block, share_headline, text_block
from cai.report.truth import TrueResponses, Truth
from cai.runs.config import SampleRunConfig
from cai.runs.records import read_done

N_VARIETY = 500
"""Responses of each policy by which variety is told: it falls with the number of texts."""

_MANY = 0.05
_One = tuple[Samples, Sample]


@dataclass(slots=True)
class _Policy:
    """Counts of one policy, and the responses by which its variety is told."""

    shares: FactShares = field(default_factory=FactShares)
    n_words: int = 0
    drawn: Best[tuple[str, str]] = field(default_factory=lambda: Best(N_VARIETY))

    @property
    def variety(self) -> dict[str, float]:
        texts = self.drawn.items
        return text_figures(ResponseBatch([one for one, _ in texts], [text for _, text in texts]))


@dataclass(slots=True)
class _Tally:
    n_examples: int
    policies: dict[str, _Policy] = field(default_factory=dict[str, _Policy])
    truth: TrueResponses | None = None
    n_prompts: int = 0
    n_alike: int = 0
    sample: Best[Samples] = field(init=False)
    evasive: Best[_One] = field(init=False)
    cut_off: Best[_One] = field(init=False)

    def __post_init__(self) -> None:
        self.sample, self.evasive = Best(self.n_examples), Best(self.n_examples)
        self.cut_off = Best(self.n_examples)

    def add(self, samples: Samples) -> None:
        self.n_prompts += 1
        self.n_alike += len({each.completion.text for each in samples.samples}) == 1
        drawn = lot(samples.prompt.id)
        self.sample.offer(drawn, samples)
        for number, each in enumerate(samples.samples):
            self._add(samples, each, number, drawn)

    def _add(self, samples: Samples, each: Sample, number: int, drawn: float) -> None:
        found, text = self.policies.setdefault(each.model, _Policy()), each.completion.text
        facts = {
            "evasive": is_evasive(text),
            "refusal": is_refusal(text),
            "empty": not text.strip(),
            "cut off": each.completion.stop_reason == "length",
        }
        found.shares.add(unit_of(samples.prompt), facts)
        found.n_words += len(text.split())
        request = samples.prompt.request
        found.drawn.offer(lot(f"{samples.prompt.id} {number}"), (request, text))
        if self.truth is not None:
            self.truth.add(model_name(each.model), samples.prompt, text)
        if facts["evasive"]:
            self.evasive.offer(drawn, (samples, each))
        if facts["cut off"] or facts["empty"]:
            self.cut_off.offer(drawn, (samples, each))


def sampled_part(
    run: RunFolder,
    recipe: SampleRunConfig,
    head: RunHead,
    path: str,
    *,
    n_examples: int,
    truth: Truth | None = None,
) -> Section:
    """The part of the run, its records read once."""
    tally = _Tally(n_examples, truth=None if truth is None else truth.responses())
    for _, samples in read_done(run, Samples):
        tally.add(samples)
    tables = (
        _policy_table(tally),
        _truth_table(tally),
        runs.failure_table(head),
        runs.cost_table(head),
    )
    who = model_names(draw.model for draw in recipe.policies)
    n = format.plural(recipe.k, "response")
    prompts = format.plural(head.counts.done, "prompt")
    return Section(
        title="Responses of the policy" if len(recipe.policies) == 1 else "Responses of policies",
        path=path,
        done=f"{who} gave {n}{' each' if len(recipe.policies) > 1 else ''} to {prompts}.",
        began=head.created,
        facts=tuple(_facts(recipe)),
        headlines=tuple(_headlines(tally)),
        doubts=tuple(_doubts(head, tally)),
        took=head.took,
        tables=tuple(table for table in tables if table is not None),
        shelves=tuple(_shelves(tally)),
        versions=head.versions,
    )


def _facts(recipe: SampleRunConfig) -> Iterator[Fact]:
    yield runs.source_fact(recipe.source)
    yield Fact("plan", f"{recipe.k} of each policy to each prompt, seed {recipe.seed}")
    yield from runs.draw_facts("policy", recipe.policies)


def _headlines(tally: _Tally) -> Iterator[Headline]:
    """Against the truth where it is known; else of one policy alone, several have their table."""
    if tally.truth is not None and _truth_table(tally) is not None:
        yield from tally.truth.headlines()
    elif len(tally.policies) == 1:
        (found,) = tally.policies.values()
        line = share_headline(found.shares.estimate("evasive"), "responses only evade")
        if line is not None:
            yield line


def _truth_table(tally: _Tally) -> SectionTable | None:
    return None if tally.truth is None else tally.truth.table("policy")


def _doubts(head: RunHead, tally: _Tally) -> Iterator[Doubt]:
    yield from runs.run_doubts(head)
    for model, found in tally.policies.items():
        for fact, said in (("empty", "are empty"), ("cut off", "end at the length limit")):
            share = found.shares.share(fact) or 0.0
            if share > _MANY:
                name = model_name(model)
                yield Doubt(f"{format.percent(share)} of the responses of {name} {said}.", True)
    if tally.n_prompts and tally.n_alike > tally.n_prompts / 4:
        share = format.percent(tally.n_alike / tally.n_prompts)
        yield Doubt(f"To {share} of the prompts all responses are the same text.")


def _policy_table(tally: _Tally) -> SectionTable | None:
    rows: list[tuple[str, ...]] = []
    for model, found in tally.policies.items():
        variety = found.variety
        rows.append(
            (
                model_name(model),
                f"{len(found.shares):,}",
                format.number(found.n_words / len(found.shares)),
                format.share(found.shares.estimate("refusal")),
                format.share(found.shares.estimate("evasive")),
                format.percent(found.shares.share("empty")),
                format.percent(found.shares.share("cut off")),
                format.percent(variety.get("distinct_2")),
                format.number(variety.get("self_similarity")),
            )
        )
    headings = (
        *("policy", "responses", "words, mean", "decline (95 %)", "only evade (95 %)"),
        *("empty", "cut off", "distinct word pairs", "likeness"),
    )
    note = (
        "Declining and evading are told by stock phrases, and so only roughly. Distinct word pairs "
        f"and likeness (mean cosine between responses to different prompts) are of up to "
        f"{N_VARIETY} responses of each policy."
    )
    return (
        SectionTable("What the responses are like", headings, tuple(rows), note) if rows else None
    )


def _shelves(tally: _Tally) -> Iterator[Shelf]:
    if tally.sample.items:
        how = f"{len(tally.sample.items)} of {tally.n_prompts:,}, drawn by the hash of the id."
        yield Shelf("A sample", how, tuple(map(_together, tally.sample.items)))
    kinds = (("Only evade", tally.evasive), ("Empty or cut off", tally.cut_off))
    for heading, best in kinds:
        if best.items:
            how = f"{len(best.items)} of {best.n_offered:,}, drawn by the hash of the prompt's id."
            yield Shelf(heading, how, tuple(_alone(*each) for each in best.items))


def _together(samples: Samples) -> Example:
    n = format.plural(len(samples.samples), "response")
    texts = [prompt_block(samples.prompt)]
    for each in samples.samples[:6]:
        name = model_name(each.model)
        texts.append(text_block(f"response of {name}", each.completion.text))
    return Example(f"{samples.prompt.id}: {n}", tuple(texts))


def _alone(samples: Samples, each: Sample) -> Example:
    title = f"{samples.prompt.id}: {model_name(each.model)}"
    texts = (
        prompt_block(samples.prompt),
        text_block("response", each.completion.text),
    )
    return Example(title, texts)
