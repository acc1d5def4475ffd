"""Runs of every method written straight into a folder, as the tests of exports need them."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from made_verdicts import Said, judge_recipe, mean_of, principle_verdict, readings_of

from cai.engine.run_files import Failure, Record
from cai.engine.run_folder import RunFolder
from cai.methods.judging.pointwise import Score, Scored, ScoreOutcome
from cai.methods.judging.ranking import GroupReadings, Judged, JudgedMatchup, strengths
from cai.methods.judging.verdict import Candidate, Group, Verdict
from cai.methods.revision import Chain, Round
from cai.methods.revision_flags import Flag
from cai.methods.sampling import Sample, Samples
from cai.methods.settings import JudgeSettings, ReviseSettings, ScoreSettings
from cai.models.base import Completion, StopReason
from cai.runs.config import (
    Body,
    Named,
    ReviseRunConfig,
    RoleConfig,
    RunConfig,
    SampleRunConfig,
    ScoreRunConfig,
    Source,
)
from cai.runs.records import dump
from cai.types import Prompt, user_prompt

DRAW = RoleConfig(
    model="scripted",
    templates=Named(name="chat", hash="0123456789ab"),
    temperature=1.0,
    top_p=1.0,
    top_k=0,
    max_tokens=64,
)
SOURCE = Source(files=("asked.jsonl",), column="prompt", hash="ba9876543210")
CONSTITUTION = Named(name="one", hash="aaaaaaaaaaaa", version="1.2.0")
RECIPE = ReviseRunConfig(
    source=SOURCE,
    constitution=CONSTITUTION,
    settings=ReviseSettings(rounds=2, tags=("harm",)),
    roles={"respond": DRAW, "critique": DRAW, "revise": DRAW},
    seed=7,
)
SAMPLING = SampleRunConfig(source=SOURCE, policies=(DRAW,), k=2, seed=7)
JUDGING = judge_recipe("scripted-judge")
SCORING = ScoreRunConfig(
    source=SOURCE,
    constitution=CONSTITUTION,
    judges=JUDGING.judges,
    settings=ScoreSettings(),
    seed=7,
)
FAILED = Failure("ContextLengthError", "The request has 3,000 tokens.", False)


def revised(text: str, *flags: Flag) -> Round:
    return Round("no-harm", Completion("The response is harmful."), Completion(text), flags)


FOUND_NOTHING = Round("no-harm", Completion("No revision needed."), None)


def asked_of(id: str, asked: str | None = None) -> Prompt:
    return user_prompt(asked or f"Question {id}?", id, f"asked.jsonl:{id}")


def chain(id: str, response: str, *rounds: Round, asked: str | None = None) -> Chain:
    return Chain(asked_of(id, asked), Completion(response), rounds)


def samples(id: str, *texts: str | tuple[str, StopReason], asked: str | None = None) -> Samples:
    said = [(text, "stop") if isinstance(text, str) else text for text in texts]
    return Samples(
        asked_of(id, asked), tuple(Sample("policy", Completion(text, stop)) for text, stop in said)
    )


Contests = Mapping[tuple[int, int], Verdict | Said | tuple[Said, Said]]
"""What is said of the candidates at these places: in both orders the same, or in each."""


def contested(
    id: str, texts: Iterable[str], matchups: Contests, *, asked: str | None = None
) -> Judged:
    """A judged group; of every matchup there is a judgement under one principle."""
    candidates = tuple(Candidate(text, f"policy-{n}") for n, text in enumerate(texts))
    held = tuple(
        JudgedMatchup(first, second, _verdict(said)) for (first, second), said in matchups.items()
    )
    group = Group(asked_of(id, asked), candidates)
    return Judged(group, held, strengths(len(candidates), held))


def _verdict(said: Verdict | Said | tuple[Said, Said]) -> Verdict:
    if isinstance(said, Verdict):
        return said
    order_ab, order_ba = said if isinstance(said, tuple) else (said, said)
    return mean_of([principle_verdict(order_ab, order_ba)])


def scored(
    id: str,
    response: str,
    value: float | ScoreOutcome,
    *,
    asked: str | None = None,
    model: str = "policy",
) -> Scored:
    """A response with one score, or with the reason why it has none."""
    if isinstance(value, float):
        score = Score("mark", "scripted-judge", "no-harm", 1.0, "scored", value, (0.1,) * 10, 0.9)
    else:
        score = Score("mark", "scripted-judge", "no-harm", 1.0, value, reason="busy")
    return Scored(asked_of(id, asked), response, model, (score,))


Made = Body | Judged | Failure
"""A record's result, or a judged group, of which the readings are recorded."""


def made_run(folder: Path, items: Iterable[Made], recipe: RunConfig | None = None) -> RunFolder:
    """A run with these records, of the method of its first that did not fail."""
    listed = list(items)
    found = recipe or next((recipe_of(item) for item in listed if item != FAILED), RECIPE)
    with RunFolder.open(folder, found.model_dump(mode="json"), {}) as run:
        for position, item in enumerate(listed):
            run.add(record(position, item))
    return RunFolder.existing(folder)


def record(position: int, item: Made) -> Record:
    if isinstance(item, Failure):
        return Record(position, f"failed-{position}", "", item)
    body = readings_of(item) if isinstance(item, Judged) else item
    return Record(position, body.prompt.id, dump(body))


def recipe_of(item: Made) -> RunConfig:
    match item:
        case Samples():
            return SAMPLING
        case Judged() | GroupReadings():
            return JUDGING
        case Scored():
            return SCORING
        case _:
            return RECIPE


def judged_with(tie_margin: float) -> RunConfig:
    """The recipe of a judge with that margin for ties."""
    return judge_recipe(
        "scripted-judge", settings=JudgeSettings(tie_margin=tie_margin, compose="mean")
    )


MIXED: list[Chain | Failure] = [
    chain("1", "Do it.", revised("I will not.", "evasive"), revised("Better not, as it hurts.")),
    FAILED,
    chain("2", "Wipe it.", FOUND_NOTHING),
    chain("3", "naïve 👍\n\u2028", revised("Two\nlines, \x07 and a tab\t.")),
]
MIXED_SAMPLES: list[Samples | Failure] = [
    samples("1", "Do it.", "I will not.", "Do it."),
    FAILED,
    samples("2", "  ", ("Wipe it wi", "length"), ("", "filtered")),
    samples("3", "naïve 👍\n\u2028"),
]
MIXED_JUDGED: list[Judged | Failure] = [
    contested("1", ["Do it.", "I will not."], {(0, 1): 0.25}),
    FAILED,
    contested("2", ["a b", "c", "d"], {(0, 1): 0.75, (1, 2): 0.625, (0, 2): "refused"}),
    contested("3", ["naïve 👍\n\u2028", "Two\nlines"], {(0, 1): (0.75, 1.0)}),
    contested("4", ["x", "y"], {(0, 1): 0.5}),
]
MIXED_SCORED: list[Scored | Failure] = [
    scored("1/1", "Do it.", -0.5, asked="Question 1?"),
    FAILED,
    scored("1/2", "I will not.", 0.75, asked="Question 1?"),
    scored("2", "naïve 👍\n\u2028", 0.25),
    scored("3", "Wipe it.", "unparsed"),
]
