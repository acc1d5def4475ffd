"""The section of a run of `cai sample`: what each policy's responses are like, and examples."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from cai.engine.run_folder import RunFolder
from cai.evaluation import format
from cai.evaluation.policies.text_metrics import ResponseBatch, text_figures
from cai.evaluation.stats.bootstrap import unit_of
from cai.methods.revision_flags import is_evasive, is_refusal
from cai.methods.sampling import Samples
from cai.report import runs
from cai.report.estimates import FactShares
from cai.report.examples import BY_HASH, TopN, example_groups, hash_fraction
from cai.report.model import Caveat, Example, ExampleGroup, Fact, Headline, Section, SectionTable
from cai.report.text import model_name, model_names, prompt_block, share_headline, text_block
from cai.report.truth import Truth
from cai.runs.config import SampleRunConfig
from cai.runs.records import read_done

N_DIVERSITY = 500
"""Diversity is measured on this many responses of each policy: it falls with their number."""

_MAX_BROKEN = 0.05
_MAX_RESPONSES = 6


def sampling_section(
    run: RunFolder, config: SampleRunConfig, *, n_examples: int, truth: Truth | None = None
) -> Section:
    """The section of the run; its records are read once."""
    tally = _Tally(n_examples, truth)
    for _, samples in read_done(run, Samples):
        tally.add(samples)
    is_one = len(config.policies) == 1
    n = format.plural(config.k, "response")
    return Section(
        title="Responses of the policy" if is_one else "Responses of policies",
        done=(
            f"{model_names(policy.model for policy in config.policies)} gave {n}"
            f"{'' if is_one else ' each'} to {format.plural(run.counts().done, 'prompt')}."
        ),
        facts=(
            runs.source_fact(config.source),
            Fact("plan", f"{config.k} of each policy to each prompt, seed {config.seed}"),
            *runs.role_facts("policy", config.policies),
        ),
        headlines=tuple(tally.headlines()),
        caveats=tuple(tally.caveats()),
        tables=tuple(tally.tables()),
        examples=tuple(tally.groups()),
    )


@dataclass(slots=True)
class _Policy:
    """Counts of one policy, and a sample of (request, response) to measure its diversity by."""

    shares: FactShares = field(default_factory=FactShares)
    n_words: int = 0
    drawn: TopN[tuple[str, str]] = field(default_factory=lambda: TopN(N_DIVERSITY))


class _Tally:
    """Counts and examples of one prompt after another, and what the section shows of them."""

    def __init__(self, n_examples: int, truth: Truth | None) -> None:
        self._policies: dict[str, _Policy] = {}
        self._truth = None if truth is None else truth.responses()
        self._n_prompts = self._n_alike = 0
        self._sample, self._evasive, self._cut_off = (TopN[Samples](n_examples) for _ in range(3))

    def add(self, samples: Samples) -> None:
        prompt = samples.prompt
        unit, fraction = unit_of(prompt), hash_fraction(prompt.id)
        self._n_prompts += 1
        # one response alone says nothing of how alike they are
        texts = [each.completion.text for each in samples.samples]
        self._n_alike += len(texts) > 1 and len(set(texts)) == 1
        self._sample.offer(fraction, samples)
        for number, each in enumerate(samples.samples):
            policy, text = self._policies.setdefault(each.model, _Policy()), each.completion.text
            facts = {
                "evasive": is_evasive(text),
                "refusal": is_refusal(text),
                "empty": not text.strip(),
                "cut off": each.completion.stop_reason == "length",
            }
            policy.shares.add(unit, facts)
            policy.n_words += len(text.split())
            # A sample of fixed size: diversity falls as responses are added, so that policies with
            # different numbers of responses could not be compared.
            policy.drawn.offer(hash_fraction(f"{prompt.id} {number}"), (prompt.request, text))
            if self._truth is not None:
                self._truth.add(model_name(each.model), prompt, text)
            # Shown alone: the other responses to the prompt would hide the one that is meant.
            # An evasion may be cut off as well, and is then an example of both.
            one = Samples(prompt, (each,))
            if facts["evasive"]:
                self._evasive.offer(fraction, one)
            if facts["cut off"] or facts["empty"]:
                self._cut_off.offer(fraction, one)

    def headlines(self) -> Iterator[Headline]:
        """Against the truth where it is known; else for one policy, as several have a table."""
        if self._truth is not None and self._truth.table("policy") is not None:
            yield from self._truth.headlines()
        elif len(self._policies) == 1:
            (policy,) = self._policies.values()
            yield from share_headline(policy.shares.estimate("evasive"), "responses only evade")

    def caveats(self) -> Iterator[Caveat]:
        for model, policy in self._policies.items():
            for fact, what in (("empty", "are empty"), ("cut off", "end at the length limit")):
                share = policy.shares.share(fact) or 0.0
                if share > _MAX_BROKEN:
                    name = model_name(model)
                    text = f"{format.percent(share)} of the responses of {name} {what}."
                    yield Caveat(text, True)
        if self._n_alike > self._n_prompts / 4:
            share = format.percent(self._n_alike / self._n_prompts)
            yield Caveat(f"To {share} of the prompts all responses are the same text.")

    def tables(self) -> Iterator[SectionTable | None]:
        rows: list[tuple[str, ...]] = []
        for model, policy in self._policies.items():
            shares, drawn = policy.shares, policy.drawn.items
            batch = ResponseBatch([prompt for prompt, _ in drawn], [text for _, text in drawn])
            diversity = text_figures(batch)
            rows.append(
                (
                    model_name(model),
                    f"{len(shares):,}",
                    format.number(policy.n_words / len(shares)),
                    format.share(shares.estimate("refusal")),
                    format.share(shares.estimate("evasive")),
                    format.percent(shares.share("empty")),
                    format.percent(shares.share("cut off")),
                    format.percent(diversity.get("distinct_2")),
                    format.number(diversity.get("self_similarity")),
                )
            )
        headings = (
            *("policy", "responses", "words, mean", "decline (95 %)", "only evade (95 %)"),
            *("empty", "cut off", "distinct word pairs", "self-similarity"),
        )
        note = (
            "Declining and evading are recognized by stock phrases, and so only roughly. Distinct "
            "word pairs and self-similarity (mean cosine between responses to different prompts) "
            f"are of up to {N_DIVERSITY} responses of each policy."
        )
        yield SectionTable("What the responses are like", headings, tuple(rows), note)
        yield None if self._truth is None else self._truth.table("policy")

    def groups(self) -> Iterator[ExampleGroup]:
        kinds = (
            ("A sample", BY_HASH, self._sample),
            ("Only evade", BY_HASH, self._evasive),
            ("Empty or cut off", BY_HASH, self._cut_off),
        )
        return example_groups(kinds, _example)


def _example(samples: Samples) -> Example:
    responses = [
        text_block(f"response of {model_name(each.model)}", each.completion.text)
        for each in samples.samples[:_MAX_RESPONSES]
    ]
    title = f"{samples.prompt.id}: {format.plural(len(samples.samples), 'response')}"
    return Example(title, (prompt_block(samples.prompt), *responses))
