"""Responses to the same prompts: of models sampled, of runs and files read.

The common prompts, and what each policy answered to them.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from cai.data.prompts import PromptSource
from cai.data.responses import LabelledResponse, response_files
from cai.data.source import CheckedSource
from cai.errors import EvaluationError, UsageError
from cai.evaluation.policies.policies import Policy
from cai.evaluation.policies.text_metrics import ALL, Conduct, conduct
from cai.evaluation.stats.bootstrap import unit_of
from cai.methods.judging.verdict import Candidate
from cai.methods.sampling import Samples
from cai.runs.records import candidates_of, check_runs, is_run, read_runs
from cai.runs.sample import SampleJob, run_sampling
from cai.runs.shared_budget import Accounts
from cai.types import Prompt


@dataclass(frozen=True, slots=True)
class Prompts:
    """Prompts of one kind; `all` where nothing is said of them."""

    source: PromptSource
    kind: str = ALL


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt that every policy answered, and its kind."""

    prompt: Prompt
    kind: str


@dataclass(frozen=True, slots=True)
class PolicyResponses:
    """The common prompts by unit, in their order, and each policy's responses to them.

    `models` are those who gave each policy's responses, as far as anybody knows. `n_passed_over` is
    how many prompts not all policies answered.
    """

    asked: Mapping[int, Asked]
    by_policy: Mapping[str, Mapping[int, tuple[Candidate, ...]]]
    models: Mapping[str, frozenset[str]]
    n_passed_over: int

    @property
    def kinds(self) -> tuple[str, ...]:
        """What was said of the prompts; nothing where nothing was."""
        return tuple(dict.fromkeys(each.kind for each in self.asked.values() if each.kind != ALL))

    def of(self, policy: str, kind: str = ALL) -> Iterator[tuple[int, Asked, Candidate]]:
        """A policy's responses to the prompts of a kind."""
        for unit, asked in self.asked.items():
            if kind in (ALL, asked.kind):
                for response in self.by_policy[policy][unit]:
                    yield unit, asked, response

    def conduct(self, policy: str, seed: int) -> tuple[Conduct, ...]:
        """What a policy's responses look like, of all prompts first and then of each kind."""
        return tuple(self._conduct(policy, kind, seed) for kind in (ALL, *self.kinds))

    def _conduct(self, policy: str, kind: str, seed: int) -> Conduct:
        rows = list(self.of(policy, kind))
        return conduct(
            kind,
            [unit for unit, _, _ in rows],
            [response.text for _, _, response in rows],
            [response.is_cut_off for _, _, response in rows],
            seed,
        )


@dataclass(frozen=True, slots=True)
class Gathering:
    """How responses are had: `k` of each model to every prompt, sampled into folders of `out`."""

    prompts: tuple[Prompts, ...]
    k: int
    seed: int
    out: Path
    console: Console

    async def gather(self, policies: Sequence[Policy], accounts: Accounts) -> PolicyResponses:
        """The responses of every policy. Without prompts, those count that all policies answered.

        Raises:
            EvaluationError: No prompt was answered by all.
            CaiError: As the jobs and readers of the sources.
        """
        limit = accounts.run_options.limit
        asked = _asked(self.prompts, limit)
        # A broken file is said before a model is sampled.
        given = {
            each.name: _checked_responses(each.source)
            for each in policies
            if each.role_model is None
        }
        jobs = self._jobs(policies)
        found: dict[str, Mapping[int, tuple[Candidate, ...]]] = {}
        models: dict[str, frozenset[str]] = {}
        texts: dict[int, Asked] = {}
        for policy in policies:
            mine: dict[int, list[Candidate]] = defaultdict(list)
            if policy.name in jobs:
                given[policy.name] = await self._sampled(policy, jobs[policy.name], accounts)
            for prompt, candidate in given[policy.name]:
                unit = unit_of(prompt)
                if asked and unit not in asked:
                    continue
                mine[unit].append(candidate)
                texts.setdefault(unit, Asked(prompt, ALL))
            found[policy.name] = {unit: tuple(each) for unit, each in mine.items()}
            models[policy.name] = _models(policy, mine.values())
        return _common(asked or dict(islice(texts.items(), limit)), found, models, len(asked))

    async def _sampled(
        self, policy: Policy, job: SampleJob, accounts: Accounts
    ) -> Iterator[tuple[Prompt, Candidate]]:
        folder = self.out / "responses" / policy.folder
        line = f"[bold]responses[/bold] of {escape(policy.name)} → {escape(str(folder))}"
        self.console.print(line, highlight=False, soft_wrap=True)
        outcome = await run_sampling(folder, job, accounts.run_options, console=self.console)
        accounts.add(outcome, f"responses of {policy.name}")
        return _of_run(str(folder))

    def _jobs(self, policies: Sequence[Policy]) -> dict[str, SampleJob]:
        """The sampling of each model, all of them from all files as one source, checked once."""
        role_models = {
            each.name: each.role_model for each in policies if each.role_model is not None
        }
        if not role_models:
            return {}
        check_asked(self.prompts, has_models=True)
        files = tuple(file for each in self.prompts for file in each.source.files)
        source = PromptSource.together(files) if len(files) > 1 else self.prompts[0].source
        checked = source.check()
        return {
            name: SampleJob(checked, (role_model,), self.k, self.seed)
            for name, role_model in role_models.items()
        }


