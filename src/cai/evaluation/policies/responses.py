"""Responses of all policies to the same prompts: sampled from models, or read from runs and files.

Prompts are matched by their content: two are the same where every word of the conversation is.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from cai.data.prompts import PromptSource
from cai.data.responses import response_files
from cai.errors import EvaluationError, UsageError
from cai.evaluation.policies.policies import Policy
from cai.evaluation.policies.text_metrics import ALL, Conduct, conduct
from cai.evaluation.spending import Spending
from cai.evaluation.stats.bootstrap import unit_of
from cai.methods.judging.verdict import Candidate
from cai.methods.sampling import Samples
from cai.runs.records import candidates_of, check_runs, is_run, read_runs
from cai.runs.sample import SampleJob, run_sampling
from cai.types import Prompt


@dataclass(frozen=True, slots=True)
class Prompts:
    """A source of prompts of one kind, such as harmful; `all` where no kind is given."""

    source: PromptSource
    kind: str = ALL


@dataclass(frozen=True, slots=True)
class EvaluationPrompt:
    """A prompt that every policy answered, and its kind."""

    prompt: Prompt
    kind: str


@dataclass(frozen=True, slots=True)
class PolicyResponses:
    """The common prompts by unit, in their order, and each policy's responses to them.

    `models` are the known models that wrote each policy's responses. `n_left_out` counts the
    prompts that not all policies answered.
    """

    prompts: Mapping[int, EvaluationPrompt]
    by_policy: Mapping[str, Mapping[int, tuple[Candidate, ...]]]
    models: Mapping[str, frozenset[str]]
    n_left_out: int

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of the prompts, without `all`; empty where none is given."""
        return tuple(dict.fromkeys(each.kind for each in self.prompts.values() if each.kind != ALL))

    def of(self, policy: str, kind: str = ALL) -> Iterator[tuple[int, EvaluationPrompt, Candidate]]:
        """A policy's responses to the prompts of a kind."""
        for unit, prompt in self.prompts.items():
            if kind in (ALL, prompt.kind):
                for response in self.by_policy[policy][unit]:
                    yield unit, prompt, response

    def conduct(self, policy: str, seed: int) -> tuple[Conduct, ...]:
        """The text metrics of a policy's responses: over all prompts first, then of each kind."""
        found: list[Conduct] = []
        for kind in (ALL, *self.kinds):
            rows = list(self.of(policy, kind))
            units = [unit for unit, _, _ in rows]
            texts = [response.text for _, _, response in rows]
            cut_off = [response.is_cut_off for _, _, response in rows]
            found.append(conduct(kind, units, texts, cut_off, seed))
        return tuple(found)


