"""Judges prepared for a run: probed for log-probabilities, checked, and wrapped in its journal.

Every judge is prepared here, whoever asks it: `cai judge`, `score`, `agreement`, `evaluate`,
`constitution test`, `rounds`, `serve`, and the rewards of GRPO and RLOO. So all of them have all of
the settings, and a server without log-probabilities falls back to written verdicts everywhere.

Some servers drop log-probabilities without a word, and some models think before they answer, so
that their first token is no letter. One small question to each judge tells.

Example:
    async with opened([role.model for role in roles]):
        judges = await prepare_judges(roles, constitution, settings, console)
        verdict = await compare(judges, constitution, comparison, settings, seed=0)
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeAlias

from rich.console import Console

from cai.constitution.schema import Constitution
from cai.engine.calls import retrying
from cai.engine.run_folder import RunFolder
from cai.errors import NoLogprobs, UsageError
from cai.methods.judging.pairwise import check_judging
from cai.methods.judging.pointwise import Score, check_scoring, score_options, scoring_turns
from cai.methods.judging.requests import LETTERS, judge_turns, questions_of
from cai.methods.judging.verdict import Comparison, JudgeCall
from cai.methods.roles import Judge, RoleModel, candidates, why_low_mass
from cai.methods.settings import JudgeSettings, ScoreSettings, VerdictSource
from cai.models.base import ChoiceModel
from cai.runs.config import JudgeRunConfig, ScoreRunConfig, read_run_config
from cai.runs.execution import WrapModel
from cai.runs.warning import warn
from cai.templates import TemplateSet
from cai.types import Conversation, Message, user_prompt

Probe: TypeAlias = Callable[[TemplateSet], Sequence[tuple[Conversation, Sequence[str]]]]
"""Small questions, each its turns and the options of its answer, for the templates of a judge."""


async def prepare_judges(
    roles: Sequence[RoleModel],
    constitution: Constitution,
    settings: JudgeSettings | ScoreSettings,
    console: Console,
) -> tuple[Judge, ...]:
    """The judges, each read by log-probabilities or by what it writes, as the settings say.

    The models are open already. A judge that gives no log-probabilities is named on the console,
    with the reason.

    Raises:
        UsageError: Constitution, settings and judges do not fit, two judges are the same model, or
            there is none.
        NoLogprobs: Log-probabilities are asked for and a judge gives none.
        ModelError: A judge cannot be asked.
    """
    names = [role.model.name for role in roles]
    if len(set(names)) < len(names) or not names:
        raise UsageError(
            f"The judges are: {', '.join(names) or 'none'}. Name at least one, and each once."
        )
    n = f"{settings.samples} sample{'' if settings.samples == 1 else 's'}"
    read = "read from what it writes"
    if isinstance(settings, JudgeSettings):
        check, in_words = (
            partial(check_judging, settings),
            f"its verdicts are {read}, in both orders, {n} each",
        )
    else:
        nouns = "marks" if settings.kind == "mark" else "answers"
        check, in_words = partial(check_scoring, settings), f"its {nouns} are {read}, {n} each"
    check(constitution)  # before any call: what does not fit should cost nothing
    probe = _first_questions(constitution, settings)
    judges = tuple(
        [
            await probe_judge(
                each, settings.verdicts, probe, in_words, console, min_mass=settings.min_mass
            )
            for each in roles
        ]
    )
    check(constitution, judges)  # samples need a judge that writes, which is known only now
    return judges


def judges_of_finished(
    folder: Path, roles: Sequence[RoleModel], verdicts: VerdictSource
) -> tuple[Judge, ...] | None:
    """The judges of a run that asks nothing more, read as they were; None where it had others."""
    with RunFolder.existing(folder) as run:
        config = read_run_config(run)
    if not isinstance(config, JudgeRunConfig | ScoreRunConfig):
        return None
    if [each.model for each in config.judges] != [role.model.name for role in roles]:
        return None
    # What the settings say goes before what the run says, so that other settings are noticed.
    return tuple(
        Judge(
            role,
            reads_logprobs=verdicts == "logprobs" or (verdicts == "auto" and each.reads_logprobs),
            has_fallback=verdicts == "auto" and each.reads_logprobs,
        )
        for role, each in zip(roles, config.judges, strict=True)
    )


async def probe_judge(
    role: RoleModel,
    verdicts: VerdictSource,
    probe: Probe,
    in_words: str,
    console: Console,
    *,
    min_mass: float = 0.0,
) -> Judge:
    """One judge, asked `probe` where it could be read by log-probabilities.

    `in_words` says how it is read otherwise, for the warning; so it is where the options together
    have less than `min_mass`. Raises as `prepare_judges`.
    """
    if verdicts == "parsed":
        return Judge(role, reads_logprobs=False)
    reason = await _why_no_logprobs(role, probe, min_mass)
    if reason is None:
        return Judge(role, reads_logprobs=True, has_fallback=verdicts == "auto")
    if verdicts == "logprobs":
        raise NoLogprobs(f"{reason} Log-probabilities were asked for: ask for auto or parsed.")
    warn(
        console,
        f"{role.model.name} gives no usable log-probabilities; {in_words}. The reason: {reason}",
    )
    return Judge(role, reads_logprobs=False)


async def _why_no_logprobs(role: RoleModel, probe: Probe, min_mass: float) -> str | None:
    """Why the model gives no log-probabilities of the options to read; None where it does."""
    # The probe comes before there is an engine, so it brings its own retries; it is not journalled,
    # because a server may be configured differently at the next start.
    model = retrying(role.model)
    if not isinstance(model, ChoiceModel):
        return f"{model.name} is of a kind that has none."
    for turns, options in probe(role.templates):
        try:
            choice = await model.choose(role.templates.request(turns), options)
        except NoLogprobs as error:
            return str(error)
        if reason := why_low_mass(choice.mass, options, min_mass):
            return reason
    return None


def _first_questions(constitution: Constitution, settings: JudgeSettings | ScoreSettings) -> Probe:
    """A question of the kind that will follow, under the first principle, on greetings.

    Of marks a second one, which has the mark 10 for its answer: where that is two tokens, its first
    is the whole of another mark, and a good response would silently get a 1.
    """
    principle = candidates(constitution, settings.tags)[0]
    prompt = user_prompt("Hello.")
    if isinstance(settings, ScoreSettings):
        turns_of, options = scoring_turns(settings.kind), score_options(settings.kind)

        def questions(templates: TemplateSet) -> list[tuple[Conversation, Sequence[str]]]:
            turns = turns_of(templates, principle, prompt, "Hello.")
            if settings.kind == "check":
                return [(turns, options)]
            # The question again after it was answered so: a model repeats itself.
            return [
                (turns, options),
                ((*turns, Message("assistant", options[-1]), *turns), options),
            ]

        return questions
    comparison, question = Comparison(prompt, "Hello.", "Good day."), next(questions_of(principle))
    return lambda templates: [(judge_turns(templates, question, comparison), LETTERS)]


def wrap_judges(judges: Sequence[Judge], wrap: WrapModel, role: str) -> tuple[Judge, ...]:
    """The judges, with the calls of their models in that role through the run's journal."""
    return tuple(
        replace(judge, role=replace(judge.role, model=wrap(judge.role.model, role)))
        for judge in judges
    )


@dataclass(slots=True)
class ReadingTally:
    """How calls to judges were read: `n` in all, of which `n_logprobs` by log-probabilities.

    Of `n_fallback` of these the options had too little of the probability, or were not shown: they
    were read from words, or not at all.
    """

    n: int = 0
    n_logprobs: int = 0
    n_fallback: int = 0

    def add(self, calls: Iterable[JudgeCall | Score]) -> None:
        for each in calls:
            self.n += 1
            self.n_logprobs += each.is_fallback or each.mass is not None
            self.n_fallback += each.is_fallback

    @property
    def fallback_rate(self) -> float | None:
        """The share of the calls by log-probabilities; None where there is none."""
        return self.n_fallback / self.n_logprobs if self.n_logprobs else None

    def describe(self) -> list[str]:
        """A line where log-probabilities could not be read; none where all could."""
        if not self.n_fallback:
            return []
        return [
            f"options with less than --min-mass of the probability, or not shown: "
            f"{self.n_fallback:,} of {self.n_logprobs:,} calls ({self.fallback_rate:.1%}), read "
            "from words, or unparsed"
        ]
