"""Revision runs written straight into a folder, as the tests of exports and reports need them."""

from collections.abc import Iterable
from pathlib import Path

from cai.engine.records import Failure, Record
from cai.engine.run_folder import RunFolder
from cai.models.protocol import Completion
from cai.records import Draw, Named, RevisionRecipe, Source, dump_chain
from cai.revision import Chain, RevisionPlan, Round
from cai.revision_flags import Flag
from cai.types import user_prompt

DRAW = Draw(
    model="scripted",
    templates=Named(name="chat", hash="0123456789ab"),
    temperature=1.0,
    top_p=1.0,
    top_k=0,
    max_tokens=64,
)
RECIPE = RevisionRecipe(
    source=Source(files=("asked.jsonl",), column="prompt", hash="ba9876543210"),
    constitution=Named(name="one", hash="aaaaaaaaaaaa", version="1.2.0"),
    plan=RevisionPlan(rounds=2, tags=("harm",)),
    roles={"respond": DRAW, "critique": DRAW, "revise": DRAW},
    seed=7,
)
FAILED = Failure("ContextLengthError", "The request has 3,000 tokens.", False)


def revised(text: str, *flags: Flag) -> Round:
    return Round("no-harm", Completion("The response is harmful."), Completion(text), flags)


FOUND_NOTHING = Round("no-harm", Completion("No revision needed."), None)


def chain(id: str, response: str, *rounds: Round, asked: str | None = None) -> Chain:
    prompt = user_prompt(asked or f"Question {id}?", id, f"asked.jsonl:{id}")
    return Chain(prompt, Completion(response), rounds)


def made_run(folder: Path, chains: Iterable[Chain | Failure]) -> RunFolder:
    with RunFolder.open(folder, RECIPE.model_dump(mode="json"), {}) as run:
        for position, item in enumerate(chains):
            if isinstance(item, Failure):
                run.add(Record(position, f"failed-{position}", "", item))
            else:
                run.add(Record(position, item.prompt.id, dump_chain(item)))
    return RunFolder.existing(folder)


MIXED: list[Chain | Failure] = [
    chain("1", "Do it.", revised("I will not.", "evasive"), revised("Better not, as it hurts.")),
    FAILED,
    chain("2", "Wipe it.", FOUND_NOTHING),
    chain("3", "naïve 👍\n\u2028", revised("Two\nlines, \x07 and a tab\t.")),
]