def check_asked(prompts: Sequence[Prompts], *, has_models: bool) -> None:
    """Finds out before a model is opened whether there is something to ask it.

    Raises:
        UsageError: There is not.
    """
    if has_models and not prompts:
        raise UsageError("A model is to be asked, and there are no prompts. Name a file of them.")


def _asked(prompts: Sequence[Prompts], limit: int | None) -> dict[int, Asked]:
    """The first so many prompts, each once; an id that another prompt has gets the unit behind."""
    found: dict[int, Asked] = {}
    ids: set[str] = set()
    given = ((prompt, each.kind) for each in prompts for prompt in each.source.read())
    for prompt, kind in islice(given, limit):
        unit = unit_of(prompt)
        if unit not in found:
            id = f"{prompt.id}-{unit:x}" if prompt.id in ids else prompt.id
            ids.add(id)
            found[unit] = Asked(replace(prompt, id=id), kind)
    return found


def _checked_responses(source: str) -> Iterator[tuple[Prompt, Candidate]]:
    """The responses of a run or a file, which is checked now and read when they are iterated."""
    if is_run(source):
        check_runs([source])
        return _of_run(source)
    return _of_file(source, response_files((source,)).check())


def _of_file(
    source: str, checked: CheckedSource[LabelledResponse]
) -> Iterator[tuple[Prompt, Candidate]]:
    models: set[str] = set()
    for _, row in checked.items():
        _check_one(source, models, row.model)
        yield row.prompt, Candidate(row.text, row.model)


def _of_run(folder: str) -> Iterator[tuple[Prompt, Candidate]]:
    policies: set[str] = set()
    for found in read_runs([folder]):
        if found is None:
            continue
        if isinstance(found, Samples):
            candidates = candidates_of(found)
        else:
            candidates = [Candidate(found.chain.final, found.model)]
        for candidate in candidates:
            _check_one(folder, policies, candidate.model)
            yield found.prompt, candidate


def _check_one(source: str, policies: set[str], model: str) -> None:
    """Takes in who gave a response of the source; blank is nobody.

    Raises:
        EvaluationError: It is another than gave those before.
    """
    policies.update(filter(None, [model]))
    if len(policies) > 1:
        raise EvaluationError(
            f"{source}: holds responses of several policies, {', '.join(sorted(policies))}. "
            "Keep those of each in a folder or file of its own, or name the models themselves."
        )


def _models(policy: Policy, found: Iterable[Sequence[Candidate]]) -> frozenset[str]:
    if policy.role_model is not None:
        return frozenset({policy.role_model.model.name})
    return frozenset(each.model for several in found for each in several if each.model)


def _common(
    asked: Mapping[int, Asked],
    found: Mapping[str, Mapping[int, tuple[Candidate, ...]]],
    models: Mapping[str, frozenset[str]],
    n_given: int,
) -> PolicyResponses:
    kept = {
        unit: each
        for unit, each in asked.items()
        if all(unit in responses for responses in found.values())
    }
    if not kept:
        counts = ", ".join(f"{name} {len(responses)}" for name, responses in found.items())
        given = f"{n_given} prompts are given; " if n_given else ""
        raise EvaluationError(
            f"The policies have no prompt in common: {given}prompts answered: {counts}. Prompts "
            "are the same where every word of their conversation is. Name models, which are then "
            "asked the same, or files about the same prompts."
        )
    return PolicyResponses(kept, found, models, len(asked) - len(kept))