@dataclass(frozen=True, slots=True)
class ResponseCollector:
    """Where responses come from: `k` of each model to every prompt, sampled into folders of `out`.

    Runs and files of responses are read instead.
    """

    prompts: tuple[Prompts, ...]
    k: int
    seed: int
    out: Path
    console: Console

    async def collect(self, policies: Sequence[Policy], spending: Spending) -> PolicyResponses:
        """The responses of every policy; without prompts, to those that all policies answered.

        Raises:
            EvaluationError: No prompt was answered by all, or a run or file mixes several models.
            UsageError: There is a model to sample, and no prompt.
            CaiError: As the jobs and readers of the sources.
        """
        limit = spending.run_options.limit
        given = _distinct_prompts(self.prompts, limit)
        # Runs and files are checked before the first model is sampled: a broken file must not
        # surface after hours of sampling.
        sources: dict[str, Iterator[tuple[Prompt, Candidate]]] = {}
        for each in policies:
            if each.role_model is not None:
                continue
            if is_run(each.source):
                check_runs([each.source])
                sources[each.name] = _of_one_model(each.source, _read_run(each.source))
            else:
                rows = response_files((each.source,)).check().items()
                read = ((row.prompt, Candidate(row.text, row.model)) for _, row in rows)
                sources[each.name] = _of_one_model(each.source, read)
        jobs = self._sampling_jobs(policies)
        by_policy: dict[str, Mapping[int, tuple[Candidate, ...]]] = {}
        models: dict[str, frozenset[str]] = {}
        answered: dict[int, EvaluationPrompt] = {}
        for policy in policies:
            by_unit: dict[int, list[Candidate]] = defaultdict(list)
            if policy.name in jobs:
                sources[policy.name] = await self._sample(policy, jobs[policy.name], spending)
            for prompt, candidate in sources[policy.name]:
                unit = unit_of(prompt)
                if given and unit not in given:
                    continue
                by_unit[unit].append(candidate)
                answered.setdefault(unit, EvaluationPrompt(prompt, ALL))
            by_policy[policy.name] = {unit: tuple(each) for unit, each in by_unit.items()}
            names = {each.model for several in by_unit.values() for each in several if each.model}
            if policy.role_model is not None:
                names = {policy.role_model.model.name}
            models[policy.name] = frozenset(names)
        prompts = given or dict(islice(answered.items(), limit))
        common = {
            unit: each
            for unit, each in prompts.items()
            if all(unit in responses for responses in by_policy.values())
        }
        if not common:
            counts = ", ".join(f"{name} {len(each)}" for name, each in by_policy.items())
            n_given = f"{len(given)} prompts are given; " if given else ""
            raise EvaluationError(
                f"The policies have no prompt in common: {n_given}prompts answered: {counts}. "
                "Prompts are the same where every word of their conversation is. Name models, "
                "which are then asked the same, or files about the same prompts."
            )
        return PolicyResponses(common, by_policy, models, len(prompts) - len(common))

    async def _sample(
        self, policy: Policy, job: SampleJob, spending: Spending
    ) -> Iterator[tuple[Prompt, Candidate]]:
        folder = self.out / "responses" / policy.folder
        line = f"[bold]responses[/bold] of {escape(policy.name)} → {escape(str(folder))}"
        self.console.print(line, highlight=False, soft_wrap=True)
        # The job's source is all sets of prompts one after the other; a limit is one on each.
        counts = (table.n_items for table in job.source.check().summary.tables)
        sets = tuple(sum(islice(counts, len(each.source.files))) for each in self.prompts)
        options = replace(spending.run_options, sets=sets)
        result = await run_sampling(folder, job, options, console=self.console)
        spending.add(result, f"responses of {policy.name}")
        return _of_one_model(str(folder), _read_run(str(folder)))

    def _sampling_jobs(self, policies: Sequence[Policy]) -> dict[str, SampleJob]:
        """The sampling of each model, all of them over one source that is checked once."""
        role_models = {
            each.name: each.role_model for each in policies if each.role_model is not None
        }
        if not role_models:
            return {}
        check_has_prompts(self.prompts, has_models=True)
        files = tuple(file for each in self.prompts for file in each.source.files)
        source = PromptSource.together(files) if len(files) > 1 else self.prompts[0].source
        checked = source.check()
        return {
            name: SampleJob(checked, (role_model,), self.k, self.seed)
            for name, role_model in role_models.items()
        }


def check_has_prompts(prompts: Sequence[Prompts], *, has_models: bool) -> None:
    """Checks before a model is opened that there are prompts to sample it on.

    Raises:
        UsageError: There are none.
    """
    if has_models and not prompts:
        raise UsageError("A model needs prompts to be sampled on. Name a file of them.")


def _distinct_prompts(prompts: Sequence[Prompts], limit: int | None) -> dict[int, EvaluationPrompt]:
    """The first `limit` prompts of each set by unit, each once."""
    found: dict[int, EvaluationPrompt] = {}
    ids: set[str] = set()
    given = (
        (prompt, each.kind) for each in prompts for prompt in islice(each.source.read(), limit)
    )
    for prompt, kind in given:
        unit = unit_of(prompt)
        if unit not in found:
            # Two files may use one id for different prompts; ids of matchups must be distinct.
            id = f"{prompt.id}-{unit:x}" if prompt.id in ids else prompt.id
            ids.add(id)
            found[unit] = EvaluationPrompt(replace(prompt, id=id), kind)
    return found


def _read_run(folder: str) -> Iterator[tuple[Prompt, Candidate]]:
    for record in read_runs([folder]):
        if isinstance(record, Samples):
            yield from ((record.prompt, each) for each in candidates_of(record))
        elif record is not None:
            yield record.prompt, Candidate(record.chain.final, record.model)


def _of_one_model(
    source: str, responses: Iterable[tuple[Prompt, Candidate]]
) -> Iterator[tuple[Prompt, Candidate]]:
    """The same responses; a blank model is unknown, and may be any.

    Raises:
        EvaluationError: They are of more than one model.
    """
    models: set[str] = set()
    for prompt, candidate in responses:
        models.update(filter(None, [candidate.model]))
        if len(models) > 1:
            raise EvaluationError(
                f"{source}: holds responses of several policies, {', '.join(sorted(models))}. "
                "Split them into one folder or file for each, or name the models themselves."
            )
        yield prompt, candidate
